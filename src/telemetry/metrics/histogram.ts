import type { HistogramPoint, Labels } from "./family.ts";

/** Seconds that a call to a model may take: the boundaries of OpenTelemetry's GenAI conventions. */
export const callSeconds: readonly number[] = [
  0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
];
/** Seconds that a request may take: the same, and on to the ten minutes that one may last until its first content. */
export const requestSeconds: readonly number[] = [...callSeconds, 163.84, 327.68, 655.36];
/** Seconds of waits: from a backoff to the patience of a batch. */
export const waitSeconds: readonly number[] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600];
/** Tokens of a call: the boundaries of OpenTelemetry's GenAI conventions. */
export const callTokens: readonly number[] = Array.from({ length: 14 }, (_, exponent) => 4 ** exponent);

/** Counts values by buckets with fixed bounds. */
export class Histogram {
  readonly #bounds: readonly number[];
  readonly #counts: Float64Array;
  #sum = 0;
  #count = 0;

  /** @param bounds upper ends, inclusive and ascending; the last bucket has none */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  add(value: number): void {
    const bucket = bucketOf(value, this.#bounds);
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#sum += value;
    this.#count += 1;
  }

  /** As it is now: what is added later does not change it. */
  point(labels: Labels): HistogramPoint {
    const counts = this.#counts.slice();
    return { labels, bounds: this.#bounds, counts, sum: this.#sum, count: this.#count };
  }
}

function bucketOf(value: number, bounds: readonly number[]): number {
  let low = 0;
  let high = bounds.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (value <= (bounds[middle] as number))
      high = middle; // in range: below the length
    else low = middle + 1;
  }
  return low;
}
