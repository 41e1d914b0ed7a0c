import type { ProcessFigures } from "../telemetry/metrics/process-metrics.ts";
import type { LoopLag } from "./loop-lag.ts";

/** How the process is now. */
export function processFigures(loopLag: LoopLag): ProcessFigures {
  const { user, system } = process.cpuUsage();
  const { rss, heapTotal, heapUsed, external } = process.memoryUsage();
  const { p50Ms, p99Ms, maxMs } = loopLag.delays();
  return {
    startedAtSeconds: performance.timeOrigin / 1000,
    cpuSeconds: (user + system) / 1e6,
    residentBytes: rss,
    heapTotalBytes: heapTotal,
    heapUsedBytes: heapUsed,
    externalBytes: external,
    loopDelay: { p50Seconds: p50Ms / 1000, p99Seconds: p99Ms / 1000, maxSeconds: maxMs / 1000 },
  };
}
