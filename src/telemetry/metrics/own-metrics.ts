import type { LineCounts } from "../log/line-writer.ts";
import type { TraceCounts } from "../trace-queue.ts";
import type { MetricFamily } from "./family.ts";

const build = { name: "everhop.build_info", help: "Always 1; which version runs.", unit: "1", type: "gauge" } as const;
const kept = {
  name: "everhop.traces.kept",
  help: "Traces that were worth keeping, by why.",
  unit: "{trace}",
  type: "counter",
} as const;
const exported = {
  name: "everhop.traces.exports",
  help: "What has become of kept traces: sent, dropped for want of room, failed when the collector did not take them.",
  unit: "{trace}",
  type: "counter",
} as const;
const waiting = {
  name: "everhop.traces.waiting",
  help: "Kept traces that wait to be sent.",
  unit: "{trace}",
  type: "gauge",
} as const;
const deliveries = {
  name: "everhop.metrics.exports",
  help: "Times that these metrics were sent to a collector: sent, or failed when it did not take them.",
  unit: "{export}",
  type: "counter",
} as const;

const lines = {
  name: "everhop.log.lines",
  help: "Lines of the log, by what has become of them: written, dropped because nobody took them, error when writing failed.",
  unit: "{line}",
  type: "counter",
} as const;

/** How often metrics were taken by a collector, and how often not. */
export interface DeliveryCounts {
  sent: number;
  failed: number;
}

/** How telemetry itself is. */
export interface OwnFigures {
  readonly version: string;
  readonly traces: TraceCounts;
  readonly tracesWaiting: number;
  readonly deliveries: Readonly<DeliveryCounts>;
  readonly log: Readonly<LineCounts>;
}

/** The gateway's version, and how its own telemetry fares. */
export function ownMetrics({ version, traces, tracesWaiting, deliveries: counts, log }: OwnFigures): MetricFamily[] {
  const { sent, dropped, failed } = traces;
  const byOutcome = (outcomes: Readonly<Record<string, number>>) =>
    Object.entries(outcomes).map(([outcome, value]) => ({ labels: { outcome }, value }));
  return [
    { ...build, points: [{ labels: { version }, value: 1 }] },
    { ...kept, points: Object.entries(traces.kept).map(([reason, value]) => ({ labels: { reason }, value })) },
    { ...exported, points: byOutcome({ sent, dropped, failed }) },
    { ...waiting, points: [{ labels: {}, value: tracesWaiting }] },
    { ...deliveries, points: byOutcome({ sent: counts.sent, failed: counts.failed }) },
    { ...lines, points: byOutcome({ written: log.lines, dropped: log.dropped, error: log.errors }) },
  ];
}
