import fc from "fast-check";
import { expect, test } from "vitest";
import type { Lease } from "../../src/routing/lease.ts";
import { createCancellation } from "../../src/runtime/cancellation.ts";
import { bench, endpoint, Failure, failures, keys, pass, sharingPool, told } from "../support/routing.ts";

const hedge = { enabled: true, quantile: 0.95, share: 0.05 };
const cut = () => new Failure({ maybeBilled: true });

/** Two endpoints, the second in a worse tier, that take as long as they are told. */
function hedged(share = hedge.share) {
  const made = bench({ hedge: { ...hedge, share } });
  const two = sharingPool([endpoint("a", { tier: 1 }), endpoint("b", { tier: 2 })]);
  const takes = { a: 100, b: 100 };
  const attempt = (lease: Lease): Promise<string> =>
    new Promise((resolve) => {
      const provider = lease.endpoint.provider as "a" | "b"; // there are no others
      const stop = made.clock.schedule(takes[provider], () => resolve(provider));
      lease.cancellation.onCancel(stop);
    });
  const open = () => pass(made.clock, made.router.open(two, attempt, made.options()));
  return {
    ...made,
    two,
    takes,
    attempt,
    open,
    /** So many ordinary streams, for the endpoint's pace to be known and for hedges to be earned. */
    async warm(count = 20) {
      for (let turn = 0; turn < count; turn++) (await open()).lease.settle({ ok: true });
    },
  };
}

test("when a caller leaves, neither of two attempts was given up because the other was quicker", async () => {
  const made = hedged();
  await made.warm(60);
  Object.assign(made.takes, { a: 5000, b: 5000 });
  const work = made.router.open(made.two, made.attempt, made.options());
  work.catch(() => {});
  await made.clock.advance(500);
  const known = made.router.state.endpoint(endpoint("b")).firstContents.count;
  made.caller.cancel(new Error("left"));
  const failure = await work.then(
    () => undefined,
    (error: { trail: Parameters<typeof told>[0] }) => error,
  );
  expect(failure && told(failure.trail)).toEqual(["a/m caller_gone", "b/m caller_gone"]);
  expect(made.router.state.endpoint(endpoint("b")).firstContents.count).toBe(known);
  expect(made.router.state.inFlight).toBe(0);
});

test("a hedge that had no time to be quick does not make its endpoint look quick", async () => {
  const made = hedged(0.5);
  await made.warm();
  Object.assign(made.takes, { a: 110, b: 1000 });
  // Each is hedged after 100 ms and lost ten later, though nobody knows when `b` would have answered.
  for (let turn = 0; turn < 60; turn++) (await made.open()).lease.settle({ ok: true });
  const { firstContents } = made.router.state.endpoint(endpoint("b", { tier: 2 }));
  expect(firstContents.quantile(0.9) ?? 1000).toBeGreaterThanOrEqual(1000);
});

test("one that was slow and given up is remembered as slow", async () => {
  const made = hedged();
  await made.warm();
  Object.assign(made.takes, { a: 5000, b: 50 });
  (await made.open()).lease.settle({ ok: true });
  expect(made.router.state.endpoint(endpoint("a")).firstContents.quantile(0.999)).toBeGreaterThanOrEqual(150);
});

test("a stream that breaks goes on at the endpoint whose attempt was given up for it", async () => {
  for (const slow of ["a", "b"] as const) {
    const made = hedged();
    await made.warm();
    Object.assign(made.takes, slow === "a" ? { a: 5000, b: 50 } : { a: 130, b: 5000 });
    const opened = await made.open();
    const winner = slow === "a" ? "b" : "a";
    expect(opened.value).toBe(winner);
    Object.assign(made.takes, { a: 10, b: 10 });
    const next = await pass(made.clock, opened.recover(cut(), made.attempt, made.clock.now() + 20_000));
    expect(next?.value).toBe(slow);
    next?.lease.settle({ ok: true });
  }
});

