import type { RouteObserver } from "../routing/observer.ts";

/** Tells two of what happens to requests, one after the other. */
export function bothObservers(first: RouteObserver, second: RouteObserver): RouteObserver {
  return {
    attemptStarted(trail, attempt) {
      first.attemptStarted?.(trail, attempt);
      second.attemptStarted?.(trail, attempt);
    },
    committed(trail, attempt) {
      first.committed?.(trail, attempt);
      second.committed?.(trail, attempt);
    },
    attemptEnded(trail, attempt) {
      first.attemptEnded?.(trail, attempt);
      second.attemptEnded?.(trail, attempt);
    },
    skipped(trail, skip) {
      first.skipped?.(trail, skip);
      second.skipped?.(trail, skip);
    },
    waited(trail, wait) {
      first.waited?.(trail, wait);
      second.waited?.(trail, wait);
    },
    failed(trail) {
      first.failed?.(trail);
      second.failed?.(trail);
    },
    breakerChanged(endpoint, state, untilTimeMs) {
      first.breakerChanged?.(endpoint, state, untilTimeMs);
      second.breakerChanged?.(endpoint, state, untilTimeMs);
    },
  };
}
