import { describe, expect, test } from "vitest";
import type { Endpoint, Pool } from "../../src/routing/endpoint.ts";
import type { Lease } from "../../src/routing/lease.ts";
import { type Rng, seededRng } from "../../src/runtime/rng.ts";
import { bench, endpoint, failures, sharingPool } from "../support/routing.ts";

/**
 * Lets requests come as in a Poisson process for a while, and then waits for the last of them.
 * @returns when each came, when it ended, and whether it was served
 */
async function traffic(
  made: ReturnType<typeof bench>,
  pool: Pool<Endpoint>,
  attempt: (lease: Lease) => Promise<unknown>,
  { perSecond, seconds, rng, mode = "open" }: { perSecond: number; seconds: number; rng: Rng; mode?: "run" | "open" },
) {
  const results: { at: number; served: boolean; attempts: number; by: string | undefined }[] = [];
  const work: Promise<unknown>[] = [];
  const end = made.clock.now() + seconds * 1000;
  const come = () => {
    const at = made.clock.now();
    if (at >= end) return;
    const request = made.router[mode](pool, attempt, made.options()).then(
      ({ lease, trail }) => {
        if (mode === "open") lease.settle({ ok: true });
        results.push({ at, served: true, attempts: trail.attempts.length, by: lease.endpoint.provider });
      },
      (error: { trail: { attempts: readonly unknown[] } }) =>
        results.push({ at, served: false, attempts: error.trail.attempts.length, by: undefined }),
    );
    work.push(request);
    made.clock.schedule((-Math.log(1 - rng.next()) * 1000) / perSecond, come);
  };
  come();
  await made.clock.advance(seconds * 1000 + 60_000);
  await Promise.all(work);
  return results;
}

const share = (results: readonly { served: boolean }[]) =>
  results.filter(({ served }) => served).length / results.length;

describe("a sole endpoint that fails every other call", () => {
  test("goes on serving about half of all requests without repeats, and nearly all with them", async () => {
    // ε: 0.08 around one half over 20 seeds of a minute at 20 requests a second.
    let served = 0;
    let repeated = 0;
    const seeds = 20;
    for (let seed = 1; seed <= seeds; seed++) {
      const rng = seededRng(seed);
      const attempt = async () => {
        if (rng.next() < 0.5) throw failures.serverError();
      };
      const sole = () => sharingPool([endpoint("a")]);
      const once = bench({ maxAttempts: 1 }, seed);
      served += share(await traffic(once, sole(), attempt, { perSecond: 20, seconds: 60, rng })) / seeds;
      const again = bench({}, seed);
      repeated += share(await traffic(again, sole(), attempt, { perSecond: 20, seconds: 60, rng })) / seeds;
    }
    console.info(`served ${served.toFixed(3)} without repeats, ${repeated.toFixed(3)} with them`);
    expect(Math.abs(served - 0.5)).toBeLessThan(0.08);
    expect(repeated).toBeGreaterThan(0.55);
  });
});

describe("when every endpoint is down", () => {
  test("no more than one call a second reaches each of them once the breakers are open, and they are back in seconds", async () => {
    const made = bench({}, 5);
    const rng = seededRng(5);
    const three = [endpoint("a"), endpoint("b"), endpoint("c", { tier: 2 })];
    const attempts: number[] = [];
    const outage = 120_000;
    const attempt = async () => {
      attempts.push(made.clock.now());
      if (made.clock.now() < outage) throw failures.overloaded();
    };
    const results = await traffic(made, sharingPool(three), attempt, { perSecond: 50, seconds: 180, rng });
    const during = attempts.filter((at) => at > 10_000 && at < outage).length / 110;
    console.info(`${during.toFixed(2)} attempts a second at three endpoints that are down`);
    // One a second each, and the probes of breakers that are half open.
    expect(during).toBeLessThanOrEqual(3 * 1.2);
    expect(share(results.filter(({ at }) => at > outage + 15_000))).toBe(1);
    const refusedAtOnce = results.filter(({ at, attempts: count }) => at > 10_000 && at < outage && count === 0);
    expect(refusedAtOnce.length).toBeGreaterThan(4000);
  });
});

describe("an endpoint that flaps, three seconds up and three down,", () => {
  test("costs nobody a request, is not opened more than once in five seconds, and draws no herd when it is back", async () => {
    const made = bench({}, 7);
    const rng = seededRng(7);
    const attempt = async ({ endpoint: { provider } }: Lease) => {
      if (provider === "a" && made.clock.now() % 6000 >= 3000) throw failures.serverError();
    };
    const two = sharingPool([endpoint("a"), endpoint("b")]);
    const seconds = 300;
    const results = await traffic(made, two, attempt, { perSecond: 40, seconds, rng });
    expect(share(results)).toBe(1);
    const opens = made.breakers.filter(({ state }) => state === "open").length;
    console.info(`opened ${opens} times in ${seconds} s`);
    expect(opens).toBeLessThanOrEqual(seconds / 5);
    // After it has closed its part grows from a tenth: in the first second it stays well below its half.
    for (const { at } of made.breakers.filter(({ state }) => state === "closed")) {
      const first = results.filter((result) => result.at >= at && result.at < at + 1000);
      const its = first.filter(({ by }) => by === "a").length / Math.max(1, first.length);
      expect(its).toBeLessThan(0.35);
    }
  });
});

