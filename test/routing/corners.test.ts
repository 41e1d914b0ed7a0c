import { describe, expect, test } from "vitest";
import { FaultError, type UpstreamFault } from "../../src/chat/fault.ts";
import { createAdmission } from "../../src/gateway/admission.ts";
import { type Call, enter, type Machine } from "../../src/gateway/call.ts";
import type { Caller } from "../../src/gateway/caller.ts";
import { createCatalog, type ProviderEntry } from "../../src/gateway/catalog.ts";
import { requestFault, verdictOf } from "../../src/gateway/faults.ts";
import type { Target } from "../../src/providers/target.ts";
import { Breaker } from "../../src/routing/breaker.ts";
import type { Endpoint } from "../../src/routing/endpoint.ts";
import { KeyRing, type KeySlot } from "../../src/routing/key-ring.ts";
import type { Lease } from "../../src/routing/lease.ts";
import { createRouter } from "../../src/routing/router.ts";
import { routingDefaults, routingSettings } from "../../src/routing/settings.ts";
import { createCancellation } from "../../src/runtime/cancellation.ts";
import type { Clock } from "../../src/runtime/clock.ts";
import { seededRng } from "../../src/runtime/rng.ts";
import { createVirtualClock } from "../../src/simulation/virtual-clock.ts";
import { unwatchedRecord } from "../support/records.ts";
import {
  bench,
  classify,
  endpoint,
  failureOf,
  failures,
  keys,
  pass,
  sharingPool,
  told,
  toldSkips,
} from "../support/routing.ts";

type Bench = ReturnType<typeof bench>;

const serves = () => Promise.resolve("served");
const never = () => new Promise<never>(() => {});
const ignored = () => {};

/** An attempt that takes so long, and then serves or fails. */
function later(made: Bench, ms: number, fails?: () => Error): Promise<string> {
  return new Promise((resolve, reject) => {
    made.clock.schedule(ms, () => (fails ? reject(fails()) : resolve("served")));
  });
}

describe("a place that falls free", () => {
  test("just as the one who waited for it leaves is not lost", async () => {
    const made = bench();
    const a = endpoint("a", { use: { maxConcurrent: 1 } });
    const sole = sharingPool([a]);
    const first = await made.router.open(sole, serves, made.options());
    const leaving = createCancellation();
    const gone = failureOf(made.router.open(sole, serves, made.options({ cancellation: leaving })));
    await made.clock.advance(100);
    // As when one connection with both of them closes.
    leaving.cancel(new Error("left"));
    first.lease.settle({ ok: true });
    await gone;
    await made.clock.advance(5000);
    expect(made.router.state.inFlight).toBe(0);
    expect(made.router.state.endpoint(a).usage.inFlight).toBe(0);
  });

  test("just before its caller leaves begins no call for it", async () => {
    const made = bench();
    const sole = sharingPool([endpoint("a", { use: { maxConcurrent: 1 } })]);
    const first = await made.router.open(sole, serves, made.options());
    const leaving = createCancellation();
    let began = 0;
    const attempt = () => {
      began += 1;
      return never();
    };
    const gone = failureOf(made.router.open(sole, attempt, made.options({ cancellation: leaving })));
    await made.clock.advance(100);
    first.lease.settle({ ok: true });
    leaving.cancel(new Error("left"));
    await gone;
    expect(began).toBe(0);
    expect(made.router.state.inFlight).toBe(0);
  });
});

describe("a caller", () => {
  test("whose deadline has passed when it arrives costs no call", async () => {
    const made = bench();
    await made.clock.advance(1000);
    let began = 0;
    const attempt = () => {
      began += 1;
      return never();
    };
    const work = made.router.run(sharingPool([endpoint("a")]), attempt, made.options({ deadline: 1000 }));
    await pass(made.clock, failureOf(work));
    expect(began).toBe(0);
  });
});

