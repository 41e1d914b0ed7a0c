import type { Cancellation } from "../runtime/cancellation.ts";
import type { Clock } from "../runtime/clock.ts";
import { FairQueue } from "./fair-queue.ts";

/** What somebody in line finds: what it waits for, or when that may be, monotonic ms (undefined: when somebody else is done). */
export type Found<G> =
  | { readonly grant: G; readonly until?: never }
  | { readonly grant?: never; readonly until: number | undefined };

/** One request in line. */
interface Waiter<G> {
  /** Takes what it waits for, if it is there. */
  attempt(): Found<G>;
  resolve(grant: G | undefined): void;
}

/** The longest time until a line is looked at again although nothing has happened. */
const lookAgainMs = 250;

/**
 * Requests that wait for a limit of ours, a line for each pool and what it has tried: first come, first served within one caller, and callers in turn, so
 * that one with a thousand requests does not keep out one with a single one.
 */
export class WaitingLines<G> {
  readonly #clock: Clock;
  readonly #bound: number;
  readonly #lines = new Map<string, { readonly queue: FairQueue<Waiter<G>>; stopTimer: () => void }>();

  /** @param bound most requests in one line */
  constructor(clock: Clock, bound: number) {
    this.#clock = clock;
    this.#bound = bound;
  }

  /**
   * Waits in line.
   * @returns what was waited for; undefined when it did not come in time, or the line is full
   */
  async wait(
    where: { readonly line: string; readonly caller: string },
    attempt: () => Found<G>,
    maxWaitMs: number,
    cancellation: Cancellation,
  ): Promise<G | undefined> {
    const { line: name, caller } = where;
    if (maxWaitMs <= 0 || cancellation.cancelled) return undefined;
    let line = this.#lines.get(name);
    if (!line) {
      line = { queue: new FairQueue(this.#bound), stopTimer: () => {} };
      this.#lines.set(name, line);
    }
    const { promise, resolve } = Promise.withResolvers<G | undefined>();
    const leave = line.queue.push(caller, { attempt, resolve });
    if (!leave) return undefined;
    // Leaves at once: what is granted to one who is gone would never be given back.
    const giveUp = () => {
      leave();
      resolve(undefined);
    };
    const stopTimer = this.#clock.schedule(maxWaitMs, giveUp);
    const unlink = cancellation.onCancel(giveUp);
    this.#move(name);
    try {
      return await promise;
    } finally {
      stopTimer();
      unlink();
      if (line.queue.size === 0 && this.#lines.get(name) === line) this.#drop(name);
    }
  }

  /** Somebody is done, so there may be room. */
  roomMade(): void {
    for (const name of this.#lines.keys()) this.#move(name);
  }

  /** Serves from the front for as long as there is room; then looks again when there may be. */
  #move(name: string): void {
    const line = this.#lines.get(name);
    if (!line) return;
    line.stopTimer();
    for (let head = line.queue.peek(); head; head = line.queue.peek()) {
      const found = head.attempt();
      if (found.grant === undefined) {
        const inMs = Math.min((found.until ?? Number.POSITIVE_INFINITY) - this.#clock.now(), lookAgainMs);
        line.stopTimer = this.#clock.schedule(Math.max(1, inMs), () => this.#move(name));
        return;
      }
      line.queue.shift();
      head.resolve(found.grant);
    }
  }

  #drop(name: string): void {
    this.#lines.get(name)?.stopTimer();
    this.#lines.delete(name);
  }
}
