import type { Clock } from "../../runtime/clock.ts";

/** A clock whose timers end with it. */
export interface EndingClock extends Clock {
  /** Calls off whatever has been scheduled; nothing is scheduled any more. */
  end(): void;
}

/** Tells the time of another clock. */
export function createEndingClock(clock: Clock): EndingClock {
  const scheduled = new Set<() => void>();
  let isOver = false;
  return {
    now: () => clock.now(),
    wallTime: () => clock.wallTime(),
    schedule(delayMs, callback) {
      if (isOver) return () => {};
      const callOff = () => {
        scheduled.delete(callOff);
        disarm();
      };
      const disarm = clock.schedule(delayMs, () => {
        scheduled.delete(callOff);
        callback();
      });
      scheduled.add(callOff);
      return callOff;
    },
    end() {
      isOver = true;
      for (const callOff of scheduled) callOff();
    },
  };
}
