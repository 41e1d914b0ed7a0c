import { RollingCounts } from "./rolling-counts.ts";

/** How much repeating an endpoint may be asked to bear. */
export interface RetryBudgetOptions {
  /** Repeats per request, 0.2 by default: an endpoint that fails altogether then sees at most a fifth more. */
  readonly ratio?: number;
  /** Repeats per second that are always granted, 3 by default: with few requests a share of them would be none. */
  readonly reservePerSecond?: number;
  /** How far back requests and repeats count, in milliseconds; 10 s by default, as breakers look back. */
  readonly windowMs?: number;
}

const requests = 0;
const repeats = 1;

/** Buckets of the window: what leaves it leaves in tenths. */
const bucketsPerWindow = 10;

/**
 * What keeps repeats from multiplying an outage: one endpoint's allowance, ratio × requests + reserve over a sliding window.
 * Source: Finagle's RetryBudget. Time is monotonic milliseconds and is passed in.
 */
export class RetryBudget {
  #ratio: number;
  readonly #reserve: number;
  readonly #counts: RollingCounts;

  constructor({ ratio = 0.2, reservePerSecond = 3, windowMs = 10_000 }: RetryBudgetOptions = {}) {
    this.#ratio = ratio;
    this.#reserve = (reservePerSecond * windowMs) / 1000;
    this.#counts = new RollingCounts(2, windowMs, windowMs / bucketsPerWindow);
  }

  /** Goes on with another share of repeats. */
  adopt(ratio: number): void {
    this.#ratio = ratio;
  }

  /** Counts a request: first tries, not repeats. */
  request(now: number): void {
    this.#counts.add(now, requests);
  }

  /** Whether one repeat would be granted now. */
  allows(now: number): boolean {
    return this.#counts.total(now, repeats) + 1 <= this.#allowance(now);
  }

  /** How many repeats would be granted now. */
  left(now: number): number {
    return Math.max(0, Math.floor(this.#allowance(now) - this.#counts.total(now, repeats)));
  }

  #allowance(now: number): number {
    return this.#ratio * this.#counts.total(now, requests) + this.#reserve;
  }

  /** Asks for one repeat. @returns whether it is granted; it then counts */
  tryRepeat(now: number): boolean {
    if (!this.allows(now)) return false;
    this.#counts.add(now, repeats);
    return true;
  }
}
