import { RollingCounts } from "./rolling-counts.ts";
import type { BreakerSettings } from "./settings.ts";

/** A run of failures is forgotten when nothing has been heard for so long: yesterday's failures do not count. */
const runForgottenMs = 60_000;

const success = 0;
const failure = 1;
const slowFailure = 2;
const inFlight = 3;

/**
 * When a breaker opens: failures are half of all calls of the last ten seconds or more, or five in a row while there are too few
 * calls for a rate.
 *
 * Calls in flight count as calls that have not failed: the successes of long answers come in much later than quick failures, and
 * a rate over ended calls alone would open at one failure in five. Only those that began within the window, though: an endpoint that
 * is silent for a minute before each failure has six times as many calls in flight as the window has failures.
 */
export class Trip {
  #settings: BreakerSettings;
  #counts: RollingCounts;
  /** What began before is not counted. */
  #since = Number.NEGATIVE_INFINITY;
  /** Failures in a row, and when the last of them was. */
  #run = 0;
  #runAt = Number.NEGATIVE_INFINITY;

  constructor(settings: BreakerSettings) {
    this.#settings = settings;
    this.#counts = countsOver(settings.windowMs);
  }

  /** Goes on with other settings. A window of another length begins empty. */
  adopt(settings: BreakerSettings, now: number): void {
    if (settings.windowMs !== this.#settings.windowMs) {
      this.#counts = countsOver(settings.windowMs);
      this.#since = now;
    }
    this.#settings = settings;
  }

  began(now: number): void {
    this.#counts.add(now, inFlight);
  }

  /** A call is no longer in flight, whatever came of it. */
  ended(startedAt: number, now: number): void {
    if (startedAt < this.#since) return;
    this.#counts.addAt(startedAt, now, inFlight, -1);
  }

  success(now: number): void {
    this.#counts.add(now, success);
    this.#run = 0;
  }

  /** @param slow whether it was a timeout */
  failure(now: number, slow: boolean): void {
    this.#counts.add(now, failure);
    if (slow) this.#counts.add(now, slowFailure);
    if (now - this.#runAt > runForgottenMs) this.#run = 0;
    this.#run += 1;
    this.#runAt = now;
  }

  /** Whether what is known now is enough to open. */
  tripped(now: number): boolean {
    const { consecutive, errorRate, minFailures, minCalls } = this.#settings;
    const failures = this.#counts.total(now, failure);
    const calls = failures + this.#counts.total(now, success) + this.#counts.total(now, inFlight);
    // As long as there cannot be enough failures for a rate, a row of them must do.
    if (calls < Math.max(minCalls, minFailures)) return this.#run >= consecutive;
    return failures >= minFailures && failures / calls >= errorRate;
  }

  /** Whether the failures of the window were timeouts for the most part. */
  slow(now: number): boolean {
    return this.#counts.total(now, slowFailure) * 2 > this.#counts.total(now, failure);
  }

  /** Failures and ended calls of the window, for people. */
  tally(now: number): { readonly failures: number; readonly ended: number } {
    const failures = this.#counts.total(now, failure);
    return { failures, ended: failures + this.#counts.total(now, success) };
  }

  reset(): void {
    this.#counts.reset();
    this.#run = 0;
  }
}

function countsOver(windowMs: number): RollingCounts {
  return new RollingCounts(4, windowMs, windowMs / 100);
}
