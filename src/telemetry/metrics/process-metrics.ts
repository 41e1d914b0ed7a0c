import type { MetricDefinition, MetricFamily } from "./family.ts";

/** What a process is measured by. Seconds, bytes. */
export interface ProcessFigures {
  readonly startedAtSeconds: number;
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  readonly heapTotalBytes: number;
  readonly heapUsedBytes: number;
  readonly externalBytes: number;
  /** Of the last ten to twenty seconds. */
  readonly loopDelay: { readonly p50Seconds: number; readonly p99Seconds: number; readonly maxSeconds: number };
}

/** Under the names that every exporter for Node uses. */
export function processMetrics(figures: ProcessFigures): MetricFamily[] {
  const { loopDelay } = figures;
  const delay = (which: string, value: number) =>
    family(`nodejs.eventloop_lag.${which}`, `How late the event loop ran, ${lagWords[which]}.`, "s", value);
  return [
    family("process.start_time", "When the process started, in seconds since 1970.", "s", figures.startedAtSeconds),
    family("process.cpu", "CPU time of the process, in user and system mode.", "s", figures.cpuSeconds, "counter"),
    family("process.resident_memory", "Memory of the process that is resident.", "By", figures.residentBytes),
    family("nodejs.heap_size.total", "Size of the heap.", "By", figures.heapTotalBytes),
    family("nodejs.heap_size.used", "What of the heap is in use, garbage included.", "By", figures.heapUsedBytes),
    family(
      "nodejs.external_memory",
      "Memory of buffers and other things beside the heap.",
      "By",
      figures.externalBytes,
    ),
    delay("p50", loopDelay.p50Seconds),
    delay("p99", loopDelay.p99Seconds),
    delay("max", loopDelay.maxSeconds),
  ];
}

const lagWords: Readonly<Record<string, string>> = {
  p50: "in the middle of the last ten to twenty seconds",
  p99: "at the 99th percentile of the last ten to twenty seconds",
  max: "at most in the last ten to twenty seconds",
};

function family(
  name: string,
  help: string,
  unit: MetricDefinition["unit"],
  value: number,
  type: "gauge" | "counter" = "gauge",
): MetricFamily {
  return { name, help, unit, type, points: [{ labels: {}, value }] };
}
