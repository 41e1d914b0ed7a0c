import { describe, expect, test } from "vitest";
import {
  type EndpointTally,
  newTally,
  type Observations,
  type RequestRecord,
} from "../../src/simulation/observations.ts";
import { reportOf, timelineOf } from "../../src/simulation/report.ts";
import { clockText, durationText } from "../../src/simulation/time-text.ts";
import { caller, phase, places, rehearsed, scenario } from "../support/rehearsal.ts";
import { endpoint } from "../support/routing.ts";

const tally = (changes: Partial<EndpointTally> = {}): EndpointTally => ({ ...newTally(), ...changes });

const request = (at: number, changes: Partial<RequestRecord> = {}): RequestRecord => ({
  at,
  caller: "web",
  stream: true,
  outcome: "served",
  by: 0,
  attempts: 1,
  firstContentMs: 100,
  totalMs: 500,
  refusal: undefined,
  skips: [],
  met: [],
  recovered: false,
  hedgeWon: false,
  ...changes,
});

type Shown = Observations<ReturnType<typeof endpoint>>;

function observed(changes: Partial<Shown> = {}): Shown {
  return {
    scenario: scenario(),
    places: places([endpoint("a"), endpoint("b", { tier: 2 })]),
    requests: [],
    tallies: [tally(), tally()],
    breakers: [],
    skips: new Map(),
    keys: [],
    maxDurationMs: 600_000,
    endedAt: 60_000,
    ...changes,
  };
}

const refused = { httpStatus: 502, code: "all_providers_failed" };
const failed = (at: number, changes: Partial<RequestRecord> = {}) =>
  request(at, { outcome: "failed", by: -1, firstContentMs: undefined, refusal: refused, met: [0, 1], ...changes });

describe("the headline", () => {
  test("counts who was served, who left satisfied, and not those at limits of their own", () => {
    const requests = [
      ...Array.from({ length: 96 }, (_, at) => request(at, { firstContentMs: at, totalMs: at * 10, attempts: 2 })),
      request(97, { outcome: "left" }),
      request(98, { outcome: "broken", refusal: refused }),
      failed(99),
      request(100, { outcome: "gave_up", by: -1, firstContentMs: undefined }),
      request(101, { outcome: "not_admitted", by: -1, attempts: 0, firstContentMs: undefined }),
    ];
    const { headline } = reportOf(observed({ requests }));
    expect(headline).toMatchObject({
      requests: 101,
      served: 96,
      left: 1,
      broken: 1,
      failed: 1,
      gaveUp: 1,
      notAdmitted: 1,
    });
    expect(headline.availabilityPercent).toBeCloseTo(97);
    expect(headline.hopsPerRequest).toBeCloseTo((96 * 2 + 4) / 100);
    expect(headline.total).toEqual({ p50Ms: 470, p99Ms: 950 });
    expect(headline.costUsd).toBeUndefined();
  });

  test("of a rehearsal to which nobody came holds nothing that is not a number", () => {
    expect(reportOf(observed()).headline).toMatchObject({
      requests: 0,
      availabilityPercent: undefined,
      hopsPerRequest: 0,
    });
  });
});

describe("the timeline", () => {
  test("has lengths that people count in, and puts requests where they arrived", () => {
    const requests = [request(0), request(999), failed(1000), request(59_999, { by: 1 })];
    const { bucketMs, buckets } = timelineOf(observed({ requests }), 60);
    expect(bucketMs).toBe(1000);
    expect(buckets).toHaveLength(60);
    expect(buckets[0]).toMatchObject({ requests: 2, unserved: 0, availabilityPercent: 100, answers: [2, 0] });
    expect(buckets[1]).toMatchObject({ requests: 1, unserved: 1, availabilityPercent: 0, answers: [0, 0] });
    expect(buckets[2]).toMatchObject({ requests: 0, availabilityPercent: undefined });
    expect(buckets[59]?.answers).toEqual([0, 1]);
    expect(timelineOf(observed(), 7).bucketMs).toBe(10_000);
  });
});

