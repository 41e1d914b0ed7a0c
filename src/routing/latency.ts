/** How fast a good memory of a slow moment fades. */
const decayMs = 10_000;

/**
 * Recent latency, in ms: a slower answer counts at once, faster ones bring it down slowly, so that an endpoint which begins to
 * stall is noticed before its average is.
 * Source: peak EWMA, finagle's `loadbalancer`.
 */
export class PeakEwma {
  #value: number | undefined;
  #at = 0;

  /** It fades while nothing is heard: an endpoint that was slow once is tried again. Undefined: nothing is known. */
  at(now: number): number | undefined {
    return this.#value === undefined ? undefined : this.#value * Math.exp(-(now - this.#at) / decayMs);
  }

  observe(now: number, ms: number): void {
    if (this.#value === undefined || ms > this.#value) {
      this.#value = ms;
    } else {
      const kept = Math.exp(-(now - this.#at) / decayMs);
      this.#value = this.#value * kept + ms * (1 - kept);
    }
    this.#at = now;
  }

  /** An answer that was not waited for would have taken so long or longer. */
  observeAtLeast(now: number, ms: number): void {
    if (ms > (this.at(now) ?? 0)) this.observe(now, ms);
  }
}

/** The last so many are enough for a quantile, and few enough to be sorted when somebody asks. */
const sampleCount = 64;

/** The last times to first content, in ms, for a quantile of them. */
export class RecentTimes {
  readonly #samples: number[] = [];
  #next = 0;

  add(ms: number): void {
    this.#samples[this.#next] = ms;
    this.#next = (this.#next + 1) % sampleCount;
  }

  /** How many are known, up to as many as are kept. */
  get count(): number {
    return this.#samples.length;
  }

  /** @param share 0.9 for the time that nine of ten stay below; undefined when nothing is known */
  quantile(share: number): number | undefined {
    if (this.#samples.length === 0) return undefined;
    const sorted = [...this.#samples].sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  }
}
