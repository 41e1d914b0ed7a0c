import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { cases, openCaseName, openCases } from "../../bench/cases.ts";
import { circumstances } from "../../bench/machine.ts";
import type { Leg, Round } from "../../bench/measure.ts";
import type { OpenLeg } from "../../bench/open-streams.ts";
import { reportText } from "../../bench/report.ts";
import { keepResult, newestEarlier, type Result, resultOf } from "../../bench/results.ts";
import { openRowsOf, rowsOf } from "../../bench/summary.ts";
import { verdictsOf } from "../../bench/verdicts.ts";
import type { Via } from "../../bench/via.ts";

const on = circumstances({ secondsPerRound: 1, rounds: 3, openRounds: 1 }, { portkey: "1.15.2" });

function leg(name: string, via: Via, ...cpuUs: readonly number[]): Leg {
  const of = cases.find((each) => each.name === name);
  if (!of) throw new Error(name);
  return { of, via, rounds: cpuUs.map((each): Round => ({ cpuUs: each, callsPerSecond: 1, p50Ms: 1, p99Ms: 2 })) };
}

function result(
  legs: readonly Leg[],
  changes: Partial<Result["circumstances"]> = {},
  openLegs: OpenLeg[] = [],
): Result {
  const rows = rowsOf(legs);
  const openRows = openRowsOf(openLegs);
  const verdicts = verdictsOf(legs, rows, openRows);
  return resultOf({ circumstances: { ...on, ...changes }, skipped: [], verdicts, rows, openRows, legs, openLegs });
}

function unary(gateway: number, changes: Partial<Result["circumstances"]> = {}): Result {
  return result([leg("REST unary", "floor", 100), leg("REST unary", "gateway", gateway)], changes);
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "everhop-results-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

describe("figures", () => {
  test("are ratios within a round, and of these the median", () => {
    const legs = [leg("REST unary", "floor", 10, 100, 1000), leg("REST unary", "gateway", 20, 150, 9000)];
    expect(result(legs).verdicts).toEqual([
      { figure: "REST unary over the floor", value: 2, unit: "×", target: { bound: "most", value: 1.6 }, met: false },
    ]);
  });

  test("tell how many times another gateway's CPU is ours, and want at least ten", () => {
    const of = (portkey: number) =>
      result([leg("REST unary", "gateway", 100), leg("REST unary", "portkey", portkey)]).verdicts[0];
    expect(of(1000)).toMatchObject({ figure: "Portkey over our REST unary", value: 10, met: true });
    expect(of(999)).toMatchObject({ met: false });
  });

  test("tell memory of an open stream at 5,000 open", () => {
    const open = openCases.find(({ name }) => name === openCaseName("gRPC", 5000));
    if (!open) throw new Error("no such case");
    const round = { idleBytes: 2 ** 20, bytesPerStream: 48 * 1024, cpuUsPerStream: 1 };
    expect(result([], {}, [{ of: open, via: "gateway", rounds: [round] }]).verdicts).toMatchObject([
      { value: 48, unit: "KiB", target: { bound: "most", value: 48 }, met: true },
    ]);
  });
});

describe("a kept result", () => {
  test("lies under its date and commit, with machine, versions and every round", () => {
    const path = folder();
    const kept = unary(150, { at: "2026-03-01T10:20:30.000Z" });
    const file = keepResult(kept, path);
    expect(file).toBe(`2026-03-01T1020-${on.versions.everhop.replace("+", "-changed")}.json`);
    const later = { ...on, at: "2026-03-02T00:00:00.000Z" };
    expect(newestEarlier(later, path)).toEqual({ file, result: JSON.parse(JSON.stringify(kept)) });
  });

  test("is what the next figures are compared with: the newest earlier one of the same CPU and major version of Node", () => {
    const path = folder();
    const day = (number: number) => `2026-03-0${number}T00:00:00.000Z`;
    keepResult(unary(150, { at: day(1) }), path);
    keepResult(unary(200, { at: day(2) }), path);
    keepResult(unary(300, { at: day(3), machine: { ...on.machine, cpu: "another" } }), path);
    keepResult(unary(400, { at: day(4), versions: { ...on.versions, node: "v22.0.0" } }), path);
    keepResult(unary(500, { at: day(6) }), path);
    const now = unary(180, { at: day(5) });
    const text = reportText(now, newestEarlier(now.circumstances, path));
    expect(text).toMatch(/^REST unary over the floor +1\.80× +≤ 1\.60× +missed +2\.00× +-10 %$/m);
    expect(text).toContain("before: 2026-03-02T0000-");
  });

  test("is not missed where there is none", () => {
    const now = unary(180);
    expect(newestEarlier(on, join(folder(), "absent"))).toBeUndefined();
    expect(reportText(now, undefined)).not.toContain("before:");
  });

  test("may be kept beside files that are not results", () => {
    const path = folder();
    writeFileSync(join(path, "notes.md"), "none");
    expect(newestEarlier(on, path)).toBeUndefined();
  });
});
