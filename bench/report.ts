import { availableParallelism, cpus, loadavg } from "node:os";
import type { Extent } from "./measure.ts";
import type { Row, Verdict } from "./summary.ts";
import { table } from "./table.ts";

/** On what and how the figures came to be. */
export interface Circumstances {
  readonly cores: number;
  readonly cpu: string;
  readonly node: string;
  /** Of the last minute, when the run began: more than a little of it spoils throughput and latency. */
  readonly loadBefore: number;
  readonly extent: Extent;
}

/** The machine as it is now. */
export function circumstances(extent: Extent): Circumstances {
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    node: process.version,
    loadBefore: loadavg()[0] ?? 0,
    extent,
  };
}

/** The whole result as text. */
export function reportText(rows: readonly Row[], verdicts: readonly Verdict[], on: Circumstances): string {
  const { cores, cpu, node, loadBefore, extent } = on;
  const share = (value: number | undefined) => (value === undefined ? "" : `${Math.round(value * 100)} %`);
  const figures = table(
    ["case", "through", "CPU µs", "per", "spread", "× floor", "calls/s", "p50 ms", "p99 ms", "added p50", "added p99"],
    rows.map((row) => [
      row.case,
      row.via,
      fixed(row.cpuUs, 1),
      row.cpuUs === undefined ? "" : row.unit,
      share(row.cpuSpread),
      fixed(row.timesFloor, 2),
      fixed(row.callsPerSecond, 0),
      fixed(row.p50Ms, 2),
      fixed(row.p99Ms, 2),
      fixed(row.addedP50Ms, 2),
      fixed(row.addedP99Ms, 2),
    ]),
    [0, 1, 3],
  );
  const judged = table(
    ["figure", "measured", "target", ""],
    verdicts.map(({ figure, value, unit, target, met }) => {
      const told = (amount: number) => (unit === "×" ? `${amount.toFixed(2)}×` : `${amount.toFixed(2)} ms`);
      return [
        figure,
        told(value),
        target === undefined ? "" : `≤ ${told(target)}`,
        met === undefined ? "" : met ? "met" : "missed",
      ];
    }),
    [0, 3],
  );
  const machine = `${cores} cores (${cpu}), Node ${node}, load ${loadBefore.toFixed(1)} before`;
  const how = `${extent.rounds} rounds of ${extent.secondsPerRound} s, medians; CPU time of the process under test alone`;
  return `${machine}\n${how}\n\n${figures}\n\n${judged}\n`;
}

function fixed(value: number | undefined, digits: number): string {
  return value === undefined ? "" : value.toFixed(digits);
}
