import type { Rng } from "../runtime/rng.ts";

/** Most that is added to a stated Retry-After, in milliseconds. */
const longestSpreadMs = 1000;

/**
 * Wait before going back to an endpoint, in milliseconds: U(0, min(maxMs, baseMs × 2^returns)).
 * Source: "Exponential Backoff And Jitter" (AWS Architecture Blog), full jitter.
 * @param returns how often this request has gone back there before
 */
export function fullJitter(
  rng: Rng,
  returns: number,
  { baseMs, maxMs }: { readonly baseMs: number; readonly maxMs: number },
): number {
  return rng.next() * Math.min(maxMs, baseMs * 2 ** returns);
}

/** `ms`, spread so that many do not act at once, yet at least half of it: ms/2 + U(0, ms/2). Source: as above, equal jitter. */
export function equalJitter(rng: Rng, ms: number): number {
  return ms / 2 + rng.next() * (ms / 2);
}

/**
 * Wait when a provider has said how long, in milliseconds: never less, and a little more, RA + U(0, min(RA, 1 s)), so that those
 * who were told the same time do not come back as a herd.
 */
export function afterRetryAfter(rng: Rng, retryAfterMs: number): number {
  return retryAfterMs + rng.next() * Math.min(retryAfterMs, longestSpreadMs);
}
