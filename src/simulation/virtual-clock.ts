import type { Clock } from "../runtime/clock.ts";

/** A clock that stands still until it is told to go on: what takes an hour takes no time, and every run is the same. */
export interface VirtualClock extends Clock {
  /** Timers that have not fired and were not called off. */
  readonly pending: number;
  /** Goes on by so many milliseconds; what falls due fires in order, and what it sets in motion settles before the next. */
  advance(ms: number): Promise<void>;
}

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly fire: () => void;
}

/** @param startWallMs what the wall shows at the beginning, in epoch milliseconds */
export function createVirtualClock(startWallMs = Date.UTC(2026, 0, 1)): VirtualClock {
  let now = 0;
  let order = 0;
  const timers = new Set<Timer>();

  function nextUntil(end: number): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of timers) {
      if (timer.at > end) continue;
      if (!next || timer.at < next.at || (timer.at === next.at && timer.order < next.order)) next = timer;
    }
    return next;
  }

  return {
    now: () => now,
    wallTime: () => startWallMs + now,
    get pending() {
      return timers.size;
    },
    schedule(delayMs, callback) {
      const timer = { at: now + Math.max(delayMs, 0), order: order++, fire: callback };
      timers.add(timer);
      return () => {
        timers.delete(timer);
      };
    },
    async advance(ms) {
      const end = now + ms;
      await settled();
      for (let timer = nextUntil(end); timer; timer = nextUntil(end)) {
        timers.delete(timer);
        now = Math.max(now, timer.at);
        timer.fire();
        await settled();
      }
      now = end;
    },
  };
}

/** Lets promises that hang on each other settle; a chain is as long as the code's awaits, and a hundred are more than any has. */
async function settled(): Promise<void> {
  for (let step = 0; step < 100; step++) await Promise.resolve();
}