describe("while others wait in line", () => {
  /** Two equals with one place each, one of them held for a second, and so many who wait. */
  async function crowded(settings: Parameters<typeof bench>[0], waiters: number) {
    const made = bench(settings);
    const a = endpoint("a", { use: { maxConcurrent: 1 } });
    const b = endpoint("b", { use: { maxConcurrent: 1 } });
    const both = sharingPool([a, b]);
    const held = await made.router.open(both, serves, made.options());
    const other = held.lease.endpoint.provider;
    const work = made.router.run(
      both,
      () => later(made, 100, failures.refusedConnection),
      made.options({ maxAttempts: settings?.failover === false ? 4 : 1 }),
    );
    const outcome = failureOf(work).catch(() => work);
    await made.clock.advance(50);
    for (let count = 0; count < waiters; count++) {
      void made.router.run(both, () => later(made, 100), made.options({ queueMaxWaitMs: 10_000 })).catch(ignored);
    }
    await made.clock.advance(100);
    held.lease.settle({ ok: true });
    await made.clock.advance(20_000);
    return { made, other, ...(await outcome) };
  }

  test("a request makes no more attempts than it may", async () => {
    const { trail } = await crowded({}, 3);
    expect(told(trail)).toHaveLength(1);
  });

  test("a request does not move to another endpoint where failover is switched off", async () => {
    const { trail, other } = await crowded({ failover: false }, 3);
    expect(told(trail).filter((hop) => hop.startsWith(other))).toEqual([]);
  });

  test("a request that failed holds up nobody, and is repeated in due time", async () => {
    const made = bench();
    const sole = sharingPool([endpoint("a", { use: { maxRps: 10 } })]);
    const patient = () => made.options({ queueMaxWaitMs: 30_000, deadline: made.clock.now() + 60_000 });
    const servedAt: number[] = [];
    let failedOnce = false;
    const attempt = async () => {
      if (!failedOnce) {
        failedOnce = true;
        throw failures.serverError();
      }
      servedAt.push(made.clock.now());
    };
    const unlucky = made.router.run(sole, attempt, patient());
    const work = Array.from({ length: 60 }, () => made.router.run(sole, attempt, patient()));
    await made.clock.advance(50_000);
    await Promise.all([...work, unlucky]);
    // Ten at once and ten a second: a gap shows that the line stood still.
    const gaps = servedAt.slice(1).map((at, index) => at - (servedAt[index] ?? 0));
    expect(Math.max(...gaps)).toBeLessThan(500);
  });

  test("a request that may only be served by one provider holds up nobody who may be served by another", async () => {
    const made = bench();
    const a = endpoint("a", { use: { maxConcurrent: 1 } });
    const b = endpoint("b");
    const held = await made.router.open(sharingPool([a]), serves, made.options());
    // Of the same model, but pinned.
    const pinned = made.router.open(sharingPool([a]), serves, made.options({ queueMaxWaitMs: 20_000 }));
    pinned.catch(ignored);
    await made.clock.advance(10);
    const { trail } = await pass(made.clock, made.router.run(sharingPool([a, b]), serves, made.options()));
    expect(told(trail)).toEqual(["b/m ok"]);
    expect(trail.attempts[0]?.waitMs ?? 0).toBeLessThan(100);
    held.lease.settle({ ok: true });
    await made.clock.advance(0);
    (await pinned).lease.settle({ ok: true });
  });

  test("a request that has tried one equal in vain holds up nobody who has not", async () => {
    const made = bench();
    const a = endpoint("a", { use: { maxConcurrent: 1 } });
    const b = endpoint("b");
    const both = sharingPool([a, b]);
    const held = await made.router.open(sharingPool([a]), serves, made.options());
    // Fails at b, and can only wait for a.
    const unlucky = made.router.run(
      both,
      ({ endpoint: { provider } }) => (provider === "b" ? Promise.reject(failures.serverError()) : serves()),
      made.options({ queueMaxWaitMs: 20_000 }),
    );
    unlucky.catch(ignored);
    await made.clock.advance(10);
    const { trail } = await pass(made.clock, made.router.run(both, serves, made.options()));
    expect(trail.attempts[0]?.waitMs ?? 0).toBeLessThan(100);
    held.lease.settle({ ok: true });
    await made.clock.advance(60_000);
  });

  test("requests for another model that the same provider serves get their turns too", async () => {
    const made = bench();
    const providerUse = { maxConcurrent: 1 };
    const busy = sharingPool([endpoint("a", { providerUse })]);
    const other = { ...sharingPool([{ ...endpoint("a", { providerUse }), id: "a/other" }]), model: "talk" };
    const asks = (pool: typeof busy, caller: string) =>
      made.router.run(pool, () => later(made, 50), made.options({ caller, queueMaxWaitMs: 20_000 }));
    // A crowd that never ends: whoever was served comes again.
    let over = false;
    const crowd = async (): Promise<void> => {
      while (!over) await asks(busy, "crowd").catch(ignored);
    };
    const work = Array.from({ length: 20 }, crowd);
    await made.clock.advance(200);
    const modest = asks(other, "modest").then(
      ({ trail }) => trail.attempts[0]?.waitMs,
      () => Number.POSITIVE_INFINITY,
    );
    await made.clock.advance(10_000);
    over = true;
    await made.clock.advance(30_000);
    await Promise.all(work);
    expect(await modest).toBeLessThan(1000);
  });

  test("a request that has tried one equal in vain gets its turn at the other, however many come anew", async () => {
    const made = bench();
    const both = sharingPool(["a", "b"].map((name) => endpoint(name, { use: { maxConcurrent: 1 } })));
    const patient = (caller: string) =>
      made.options({ caller, queueMaxWaitMs: 10_000, deadline: made.clock.now() + 30_000 });
    let over = false;
    const crowd = async (): Promise<void> => {
      while (!over) await made.router.run(both, () => later(made, 50), patient("crowd")).catch(ignored);
    };
    const work = Array.from({ length: 20 }, crowd);
    await made.clock.advance(200);
    let calls = 0;
    const attempt = () => {
      calls += 1;
      return later(made, 50, calls === 1 ? failures.refusedConnection : undefined);
    };
    const modest = made.router.run(both, attempt, patient("modest")).then(
      ({ trail }) => trail.attempts[1]?.waitMs ?? 0,
      () => Number.POSITIVE_INFINITY,
    );
    await made.clock.advance(12_000);
    over = true;
    await made.clock.advance(30_000);
    await Promise.all(work);
    expect(await modest).toBeLessThan(1000);
  });

  test("no more wait at a model than its line holds, whatever they have tried", async () => {
    const made = bench({ queue: { maxWaitMs: 1000, bound: 5 } });
    const all = ["a", "b", "c"].map((name) => endpoint(name, { use: { maxConcurrent: 5 } }));
    const three = sharingPool(all);
    let ended = 0;
    for (let count = 0; count < 15; count++) {
      made.router
        .run(three, () => later(made, 10, failures.refusedConnection), made.options({ maxAttempts: 2 }))
        .catch(() => {
          ended += 1;
        });
    }
    await made.clock.advance(5);
    // Whoever fails finds the other two full for longer than anybody waits.
    for (const each of all) {
      const itself = { ...sharingPool([each]), model: each.id };
      for (let count = 0; count < 5; count++) void made.router.open(itself, serves, made.options()).catch(ignored);
    }
    await made.clock.advance(500);
    expect(15 - ended).toBeLessThanOrEqual(5);
    await made.clock.advance(60_000);
  });

  test("one that is in no hurry still repeats the endpoint that failed, instead of waiting long for a full one", async () => {
    const made = bench();
    const a = endpoint("a", { tier: 1 });
    const full = endpoint("full", { tier: 2, use: { maxConcurrent: 1 } });
    const held = await made.router.open(sharingPool([full]), serves, made.options());
    let calls = 0;
    const attempt = async () => {
      calls += 1;
      if (calls === 1) throw failures.refusedConnection();
    };
    const options = made.options({ queueMaxWaitMs: 600_000, deadline: made.clock.now() + 600_000 });
    await pass(made.clock, made.router.run(sharingPool([a, full]), attempt, options));
    expect(made.clock.now()).toBeLessThan(5000);
    held.lease.settle({ ok: true });
  });
});

