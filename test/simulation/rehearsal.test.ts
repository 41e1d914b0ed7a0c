import { describe, expect, test } from "vitest";
import { FaultError } from "../../src/chat/fault.ts";
import { createAdmission } from "../../src/gateway/admission.ts";
import type { Caller } from "../../src/gateway/caller.ts";
import { about, caller, phase, rehearsed } from "../support/rehearsal.ts";
import { endpoint, keys } from "../support/routing.ts";

const prices = { inputPer1k: 0.001, outputPer1k: 0.01 };
const exactly = (tokens: number) => ({ median: tokens, p99: tokens });

describe("a rehearsal", () => {
  test("is the same twice under one seed, and another under another", async () => {
    const bad = {
      phases: [phase({ on: [{ tier: 1 }], fails: ["server_error", "cut"], share: 0.4, fromMs: 10_000, toMs: 40_000 })],
    };
    const two = [endpoint("a"), endpoint("b", { tier: 2 })];
    const once = await rehearsed(two, bad);
    expect(JSON.stringify((await rehearsed(two, bad)).report)).toBe(JSON.stringify(once.report));
    expect(JSON.stringify((await rehearsed(two, bad, { seed: 2 })).report)).not.toBe(JSON.stringify(once.report));
  });

  test("asks the same questions at the same times of whatever configuration", async () => {
    const asked = async (...parts: Parameters<typeof rehearsed>) =>
      (await rehearsed(...parts)).observed.requests.map(({ at, stream }) => `${at} ${stream}`);
    const one = await asked([endpoint("a")], {});
    expect(
      await asked([endpoint("b"), endpoint("c")], {}, { strategy: "ordered", settings: { maxAttempts: 1 } }),
    ).toEqual(one);
  });

  test("ends when the last request has, however long after the end of its time", async () => {
    const { observed, report } = await rehearsed(
      [endpoint("a")],
      {
        durationMs: 10_000,
        profiles: [{ on: [{}], firstContentMs: { median: 30_000, p99: 30_000 } }],
        callers: [
          caller({ pattern: { kind: "open", perSecond: 0, bursts: [{ atMs: 9000, requests: 3, overMs: 1 }] } }),
        ],
      },
      { settings: {}, changes: {} },
    );
    expect(report.headline.requests).toBe(3);
    expect(observed.requests.every(({ outcome }) => outcome !== undefined)).toBe(true);
    expect(observed.endedAt).toBeGreaterThan(19_000);
  });

  test("hides failures of the first tier from callers, and tells whose answers they got", async () => {
    const { report } = await rehearsed([endpoint("a"), endpoint("b", { tier: 2 })], {
      phases: [phase({ on: [{ tier: 1 }], fails: ["refused_connection"], fromMs: 20_000, toMs: 40_000 })],
    });
    expect(report.headline).toMatchObject({ failed: 0, broken: 0, availabilityPercent: 100 });
    const [a, b] = report.endpoints;
    expect((a?.answers ?? 0) + (b?.answers ?? 0)).toBe(report.headline.served);
    expect(b?.answers).toBeGreaterThan(150);
    expect(a?.failuresByOutcome).toEqual([{ outcome: "transient_fault", count: a?.failures }]);
    expect(a?.breaker).toMatchObject({ opened: 1, atEnd: "closed" });
  });

  test("tells apart what is refused, what breaks off, who gives up and who just leaves", async () => {
    const ending = async (parts: Parameters<typeof rehearsed>[1], streamed = 1) => {
      const { report, observed } = await rehearsed(
        [endpoint("a", { limits: { firstContentMs: 20_000, totalMs: 20_000 } })],
        {
          durationMs: 3000,
          ...parts,
          callers: parts.callers ?? [caller({ streaming: streamed })],
        },
      );
      return { outcomes: new Set(observed.requests.map(({ outcome }) => outcome)), refusals: report.refusals };
    };
    const cut = await ending({ phases: [phase({ on: [{}], fails: ["cut"] })] });
    expect(cut.outcomes).toContain("broken");
    const down = await ending({ phases: [phase({ on: [{}], fails: ["server_error"] })] });
    expect(down.outcomes).toEqual(new Set(["failed"]));
    expect(down.refusals.map(({ httpStatus }) => httpStatus).sort()).toEqual([502, 503]);
    const impatient = await ending({
      phases: [phase({ on: [{}], fails: ["hang"] })],
      callers: [caller({ patienceMs: 2000 })],
    });
    expect(impatient.outcomes).toEqual(new Set(["gave_up"]));
    expect(impatient.refusals).toMatchObject([{ httpStatus: 499, code: "caller_gave_up" }]);
    const late = await ending({
      phases: [phase({ on: [{}], fails: ["hang"] })],
      callers: [caller({ deadlineMs: 2000 })],
    });
    expect(late.refusals).toMatchObject([{ httpStatus: 504, code: "deadline_exceeded" }]);
    const bored = await ending({ callers: [caller({ leaves: 1 })] });
    expect(bored.outcomes).toEqual(new Set(["left"]));
    expect(bored.refusals).toEqual([]);
    const limited = await ending({ phases: [phase({ on: [{}], fails: ["rate_limited"], retryAfterMs: 30_000 })] });
    expect(limited.refusals).toMatchObject([{ httpStatus: 429, code: "rate_limit_exceeded" }]);
  });

  test("holds callers to their own limits, which is nobody's unavailability", async () => {
    const { report } = await rehearsed(
      [endpoint("a")],
      { callers: [caller({ name: "team" }), caller({ name: "free" })] },
      {
        changes: {
          begin({ clock }) {
            const admission = createAdmission(clock);
            const entry: Caller = { name: "team", models: undefined, seesTrail: true, rpm: 60 };
            return { admit: (name) => (name === "team" ? admission.admit(entry) : () => {}), stop() {} };
          },
          refusalOf: (error) => ({ httpStatus: error instanceof FaultError ? 429 : 500, code: "rate_limit_exceeded" }),
        },
      },
    );
    // A minute's allowance at once and one more a second: about 120 of about 600.
    const refused = report.refusals.find(({ outcome }) => outcome === "not_admitted")?.count ?? 0;
    expect(Math.abs(refused - 480)).toBeLessThan(80);
    expect(report.headline.availabilityPercent).toBe(100);
  });

  test("books whole answers wholly, broken ones as far as they came, and unsent ones not at all", async () => {
    const world = async (parts: Parameters<typeof rehearsed>[1]) =>
      (
        await rehearsed([endpoint("a", { prices })], {
          durationMs: 5000,
          callers: [caller({ promptTokens: exactly(1000), answerTokens: exactly(100) })],
          ...parts,
        })
      ).report.headline;
    const fair = await world({});
    expect(fair.costUsd).toBeCloseTo(fair.served * 0.002);
    const refused = await world({ phases: [phase({ on: [{}], fails: ["refused_connection"] })] });
    expect(refused).toMatchObject({ costUsd: 0, possiblyBilledUsd: 0 });
    const cut = await world({ phases: [phase({ on: [{}], fails: ["cut"] })] });
    expect(cut.costUsd).toBeGreaterThan(cut.broken * 0.001);
    expect(cut.costUsd).toBeLessThan(cut.broken * 0.002);
  });

  test("goes on with broken streams where that is set: given the text, or saying the same again", async () => {
    const broken = async (prefill: boolean, repeatable: number) => {
      const { report } = await rehearsed(
        [endpoint("a"), endpoint("b", { tier: 2 })],
        {
          durationMs: 20_000,
          phases: [phase({ on: [{ tier: 1 }], fails: ["cut"], share: 0.3 })],
          callers: [caller({ repeatable })],
        },
        { streamRecovery: "continue", changes: { about: () => ({ ...about(), prefill }) } },
      );
      return report;
    };
    const given = await broken(true, 0);
    expect(given.streams.broken).toBe(0);
    expect(given.streams.recovered).toBeGreaterThan(30);
    expect(given.headline.availabilityPercent).toBe(100);
    expect((await broken(false, 1)).streams.broken).toBe(0);
    const other = await broken(false, 0);
    expect(other.streams.recovered).toBe(0);
    expect(other.streams.broken).toBeGreaterThan(30);
  });

  test("shows hedges, and how many were the quicker", async () => {
    const { report } = await rehearsed(
      [endpoint("a"), endpoint("b")],
      { durationMs: 120_000, profiles: [{ on: [{}], firstContentMs: { median: 200, p99: 8000 } }] },
      { settings: { hedge: { enabled: true, quantile: 0.95, share: 0.05 } } },
    );
    const { hedges, hedgesWon, requests } = report.streams;
    expect(hedges).toBeGreaterThan(10);
    expect(hedges).toBeLessThanOrEqual(requests * 0.05 + 10);
    expect(hedgesWon).toBeGreaterThan(hedges / 3);
    // Beside hedges there are the hops of the few that take longer than they may.
    expect(report.headline.attempts).toBeGreaterThanOrEqual(requests + hedges);
  });

  test("counts keys that are lost, and tells its progress", async () => {
    const made = await rehearsed([endpoint("a", { keys: keys("k1", "k2", "k3", "k4") })], {
      durationMs: 120_000,
      phases: [phase({ on: [{ shareOfKeys: 0.5 }], fails: ["no_quota"], fromMs: 10_000, toMs: 20_000 })],
    });
    expect(made.report.headline.availabilityPercent).toBe(100);
    expect(made.report.endpoints[0]?.keys).toEqual({ total: 4, least: 2, atEnd: 4 });
  });
});
