import { close, constants, fstat, fstatSync, mkdirSync, open, openSync, rename, type Stats, write } from "node:fs";
import { dirname } from "node:path";
import { promisify } from "node:util";
import type { Outlet } from "./line-writer.ts";

/** How a file of lines grows. */
export interface LogFileLimits {
  /** Bytes that it holds before it is put aside. */
  readonly maxBytes: number;
  /** How many of those that were put aside are kept. */
  readonly keep: number;
}

const opened = promisify(open);
const renamed = promisify(rename);
const statOf = promisify(fstat);

/** To append. A pipe that nobody reads is refused: else whoever opens it waits until somebody does, and with it the process. */
const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;

/**
 * A file that lines are appended to. Before it grows too large it is put aside as `FILE.1`, that as `FILE.2`, and so on. When it cannot
 * be put aside, or opened again, it goes on as it is.
 */
export class LogFile implements Outlet {
  readonly path: string;
  limits: LogFileLimits;
  readonly #onTrouble: (error: NodeJS.ErrnoException) => void;
  #fd: number;
  #size = 0;
  /** Pipes and devices are left where they are. */
  #isFile = true;
  /** Whether somebody else may have put it aside. */
  #isMoved = false;
  #isWriting = false;
  #isClosed = false;

  /**
   * Opens it, and makes its folder.
   * @param onTrouble told why it could not be begun anew
   * @throws what the file system says
   */
  constructor(path: string, limits: LogFileLimits, onTrouble: (error: NodeJS.ErrnoException) => void) {
    this.path = path;
    this.limits = limits;
    this.#onTrouble = onTrouble;
    mkdirSync(dirname(path), { recursive: true });
    this.#fd = openSync(path, flags);
    this.#goOn(fstatSync(this.#fd));
  }

  /** Opens the file again before the next line: whoever keeps logs in order has put it aside. */
  reopen(): void {
    this.#isMoved = true;
  }

  write(bytes: Buffer, done: (error: NodeJS.ErrnoException | null, written: number) => void): void {
    this.#isWriting = true;
    const isTooLarge = this.#isFile && this.#size > 0 && this.#size + bytes.length > this.limits.maxBytes;
    if (this.#isMoved) void this.#renew(false).then(() => this.write(bytes, done));
    else if (isTooLarge) void this.#renew(true).then(() => this.#append(bytes, done));
    else this.#append(bytes, done);
  }

  close(): void {
    this.#isClosed = true;
    // A number of a file that is closed in the middle of a write may be another file's by then.
    if (!this.#isWriting) close(this.#fd, () => {});
  }

  #append(bytes: Buffer, done: (error: NodeJS.ErrnoException | null, written: number) => void): void {
    write(this.#fd, bytes, (error, written = 0) => {
      this.#isWriting = false;
      this.#size += written;
      if (this.#isClosed) close(this.#fd, () => {});
      done(error, written);
    });
  }

  async #renew(putAside: boolean): Promise<void> {
    this.#isMoved = false;
    try {
      if (putAside) await this.#putAside();
      const fd = await opened(this.path, flags);
      close(this.#fd, () => {});
      this.#fd = fd;
      this.#goOn(await statOf(fd));
    } catch (error) {
      // It is tried again when as much again has been written.
      this.#size = 0;
      this.#onTrouble(error as NodeJS.ErrnoException); // the file system throws nothing else
    }
  }

  #goOn(stats: Stats): void {
    this.#size = stats.size;
    this.#isFile = stats.isFile();
  }

  async #putAside(): Promise<void> {
    for (let number = this.limits.keep - 1; number >= 0; number -= 1) {
      const from = number === 0 ? this.path : `${this.path}.${number}`;
      await renamed(from, `${this.path}.${number + 1}`).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "ENOENT") throw error;
      });
    }
  }
}