describe("a request that is sent once more exactly as it was", () => {
  test("takes no place that another has been given meanwhile", async () => {
    const made = bench();
    const a = endpoint("a", { use: { maxConcurrent: 1 } });
    const sole = sharingPool([a]);
    let most = 0;
    let calls = 0;
    const attempt = async () => {
      calls += 1;
      const mine = calls;
      most = Math.max(most, made.router.state.endpoint(a).usage.inFlight);
      await later(made, 100);
      if (mine === 1) throw failures.notSent();
    };
    const work = [0, 1].map(() => made.router.run(sole, attempt, made.options()));
    await made.clock.advance(5000);
    await Promise.all(work);
    expect(most).toBe(1);
  });

  test("keeps to the rate limit, also when the token that it gave back is gone", async () => {
    const made = bench();
    const sole = sharingPool([endpoint("a", { use: { maxRps: 1 } })]);
    const sentAt: number[] = [];
    let calls = 0;
    const attempt = async () => {
      calls += 1;
      if (calls === 1) throw failures.notSent();
      sentAt.push(made.clock.now());
    };
    const work = [0, 1].map(() => made.router.run(sole, attempt, made.options({ queueMaxWaitMs: 5000 })));
    await made.clock.advance(10_000);
    await Promise.all(work);
    expect((sentAt[1] ?? 0) - (sentAt[0] ?? 0)).toBeGreaterThanOrEqual(999);
  });
});

describe("a request that is sent once more without what the gateway had added", () => {
  test("keeps to the rate limit like any other", async () => {
    const made = bench();
    const sole = sharingPool([endpoint("a", { use: { maxRps: 1 } })]);
    const sentAt: number[] = [];
    const attempt = async () => {
      sentAt.push(made.clock.now());
      if (sentAt.length === 1) throw failures.additionRefused();
    };
    await pass(made.clock, made.router.run(sole, attempt, made.options({ queueMaxWaitMs: 5000 })));
    expect((sentAt[1] ?? 0) - (sentAt[0] ?? 0)).toBeGreaterThanOrEqual(999);
  });
});

describe("more calls in flight than the process may have", () => {
  test("are not made by repeats either", async () => {
    const made = bench({ inFlight: { endpoint: 256, process: 1 } });
    let most = 0;
    let calls = 0;
    const attempt = async () => {
      calls += 1;
      most = Math.max(most, made.router.state.inFlight);
      if (calls === 1) throw failures.rateLimited(1000);
      await later(made, 10_000);
    };
    const repeated = made.router.run(sharingPool([endpoint("a")]), attempt, made.options()).catch(ignored);
    await made.clock.advance(500);
    const other = made.router.run(sharingPool([endpoint("b")]), attempt, made.options()).catch(ignored);
    await made.clock.advance(60_000);
    await Promise.all([repeated, other]);
    expect(most).toBe(1);
  });
});

describe("a request whose place was taken by another", () => {
  test("waits for one like everybody else, instead of giving up its repeats", async () => {
    const made = bench();
    const sole = sharingPool([endpoint("a", { use: { maxConcurrent: 1 } })]);
    let calls = 0;
    const attempt = async () => {
      calls += 1;
      const mine = calls;
      await later(made, 100);
      if (mine === 1) throw failures.serverError();
    };
    const [unlucky, other] = [0, 1].map(() => made.router.run(sole, attempt, made.options()));
    const outcome = unlucky?.then(
      ({ trail }) => told(trail),
      (error: { trail: Parameters<typeof told>[0] }) => told(error.trail),
    );
    await made.clock.advance(10_000);
    await other;
    expect(await outcome).toEqual(["a/m transient_fault", "a/m ok"]);
  });
});

