import { describe, expect, test } from "vitest";
import { startArrivals, type Wish } from "../../src/simulation/arrivals.ts";
import type { CallerProfile } from "../../src/simulation/scenario.ts";
import { expectedRequests } from "../../src/simulation/traffic.ts";
import { createVirtualClock } from "../../src/simulation/virtual-clock.ts";
import { caller, phase } from "../support/rehearsal.ts";

/** Lets callers come, each answered after so long. */
async function come(
  callers: readonly CallerProfile[],
  {
    untilMs,
    seed = 1,
    answerMs = 1000,
    steady = (_: number) => ({ times: 1, until: Number.POSITIVE_INFINITY }),
  }: {
    untilMs: number;
    seed?: number;
    answerMs?: number;
    steady?: (now: number) => { times: number; until: number };
  },
) {
  const clock = createVirtualClock();
  const came: { at: number; wish: Wish }[] = [];
  let inFlight = 0;
  let most = 0;
  startArrivals(clock, callers, {
    seed,
    untilMs,
    traffic: steady,
    send(wish) {
      came.push({ at: clock.now(), wish });
      most = Math.max(most, ++inFlight);
      return new Promise((resolve) => {
        clock.schedule(answerMs, () => {
          inFlight -= 1;
          resolve();
        });
      });
    },
  });
  await clock.advance(untilMs + 60_000);
  return { came, times: came.map(({ at }) => at), most, pending: clock.pending };
}

const count = (times: readonly number[], from: number, to: number) =>
  times.filter((at) => at >= from && at < to).length;

describe("callers who come by themselves", () => {
  test("come as in a Poisson process: as many as the rate says, and as irregularly", async () => {
    const { times, pending } = await come([caller({ pattern: { kind: "open", perSecond: 20, bursts: [] } })], {
      untilMs: 1_000_000,
    });
    // ε: 2 % of 20,000; variance over mean of counts per second within 0.15 of 1.
    expect(Math.abs(times.length / 20_000 - 1)).toBeLessThan(0.02);
    const seconds = Array.from({ length: 1000 }, () => 0);
    for (const at of times) seconds[Math.floor(at / 1000)] = (seconds[Math.floor(at / 1000)] ?? 0) + 1;
    const mean = times.length / 1000;
    const variance = seconds.reduce((sum, each) => sum + (each - mean) ** 2, 0) / 1000;
    expect(Math.abs(variance / mean - 1)).toBeLessThan(0.15);
    expect(pending).toBe(0);
  });

  test("come more often while a phase says so, from its first to its last moment", async () => {
    const steady = (now: number) =>
      now < 100_000
        ? { times: 1, until: 100_000 }
        : now < 200_000
          ? { times: 5, until: 200_000 }
          : { times: 0, until: Number.POSITIVE_INFINITY };
    const { times } = await come([caller()], { untilMs: 300_000, steady });
    // ε: 10 % of 1,000 and 5 % of 5,000.
    expect(Math.abs(count(times, 0, 100_000) / 1000 - 1)).toBeLessThan(0.1);
    expect(Math.abs(count(times, 100_000, 200_000) / 5000 - 1)).toBeLessThan(0.05);
    expect(count(times, 200_000, 300_000)).toBe(0);
  });

  test("do not wait for answers, so they come at the same times however slow those are", async () => {
    const quick = await come([caller()], { untilMs: 60_000, answerMs: 1 });
    const slow = await come([caller()], { untilMs: 60_000, answerMs: 50_000 });
    expect(slow.times).toEqual(quick.times);
    expect(slow.came.map(({ wish }) => wish)).toEqual(quick.came.map(({ wish }) => wish));
  });

  test("come together in bursts", async () => {
    const pattern = { kind: "open", perSecond: 0, bursts: [{ atMs: 10_000, requests: 500, overMs: 2000 }] } as const;
    const { times } = await come([caller({ pattern })], { untilMs: 60_000 });
    expect(times.length).toBe(500);
    expect(count(times, 10_000, 12_000)).toBe(500);
    expect(Math.abs(count(times, 10_000, 11_000) - 250)).toBeLessThan(50);
  });

  test("are others under another seed, and their sizes and kinds are as they say", async () => {
    const profile = caller({
      streaming: 0.7,
      leaves: 0.2,
      repeatable: 0.4,
      prefixes: 3,
      promptTokens: { median: 100, p99: 1000 },
    });
    const { came, times } = await come([profile], { untilMs: 1_000_000 });
    const other = await come([profile], { untilMs: 1_000_000, seed: 2 });
    expect(other.times).not.toEqual(times);
    const share = (test: (wish: Wish) => boolean) => came.filter(({ wish }) => test(wish)).length / came.length;
    // ε: 0.02 over 10,000.
    expect(Math.abs(share(({ mode }) => mode === "open") - 0.7)).toBeLessThan(0.02);
    expect(Math.abs(share(({ leavesAt }) => leavesAt !== undefined) - 0.2)).toBeLessThan(0.02);
    expect(Math.abs(share(({ repeatable }) => repeatable) - 0.4)).toBeLessThan(0.02);
    expect(Math.abs(share(({ promptTokens }) => promptTokens < 100) - 0.5)).toBeLessThan(0.03);
    expect(Math.abs(share(({ promptTokens }) => promptTokens > 1000) - 0.01)).toBeLessThan(0.005);
    expect(new Set(came.map(({ wish }) => wish.prefix))).toEqual(new Set([1, 2, 3]));
  });
});

