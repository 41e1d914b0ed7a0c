import { describe, expect, test } from "vitest";
import { caller, phase, rehearsed } from "../support/rehearsal.ts";
import { endpoint, keys } from "../support/routing.ts";

const minute = 60_000;
const hour = 3_600_000;
const every = (perSecond: number) => [caller({ pattern: { kind: "open", perSecond, bursts: [] } })];

describe("a provider whose keys have no quota for eight hours", () => {
  test("is asked once per key and period, whose length doubles from a minute to an hour", async () => {
    const fromMs = 5 * minute;
    const toMs = fromMs + 8 * hour;
    const { observed, report } = await rehearsed(
      [endpoint("a", { keys: keys("k1", "k2") }), endpoint("b", { tier: 2 })],
      {
        durationMs: 10 * hour,
        phases: [phase({ on: [{ tier: 1 }], fails: ["no_quota"], fromMs, toMs })],
        callers: every(0.5),
      },
    );
    expect(report.headline.availabilityPercent).toBe(100);
    const during = (observed.tallies[0]?.attemptTimes ?? []).filter((at) => at >= fromMs && at < toMs);
    // At 0, 1, 3, 7, 15 and 31 minutes, after 63, and then each hour: 13 times for each of two keys.
    const perKey = [0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363, 423].length;
    console.info(`${during.length} calls in eight hours without quota`);
    expect(during.length).toBe(2 * perKey);
    const minutes = during.map((at) => (at - fromMs) / minute);
    for (const [index, due] of [0, 0, 1, 1, 3, 3, 7, 7, 15, 15, 31, 31, 63, 63].entries()) {
      // Each trial waits for a request, and each wait is counted from the trial before.
      expect(Math.abs((minutes[index] ?? 0) - due)).toBeLessThan(1);
    }
    // At the longest an hour after quota is back it is found out.
    expect(report.faults[0]?.firstSuccessMs).toBeLessThan(hour + minute);
    expect(report.endpoints[0]?.keys?.atEnd).toBe(2);
  });
});

describe("an endpoint that is back after an hour", () => {
  const busy = { pattern: { kind: "open", perSecond: 150, bursts: [] } } as const;

  /** Worst times and the mean share of the first second over some seeds. */
  async function back(fails: "server_error" | "hang", seeds: number) {
    let probed = 0;
    let firstSecond = 0;
    const toMs = 5 * minute + hour;
    for (let seed = 1; seed <= seeds; seed++) {
      const limits = { firstContentMs: 10_000, totalMs: 20_000 };
      const { observed, report } = await rehearsed(
        [endpoint("a", { limits }), endpoint("b", { limits })],
        {
          durationMs: toMs + 2 * minute,
          phases: [
            phase({ on: [{ provider: "a" }], fails: [fails], fromMs: 5 * minute, toMs }),
            // A quiet hour, so that the moment that matters can be busy.
            phase({ traffic: 0.013, toMs: toMs - 1000 }),
          ],
          callers: [caller({ ...busy, answerTokens: { median: 5, p99: 20 } })],
        },
        { seed },
      );
      expect(report.headline.availabilityPercent).toBe(100);
      probed = Math.max(probed, report.faults[0]?.firstAttemptMs ?? Number.POSITIVE_INFINITY);
      const closedAt = observed.breakers.find(({ at, state }) => state === "closed" && at >= toMs)?.at ?? 0;
      const first = observed.requests.filter(({ at }) => at >= closedAt && at < closedAt + 1000);
      firstSecond += first.filter(({ by }) => by === 0).length / first.length / seeds;
      expect(report.faults[0]?.fullShareMs).toBeLessThan(2 * minute);
    }
    return { probed, firstSecond };
  }

  test("is probed within ten seconds when it failed quickly, and takes a tenth of its share at first", async () => {
    const { probed, firstSecond } = await back("server_error", 6);
    console.info(
      `probed ${(probed / 1000).toFixed(1)} s after the end, ${(firstSecond * 100).toFixed(1)} % in the first second`,
    );
    expect(probed).toBeLessThanOrEqual(10_000);
    // A tenth of its half; ε 0.015 over 900 requests.
    expect(firstSecond).toBeLessThanOrEqual(0.065);
  });

  test("is probed within a minute when it was silent", async () => {
    const { probed, firstSecond } = await back("hang", 6);
    console.info(
      `probed ${(probed / 1000).toFixed(1)} s after the end, ${(firstSecond * 100).toFixed(1)} % in the first second`,
    );
    expect(probed).toBeLessThanOrEqual(60_000);
    expect(firstSecond).toBeLessThanOrEqual(0.065);
  });
});

describe("when everything is down for ten minutes", () => {
  const phases = [phase({ on: [{}], fails: ["server_error"], fromMs: minute, toMs: 11 * minute })];

  test("callers are refused at once while it is, and a sole endpoint serves again within five seconds", async () => {
    for (const seed of [1, 2, 3]) {
      const { observed, report } = await rehearsed(
        [endpoint("a")],
        { durationMs: 13 * minute, phases, callers: every(20) },
        { seed },
      );
      const during = observed.requests.filter(({ at }) => at >= minute + 10_000 && at < 11 * minute);
      const unavailable = during.filter(({ refusal, attempts }) => refusal?.httpStatus === 503 && attempts === 0);
      expect(unavailable.length / during.length).toBeGreaterThan(0.9);
      for (const { totalMs } of unavailable) expect(totalMs).toBe(0);
      console.info(
        `${unavailable.length} of ${during.length} refused at once, first success ${report.faults[0]?.firstSuccessMs} ms after the end`,
      );
      expect(report.faults[0]?.firstSuccessMs).toBeLessThanOrEqual(5000);
      const after = observed.requests.filter(({ at }) => at >= 11 * minute + 15_000);
      expect(after.every(({ outcome }) => outcome === "served")).toBe(true);
    }
  });

  test("one of several serves again within ten seconds", async () => {
    for (const seed of [1, 2, 3]) {
      const three = [endpoint("a"), endpoint("b"), endpoint("c", { tier: 2 })];
      const { observed, report } = await rehearsed(
        three,
        { durationMs: 13 * minute, phases, callers: every(20) },
        { seed },
      );
      const first = Math.min(...report.faults.map(({ firstSuccessMs = Number.POSITIVE_INFINITY }) => firstSuccessMs));
      console.info(`first success ${Math.round(first)} ms after the end`);
      expect(first).toBeLessThanOrEqual(10_000);
      const during = observed.requests.filter(({ at }) => at >= minute + 10_000 && at < 11 * minute);
      expect(
        during.filter(({ totalMs, attempts }) => attempts === 0 && totalMs === 0).length / during.length,
      ).toBeGreaterThan(0.7);
    }
  });
});
