import type { Clock } from "../../runtime/clock.ts";

/** A clock that says what is pending, and what fires. */
export interface CountingClock {
  readonly clock: Clock;
  /** Timers that have not fired and were not called off. */
  pending(): number;
  /** The delay of the last timer that fired in this very moment, in ms; undefined: none did. */
  firing(): number | undefined;
}

/** The same clock, counted. */
export function countTimers(clock: Clock): CountingClock {
  let pending = 0;
  let fired = { at: Number.NaN, delayMs: 0 };
  return {
    pending: () => pending,
    firing: () => (fired.at === clock.now() ? fired.delayMs : undefined),
    clock: {
      now: () => clock.now(),
      wallTime: () => clock.wallTime(),
      schedule(delayMs, callback) {
        let over = false;
        pending += 1;
        const stop = clock.schedule(delayMs, () => {
          if (!over) pending -= 1;
          over = true;
          fired = { at: clock.now(), delayMs };
          callback();
        });
        return () => {
          if (!over) pending -= 1;
          over = true;
          stop();
        };
      },
    },
  };
}
