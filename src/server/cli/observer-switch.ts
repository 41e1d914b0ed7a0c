import type { RouteObserver } from "../../routing/observer.ts";

/** An observer that passes on to another one, which may be exchanged while requests are under way. */
export function createSwitch(first: RouteObserver): {
  readonly observer: RouteObserver;
  turnTo(next: RouteObserver): void;
} {
  let current = first;
  return {
    observer: {
      attemptStarted: (trail, attempt) => current.attemptStarted?.(trail, attempt),
      committed: (trail, attempt) => current.committed?.(trail, attempt),
      attemptEnded: (trail, attempt) => current.attemptEnded?.(trail, attempt),
      skipped: (trail, skip) => current.skipped?.(trail, skip),
      waited: (trail, wait) => current.waited?.(trail, wait),
      failed: (trail) => current.failed?.(trail),
      breakerChanged: (endpoint, state, until) => current.breakerChanged?.(endpoint, state, until),
    },
    turnTo(next) {
      current = next;
    },
  };
}
