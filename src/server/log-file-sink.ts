import type { Clock } from "../runtime/clock.ts";
import { type LineCounts, LineWriter } from "../telemetry/log/line-writer.ts";
import { LogFile } from "../telemetry/log/log-file.ts";
import { type Config, ConfigError } from "./config.ts";

/** How long lines may take that are left for a file which is not written to any more. */
const lastFlushMs = 1000;

/** The log's file, as it is configured just now; there need not be one. */
export class LogFileSink {
  readonly #clock: Clock;
  readonly #missing: (lines: number) => string;
  readonly #onTrouble: (message: string) => void;
  #current: { readonly file: LogFile; readonly writer: LineWriter } | undefined;
  /** Opened already for a configuration that is about to be used. */
  #prepared: LogFile | undefined;
  /** Of files that are not written to any more. */
  readonly #past: LineCounts = { lines: 0, dropped: 0, errors: 0 };

  /** @param missing makes the line, with its end, that tells how many are */
  constructor(clock: Clock, missing: (lines: number) => string, onTrouble: (message: string) => void) {
    this.#clock = clock;
    this.#missing = missing;
    this.#onTrouble = onTrouble;
  }

  get isThere(): boolean {
    return this.#current !== undefined;
  }

  get counts(): LineCounts {
    const now = this.#current?.writer.counts;
    return now ? sumOf(this.#past, now) : this.#past;
  }

  write(line: string): void {
    this.#current?.writer.write(line);
  }

  /** Opens what a configuration wants to be opened. @throws ConfigError */
  prepare({ log: { file: path, max_size: maxBytes, keep } }: Config, source: string): void {
    this.#prepared?.close();
    this.#prepared = undefined;
    if (path === undefined || path === this.#current?.file.path) return;
    try {
      this.#prepared = new LogFile(path, { maxBytes, keep }, ({ code }) =>
        this.#onTrouble(`log.file cannot be begun anew (${code}): it goes on as it is.`),
      );
    } catch (error) {
      const { code = "unknown error" } = error as NodeJS.ErrnoException; // the file system throws nothing else
      const expected = `expected a file that can be written (${code})`;
      throw new ConfigError(source, [{ path: "log.file", value: JSON.stringify(path), expected }]);
    }
  }

  /** Goes on as a configuration says that was prepared. */
  adopt({ log: { file: path, max_size: maxBytes, keep } }: Config): void {
    if (this.#current && path === this.#current.file.path) {
      this.#current.file.limits = { maxBytes, keep };
      return;
    }
    void this.#leave();
    const file = this.#prepared;
    this.#prepared = undefined;
    if (!file) return;
    this.#current = { file, writer: new LineWriter(this.#clock, file, this.#missing) };
    // Without a file the signal keeps what it means to whoever has not heard of us.
    process.on("SIGHUP", this.#reopen);
  }

  /** Writes what is left, for a second at most. @returns whether all of it is written */
  async close(): Promise<boolean> {
    this.#prepared?.close();
    return this.#leave();
  }

  readonly #reopen = () => this.#current?.file.reopen();

  async #leave(): Promise<boolean> {
    const { writer } = this.#current ?? {};
    if (!writer) return true;
    this.#current = undefined;
    process.off("SIGHUP", this.#reopen);
    const isWritten = await writer.flush(lastFlushMs);
    writer.close();
    Object.assign(this.#past, sumOf(this.#past, writer.counts));
    return isWritten;
  }
}

/** What has become of lines in two places. */
export function sumOf(one: LineCounts, other: LineCounts): LineCounts {
  return {
    lines: one.lines + other.lines,
    dropped: one.dropped + other.dropped,
    errors: one.errors + other.errors,
  };
}
