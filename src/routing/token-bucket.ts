/** How early a token may be taken, in milliseconds: sums of 1000 / rate are not exact, and no token may be lost to that. */
const longestSlackMs = 0.001;

/**
 * A rate limit that holds in every window: in any t seconds it lets through at most burst + rate × t.
 * Formula: GCRA (ITU-T I.371), a token bucket in one number: the time at which the bucket would be full again. Time is monotonic
 * milliseconds and is passed in; nothing has to be refilled.
 */
export class TokenBucket {
  /** Whole tokens of a full bucket. */
  readonly limit: number;
  /** Milliseconds that bring one token. */
  readonly #intervalMs: number;
  /** How far ahead of now the bucket's refilling may lie for one more to be taken. */
  readonly #toleranceMs: number;
  /** When the bucket is full again. */
  #fullAt = Number.NEGATIVE_INFINITY;

  /** @throws RangeError unless the rate is positive and the burst at least 1: nothing could ever be taken */
  constructor(ratePerSecond: number, burst: number = Math.max(1, ratePerSecond)) {
    if (!(ratePerSecond > 0 && burst >= 1)) throw new RangeError(`no rate limit: ${ratePerSecond}/s, burst ${burst}`);
    this.limit = Math.floor(burst);
    this.#intervalMs = 1000 / ratePerSecond;
    this.#toleranceMs = (burst - 1) * this.#intervalMs + Math.min(longestSlackMs, this.#intervalMs / 1000);
  }

  /** A bucket of another rate that lacks as many tokens as this one: to change a limit must not fill it. */
  changedTo(ratePerSecond: number, now: number): TokenBucket {
    const changed = new TokenBucket(ratePerSecond);
    const missing = Math.max(0, this.#fullAt - now) / this.#intervalMs;
    if (missing > 0) changed.#fullAt = now + missing * changed.#intervalMs;
    return changed;
  }

  /** When one may be taken: now or earlier, or the time to wait for. */
  availableAt(now: number): number {
    return Math.max(this.#fullAt, now) - this.#toleranceMs;
  }

  take(now: number): boolean {
    if (this.availableAt(now) > now) return false;
    this.#fullAt = Math.max(this.#fullAt, now) + this.#intervalMs;
    return true;
  }

  /**
   * Puts a token back that was taken but not used. It may be taken again at once, so the bound then holds for tokens taken less
   * tokens given back; a full bucket stays as it is, and one that was taken longer ago than a token takes to come back has come back.
   */
  giveBack(now: number, takenAt = now): void {
    if (now - takenAt >= this.#intervalMs) return;
    this.#fullAt = Math.max(this.#fullAt - this.#intervalMs, now);
  }

  /** Whole tokens that could be taken now, one after another. */
  remaining(now: number): number {
    const spareMs = now - this.availableAt(now);
    return spareMs < 0 ? 0 : 1 + Math.floor(spareMs / this.#intervalMs);
  }
}