describe("a key whose rest is over", () => {
  const at = "a/m";

  test("serves everybody a second after the one that goes first, however long that takes", async () => {
    const made = bench();
    const sole = sharingPool([endpoint("a", { keys: keys("k1") })]);
    await failureOf(
      made.router.run(sole, () => Promise.reject(failures.rateLimited(1000)), made.options({ maxAttempts: 1 })),
    );
    await made.clock.advance(1000);
    const first = made.router.run(sole, () => later(made, 15_000), made.options());
    await made.clock.advance(1100);
    let under = 0;
    const others = Array.from({ length: 20 }, () =>
      made.router.run(
        sole,
        () => {
          under += 1;
          return later(made, 15_000);
        },
        made.options(),
      ),
    );
    for (const each of others) each.catch(ignored);
    await made.clock.advance(100);
    expect(under).toBe(20);
    await made.clock.advance(60_000);
    await first;
  });

  test("rests again until the time that a late answer states, although one has gone first already", () => {
    const ring = new KeyRing(keys("k1"), seededRng(1));
    const early = ring.pick(0, at) as KeySlot;
    ring.rateLimited(ring.pick(0, at) as KeySlot, at, 0, 10, 1000);
    expect(ring.pick(1010, at)).toBeDefined();
    // It began before the key was limited, and is told to stay away for twenty seconds.
    ring.rateLimited(early, at, 0, 1200, 20_000);
    expect(ring.pick(3000, at)).toBeUndefined();
    expect(ring.pick(21_200, at)).toBeDefined();
  });

  test("lets one go first, also when older calls end that say nothing about it", () => {
    const ring = new KeyRing(keys("k1"), seededRng(1));
    const slot = ring.pick(0, at) as KeySlot;
    ring.rateLimited(slot, at, 0, 10, 1000);
    expect(ring.pick(1010, at)).toBeDefined();
    ring.released(slot, at, 0);
    expect(ring.pick(1011, at)).toBeUndefined();
  });

  test("of an account that was limited as a whole lets one go first as well", () => {
    const ring = new KeyRing(keys("k1", "k2", "k3", "k4"), seededRng(1));
    ring.rateLimited(ring.pick(0, at) as KeySlot, at, 0, 0, 3000);
    ring.rateLimited(ring.pick(0, at) as KeySlot, at, 0, 0, 3000);
    expect(ring.pick(2999, at)).toBeUndefined();
    const herd = Array.from({ length: 100 }, () => ring.pick(3000, at)).filter((slot) => slot !== undefined);
    expect(herd.length).toBeLessThanOrEqual(4);
  });

  test("is not asked again at once when its provider says that it is spent and may come back after 0 seconds", async () => {
    const made = bench();
    const two = sharingPool([endpoint("a", { keys: keys("spent", "good") })]);
    let spent = 0;
    const attempt = async ({ key }: Lease) => {
      if (key?.name !== "spent") return;
      spent += 1;
      throw failures.noQuota(0);
    };
    for (let count = 0; count < 40; count++) {
      await pass(made.clock, made.router.run(two, attempt, made.options()));
      await made.clock.advance(250);
    }
    expect(spent).toBeLessThanOrEqual(1);
  });
});

test("an account's rest outlives a new reading of its keys", () => {
  const ring = new KeyRing(keys("k1", "k2", "k3"), seededRng(1));
  ring.rateLimited(ring.pick(0, "a/m") as KeySlot, "a/m", 0, 0, 60_000);
  ring.rateLimited(ring.pick(0, "a/m") as KeySlot, "a/m", 0, 0, 60_000);
  expect(ring.pick(1000, "a/m")).toBeUndefined();
  ring.replace(keys("k1", "k2", "k3"));
  expect(ring.pick(1000, "a/m")).toBeUndefined();
});

describe("an endpoint that was slow once", () => {
  test("gets requests again under least_latency, and is found to be fast", async () => {
    const made = bench();
    const two = sharingPool([endpoint("a"), endpoint("b")], "least_latency");
    const slowOnce = { a: true };
    const attempt = ({ endpoint: { provider } }: Lease) => {
      const slow = provider === "a" && slowOnce.a;
      if (provider === "a") slowOnce.a = false;
      return later(made, slow ? 9000 : 100);
    };
    const by: string[] = [];
    for (let count = 0; count < 600; count++) {
      const { lease } = await pass(made.clock, made.router.open(two, attempt, made.options()));
      lease.settle({ ok: true });
      by.push(lease.endpoint.provider);
      await made.clock.advance(400);
    }
    const last = by.slice(-300);
    expect(last.filter((provider) => provider === "a").length).toBeGreaterThan(30);
  });
});

describe("an endpoint that accepts and never answers", () => {
  test("is found out, although its limit is longer than its breaker looks back", async () => {
    const made = bench();
    const limits = { firstContentMs: 60_000, totalMs: 600_000 };
    const two = sharingPool([endpoint("a", { tier: 1, limits }), endpoint("b", { tier: 2, limits })]);
    const askedAt: number[] = [];
    const attempt = ({ endpoint: { provider } }: Lease) => {
      if (provider === "b") return serves();
      askedAt.push(made.clock.now());
      return never();
    };
    for (let second = 0; second < 300; second++) {
      for (let count = 0; count < 3; count++) {
        made.router
          .open(two, attempt, made.options({ deadline: made.clock.now() + 600_000 }))
          .then(({ lease }) => lease.settle({ ok: true }), ignored);
      }
      await made.clock.advance(1000);
    }
    expect(made.breakers.some(({ state }) => state === "open")).toBe(true);
    // Of 360 callers of the last two minutes, not many should have waited a minute in vain.
    expect(askedAt.filter((at) => at > 180_000).length).toBeLessThan(40);
    await made.clock.advance(120_000);
  });

  test("is not asked again in the same request while another is left, whatever the other does", async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const made = bench({}, seed);
      const asked: string[] = [];
      const attempt = ({ endpoint: { provider } }: Lease) => {
        asked.push(provider);
        return provider === "a" ? never() : Promise.reject(failures.serverError());
      };
      const two = sharingPool([endpoint("a", { tier: 1 }), endpoint("b", { tier: 2 })]);
      await pass(made.clock, failureOf(made.router.open(two, attempt, made.options())));
      expect(asked.filter((provider) => provider === "a")).toHaveLength(1);
    }
  });
});

