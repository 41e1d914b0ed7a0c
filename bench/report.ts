import type { KeptResult, Result } from "./results.ts";
import { table } from "./table.ts";
import type { Target, Verdict } from "./verdicts.ts";

/**
 * The whole result as text.
 * @param earlier what the figures are compared with; nothing when there is none
 */
export function reportText(result: Result, earlier: KeptResult | undefined): string {
  const parts = [headText(result), figuresText(result), openText(result), verdictsText(result.verdicts, earlier)];
  if (result.skipped !== "") parts.push(result.skipped.replaceAll("; ", "\n"));
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}

function headText({ circumstances: { machine, versions, extent } }: Result): string {
  const { cpu, cores, memoryGib, kernel, loadBefore } = machine;
  const peers = Object.entries(versions.peers).map(([name, version]) => `, ${name} ${version}`);
  return [
    `${cores} cores (${cpu}), ${memoryGib} GiB, Linux ${kernel}, load ${loadBefore.toFixed(1)} before`,
    `Everhop ${versions.everhop}, Node ${versions.node}, undici ${versions.undici}${peers.join("")}`,
    `${extent.rounds} rounds of ${extent.secondsPerRound} s, medians; CPU time of the processes under test alone`,
  ].join("\n");
}

function figuresText({ rows }: Result): string {
  if (rows.length === 0) return "";
  const share = (value: number | undefined) => (value === undefined ? "" : `${Math.round(value * 100)} %`);
  return table(
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
}

function openText({ openRows }: Result): string {
  if (openRows.length === 0) return "";
  return table(
    ["case", "through", "idle MiB", "KiB per stream", "CPU µs per stream"],
    openRows.map((row) => [
      row.case,
      row.via,
      fixed(row.idleMib, 0),
      fixed(row.kibPerStream, 1),
      fixed(row.cpuUsPerStream, 0),
    ]),
    [0, 1],
  );
}

function verdictsText(verdicts: readonly Verdict[], earlier: KeptResult | undefined): string {
  const before = new Map(earlier?.result.verdicts.map(({ figure, value }) => [figure, value]));
  const rows = verdicts.map(({ figure, value, unit, target, met }) => {
    const its = before.get(figure);
    return [
      figure,
      told(value, unit),
      target ? targetText(target, unit) : "",
      met === undefined ? "" : met ? "met" : "missed",
      ...(earlier ? [its === undefined ? "" : told(its, unit), its === undefined ? "" : change(value, its)] : []),
    ];
  });
  const heads = ["figure", "measured", "target", "", ...(earlier ? ["before", "change"] : [])];
  const judged = table(heads, rows, [0, 3]);
  return earlier ? `${judged}\nbefore: ${earlier.file}` : judged;
}

function told(amount: number, unit: Verdict["unit"]): string {
  return unit === "×" ? `${amount.toFixed(2)}×` : `${amount.toFixed(unit === "ms" ? 2 : 1)} ${unit}`;
}

function targetText({ bound, value }: Target, unit: Verdict["unit"]): string {
  return `${bound === "most" ? "≤" : "≥"} ${told(value, unit)}`;
}

function change(value: number, before: number): string {
  const percent = Math.round((value / before - 1) * 100);
  return `${percent > 0 ? "+" : ""}${percent} %`;
}

function fixed(value: number | undefined, digits: number): string {
  return value === undefined ? "" : value.toFixed(digits);
}