const outcomes = fc.constantFrom(
  "serves",
  "fails",
  "is limited",
  "refuses the key",
  "refuses",
  "is silent",
  "sends nothing",
);

test("whatever hedges, failures, breaks, recoveries and leavings come together, nothing is left behind and nothing is settled twice", async () => {
  const leg = fc.record({ ms: fc.integer({ min: 1, max: 3000 }), outcome: outcomes });
  await fc.assert(
    fc.asyncProperty(
      fc.array(leg, { minLength: 12, maxLength: 12 }),
      fc.array(
        fc.record({
          leavesAfter: fc.option(fc.integer({ min: 1, max: 4000 }), { nil: undefined }),
          deadlineMs: fc.integer({ min: 300, max: 20_000 }),
          breaks: fc.boolean(),
          maxAttempts: fc.integer({ min: 1, max: 6 }),
        }),
        { minLength: 1, maxLength: 5 },
      ),
      fc.nat(1000),
      async (legs, requests, seed) => {
        const made = bench({ hedge: { ...hedge, share: 1, quantile: 0.1 } }, seed);
        const three = sharingPool([
          endpoint("a", { keys: keys("a1", "a2"), limits: { firstContentMs: 2000, totalMs: 2000 } }),
          endpoint("b"),
          endpoint("c", { tier: 2, use: { maxConcurrent: 1 } }),
        ]);
        let number = 0;
        let held = 0;
        const attempt = (lease: Lease): Promise<string> =>
          new Promise((resolve, reject) => {
            const { ms, outcome } = legs[number++ % legs.length] ?? { ms: 1, outcome: "serves" };
            held += 1;
            let isHeld = true;
            const letGo = () => {
              if (isHeld) held -= 1;
              isHeld = false;
            };
            const stop = outcome === "is silent" ? () => {} : made.clock.schedule(ms, act);
            lease.cancellation.onCancel(() => {
              stop();
              letGo();
            });
            function act() {
              if (outcome === "serves") resolve(lease.endpoint.provider);
              else reject(faults[outcome as keyof typeof faults]());
              letGo();
            }
          });
        const faults = {
          fails: failures.serverError,
          "is limited": failures.rateLimited,
          "refuses the key": failures.badKey,
          refuses: failures.refused,
          "sends nothing": failures.notSent,
        };
        const serves = (lease: Lease) => Promise.resolve(lease.endpoint.provider);
        for (let turn = 0; turn < 25; turn++) {
          const warm = await pass(
            made.clock,
            made.router.open(three, async (lease) => serves(lease), made.options()),
          );
          warm.lease.settle({ ok: true });
        }
        const all = requests.map(async ({ leavesAfter, deadlineMs, breaks, maxAttempts }) => {
          const caller = createCancellation();
          const stop =
            leavesAfter === undefined
              ? () => {}
              : made.clock.schedule(leavesAfter, () => caller.cancel(new Error("left")));
          const deadline = made.clock.now() + deadlineMs;
          const options = made.options({ cancellation: caller, deadline, maxAttempts });
          try {
            const opened = await made.router.open(three, attempt, options);
            const next = breaks ? await opened.recover(cut(), attempt, made.clock.now() + 5000) : opened;
            next?.lease.settle({ ok: true });
            const purposes = opened.trail.attempts.map(({ purpose }) => purpose);
            expect(purposes.filter((purpose) => purpose === "hedge").length).toBeLessThanOrEqual(1);
            expect(opened.trail.attempts.every(({ outcome }) => outcome !== undefined)).toBe(true);
            expect(opened.trail.partial).toBe(breaks && !next);
          } catch (error) {
            if (!(error instanceof Error) || error.name !== "RouteError") throw error;
          } finally {
            stop();
          }
        });
        await pass(made.clock, Promise.all(all));
        expect(made.router.state.inFlight).toBe(0);
        expect(made.clock.pending).toBe(0);
        expect(held).toBe(0);
      },
    ),
    { numRuns: 150 },
  );
});