describe("waiting", () => {
  test("for a limited endpoint out of patience is spread, so that not all come back at the same moment", async () => {
    const back: number[] = [];
    for (let seed = 1; seed <= 30; seed++) {
      const made = bench({ patienceMs: 5000 }, seed);
      const two = sharingPool([endpoint("a", { tier: 1 }), endpoint("b", { tier: 2 })]);
      let calls = 0;
      const attempt = async () => {
        calls += 1;
        if (calls === 1) throw failures.rateLimited(2000);
        back.push(made.clock.now());
      };
      await pass(made.clock, made.router.run(two, attempt, made.options()));
    }
    expect(Math.min(...back)).toBeGreaterThanOrEqual(2000);
    expect(Math.max(...back) - Math.min(...back)).toBeGreaterThan(500);
  });

  test("as a provider asked counts from when it asked, not from when all others have failed", async () => {
    const made = bench();
    const two = sharingPool([endpoint("a", { tier: 1 }), endpoint("b", { tier: 2 })]);
    const askedAt: { provider: string; at: number }[] = [];
    const attempt = async ({ endpoint: { provider } }: Lease) => {
      askedAt.push({ provider, at: made.clock.now() });
      if (provider === "b") await later(made, 8000, failures.wrongPath);
      if (askedAt.filter((asked) => asked.provider === "a").length === 1) throw failures.overloaded(6000);
    };
    await pass(made.clock, made.router.run(two, attempt, made.options()));
    expect(askedAt.map(({ provider }) => provider)).toEqual(["a", "b", "a"]);
    expect(askedAt[2]?.at).toBeLessThan(9500);
  });

  test("in vain does not use up what an endpoint's repeats may cost", async () => {
    const made = bench();
    const sole = sharingPool([endpoint("a", { keys: keys("k1") })]);
    const attempt = async () => {
      if (made.clock.now() < 1000) throw failures.rateLimited(1000);
      await later(made, 2500);
    };
    const results: boolean[] = [];
    for (let count = 0; count < 25; count++) {
      made.router.run(sole, attempt, made.options()).then(
        () => results.push(true),
        () => results.push(false),
      );
    }
    await made.clock.advance(60_000);
    // Twenty-five repeats are within the reserve alone, which is thirty.
    expect(results.filter(Boolean)).toHaveLength(25);
  });

  test("between repeats of a failing endpoint is not what last_patience bounds", async () => {
    const made = bench({ maxAttempts: 10, lastPatienceMs: 0, breaker: { enabled: false } });
    const attempt = () => Promise.reject(failures.serverError());
    const work = made.router.run(sharingPool([endpoint("a")]), attempt, made.options({ deadline: 600_000 }));
    expect((await pass(made.clock, failureOf(work))).trail.attempts).toHaveLength(10);
  });

  test("happens between repeats, too, when a provider says that it may be asked again after 0 seconds", async () => {
    let waitedMs = 0;
    for (let seed = 1; seed <= 20; seed++) {
      const made = bench({}, seed);
      const attempt = () => Promise.reject(failures.rateLimited(0));
      const error = await pass(
        made.clock,
        failureOf(made.router.run(sharingPool([endpoint("a")]), attempt, made.options())),
      );
      for (const { waitMs = 0 } of error.trail.attempts) waitedMs += waitMs / 20;
    }
    expect(waitedMs).toBeGreaterThan(100);
  });
});

describe("what a provider refuses", () => {
  test("as a model is not made good by a call that began before it was refused", async () => {
    const made = bench();
    const two = sharingPool([endpoint("a", { tier: 1 }), endpoint("b", { tier: 2 })]);
    const early = made.router.open(two, () => later(made, 5000), made.options());
    await made.clock.advance(1000);
    const refusing = ({ endpoint: { provider } }: Lease) =>
      provider === "a" ? Promise.reject(failures.noModel()) : serves();
    await made.router.run(two, refusing, made.options());
    await made.clock.advance(5000);
    (await early).lease.settle({ ok: true });
    expect(toldSkips((await made.router.run(two, refusing, made.options())).trail)).toEqual(["a/m model_off"]);
  });
});

describe("the only endpoint that can serve", () => {
  test("is kept out for no more than five seconds, though others that are switched off stand beside it", async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const made = bench({ maxAttempts: 1 }, seed);
      const a = endpoint("a");
      const two = sharingPool([a, endpoint("off", { enabled: false })]);
      const fails = () =>
        made.router.run(two, () => Promise.reject(failures.serverError()), made.options()).catch(ignored);
      for (let count = 0; count < 5; count++) await fails();
      await made.clock.advance(10_000);
      // The probe: from now on it would be kept out for twice as long.
      await fails();
      expect(made.router.state.endpoint(a).breaker.state).toBe("open");
      expect(made.router.explain(two).find(({ breaker }) => breaker === "open")?.skip?.untilTimeMs).toBeLessThanOrEqual(
        made.clock.wallTime() + 5000,
      );
    }
  });
});

describe("what a caller is told in the end", () => {
  /** A request of the gateway: what its provider answers, by call. */
  async function outcome(endpoints: readonly Endpoint[], answers: readonly (UpstreamFault | undefined)[]) {
    const made = bench();
    let calls = 0;
    const attempt = async () => {
      const fault = answers[calls++] ?? answers.at(-1);
      if (fault) throw new FaultError(fault);
    };
    const options = { ...made.options(), classify: verdictOf };
    const error = await pass(made.clock, failureOf(made.router.run(sharingPool(endpoints), attempt, options)));
    return { calls, fault: requestFault(error) };
  }

  test("is not that its request was refused, when only what the gateway had added to it was", async () => {
    const { fault } = await outcome(
      [endpoint("a"), endpoint("b")],
      [
        { kind: "addition_refused", status: 400 },
        { kind: "server_error", status: 500 },
      ],
    );
    expect(fault.kind).toBe("all_failed");
  });

  test("is to come back later, when each of many providers has said so, also when not all could be asked", async () => {
    const many = ["a", "b", "c", "d", "e", "f"].map((name) => endpoint(name));
    const { fault } = await outcome(many, [{ kind: "rate_limited", status: 429, retryAfterMs: 20_000 }]);
    expect(fault).toMatchObject({ kind: "all_limited" });
  });

  test("comes at once, when the provider has said that trying again does not help", async () => {
    const { calls } = await outcome(
      [endpoint("a")],
      [{ kind: "rate_limited", status: 429, retryAfterMs: 1000, shouldRetry: false }],
    );
    expect(calls).toBe(1);
  });
});

