import { expect, test } from "vitest";
import type { Endpoint } from "../../src/routing/endpoint.ts";
import type { Lease } from "../../src/routing/lease.ts";
import { Superseded } from "../../src/routing/lease.ts";
import { bench, endpoint, failures, pass, sharingPool, told } from "../support/routing.ts";

const hedge = { enabled: true, quantile: 0.95, share: 0.05 };

/** Two endpoints, the second in a worse tier; `a` takes 100 ms unless a test says otherwise. */
function hedged(changes: Parameters<typeof bench>[0] = {}) {
  const made = bench({ hedge, ...changes });
  const two = sharingPool([endpoint("a", { tier: 1 }), endpoint("b", { tier: 2 })]);
  const calledOff: string[] = [];
  let slow: (lease: Lease) => number | Error = () => 100;
  const attempt = (lease: Lease): Promise<string> =>
    new Promise((resolve, reject) => {
      const answer = slow(lease);
      const stop = made.clock.schedule(typeof answer === "number" ? answer : 1, () =>
        typeof answer === "number" ? resolve(lease.endpoint.provider) : reject(answer),
      );
      lease.cancellation.onCancel((reason) => {
        stop();
        if (reason instanceof Superseded) calledOff.push(`${lease.endpoint.provider} at ${made.clock.now()}`);
      });
    });
  const open = async (changes: Parameters<typeof made.options>[0] = {}) => {
    const result = await pass(made.clock, made.router.open(two, attempt, made.options(changes)));
    result.lease.settle({ ok: true });
    return result;
  };
  return {
    ...made,
    calledOff,
    two,
    attempt,
    open,
    answersIn(how: (lease: Lease) => number | Error) {
      slow = how;
    },
    /** So many ordinary streams, for the endpoint's latency to be known and for a hedge to be earned. */
    async warm(count = 20) {
      for (let turn = 0; turn < count; turn++) await open();
    },
  };
}

test("a stream whose first content is later than nearly all of its endpoint's is asked for elsewhere, too, and the first content wins", async () => {
  const made = hedged();
  await made.warm();
  const began = made.clock.now();
  made.answersIn(({ endpoint: { provider } }) => (provider === "a" ? 5000 : 50));
  const { value, trail } = await made.open();
  expect(value).toBe("b");
  expect(told(trail)).toEqual(["a/m superseded", "b/m ok"]);
  expect(trail.attempts[1]?.purpose).toBe("hedge");
  expect(trail.attempts[0]).toMatchObject({ maybeBilled: true, durationMs: 160 });
  expect(made.calledOff).toEqual([`a at ${began + 160}`]);
  expect(made.router.state.inFlight).toBe(0);
});

test("the one that was slow may still win: then the hedge is given up", async () => {
  const made = hedged();
  await made.warm();
  made.answersIn(({ endpoint: { provider } }) => (provider === "a" ? 120 : 1000));
  const { value, trail } = await made.open();
  expect(value).toBe("a");
  expect(told(trail)).toEqual(["a/m ok", "b/m superseded"]);
  expect(made.calledOff).toHaveLength(1);
});

test("neither breaker learns anything from having been given up", async () => {
  const made = hedged();
  await made.warm(200);
  made.answersIn(({ endpoint: { provider } }) => (provider === "a" ? 5000 : 50));
  for (let turn = 0; turn < 8; turn++) await made.open();
  expect(made.breakers).toEqual([]);
  expect(made.router.state.endpoint(endpoint("a")).breaker.tally(made.clock.now()).failures).toBe(0);
});

test("hedges are at most a twentieth of all streams, however slow everything is", async () => {
  const made = hedged();
  await made.warm(100);
  let hedges = 0;
  made.answersIn(({ endpoint: { provider } }) => (provider === "a" ? 3000 + made.clock.now() / 10 : 50));
  for (let turn = 0; turn < 200; turn++) {
    const { trail } = await made.open();
    hedges += trail.attempts.filter(({ purpose }) => purpose === "hedge").length;
  }
  expect(hedges).toBeGreaterThan(5);
  expect(hedges).toBeLessThanOrEqual(300 * 0.05);
});