describe("what was lost and found", () => {
  const outage = phase({ name: "outage", on: [{ tier: 1 }], fails: ["server_error"], fromMs: 10_000, toMs: 20_000 });

  test("is told from the beginning and the end of each phase", () => {
    const requests = Array.from({ length: 600 }, (_, index) => {
      const at = index * 100;
      return request(at, { by: at >= 10_000 && at < 31_000 ? 1 : 0 });
    });
    const { faults, endpoints } = reportOf(
      observed({
        scenario: scenario({ phases: [outage] }),
        requests,
        // A call from before the end whose answer comes after it tells nothing of finding it again.
        tallies: [
          tally({
            attemptTimes: [9000, 11_000, 19_000, 26_000],
            successes: [
              [9000, 9500],
              [19_000, 22_000],
              [26_000, 27_000],
            ].map(([calledAt = 0, at = 0]) => ({ calledAt, at })),
          }),
          tally(),
        ],
        breakers: [
          { at: 12_000, endpoint: "a/m", state: "open" },
          { at: 17_000, endpoint: "a/m", state: "half_open" },
          { at: 17_100, endpoint: "a/m", state: "open" },
          { at: 26_000, endpoint: "a/m", state: "half_open" },
          { at: 30_000, endpoint: "a/m", state: "closed" },
        ],
      }),
    );
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatchObject({
      endpoint: "a/m",
      openedAfterMs: 2000,
      attempts: 2,
      firstAttemptMs: 6000,
      firstSuccessMs: 7000,
    });
    expect(Math.abs((faults[0]?.fullShareMs ?? 0) - 11_000)).toBeLessThanOrEqual(500);
    // A probe that fails opens nothing anew.
    expect(endpoints[0]?.breaker).toEqual({ opened: 1, openMs: 18_000, atEnd: "closed" });
  });

  test("says nothing of an endpoint that lost nothing", () => {
    const times = Array.from({ length: 600 }, (_, index) => index * 100);
    const { faults } = reportOf(
      observed({
        scenario: scenario({ phases: [{ ...outage, share: 0.01 }] }),
        requests: times.map((at) => request(at)),
        tallies: [
          tally({ attemptTimes: times, successes: times.map((at) => ({ at: at + 100, calledAt: at })) }),
          tally(),
        ],
      }),
    );
    expect(faults[0]).toMatchObject({ attempts: 100 });
    expect(faults[0]?.firstAttemptMs).toBeUndefined();
    expect(faults[0]?.firstSuccessMs).toBeUndefined();
    expect(faults[0]?.fullShareMs).toBeUndefined();
  });

  test.each([1, 2, 3, 4])("is asked, then serves, then has its share, in this order: seed %d", async (seed) => {
    const { report } = await rehearsed(
      [endpoint("a"), endpoint("b", { tier: 2, use: { maxConcurrent: 4 } })],
      {
        durationMs: 360_000,
        phases: [phase({ on: [{ position: "first" }], fails: ["server_error"], fromMs: 120_000, toMs: 300_000 })],
        callers: [caller({ pattern: { kind: "open", perSecond: 20, bursts: [] }, streaming: 0.8 })],
      },
      { seed },
    );
    const [{ firstAttemptMs = -1, firstSuccessMs = -1, fullShareMs = -1 } = {}] = report.faults;
    expect(firstAttemptMs).toBeGreaterThanOrEqual(0);
    expect(firstSuccessMs).toBeGreaterThan(firstAttemptMs);
    expect(fullShareMs).toBeGreaterThanOrEqual(firstSuccessMs);
  });

  test("says nothing of what never came back", () => {
    const { faults } = reportOf(observed({ scenario: scenario({ phases: [outage] }) }));
    expect(faults[0]).toMatchObject({ attempts: 0 });
    expect(faults[0]?.firstSuccessMs).toBeUndefined();
    expect(faults[0]?.fullShareMs).toBeUndefined();
  });

  test("blames the phase that began last", () => {
    const later = { ...outage, name: "worse", fromMs: 15_000, toMs: 18_000 };
    const { faults } = reportOf(
      observed({
        scenario: scenario({ phases: [outage, later] }),
        breakers: [{ at: 16_000, endpoint: "a/m", state: "open" }],
      }),
    );
    expect(faults.map(({ phase: name, openedAfterMs }) => [name, openedAfterMs])).toEqual([
      ["outage", undefined],
      ["worse", 1000],
    ]);
  });
});

describe("refusals", () => {
  test("are counted as callers see them, with the first and the last", () => {
    const limited = { httpStatus: 429, code: "rate_limit_exceeded" };
    const requests = [
      failed(1),
      failed(2, { refusal: limited }),
      failed(9),
      request(5, { outcome: "gave_up", by: -1 }),
    ];
    expect(reportOf(observed({ requests })).refusals).toEqual([
      { ...refused, outcome: "failed", count: 2, firstMs: 1, lastMs: 9 },
      { ...limited, outcome: "failed", count: 1, firstMs: 2, lastMs: 2 },
      { httpStatus: 499, code: "caller_gave_up", outcome: "gave_up", count: 1, firstMs: 5, lastMs: 5 },
    ]);
  });
});

