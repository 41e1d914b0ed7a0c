import { expect, test } from "vitest";
import type { Lease } from "../../src/routing/lease.ts";
import { bench, endpoint, Failure, failures, keys, pass, pool, sharingPool, told } from "../support/routing.ts";

const cut = () => new Failure({ maybeBilled: true });
const serves = async ({ endpoint: { provider } }: Lease) => provider;

test("a stream that breaks goes on at the next endpoint, and the request is not broken", async () => {
  const made = bench();
  const opened = await made.router.open(pool(endpoint("a"), endpoint("b")), serves, made.options());
  const next = await opened.recover(cut(), serves, made.clock.now() + 5000);
  expect(next?.value).toBe("b");
  expect(told(opened.trail)).toEqual(["a/m transient_fault", "b/m undefined"]);
  next?.lease.settle({ ok: true });
  expect(opened.trail.attempts.map(({ purpose }) => purpose)).toEqual([undefined, "recovery"]);
  expect(opened.trail.partial).toBe(false);
  expect(made.router.state.inFlight).toBe(0);
  expect(made.clock.pending).toBe(0);
});

test("the break counts against the endpoint that broke", async () => {
  const made = bench();
  const two = pool(endpoint("a"), endpoint("b"));
  for (let turn = 0; turn < 5; turn++) {
    const opened = await made.router.open(two, serves, made.options());
    (await opened.recover(cut(), serves, made.clock.now() + 5000))?.lease.settle({ ok: true });
  }
  expect(made.breakers.map(({ endpoint: id, state }) => `${id} ${state}`)).toEqual(["a/m open"]);
});

test("one attempt is made to go on: when that fails the request is broken", async () => {
  const made = bench();
  const three = pool(endpoint("a"), endpoint("b"), endpoint("c"));
  const opened = await made.router.open(three, serves, made.options());
  const failing = async () => {
    throw failures.serverError();
  };
  expect(await pass(made.clock, opened.recover(cut(), failing, made.clock.now() + 5000))).toBeUndefined();
  expect(told(opened.trail)).toEqual(["a/m transient_fault", "b/m transient_fault"]);
  expect(opened.trail.partial).toBe(true);
  expect(made.router.state.inFlight).toBe(0);
  expect(made.clock.pending).toBe(0);
});

test("another key, and a repeat without what the gateway had added, belong to that one attempt", async () => {
  const made = bench();
  const two = pool(endpoint("a"), endpoint("b", { keys: keys("b1", "b2") }));
  const opened = await made.router.open(two, serves, made.options());
  let calls = 0;
  const next = await opened.recover(
    cut(),
    async (lease) => {
      calls += 1;
      if (calls === 1) throw failures.badKey();
      if (calls === 2) throw failures.additionRefused();
      return serves(lease);
    },
    made.clock.now() + 5000,
  );
  expect(next?.value).toBe("b");
  expect(opened.trail.attempts.map(({ outcome }) => outcome)).toEqual([
    "transient_fault",
    "key_refused",
    "request_refused",
    undefined,
  ]);
  next?.lease.settle({ ok: true });
});

test("it is an attempt: the caller's cap counts it, and so does its own deadline", async () => {
  const made = bench();
  const two = pool(endpoint("a"), endpoint("b"));
  const capped = await made.router.open(two, serves, made.options({ maxAttempts: 1 }));
  expect(await capped.recover(cut(), serves, made.clock.now() + 5000)).toBeUndefined();
  expect(capped.trail.partial).toBe(true);
  const late = await made.router.open(two, serves, made.options());
  expect(await late.recover(cut(), serves, made.clock.now() + 200)).toBeUndefined();
  const silent = await made.router.open(two, serves, made.options());
  const work = silent.recover(cut(), () => new Promise(() => {}), made.clock.now() + 1000);
  await made.clock.advance(1000);
  expect(await work).toBeUndefined();
  expect(made.clock.pending).toBe(0);
});

test("a sole endpoint is asked again itself", async () => {
  const made = bench();
  const opened = await made.router.open(sharingPool([endpoint("a")]), serves, made.options());
  const next = await pass(made.clock, opened.recover(cut(), serves, made.clock.now() + 5000));
  expect(next?.value).toBe("a");
  expect(opened.trail.attempts[1]).toMatchObject({ purpose: "recovery", waitReason: "backoff" });
  next?.lease.settle({ ok: true });
});

test("what the caller ended, or a provider refused, is not gone on with", async () => {
  const made = bench();
  const two = pool(endpoint("a"), endpoint("b"));
  const refused = await made.router.open(two, serves, made.options());
  expect(await refused.recover(failures.refused(), serves, made.clock.now() + 5000)).toBeUndefined();
  const left = await made.router.open(two, serves, made.options());
  made.caller.cancel(new Error("left"));
  expect(await left.recover(left.lease.cancellation.reason, serves, made.clock.now() + 5000)).toBeUndefined();
  expect(left.trail.attempts).toHaveLength(1);
  expect(left.trail.partial).toBe(true);
});

test("a caller who leaves while it goes on ends that attempt, too", async () => {
  const made = bench();
  const opened = await made.router.open(pool(endpoint("a"), endpoint("b")), serves, made.options());
  const work = opened.recover(cut(), () => new Promise(() => {}), made.clock.now() + 5000);
  await made.clock.advance(100);
  made.caller.cancel(new Error("left"));
  expect(await work).toBeUndefined();
  expect(made.router.state.inFlight).toBe(0);
  expect(made.clock.pending).toBe(0);
});

test("the attempt that goes on is not hedged", async () => {
  const made = bench({ hedge: { enabled: true, quantile: 0.95, share: 0.5 } });
  const three = sharingPool([endpoint("a"), endpoint("b"), endpoint("c")]);
  const after = (ms: number) => (lease: Lease) =>
    new Promise<string>((resolve) => made.clock.schedule(ms, () => resolve(lease.endpoint.provider)));
  for (let turn = 0; turn < 90; turn++) {
    const warm = await pass(made.clock, made.router.open(three, after(10), made.options()));
    warm.lease.settle({ ok: true });
  }
  const opened = await pass(made.clock, made.router.open(three, after(10), made.options()));
  const next = await pass(made.clock, opened.recover(cut(), after(3000), made.clock.now() + 5000));
  expect(opened.trail.attempts).toHaveLength(2);
  next?.lease.settle({ ok: true });
});

test("a key that is limited in the middle of its stream rests, as if it had been limited before", async () => {
  const made = bench();
  const two = pool(endpoint("a", { keys: keys("a1", "a2") }), endpoint("b"));
  const opened = await made.router.open(two, serves, made.options());
  const used = opened.lease.key?.name;
  const next = await opened.recover(failures.rateLimited(5000), serves, made.clock.now() + 5000);
  expect(next?.value).toBe("a");
  expect(next?.lease.key?.name).not.toBe(used);
  next?.lease.settle({ ok: true });
  for (let turn = 0; turn < 4; turn++) {
    const later = await made.router.open(two, serves, made.options());
    expect(later.lease.key?.name).not.toBe(used);
    later.lease.settle({ ok: true });
  }
});
