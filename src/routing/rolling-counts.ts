/**
 * Counters over a sliding window, kept in buckets: a total looks back at most `windowMs` and at least one bucket less.
 * Time is monotonic milliseconds and is passed in; it never goes back. Every call takes constant time, spread over the buckets
 * that have passed.
 */
export class RollingCounts {
  readonly #counters: number;
  readonly #bucketMs: number;
  readonly #buckets: number;
  /** Bucket after bucket, each with all its counters. */
  readonly #counts: Float64Array;
  /** Over all buckets, per counter. */
  readonly #totals: Float64Array;
  /** Number of the bucket that now is in, counted from time 0. */
  #latest = Number.NEGATIVE_INFINITY;

  /** @param counters how many, addressed from 0; amounts are whole numbers, or totals drift */
  constructor(counters: number, windowMs: number, bucketMs: number) {
    this.#counters = counters;
    this.#bucketMs = bucketMs;
    this.#buckets = Math.max(1, Math.floor(windowMs / bucketMs + 1e-9));
    this.#counts = new Float64Array(counters * this.#buckets);
    this.#totals = new Float64Array(counters);
  }

  add(now: number, counter: number, amount = 1): void {
    this.addAt(now, now, counter, amount);
  }

  /** Adds to what was counted at an earlier time; nothing, when that has left the window. */
  addAt(time: number, now: number, counter: number, amount: number): void {
    this.#advance(now);
    const bucket = Math.floor(time / this.#bucketMs);
    if (bucket <= this.#latest - this.#buckets) return;
    const slot = this.#offset(bucket) + counter;
    this.#counts[slot] = (this.#counts[slot] ?? 0) + amount;
    this.#totals[counter] = (this.#totals[counter] ?? 0) + amount;
  }

  total(now: number, counter: number): number {
    this.#advance(now);
    return this.#totals[counter] ?? 0;
  }

  /** Forgets everything. */
  reset(): void {
    this.#counts.fill(0);
    this.#totals.fill(0);
  }

  #advance(now: number): void {
    const bucket = Math.floor(now / this.#bucketMs);
    if (bucket <= this.#latest) return;
    if (bucket - this.#latest >= this.#buckets) this.reset();
    else for (let each = this.#latest + 1; each <= bucket; each++) this.#expire(this.#offset(each));
    this.#latest = bucket;
  }

  /** Empties the bucket that a new one is about to replace. */
  #expire(offset: number): void {
    for (let counter = 0; counter < this.#counters; counter++) {
      this.#totals[counter] = (this.#totals[counter] ?? 0) - (this.#counts[offset + counter] ?? 0);
      this.#counts[offset + counter] = 0;
    }
  }

  #offset(bucket: number): number {
    return (bucket % this.#buckets) * this.#counters;
  }
}