describe("findings", () => {
  const minutes = scenario({
    durationMs: 1_800_000,
    phases: [phase({ name: "outage", on: [{}], fails: ["server_error"], fromMs: 600_000, toMs: 900_000 })],
  });

  test("say that all were served", () => {
    expect(reportOf(observed({ requests: [request(1), request(2)] })).findings).toEqual([
      "All of 2 requests were served.",
    ]);
  });

  test("say how many failed, when and why", () => {
    const requests = Array.from({ length: 14 }, (_, index) => failed(600_100 + index * 200));
    expect(reportOf(observed({ scenario: minutes, requests })).findings[0]).toBe(
      "14 requests failed, all within 2.7 s after 00:10:00 (outage): no other endpoint was left.",
    );
    const long = [failed(600_000), failed(880_000, { attempts: 0, skips: ["breaker_open"] })];
    expect(reportOf(observed({ scenario: minutes, requests: long })).findings[0]).toBe(
      "2 requests failed, all between 00:10:00 and 00:14:40 (outage): 1 because no other endpoint was left, 1 because every breaker was open (503 at once).",
    );
    const one = [request(3000, { outcome: "broken", refusal: refused })];
    expect(reportOf(observed({ requests: one })).findings[0]).toBe(
      "1 request broke off after the first content, at 00:00:03.0: what has reached a caller cannot be taken back.",
    );
  });

  test("say that nobody waited long enough to find out who is silent", () => {
    const silent = {
      ...minutes,
      phases: [{ ...minutes.phases[0], ...phase({ name: "silence", on: [{}], fails: ["hang"], toMs: 60_000 }) }],
    };
    const { findings } = reportOf(
      observed({ scenario: silent, requests: [request(1, { outcome: "gave_up", by: -1, met: [0] })] }),
    );
    expect(findings.join(" ")).toContain("its limit, 10 s for a first content. Set the providers' timeouts below");
  });

  test("say nothing of the callers' patience where a call did time out, a breaker opened after the end, or nobody has any", () => {
    const silent = scenario({ phases: [phase({ name: "silence", on: [{}], fails: ["hang"], toMs: 50_000 })] });
    const gone = request(1, { outcome: "gave_up", by: -1, met: [0] });
    const advice = (changes: Partial<Shown>) =>
      reportOf(observed({ scenario: silent, requests: [gone], ...changes })).findings.join(" ");
    expect(advice({})).toContain("patience.");
    expect(advice({ breakers: [{ at: 55_000, endpoint: "a/m", state: "open" }] })).not.toContain("No breaker");
    expect(advice({ tallies: [tally({ timeouts: [1000] }), tally()] })).not.toContain("No breaker");
    const late = failed(1, { refusal: { httpStatus: 504, code: "deadline_exceeded" }, totalMs: 600_000 });
    expect(advice({ requests: [late] })).not.toContain("No breaker");
  });

  test("tell the callers' deadlines from the gateway's own limit", () => {
    const late = failed(1, { refusal: { httpStatus: 504, code: "deadline_exceeded" }, totalMs: 600_000 });
    expect(reportOf(observed({ requests: [late] })).findings[0]).toContain(
      "the gateway's own limit of a call, 10 min, passed first",
    );
    const hurried = scenario({ callers: [caller({ deadlineMs: 3000 })] });
    expect(reportOf(observed({ scenario: hurried, requests: [late] })).findings[0]).toContain(
      "the callers' deadlines passed first",
    );
  });

  test("name the causes so that the parts add up", () => {
    const limited = { httpStatus: 429, code: "rate_limit_exceeded" };
    const requests = [
      ...[1, 2, 3].map((at) => failed(at)),
      ...[4, 5].map((at) => failed(at, { refusal: limited })),
      failed(6, { skips: ["attempt_cap"] }),
      failed(7, { skips: ["breaker_open"] }),
    ];
    expect(reportOf(observed({ requests })).findings[0]).toMatch(/: 3 because .*, 2 because .*, and 2 others\.$/);
  });

  test("credit a phase only with what it touches, and name those that overlap together", () => {
    const on = (name: string, provider: string, fromMs: number, toMs: number) =>
      phase({ name, on: [{ provider }], fails: ["server_error"], fromMs, toMs });
    const phases = [on("first", "a", 0, 30_000), on("second", "b", 10_000, 20_000)];
    const told = (requests: RequestRecord[]) =>
      reportOf(observed({ scenario: scenario({ phases }), requests })).findings[0] ?? "";
    expect(told([failed(15_000, { met: [0] })])).toContain("(first):");
    expect(told([failed(15_000, { met: [0, 1] })])).toContain("(first and second):");
    expect(told([failed(25_000, { met: [1] })])).toContain("(second):");
    expect(told([failed(25_000, { met: [] })])).not.toContain("(");
  });

  test("say that nobody asked", () => {
    expect(reportOf(observed()).findings).toEqual(["Nobody asked anything."]);
  });
});

describe("times for people", () => {
  test("have units that fit", () => {
    expect([0, 12.3, 999.6, 1234, 12_345, 61_000, 3_600_000, 5_400_000].map(durationText)).toEqual([
      "0 ms",
      "12 ms",
      "1 s",
      "1.2 s",
      "12 s",
      "1 min",
      "1 h",
      "1 h 30 min",
    ]);
    expect(clockText(3_723_456)).toBe("01:02:03");
    expect(clockText(3_723_456, 1)).toBe("01:02:03.5");
  });
});
