import type { Clock } from "../../runtime/clock.ts";

/** Watches one HTTP/2 connection for streams that are opened only to be taken back: cheap to ask, dear to serve. */
export interface ResetGuard {
  /** A stream is opened. @returns when, for its end */
  opened(): number;
  closed(openedAt: number, resetByClient: boolean): void;
}

const windowMs = 1000;

/**
 * Streams that are merely opened are never counted against a client, nor are those that are given up after a while: one
 * honest client may open thousands a second, and one that is shut down gives up all it has.
 * @param most streams a second that may be taken back before they are a second old
 * @param onFlood called when more are, and they are the most of what was opened in that second
 */
export function createResetGuard(clock: Clock, most: number, onFlood: () => void): ResetGuard {
  let windowStart = clock.now();
  let openedNow = 0;
  let takenBack = 0;
  const roll = (now: number) => {
    if (now - windowStart < windowMs) return;
    windowStart = now;
    openedNow = 0;
    takenBack = 0;
  };
  return {
    opened() {
      const openedAt = clock.now();
      roll(openedAt);
      openedNow += 1;
      return openedAt;
    },
    closed(openedAt, resetByClient) {
      const now = clock.now();
      if (!resetByClient || now - openedAt > windowMs) return;
      roll(now);
      takenBack += 1;
      if (takenBack > most && takenBack * 2 > openedNow) onFlood();
    },
  };
}