test("is off by default, never made for a unary call, and never without enough answers to know what is slow", async () => {
  const off = hedged({ hedge: { ...hedge, enabled: false } });
  await off.warm();
  off.answersIn(() => 5000);
  expect(told((await off.open()).trail)).toEqual(["a/m ok"]);

  const unary = hedged();
  await unary.warm();
  unary.answersIn(() => 5000);
  const whole = await pass(unary.clock, unary.router.run(unary.two, unary.attempt, unary.options()));
  expect(told(whole.trail)).toEqual(["a/m ok"]);

  const cold = hedged();
  await cold.warm(19);
  cold.answersIn(() => 5000);
  expect(told((await cold.open()).trail)).toEqual(["a/m ok"]);
});

test("a provider that asks to be left alone is not answered with a second call", async () => {
  const [a, b, c] = [endpoint("a", { tier: 1 }), endpoint("b", { tier: 2 }), endpoint("c", { tier: 3 })];
  const purposes = async (failure: () => Error) => {
    const made = hedged();
    const open = async (...of: Endpoint[]) => {
      const result = await pass(made.clock, made.router.open(sharingPool(of), made.attempt, made.options()));
      result.lease.settle({ ok: true });
      return result.trail.attempts.map(({ purpose }) => purpose);
    };
    for (let turn = 0; turn < 60; turn++) await open(b);
    made.answersIn(({ endpoint: { provider } }) => (provider === "a" ? failure() : provider === "b" ? 5000 : 50));
    return open(a, b, c);
  };
  // After any other failure the slow second one is hedged.
  expect(await purposes(failures.refusedConnection)).toEqual([undefined, undefined, "hedge"]);
  expect(await purposes(failures.rateLimited)).toEqual([undefined, undefined]);
  expect(await purposes(() => failures.overloaded(2000))).toEqual([undefined, undefined]);
});

test("after a hedge that was met by a limit there are none for ten seconds", async () => {
  const made = hedged();
  await made.warm(200);
  const hedges = async () => (await made.open()).trail.attempts.filter(({ purpose }) => purpose === "hedge").length;
  made.answersIn(({ endpoint: { provider } }) => (provider === "a" ? 1000 : failures.rateLimited()));
  expect(await hedges()).toBe(1);
  made.answersIn(({ endpoint: { provider } }) => (provider === "a" ? 3000 : 50));
  expect(await hedges()).toBe(0);
  await made.clock.advance(10_000);
  made.answersIn(({ endpoint: { provider } }) => (provider === "a" ? 9000 : 50));
  expect(await hedges()).toBe(1);
});

test("when the slow one fails its hedge is waited for; when both fail the request goes on", async () => {
  const made = hedged();
  await made.warm(60);
  made.answersIn(({ endpoint: { provider }, attempt }) => {
    if (attempt > 2) return 10;
    return provider === "a" ? 10_001 : 300;
  });
  // `a` runs into its limit of ten seconds long after `b` has served.
  expect((await made.open()).value).toBe("b");

  let calls = 0;
  const failing = (lease: Lease): Promise<string> =>
    new Promise((resolve, reject) => {
      calls += 1;
      const ms = calls === 1 ? 200 : calls === 2 ? 300 : 10;
      made.clock.schedule(ms, () => (calls < 3 ? reject(failures.serverError()) : resolve(lease.endpoint.provider)));
    });
  const work = made.router.open(made.two, failing, made.options());
  const result = await pass(made.clock, work);
  expect(told(result.trail).slice(0, 2)).toEqual(["a/m transient_fault", "b/m transient_fault"]);
  expect(result.trail.attempts).toHaveLength(3);
  result.lease.settle({ ok: true });
  expect(made.router.state.inFlight).toBe(0);
});

test("a caller who leaves ends both, and nothing stays behind", async () => {
  const made = hedged();
  await made.warm(60);
  made.answersIn(() => 5000);
  const work = made.router.open(made.two, made.attempt, made.options());
  work.catch(() => {});
  await made.clock.advance(500);
  expect(made.router.state.inFlight).toBe(2);
  made.caller.cancel(new Error("left"));
  await expect(work).rejects.toThrow();
  expect(made.router.state.inFlight).toBe(0);
  expect(made.clock.pending).toBe(0);
});

test("a hedge counts as an attempt: with one at most there is none", async () => {
  const made = hedged();
  await made.warm(60);
  made.answersIn(() => 5000);
  expect(told((await made.open({ maxAttempts: 1 })).trail)).toEqual(["a/m ok"]);
});
