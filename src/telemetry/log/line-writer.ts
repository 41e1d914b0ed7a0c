import type { Clock } from "../../runtime/clock.ts";

/** Where bytes go. */
export interface Outlet {
  /**
   * Writes as much as it can; called again when it has called `done`, and not before.
   * @param done with how much was written, and why it was not all
   */
  write(bytes: Buffer, done: (error: NodeJS.ErrnoException | null, written: number) => void): void;
  close(): void;
}

/** What has become of lines. */
export interface LineCounts {
  /** Taken by the outlet. */
  lines: number;
  /** For want of room, or because the outlet has failed. */
  dropped: number;
  /** How often the outlet has failed. */
  errors: number;
}

/** Characters that wait at most; what comes when they are so many is dropped. */
const maxHeld = 8 << 20;
/** Whoever has begun to drop goes on until there is some room, so that not every second line is missing. */
const roomAgain = maxHeld / 2;
/** Written at once. As much as a pipe takes, or half of it. */
const pageLength = 32 << 10;
/** Lines that come within so long are written together: a write costs as much as some lines do. */
const gatherMs = 5;
/** An outlet that takes nothing just now is asked again after so long, one that has failed after so long. */
const busyMs = 25;
const failedMs = 1000;

/** The outlet will take bytes again without anybody's doing, but for the one who makes room. */
const mayPass: ReadonlySet<string | undefined> = new Set(["ENOSPC", "EDQUOT", "ENOMEM", "ENOBUFS"]);

interface Page {
  text: string;
  lines: number;
}

/**
 * Lines on their way to an outlet. Whoever writes never waits, whatever the outlet does: lines are held, so many at most, and those
 * beyond are dropped and counted; once lines are taken again one of them tells how many are missing.
 */
export class LineWriter {
  readonly counts: LineCounts = { lines: 0, dropped: 0, errors: 0 };
  readonly #clock: Clock;
  readonly #outlet: Outlet;
  readonly #missing: (lines: number) => string;
  #pages: Page[] = [];
  #held = 0;
  #isFull = false;
  /** Dropped, and not told yet. */
  #untold = 0;
  /** A page that is being written, as far as it is not. */
  #writing: { readonly page: Page; rest: Buffer } | undefined;
  #disarm: (() => void) | undefined;
  #idle: (() => void)[] = [];
  #isClosed = false;

  /** @param missing makes the line, with its end, that tells how many are */
  constructor(clock: Clock, outlet: Outlet, missing: (lines: number) => string) {
    this.#clock = clock;
    this.#outlet = outlet;
    this.#missing = missing;
  }

  /** @param line with its end */
  write(line: string): void {
    if (this.#isClosed || this.#held + line.length > (this.#isFull ? roomAgain : maxHeld)) {
      this.#isFull = true;
      this.#drop(1);
      return;
    }
    this.#isFull = false;
    if (this.#untold > 0) this.#tellMissing();
    this.#hold(line);
  }

  /** Resolves when nothing is held any more, with true; or after so long, with false. */
  flush(ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      if (this.#isIdle()) {
        resolve(true);
        return;
      }
      const disarm = this.#clock.schedule(ms, () => resolve(false));
      this.#idle.push(() => {
        disarm();
        resolve(true);
      });
      if (!this.#writing) this.#next();
    });
  }

  /** Gives up what is held. */
  close(): void {
    this.#isClosed = true;
    this.#disarm?.();
    this.#outlet.close();
  }

  #isIdle(): boolean {
    return this.#pages.length === 0 && !this.#writing;
  }

  #hold(line: string): void {
    this.#held += line.length;
    const page = this.#pages.at(-1);
    if (page && page.text.length < pageLength) {
      page.text += line;
      page.lines += 1;
    } else {
      this.#pages.push({ text: line, lines: 1 });
    }
    this.#gather();
  }

  #gather(): void {
    if (this.#writing || this.#disarm) return;
    this.#disarm = this.#clock.schedule(gatherMs, () => this.#next());
  }

  #drop(lines: number): void {
    this.counts.dropped += lines;
    this.#untold += lines;
  }

  #tellMissing(): void {
    const lines = this.#untold;
    this.#untold = 0;
    this.#hold(this.#missing(lines));
  }

  #next(): void {
    this.#disarm?.();
    this.#disarm = undefined;
    if (this.#isClosed) return;
    const page = this.#pages.shift();
    if (page) {
      this.#writing = { page, rest: Buffer.from(page.text) };
      this.#send();
      return;
    }
    for (const wake of this.#idle.splice(0)) wake();
  }

  #send(): void {
    this.#disarm = undefined;
    const { rest } = this.#writing ?? {};
    if (rest && !this.#isClosed) this.#outlet.write(rest, (error, written) => this.#sent(error, written));
  }

  #sent(error: NodeJS.ErrnoException | null, written: number): void {
    const { page, rest } = this.#writing ?? {};
    if (!this.#writing || !page || !rest || this.#isClosed) return;
    this.#writing.rest = rest.subarray(written);
    if (!error && written < rest.length) {
      this.#send();
      return;
    }
    const isBusy = error?.code === "EAGAIN" || error?.code === "EBUSY";
    if (error && !isBusy) this.counts.errors += 1;
    if (error && (isBusy || mayPass.has(error.code))) {
      this.#disarm = this.#clock.schedule(isBusy ? busyMs : failedMs, () => this.#send());
      return;
    }
    this.#writing = undefined;
    this.#held -= page.text.length;
    if (error) {
      this.#lose(page);
      return;
    }
    this.counts.lines += page.lines;
    if (this.#pages.length === 0 && this.#untold > 0) this.#tellMissing();
    // A page that is not full may become fuller; nobody waits for it but those who want to be done.
    if (this.#pages.length === 1 && this.#idle.length === 0) this.#gather();
    else this.#next();
  }

  /** Nobody is there any more: what waits would wait for ever. */
  #lose(page: Page): void {
    this.#drop([page, ...this.#pages].reduce((sum, { lines }) => sum + lines, 0));
    this.#pages = [];
    this.#held = 0;
    for (const wake of this.#idle.splice(0)) wake();
    // Until then lines are held, and the outlet is left alone.
    this.#disarm = this.#clock.schedule(failedMs, () => this.#next());
  }
}
