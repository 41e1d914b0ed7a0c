import type { Cancellation } from "../runtime/cancellation.ts";
import type { Clock } from "../runtime/clock.ts";
import { FairQueue } from "./fair-queue.ts";

/**
 * What somebody in line finds: what it waits for; or when that may be, monotonic ms (undefined: when somebody else is done); or that
 * there is nothing to wait for any more.
 */
export type Found<G> =
  | { readonly grant: G; readonly until?: never; readonly gone?: never }
  | { readonly grant?: never; readonly until: number | undefined; readonly gone?: never }
  | { readonly grant?: never; readonly until?: never; readonly gone: true };

/** One request in line. */
interface Waiter<G> {
  /** Takes what it waits for, if it is there. */
  attempt(): Found<G>;
  resolve(grant: G | undefined): void;
}

/** The longest time until a line is looked at again although nothing has happened. */
const lookAgainMs = 250;

/**
 * Requests that wait for a limit of ours, several lines at a pool, each for one thing: first come, first served within one caller, and callers in turn, so
 * that one with a thousand requests does not keep out one with a single one.
 */
export class WaitingLines<G> {
  readonly #clock: Clock;
  #bound: number;
  /** How many wait at each pool. */
  readonly #waiting = new Map<string, number>();
  readonly #lines = new Map<string, { readonly queue: FairQueue<Waiter<G>>; stopTimer: () => void }>();

  /** @param bound most requests that wait at one pool */
  constructor(clock: Clock, bound: number) {
    this.#clock = clock;
    this.#bound = bound;
  }

  /** How many wait at each pool where anybody does. Live. */
  get lengths(): ReadonlyMap<string, number> {
    return this.#waiting;
  }

  /** Goes on with another bound; whoever waits already may stay. */
  adopt(bound: number): void {
    this.#bound = bound;
  }

  /**
   * Waits in line.
   * @returns what was waited for; undefined when it did not come in time, or the line is full
   */
  async wait(
    where: { readonly pool: string; readonly line: string; readonly caller: string },
    attempt: () => Found<G>,
    maxWaitMs: number,
    cancellation: Cancellation,
  ): Promise<G | undefined> {
    const { pool, caller } = where;
    const name = `${pool} ${where.line}`;
    const others = this.#waiting.get(pool) ?? 0;
    if (maxWaitMs <= 0 || cancellation.cancelled || others >= this.#bound) return undefined;
    let line = this.#lines.get(name);
    if (!line) {
      line = { queue: new FairQueue(this.#bound), stopTimer: () => {} };
      this.#lines.set(name, line);
    }
    const { promise, resolve } = Promise.withResolvers<G | undefined>();
    const leave = line.queue.push(caller, { attempt, resolve });
    if (!leave) return undefined;
    this.#waiting.set(pool, others + 1);
    // Leaves at once: what is granted to one who is gone would never be given back.
    const giveUp = () => {
      leave();
      resolve(undefined);
    };
    const stopTimer = this.#clock.schedule(maxWaitMs, giveUp);
    const unlink = cancellation.onCancel(giveUp);
    this.roomMade();
    try {
      return await promise;
    } finally {
      stopTimer();
      unlink();
      const left = (this.#waiting.get(pool) ?? 1) - 1;
      if (left > 0) this.#waiting.set(pool, left);
      else this.#waiting.delete(pool);
      if (line.queue.size === 0 && this.#lines.get(name) === line) this.#drop(name);
    }
  }

  /** Somebody is done, so there may be room. Lines take turns, too: they may wait for the same room. */
  roomMade(): void {
    let served = this.#lines.size > 0;
    while (served) {
      served = false;
      for (const [name, line] of [...this.#lines]) {
        if (!this.#serveOne(name)) continue;
        served = true;
        // The next time the others come first.
        if (this.#lines.delete(name)) this.#lines.set(name, line);
      }
    }
  }

  /** Serves the front of a line, if there is room; else looks again when there may be. @returns whether it served */
  #serveOne(name: string): boolean {
    const line = this.#lines.get(name);
    const head = line?.queue.peek();
    if (!line || !head) return false;
    line.stopTimer();
    const found = head.attempt();
    if (found.grant === undefined && !found.gone) {
      const inMs = Math.min((found.until ?? Number.POSITIVE_INFINITY) - this.#clock.now(), lookAgainMs);
      line.stopTimer = this.#clock.schedule(Math.max(1, inMs), () => this.roomMade());
      return false;
    }
    line.queue.shift();
    head.resolve(found.grant);
    return true;
  }

  #drop(name: string): void {
    this.#lines.get(name)?.stopTimer();
    this.#lines.delete(name);
  }
}
