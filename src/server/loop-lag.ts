import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Clock } from "../runtime/clock.ts";

/** Delay of the event loop from which on the process should be sent nothing more. */
const unreadyMs = 1000;
/** What happened longer ago does not count. */
const windowMs = 10_000;

/** Watches how late the event loop runs. */
export interface LoopLag {
  /** Why the process should be sent nothing now; undefined: it may be. */
  unready(): string | undefined;
  stop(): void;
}

export function watchLoopLag(clock: Clock): LoopLag {
  const delays = monitorEventLoopDelay({ resolution: 20 });
  delays.enable();
  let lastMs = 0;
  let disarm = clock.schedule(windowMs, turn);
  /** What is left of a window is the figure that it ended with. */
  function turn(): void {
    lastMs = p99();
    delays.reset();
    disarm = clock.schedule(windowMs, turn);
  }
  function p99(): number {
    return delays.percentile(99) / 1e6;
  }
  return {
    unready() {
      const lagMs = Math.max(lastMs, p99());
      return lagMs > unreadyMs ? `the event loop runs ${Math.round(lagMs)} ms late` : undefined;
    },
    stop() {
      disarm();
      delays.disable();
    },
  };
}
