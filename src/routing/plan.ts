import type { Endpoint, Pool } from "./endpoint.ts";
import type { TrailWriter } from "./trail.ts";

/** Least time that must be left to start an attempt after the first: less could only waste a provider's work. */
export const minAttemptMs = 250;

/** What bounds a request's attempts. */
export interface Bounds {
  /** Most attempts. */
  readonly maxAttempts: number;
  /** Milliseconds until the deadline. */
  remainingMs(): number;
}

/** Who is next. */
export interface Plan<E extends Endpoint> {
  /** The endpoint to try now, each at most once; undefined when nothing is left. Whom it passes over goes into the trail. */
  next(): E | undefined;
}

/** Goes through a pool's candidates in their order. */
export function orderedPlan<E extends Endpoint>(pool: Pool<E>, trail: TrailWriter, bounds: Bounds): Plan<E> {
  for (const { endpoint, reason } of pool.ruledOut) trail.skip(endpoint, reason);
  let position = 0;
  return {
    next() {
      while (position < pool.candidates.length) {
        const endpoint = pool.candidates[position++] as E; // in range: the loop's condition says so
        const attempts = trail.attempts.length;
        if (!endpoint.enabled) trail.skip(endpoint.id, "disabled");
        else if (attempts >= bounds.maxAttempts) trail.skip(endpoint.id, "attempt_cap");
        else if (attempts > 0 && bounds.remainingMs() < minAttemptMs) trail.skip(endpoint.id, "deadline");
        else return endpoint;
      }
      return undefined;
    },
  };
}