describe("a pin to a kind of provider", () => {
  test("shares requests among those of the kind by their weights", async () => {
    const entry = (name: string, weight: number): ProviderEntry => ({
      ...{
        name,
        kind: "vllm",
        origin: "http://127.0.0.1",
        basePath: "/v1",
        keys: [],
        priority: 1,
        weight,
        enabled: true,
      },
      ...{ connectMs: 1, firstContentMs: 2, reasoningFirstContentMs: 2, idleMs: 3, totalMs: 4, models: [{ id: "m" }] },
      defaultModel: undefined,
    });
    const made = bench();
    const caller: Caller = { name: "x", models: undefined, seesTrail: true };
    const catalog = createCatalog({
      providers: [entry("large", 90), entry("small", 10)],
      models: [],
      defaultModel: "m",
    });
    const by = { large: 0, small: 0 };
    const where = { model: "m", provider: "vllm", fallbackProviders: [], fieldPrefix: { routing: "", model: "" } };
    for (let count = 0; count < 1000; count++) {
      const { lease } = await made.router.run(catalog.pool(where, caller), serves, { ...made.options(), request: {} });
      by[lease.endpoint.provider as "large" | "small"] += 1;
    }
    expect(by.small).toBeGreaterThan(80);
    expect(by.small).toBeLessThan(120);
  });
});

describe("a rest of a whole account", () => {
  const at = "a/m";

  test("is not ended by a call that began before it", () => {
    const ring = new KeyRing(keys("k1", "k2", "k3"), seededRng(1));
    const picked = new Map([0, 1, 2].map(() => ring.pick(0, at)).map((slot) => [slot?.key?.name, slot as KeySlot]));
    const [first, second, third] = ["k1", "k2", "k3"].map((name) => picked.get(name)) as [KeySlot, KeySlot, KeySlot];
    // The third has rested before, and is back with a call that takes long.
    ring.rateLimited(third, at, 0, 0, 100);
    expect(ring.pick(5000, at, new Set([first, second]))).toBe(third);
    ring.rateLimited(first, at, 5000, 5100, 20_000);
    ring.rateLimited(second, at, 5000, 5200, 20_000);
    ring.succeeded(third, at, 5000);
    expect(ring.pick(6000, at)).toBeUndefined();
  });

  test("is ended by one that goes first, also when it was made longer while one was under way", () => {
    const ring = new KeyRing(keys("k1"), seededRng(1));
    const early = ring.pick(0, at) as KeySlot;
    ring.rateLimited(ring.pick(0, at) as KeySlot, at, 0, 10, 1000);
    expect(ring.pick(1010, at)).toBeDefined();
    ring.rateLimited(early, at, 0, 1200, 20_000);
    expect(ring.pick(21_200, at)).toBeDefined();
    expect(ring.pick(21_201, at)).toBeUndefined();
  });
});

describe("a request that certainly was not sent", () => {
  test("is not sent again with a key that has been refused meanwhile", async () => {
    const made = bench();
    const sole = sharingPool([endpoint("a", { keys: keys("k1", "k2") })]);
    const used: string[] = [];
    let bad: string | undefined;
    const first = made.router.run(
      sole,
      async ({ key }) => {
        used.push(key?.name ?? "");
        bad ??= key?.name;
        if (used.length === 1) await later(made, 100, failures.notSent);
      },
      made.options(),
    );
    await made.clock.advance(50);
    // Two more, so that one of them has the same key.
    for (let count = 0; count < 2; count++) {
      await made.router.run(
        sole,
        async ({ key }) => {
          if (key?.name === bad) throw failures.badKey();
        },
        made.options(),
      );
    }
    await made.clock.advance(100);
    await first;
    expect(used).toHaveLength(2);
    expect(used[1]).not.toBe(used[0]);
  });

  test("gives back no more of a rate limit than has not come back by itself", async () => {
    const made = bench();
    const sole = sharingPool([endpoint("a", { use: { maxRps: 1 } })]);
    const sentAt: number[] = [];
    let calls = 0;
    const attempt = async () => {
      calls += 1;
      // A connection that is not there: it takes five seconds to be sure.
      if (calls === 1) await later(made, 5000, failures.refusedConnection);
      sentAt.push(made.clock.now());
    };
    const ask = () => void made.router.run(sole, attempt, made.options({ maxAttempts: 1 })).catch(ignored);
    ask();
    await made.clock.advance(4500);
    ask();
    await made.clock.advance(600);
    ask();
    await made.clock.advance(5000);
    expect(sentAt).toHaveLength(2);
    expect((sentAt[1] ?? 0) - (sentAt[0] ?? 0)).toBeGreaterThanOrEqual(999);
  });
});

describe("whoever waits in line, however patient,", () => {
  test("for a place where it may use another key is told at once when there is none left", async () => {
    const made = bench();
    const sole = sharingPool([endpoint("a", { keys: keys("k1", "k2"), use: { maxConcurrent: 1 } })]);
    const patient = () => made.options({ queueMaxWaitMs: 50_000 });
    const refused = () => later(made, 100, failures.badKey);
    const endedAt: number[] = [];
    for (let count = 0; count < 2; count++) {
      made.router.run(sole, refused, patient()).catch(() => endedAt.push(made.clock.now()));
    }
    await made.clock.advance(60_000);
    expect(endedAt).toHaveLength(2);
    expect(Math.max(...endedAt)).toBeLessThan(2000);
  });

  test("for a rate limit is told at once when no key is left that could be used", async () => {
    const made = bench();
    const sole = sharingPool([endpoint("a", { keys: keys("k1"), use: { maxRps: 0.1 } })]);
    const patient = () => made.options({ queueMaxWaitMs: 50_000 });
    const refused = () => later(made, 100, failures.badKey);
    const endedAt: number[] = [];
    for (let count = 0; count < 2; count++) {
      made.router.run(sole, refused, patient()).catch(() => endedAt.push(made.clock.now()));
    }
    await made.clock.advance(60_000);
    expect(endedAt).toHaveLength(2);
    expect(Math.max(...endedAt)).toBeLessThan(2000);
  });
});

