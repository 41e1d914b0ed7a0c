import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Circumstances } from "./machine.ts";
import type { Leg, Round } from "./measure.ts";
import type { OpenLeg, OpenRound } from "./open-streams.ts";
import type { OpenRow, Row } from "./summary.ts";
import type { Verdict } from "./verdicts.ts";

/** Everything that a run has brought. */
export interface Result {
  readonly circumstances: Circumstances;
  /** What could not be measured, and why. */
  readonly skipped: string;
  readonly verdicts: readonly Verdict[];
  readonly rows: readonly Row[];
  readonly openRows: readonly OpenRow[];
  readonly legs: readonly { readonly case: string; readonly via: string; readonly rounds: readonly Round[] }[];
  readonly openLegs: readonly { readonly case: string; readonly via: string; readonly rounds: readonly OpenRound[] }[];
}

/** A result that was kept, and in which file. */
export interface KeptResult {
  readonly file: string;
  readonly result: Result;
}

/** Where results are kept, unless told otherwise. */
export const resultsFolder = join(import.meta.dirname, "results");

/** Puts a result together. */
export function resultOf(
  parts: Omit<Result, "legs" | "openLegs" | "skipped"> & {
    readonly legs: readonly Leg[];
    readonly openLegs: readonly OpenLeg[];
    readonly skipped: readonly string[];
  },
): Result {
  return {
    circumstances: parts.circumstances,
    skipped: parts.skipped.join("; "),
    verdicts: parts.verdicts,
    rows: parts.rows,
    openRows: parts.openRows,
    legs: parts.legs.map(({ of, via, rounds }) => ({ case: of.name, via, rounds })),
    openLegs: parts.openLegs.map(({ of, via, rounds }) => ({ case: of.name, via, rounds })),
  };
}

/** Keeps a result under its date, time and commit. @returns the file's name */
export function keepResult(result: Result, folder = resultsFolder): string {
  const { at, versions } = result.circumstances;
  const time = at.slice(0, 16).replace(":", "");
  const file = `${time}-${versions.everhop.replace("+", "-changed")}.json`;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, file), `${JSON.stringify(result, rounded, 2)}\n`);
  return file;
}

/** The newest kept result that was begun before this one, on the same model of CPU and the same major version of Node. */
export function newestEarlier(
  { at, machine, versions }: Circumstances,
  folder = resultsFolder,
): KeptResult | undefined {
  return resultFiles(folder)
    .map((file) => ({ file, result: JSON.parse(readFileSync(join(folder, file), "utf8")) as Result }))
    .filter(
      ({ result: { circumstances: its } }) =>
        its.at < at && its.machine.cpu === machine.cpu && major(its.versions.node) === major(versions.node),
    )
    .toSorted((a, b) => a.result.circumstances.at.localeCompare(b.result.circumstances.at))
    .at(-1);
}

function resultFiles(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => name.endsWith(".json"));
  } catch {
    return []; // none has ever been kept
  }
}

function major(version: string): string {
  return /\d+/.exec(version)?.[0] ?? "";
}

/** Nobody reads the tenth digit. */
function rounded(_name: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(5)) : value;
}
