/**
 * Time as an argument. Nothing outside of `runtime/` and `server/` reads a clock or starts a timer by itself, so that the same
 * code runs on the wall clock and on a virtual one.
 */
export interface Clock {
  /** Monotonic milliseconds with a fraction; only differences mean anything. */
  now(): number;
  /** Milliseconds since 1970-01-01T00:00Z, for stamps that people read. May jump. */
  wallTime(): number;
  /**
   * Calls `callback` once, after `delayMs` (0 at least, clamped to about 24 days, which is what timers can hold).
   * @returns how to call it off; harmless afterwards and when called twice
   */
  schedule(delayMs: number, callback: () => void): () => void;
}

/** The longest delay a Node timer holds; a longer one would fire at once. */
const longestDelayMs = 2 ** 31 - 1;

/** The clock of the machine. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wallTime: () => Date.now(),
  schedule(delayMs, callback) {
    const timer = setTimeout(callback, Math.min(Math.max(delayMs, 0), longestDelayMs));
    return () => clearTimeout(timer);
  },
};

/** Resolves when all that has been set in motion by promises has settled: the loop itself comes round. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