test("a breaker that was reset counts calls in flight from before neither for nor against", () => {
  const breaker = new Breaker(routingDefaults.breaker, seededRng(1));
  const early = Array.from({ length: 20 }, () => breaker.acquire(0, 60_000));
  breaker.reset(1000);
  for (const permit of early) breaker.settle(permit, 2000, "neutral");
  const call = (result: "success" | "failure") => breaker.settle(breaker.acquire(3000, 60_000), 3000, result);
  for (let count = 0; count < 14; count++) call("success");
  for (let count = 0; count < 6; count++) call("failure");
  // Six of twenty.
  expect(breaker.state).toBe("closed");
});

test("a provider that says that trying again does not help is not asked again out of patience either", async () => {
  const made = bench({ patienceMs: 5000 });
  const asked: string[] = [];
  const attempt = async ({ endpoint: { provider } }: Lease) => {
    asked.push(provider);
    if (provider === "a") {
      throw new FaultError({ kind: "rate_limited", status: 429, retryAfterMs: 500, shouldRetry: false });
    }
  };
  const two = sharingPool([endpoint("a", { tier: 1 }), endpoint("b", { tier: 2 })]);
  await pass(made.clock, made.router.run(two, attempt, { ...made.options(), classify: verdictOf }));
  expect(asked).toEqual(["a", "b"]);
});

test("an endpoint that was configured keeps its limits, whatever other names callers make up", async () => {
  const made = bench();
  const a = endpoint("a", { use: { maxRps: 1 } });
  await made.router.run(sharingPool([a]), serves, made.options());
  for (let count = 0; count < 10_000; count++) made.router.state.endpoint(endpoint(`made-up-${count}`));
  const again = failureOf(made.router.run(sharingPool([a]), serves, made.options({ queueMaxWaitMs: 0 })));
  expect(toldSkips((await again).trail)).toEqual(["a/m rate_limited"]);
});

test("a prompt is measured once, however many targets its price is told for", () => {
  const made = bench();
  let measured = 0;
  const machine = {
    clock: made.clock,
    maxDurationMs: 60_000,
    admission: createAdmission(made.clock),
    affinity: "none",
  };
  const call = {
    ...{
      caller: { name: "x", models: undefined, seesTrail: true },
      cancellation: made.caller,
      record: unwatchedRecord(),
    },
    ...{ timeoutMs: undefined, patienceMs: undefined, retryCount: undefined, affinityKey: () => undefined },
    size() {
      measured += 1;
      return { promptCharacters: 1000, maxOutputTokens: 0 };
    },
  };
  const { options, release } = enter(machine as unknown as Machine, call as unknown as Call);
  for (let count = 0; count < 50; count++) options.request?.cost?.(endpoint("a") as Target);
  release();
  expect(measured).toBeLessThanOrEqual(1);
});

test("an endpoint that an operator has forced closed keeps its breaker still, however often it fails", async () => {
  const made = bench();
  const a = endpoint("a");
  made.router.state.endpoint(a).manual = { state: "forced_closed", reason: "it is fine", sinceTimeMs: 1 };
  const two = sharingPool([a, endpoint("b", { tier: 2 })]);
  const attempt = ({ endpoint: { provider } }: Lease) =>
    provider === "a" ? Promise.reject(failures.refusedConnection()) : serves();
  for (let count = 0; count < 30; count++) {
    expect(told((await made.router.run(two, attempt, made.options())).trail)[0]).toBe("a/m transient_fault");
    await made.clock.advance(100);
  }
  expect(made.breakers.length).toBeLessThanOrEqual(1);
});

test("an endpoint that begins to fail every call is found out at any rate of calls, whatever thresholds are set", () => {
  for (const minFailures of [5, 20, 100]) {
    for (const perSecond of [0.5, 1, 2, 5, 20]) {
      const breaker = new Breaker({ ...routingDefaults.breaker, minFailures }, seededRng(1));
      // All was well for half a minute.
      for (let now = 0; now < 90_000 && breaker.state === "closed"; now += 1000 / perSecond) {
        breaker.settle(breaker.acquire(now, 1000), now, now < 30_000 ? "success" : "failure");
      }
      expect([minFailures, perSecond, breaker.state]).toEqual([minFailures, perSecond, "open"]);
    }
  }
});