describe("an endpoint that comes back after an hour", () => {
  test("is probed within ten seconds, takes a tenth of its share at first and all of it ten seconds later", async () => {
    const back = 3_600_000;
    const shares = { first: 0, later: 0, soonest: 0 };
    const seeds = 10;
    for (let seed = 1; seed <= seeds; seed++) {
      const made = bench({}, seed);
      const rng = seededRng(seed);
      let probed: number | undefined;
      const attempt = async ({ endpoint: { provider } }: Lease) => {
        if (provider !== "a") return;
        if (made.clock.now() < back) throw failures.serverError();
        probed ??= made.clock.now();
      };
      const two = sharingPool([endpoint("a"), endpoint("b")]);
      await traffic(made, two, attempt, { perSecond: 1, seconds: 3530, rng });
      await made.clock.advance(back - made.clock.now() - 1);
      const results = await traffic(made, two, attempt, { perSecond: 100, seconds: 40, rng });
      const closed = made.breakers.findLast(({ state }) => state === "closed")?.at ?? 0;
      const between = (from: number, to: number) => {
        const some = results.filter(({ at }) => at >= closed + from && at < closed + to);
        return some.filter(({ by }) => by === "a").length / some.length;
      };
      shares.first += between(0, 1000) / seeds;
      shares.later += between(10_000, 20_000) / seeds;
      shares.soonest = Math.max(shares.soonest, (probed ?? Number.POSITIVE_INFINITY) - back);
    }
    console.info(`share in the first second ${shares.first.toFixed(3)}, after ten ${shares.later.toFixed(3)}`);
    expect(shares.soonest).toBeLessThanOrEqual(10_000);
    // A tenth of one half; ε 0.015 and 0.05.
    expect(Math.abs(shares.first - 0.05)).toBeLessThan(0.015);
    expect(Math.abs(shares.later - 0.5)).toBeLessThan(0.05);
  });
});

describe("a caller with a deadline of one second that hammers a slow endpoint", () => {
  test("does not open its breaker for everybody else", async () => {
    const made = bench({}, 3);
    const slow = sharingPool([endpoint("a", { limits: { firstContentMs: 30_000, totalMs: 60_000 } })]);
    const attempt = () => new Promise<string>((resolve) => made.clock.schedule(5000, () => resolve("slow")));
    const hurried: Promise<unknown>[] = [];
    for (let count = 0; count < 200; count++) {
      hurried.push(
        made.router.open(slow, attempt, made.options({ deadline: made.clock.now() + 1000 })).catch(() => {}),
      );
      await made.clock.advance(100);
    }
    await made.clock.advance(2000);
    await Promise.all(hurried);
    expect(made.breakers).toEqual([]);
    const patient = made.router.open(slow, attempt, made.options({ deadline: made.clock.now() + 20_000 }));
    await made.clock.advance(6000);
    const { lease } = await patient;
    lease.settle({ ok: true });
  });
});

describe("a thousand requests that are told to come back in two seconds", () => {
  test("come back spread out: no tenth of a second has more than a fifth of them", async () => {
    const made = bench({ inFlight: { endpoint: 10_000, process: 10_000 } }, 11);
    const sole = sharingPool([endpoint("a")]);
    const back: number[] = [];
    const attempt = async (lease: Lease) => {
      if (made.clock.now() < 2000) throw failures.rateLimited(2000);
      back.push(made.clock.now());
      return lease.attempt;
    };
    const work = Array.from({ length: 1000 }, () => made.router.run(sole, attempt, made.options()).catch(() => {}));
    await made.clock.advance(20_000);
    await Promise.all(work);
    const buckets = new Map<number, number>();
    for (const at of back) buckets.set(Math.floor(at / 100), (buckets.get(Math.floor(at / 100)) ?? 0) + 1);
    console.info(`${back.length} came back, most in a tenth of a second: ${Math.max(...buckets.values())}`);
    expect(Math.min(...back)).toBeGreaterThanOrEqual(2000);
    expect(Math.max(...buckets.values())).toBeLessThanOrEqual(200);
  });
});

describe("forty percent of failures at the primary", () => {
  test("are unseen, and the primary gets no more than a fifth more calls and three a second", async () => {
    const made = bench({}, 13);
    const rng = seededRng(13);
    let calls = 0;
    const attempt = async ({ endpoint: { provider } }: Lease) => {
      if (provider !== "a") return;
      calls += 1;
      if (rng.next() < 0.4) throw failures.serverError();
    };
    const three = sharingPool([endpoint("a", { tier: 1 }), endpoint("b", { tier: 2 }), endpoint("c", { tier: 2 })]);
    const seconds = 120;
    const results = await traffic(made, three, attempt, { perSecond: 30, seconds, rng });
    expect(share(results)).toBe(1);
    expect(calls).toBeLessThanOrEqual(results.length * 1.2 + 3 * seconds);
  });
});
