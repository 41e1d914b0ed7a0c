import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Clock } from "../runtime/clock.ts";

/** Delay of the event loop from which on the process should be sent nothing more. */
const unreadyMs = 1000;
/** What happened longer ago does not count. */
const windowMs = 10_000;

/** How late the event loop ran, in ms. */
export interface LoopDelays {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** Watches how late the event loop runs. */
export interface LoopLag {
  /** The worse of this window and the one before it: of ten seconds at least, of twenty at most. */
  delays(): LoopDelays;
  /** Why the process should be sent nothing now; undefined: it may be. */
  unready(): string | undefined;
  stop(): void;
}

/** How often the loop is asked, in ms. What is measured holds this time, too: it runs from one asking to the next. */
const resolutionMs = 20;

export function watchLoopLag(clock: Clock): LoopLag {
  const histogram = monitorEventLoopDelay({ resolution: resolutionMs });
  histogram.enable();
  let last: LoopDelays = { p50Ms: 0, p99Ms: 0, maxMs: 0 };
  let disarm = clock.schedule(windowMs, turn);
  /** What is left of a window is the figure that it ended with. */
  function turn(): void {
    last = current();
    histogram.reset();
    disarm = clock.schedule(windowMs, turn);
  }
  function current(): LoopDelays {
    return { p50Ms: late(histogram.percentile(50)), p99Ms: late(histogram.percentile(99)), maxMs: late(histogram.max) };
  }
  function delays(): LoopDelays {
    const { p50Ms, p99Ms, maxMs } = current();
    return {
      p50Ms: Math.max(last.p50Ms, p50Ms),
      p99Ms: Math.max(last.p99Ms, p99Ms),
      maxMs: Math.max(last.maxMs, maxMs),
    };
  }
  return {
    delays,
    unready() {
      const { p99Ms } = delays();
      return p99Ms > unreadyMs ? `the event loop runs ${Math.round(p99Ms)} ms late` : undefined;
    },
    stop() {
      disarm();
      histogram.disable();
    },
  };
}

function late(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e6 - resolutionMs);
}