describe("time that goes wrong", () => {
  test("in our own process is not held against an endpoint: a timer that fires late says nothing of it", async () => {
    const clock = createVirtualClock();
    // It stands still for half a second just when the time limit is up.
    const late: Clock = { ...clock, schedule: (ms, call) => clock.schedule(ms === 1000 ? 1500 : ms, call) };
    const router = createRouter({ clock: late, rng: seededRng(1), settings: routingSettings({ maxAttempts: 1 }) });
    const a = endpoint("a", { limits: { firstContentMs: 1000, totalMs: 1000 } });
    const options = { classify, cancellation: createCancellation(), deadline: 60_000, maxAttempts: 1, traceId: "" };
    await pass(clock, failureOf(router.run(sharingPool([a]), never, options)));
    expect(router.state.endpoint(a).breaker.tally(clock.now()).failures).toBe(0);
  });

  test("on the wall changes nothing: neither waits nor rests nor breakers go by it", async () => {
    const ways: string[][] = [];
    for (const dayMs of [0, 86_400_000, -86_400_000]) {
      const clock = createVirtualClock();
      const jumping: Clock = { ...clock, wallTime: () => clock.wallTime() + (clock.now() > 3000 ? dayMs : 0) };
      const router = createRouter({ clock: jumping, rng: seededRng(1) });
      const two = sharingPool([
        endpoint("a", { keys: keys("k1", "k2"), use: { maxRps: 3 } }),
        endpoint("b", { tier: 2, keys: keys("k1") }),
      ]);
      const way: string[] = [];
      for (let count = 0; count < 60; count++) {
        const attempt = async ({ endpoint: { provider }, key }: Lease) => {
          way.push(`${clock.now().toFixed(0)} ${provider} ${key?.name}`);
          if (provider === "a" && count % 7 < 5) throw count % 2 ? failures.serverError() : failures.rateLimited(700);
        };
        const options = { classify, cancellation: createCancellation(), traceId: "", maxAttempts: 4 };
        await pass(clock, router.run(two, attempt, { ...options, deadline: clock.now() + 20_000 }).catch(ignored));
        await clock.advance(100);
      }
      ways.push(way);
    }
    expect(ways[1]).toEqual(ways[0]);
    expect(ways[2]).toEqual(ways[0]);
  });
});

describe("what changes meanwhile", () => {
  test("is heeded by an exact repeat, too: an endpoint that an operator has switched off is not asked again", async () => {
    const made = bench();
    const two = sharingPool([endpoint("a", { tier: 1 }), endpoint("b", { tier: 2 })]);
    const attempt = async ({ endpoint: asked }: Lease) => {
      if (asked.provider !== "a") return;
      made.router.state.endpoint(asked).manual = { state: "disabled", reason: "test", sinceTimeMs: 0 };
      throw failures.notSent();
    };
    const { trail } = await made.router.run(two, attempt, made.options());
    expect(told(trail)).toEqual(["a/m not_sent", "b/m ok"]);
  });

  test("puts those who wait by a new configuration in a line of their own: those of the old one do not hold them up", async () => {
    const made = bench({ queue: { maxWaitMs: 30_000, bound: 1000 } });
    const older = sharingPool([endpoint("a", { use: { maxConcurrent: 1 } })]);
    const newer = sharingPool([endpoint("a", { use: { maxConcurrent: 2 } })]);
    const ends: (() => void)[] = [];
    const begun: string[] = [];
    const ask = (name: string, of: typeof older) =>
      made.router
        .run(
          of,
          () => {
            begun.push(name);
            return new Promise<void>((resolve) => ends.push(resolve));
          },
          made.options(),
        )
        .catch(() => {});
    ask("first", newer);
    ask("second", newer);
    await made.clock.advance(1);
    ask("by the old", older);
    ask("by the new", newer);
    await made.clock.advance(1);
    ends[0]?.();
    await made.clock.advance(300);
    expect(begun).toEqual(["first", "second", "by the new"]);
    made.caller.cancel(new Error("over"));
  });

  test("does not let whoever leaves a line because its time is over go before those who are still in it", async () => {
    const made = bench({ queue: { maxWaitMs: 30_000, bound: 1000 } });
    const sole = sharingPool([endpoint("a", { use: { maxRps: 2 } })]);
    const begun: string[] = [];
    const ask = (name: string, changes: Parameters<typeof made.options>[0] = {}) =>
      made.router
        .run(
          sole,
          async () => {
            begun.push(name);
          },
          made.options(changes),
        )
        .catch(() => {});
    ask("first");
    ask("second");
    ask("patient", { caller: "x" });
    ask("hurried", { caller: "y", queueMaxWaitMs: 500.2 });
    await made.clock.advance(499.5);
    ask("late");
    await made.clock.advance(400);
    expect(begun).toEqual(["first", "second", "patient"]);
    await made.clock.advance(10_000);
  });
});

test("an endpoint that fails now and then is first no more often than its share", async () => {
  const made = bench({ breaker: { enabled: false } });
  const three = sharingPool([endpoint("a", { weight: 8 }), endpoint("b", { weight: 4 }), endpoint("c", { weight: 1 })]);
  const rng = seededRng(4);
  const firsts = new Map<string, number>();
  for (let turn = 0; turn < 1300; turn++) {
    const attempt = async ({ endpoint: { provider }, attempt: index }: Lease) => {
      if (index === 1) firsts.set(provider, (firsts.get(provider) ?? 0) + 1);
      if (provider === "a" && rng.next() < 0.3) throw failures.serverError();
    };
    await made.router.run(three, attempt, made.options());
  }
  for (const [provider, weight] of [
    ["a", 8],
    ["b", 4],
    ["c", 1],
  ] as const)
    expect(Math.abs((firsts.get(provider) ?? 0) - weight * 100)).toBeLessThan(2);
});

test("a repeat before a worse tier does not cost an endpoint that has just come back its chance", async () => {
  const made = bench({ maxAttempts: 3 });
  const [bad, back, worse] = [endpoint("bad"), endpoint("back"), endpoint("worse", { tier: 2 })];
  const alone = sharingPool([back]);
  const fails = async () => {
    throw failures.serverError();
  };
  for (let count = 0; count < 5; count++)
    await made.router.run(alone, fails, made.options({ maxAttempts: 1 })).catch(() => {});
  await made.clock.advance(10_000);
  for (let count = 0; count < 2; count++) await made.router.run(alone, serves, made.options());
  expect(made.breakers.at(-1)?.state).toBe("closed");
  const attempt = async ({ endpoint: { provider } }: Lease) => {
    if (provider !== "back") throw failures.serverError();
    return provider;
  };
  for (let count = 0; count < 4; count++) {
    const { value } = await pass(made.clock, made.router.run(sharingPool([bad, back, worse]), attempt, made.options()));
    expect(value).toBe("back");
  }
});
