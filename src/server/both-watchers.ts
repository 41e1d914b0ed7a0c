import type { RequestWatcher } from "../telemetry/request-record.ts";

/** Tells two of every request, one after the other. */
export function bothWatchers(first: RequestWatcher, second: RequestWatcher): RequestWatcher {
  return {
    began(request) {
      first.began?.(request);
      second.began?.(request);
    },
    ended(request) {
      first.ended?.(request);
      second.ended?.(request);
    },
    abandoned(request) {
      first.abandoned?.(request);
      second.abandoned?.(request);
    },
  };
}