describe("callers in a closed loop", () => {
  test("are so many at once at most, and ask again after a while that they think", async () => {
    const pattern = { kind: "closed", users: 20, thinkMs: 3000 } as const;
    const { times, most, pending } = await come([caller({ pattern })], { untilMs: 600_000, answerMs: 1000 });
    expect(most).toBeLessThanOrEqual(20);
    // 20 users, each once in 4 s on average; ε 5 % of 3,000.
    expect(Math.abs(times.length / 3000 - 1)).toBeLessThan(0.05);
    expect(pending).toBe(0);
  });

  test("ask less often when answers are slow", async () => {
    const pattern = { kind: "closed", users: 20, thinkMs: 3000 } as const;
    const { times } = await come([caller({ pattern })], { untilMs: 600_000, answerMs: 17_000 });
    expect(Math.abs(times.length / 600 - 1)).toBeLessThan(0.1);
  });
});

describe("the estimate of requests", () => {
  const hour = 3_600_000;
  const day = { profiles: [], phases: [], durationMs: 24 * hour };

  test("counts traffic as long as it lasts, phases that overlap times each other", () => {
    const callers = [caller({ pattern: { kind: "open", perSecond: 2, bursts: [] } })];
    const busy = phase({ traffic: 10, fromMs: hour, toMs: 2 * hour });
    expect(expectedRequests({ ...day, callers })).toBeCloseTo(2 * 86_400);
    expect(expectedRequests({ ...day, callers, phases: [busy] })).toBeCloseTo(2 * 3600 * (23 + 10));
    const flapping = { ...busy, flapping: { downMs: 1000, upMs: 3000 } };
    expect(expectedRequests({ ...day, callers, phases: [flapping] })).toBeCloseTo(2 * 3600 * (23.75 + 2.5));
  });

  test("lets users wait for a typical answer of the quickest provider", () => {
    const callers = [
      caller({ pattern: { kind: "closed", users: 100, thinkMs: 0 }, answerTokens: { median: 80, p99: 80 } }),
    ];
    const slow = { on: [{ position: "all" as const }], firstContentMs: { median: 9000, p99: 9000 } };
    expect(expectedRequests({ ...day, callers })).toBeCloseTo((100 * 86_400) / 1.4);
    expect(expectedRequests({ ...day, callers, profiles: [slow] })).toBeCloseTo((100 * 86_400) / 10);
    expect(expectedRequests({ ...day, callers, profiles: [{ ...slow, on: [{ tier: 1 }] }] })).toBeCloseTo(
      (100 * 86_400) / 1.4,
    );
  });
});

test("users who do not think do not stop the time where they are refused at once", async () => {
  const { times } = await come([caller({ pattern: { kind: "closed", users: 1, thinkMs: 0 } })], {
    untilMs: 1000,
    answerMs: 0,
  });
  expect(times.length).toBeLessThanOrEqual(100);
});
