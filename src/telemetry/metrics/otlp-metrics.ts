import type { MetricData, ResourceMetrics } from "@opentelemetry/sdk-metrics";
import type { HistogramPoint, MetricFamily } from "./family.ts";

/** OpenTelemetry's constants as numbers: for them alone it would be loaded. */
const cumulative = 1;
const valuesAreDoubles = 1;
const pointTypes = { histogram: 0, gauge: 2, counter: 3 } as const;

/** When figures began to be counted, and when they were collected; wall ms. */
export interface Span {
  readonly sinceMs: number;
  readonly nowMs: number;
}

/** Figures as OpenTelemetry's exporters take them; what has none is left out. */
export function otlpMetrics(
  families: readonly MetricFamily[],
  scope: { readonly name: string; readonly version: string },
  { sinceMs, nowMs }: Span,
): ResourceMetrics["scopeMetrics"] {
  const times = { startTime: hrTime(sinceMs), endTime: hrTime(nowMs) };
  const metrics = families.filter(({ points }) => points.length > 0).map((family) => metricOf(family, times));
  return [{ scope, metrics }];
}

type Times = { readonly startTime: [number, number]; readonly endTime: [number, number] };

function metricOf(family: MetricFamily, times: Times): MetricData {
  const common = {
    descriptor: { name: family.name, description: family.help, unit: family.unit, valueType: valuesAreDoubles },
    aggregationTemporality: cumulative,
    dataPointType: pointTypes[family.type],
    isMonotonic: family.type === "counter",
  };
  const dataPoints =
    family.type === "histogram"
      ? family.points.map((point) => ({ ...times, attributes: point.labels, value: histogramOf(point) }))
      : family.points.map(({ labels, value }) => ({ ...times, attributes: labels, value }));
  return { ...common, dataPoints } as MetricData; // a metric of the type that its number says
}

function histogramOf({ bounds, counts, sum, count }: HistogramPoint) {
  return { buckets: { boundaries: [...bounds], counts: [...counts] }, sum, count };
}

/** Seconds and nanoseconds. */
function hrTime(ms: number): [number, number] {
  const seconds = Math.floor(ms / 1000);
  return [seconds, Math.round((ms - seconds * 1000) * 1e6)];
}
