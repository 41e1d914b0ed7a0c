import type { RecentTimes } from "./latency.ts";
import type { HedgeSettings } from "./settings.ts";
import type { Verdict } from "./verdict.ts";

/** Fewer answers than this tell nothing of what is slow. */
const leastSamples = 20;
/** Hedges that were not needed are kept for later, so many at most: a wave of slow answers is met, a long one is not fed. */
const mostSaved = 10;
/** So much later than the others an answer must be at least: less is the clock's own, and a steady endpoint is not slow by a millisecond. */
const marginMs = 10;
/** After a hedge was met by a limit or an overload there are none for so long: providers in trouble need no second calls. */
const pauseMs = { least: 10_000, most: 60_000 };

/**
 * When a second attempt is made beside one that is slow, and how often that may be: each request earns a share of a hedge, and a
 * hedge spends a whole one, so that they never pass that share of all requests.
 * Source: gRPC's hedging (proposal A6), with the trigger of Dean and Barroso, "The Tail at Scale": only past the 95th percentile.
 */
export class Hedging {
  #settings: HedgeSettings;
  #saved = 0;
  #pausedUntil = Number.NEGATIVE_INFINITY;

  constructor(settings: HedgeSettings) {
    this.#settings = settings;
  }

  /** Goes on with other settings. */
  adopt(settings: HedgeSettings): void {
    this.#settings = settings;
  }

  /** A stream has been asked for. */
  request(): void {
    this.#saved = Math.min(mostSaved, this.#saved + this.#settings.share);
  }

  /** How long an attempt may wait for its first content before it is hedged; undefined: it is not. */
  delayMs(firstContents: RecentTimes): number | undefined {
    if (!this.#settings.enabled || firstContents.count < leastSamples) return undefined;
    const usualMs = firstContents.quantile(this.#settings.quantile);
    return usualMs === undefined ? undefined : usualMs + marginMs;
  }

  /** Whether a hedge may be made now. */
  allows(now: number): boolean {
    return this.left(now) >= 1;
  }

  /** How many hedges may be made now. */
  left(now: number): number {
    // Twenty times a twentieth is not quite one in binary.
    return now >= this.#pausedUntil ? Math.floor(this.#saved + 1e-9) : 0;
  }

  /** A hedge is made. */
  spend(): void {
    this.#saved -= 1;
  }

  /** How a hedge failed. */
  failed(verdict: Verdict, now: number): void {
    if (!isPushback(verdict)) return;
    const ms = Math.min(Math.max(verdict.retryAfterMs ?? 0, pauseMs.least), pauseMs.most);
    this.#pausedUntil = Math.max(this.#pausedUntil, now + ms);
  }
}

/** Whether a provider has said that it has too much to do. */
export function isPushback({ class: why, retryAfterMs }: Verdict): boolean {
  return why === "rate_limited" || why === "overloaded" || retryAfterMs !== undefined;
}
