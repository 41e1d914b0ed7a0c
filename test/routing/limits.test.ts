import { describe, expect, test } from "vitest";
import { bench, endpoint, failureOf, failures, keys, pass, sharingPool, told, toldSkips } from "../support/routing.ts";

const serves = () => Promise.resolve("served");

describe("an endpoint at its rate limit", () => {
  test("is passed over for others of its tier and then for worse tiers, and nothing is held against it", async () => {
    const made = bench();
    const both = sharingPool([endpoint("a", { use: { maxRps: 2 } }), endpoint("b", { tier: 2 })]);
    const ways: string[] = [];
    for (let count = 0; count < 4; count++) {
      ways.push(told((await made.router.run(both, serves, made.options())).trail).join());
    }
    expect(ways).toEqual(["a/m ok", "a/m ok", "b/m ok", "b/m ok"]);
    expect(made.skipped.map(({ endpoint: id, reason }) => `${id} ${reason}`)).toEqual([
      "a/m rate_limited",
      "a/m rate_limited",
    ]);
    expect(made.breakers).toEqual([]);
    await made.clock.advance(500);
    expect(told((await made.router.run(both, serves, made.options())).trail)).toEqual(["a/m ok"]);
  });

  test("shares the limit of its provider with the provider's other endpoints", async () => {
    const made = bench();
    const providerUse = { maxRps: 1 };
    const two = sharingPool([
      endpoint("a", { providerUse }),
      { ...endpoint("a", { providerUse }), id: "a/other", upstreamModel: "other" },
      endpoint("b", { tier: 2 }),
    ]);
    await made.router.run(two, serves, made.options());
    const { trail } = await made.router.run(two, serves, made.options());
    expect(told(trail)).toEqual(["b/m ok"]);
    expect(toldSkips(trail)).toHaveLength(2);
  });
});

describe("a rate that somebody changes", () => {
  const rest = (maxRps: number) => sharingPool([endpoint("a", { use: { maxRps } }), endpoint("b", { tier: 2 })]);
  const first = async (made: ReturnType<typeof bench>, pool: ReturnType<typeof rest>) =>
    told((await made.router.run(pool, serves, made.options())).trail)[0];

  test("does not begin with a full bucket", async () => {
    const made = bench();
    const before = rest(4);
    for (let count = 0; count < 4; count++) expect(await first(made, before)).toBe("a/m ok");
    expect(await first(made, rest(5))).toBe("a/m ok");
    expect(await first(made, rest(5))).toBe("b/m ok");
  });

  test("holds while requests of both configurations come in turn", async () => {
    const made = bench();
    const [before, after, without] = [rest(2), rest(3), sharingPool([endpoint("a"), endpoint("b", { tier: 2 })])];
    const served: (string | undefined)[] = [];
    for (let turn = 0; turn < 6; turn++) {
      served.push(await first(made, before), await first(made, after));
      await first(made, without);
    }
    expect(served.filter((each) => each === "a/m ok")).toHaveLength(3);
  });
});

describe("when every endpoint is at a limit of ours", () => {
  test("a request waits in line, a second at most, and the trail says so", async () => {
    const made = bench();
    const sole = sharingPool([endpoint("a", { use: { maxRps: 2 } })]);
    for (let count = 0; count < 2; count++) await made.router.run(sole, serves, made.options());
    const { trail } = await pass(made.clock, made.router.run(sole, serves, made.options()));
    expect(trail.attempts[0]).toMatchObject({ waitReason: "queue", waitMs: expect.closeTo(500, 1) });
  });

  test("it fails when its turn does not come in time, and is told when to come back", async () => {
    const made = bench();
    const sole = sharingPool([endpoint("a", { use: { maxRps: 0.1 } })]);
    await made.router.run(sole, serves, made.options());
    const error = await pass(made.clock, failureOf(made.router.run(sole, serves, made.options())));
    expect(made.clock.now()).toBeLessThanOrEqual(1100);
    expect(error.trail.attempts).toEqual([]);
    expect(toldSkips(error.trail)).toEqual(["a/m rate_limited"]);
    expect(error.retryAfterMs).toBeGreaterThan(8000);
    expect(error.retryAfterMs).toBeLessThanOrEqual(9000);
  });

  test("one that is in no hurry waits longer, and none waits beyond its deadline", async () => {
    const made = bench();
    const sole = sharingPool([endpoint("a", { use: { maxRps: 0.1 } })]);
    await made.router.run(sole, serves, made.options());
    const { trail } = await pass(made.clock, made.router.run(sole, serves, made.options({ queueMaxWaitMs: 30_000 })));
    expect(trail.attempts[0]?.waitMs).toBeGreaterThan(9000);
    const hurried = made.options({ queueMaxWaitMs: 30_000, deadline: made.clock.now() + 2000 });
    const before = made.clock.now();
    await pass(made.clock, failureOf(made.router.run(sole, serves, hurried)));
    expect(made.clock.now() - before).toBeLessThanOrEqual(2000);
  });

  test("callers take turns: one with a hundred requests does not keep out one with a single one", async () => {
    const made = bench();
    const sole = sharingPool([endpoint("a", { use: { maxRps: 10 } })]);
    const order: string[] = [];
    const attemptOf = (caller: string) => async () => void order.push(caller);
    const ask = (caller: string) =>
      made.router.run(sole, attemptOf(caller), made.options({ caller, queueMaxWaitMs: 30_000 })).catch(() => {});
    const work = Array.from({ length: 100 }, () => ask("greedy"));
    work.push(ask("modest"));
    await made.clock.advance(30_000);
    await Promise.all(work);
    expect(order).toHaveLength(101);
    // Ten go at once; then they take turns.
    expect(order.indexOf("modest")).toBeLessThanOrEqual(11);
  });

  test("requests of one caller are served in the order in which they came, and later ones do not overtake", async () => {
    const made = bench();
    const sole = sharingPool([endpoint("a", { use: { maxRps: 10 } })]);
    const order: number[] = [];
    const work: Promise<unknown>[] = [];
    for (let count = 0; count < 60; count++) {
      work.push(made.router.run(sole, async () => void order.push(count), made.options({ queueMaxWaitMs: 30_000 })));
      await made.clock.advance(37);
    }
    await made.clock.advance(30_000);
    await Promise.all(work);
    expect(order).toEqual([...order].sort((a, b) => a - b));
  });

  test("no more wait than the line holds: the others fail at once", async () => {
    const made = bench({ queue: { maxWaitMs: 1000, bound: 5 } });
    const sole = sharingPool([endpoint("a", { use: { maxRps: 1 } })]);
    const results: string[] = [];
    for (let count = 0; count < 20; count++) {
      made.router.run(sole, serves, made.options()).then(
        () => results.push("served"),
        () => results.push("failed"),
      );
    }
    await made.clock.advance(0);
    expect([...results].sort()).toEqual([...Array(14).fill("failed"), "served"]);
    await made.clock.advance(2000);
    expect(made.clock.pending).toBe(0);
  });

  test("whoever leaves the line costs nobody a place", async () => {
    const made = bench();
    const sole = sharingPool([endpoint("a", { use: { maxRps: 1 } })]);
    await made.router.run(sole, serves, made.options());
    const leaving = bench();
    const gone = failureOf(made.router.run(sole, serves, made.options({ cancellation: leaving.caller })));
    const staying = made.router.run(sole, serves, made.options({ queueMaxWaitMs: 1500 }));
    await made.clock.advance(100);
    leaving.caller.cancel(new Error("left"));
    await gone;
    await made.clock.advance(900);
    await staying;
    expect(made.clock.now()).toBe(1000);
  });

  test("a place is free as soon as a call has ended", async () => {
    const made = bench();
    const sole = sharingPool([endpoint("a", { use: { maxConcurrent: 1 } })]);
    const first = await made.router.open(sole, serves, made.options());
    const second = made.router.open(sole, serves, made.options());
    await made.clock.advance(300);
    first.lease.settle({ ok: true });
    await made.clock.advance(0);
    const { lease, trail } = await second;
    expect(trail.attempts[0]?.waitMs).toBe(300);
    lease.settle({ ok: true });
    expect(made.router.state.endpoint(endpoint("a")).usage.inFlight).toBe(0);
  });
});

describe("more calls in flight than the gateway takes on", () => {
  test("spill to another endpoint, and fail at once when there is none", async () => {
    const made = bench({ inFlight: { endpoint: 2, process: 100 } });
    const both = sharingPool([endpoint("a"), endpoint("b", { tier: 2 })]);
    const never = () => new Promise<never>(() => {});
    const served: string[] = [];
    for (let count = 0; count < 5; count++) {
      const attempt = ({ endpoint: { provider } }: { endpoint: { provider: string } }) => {
        served.push(provider);
        return never();
      };
      void made.router.run(both, attempt, made.options()).catch((error: { trail: Parameters<typeof toldSkips>[0] }) => {
        served.push(...toldSkips(error.trail));
      });
    }
    await made.clock.advance(0);
    expect(served).toEqual(["a", "a", "b", "b", "a/m overflow", "b/m overflow"]);
    made.caller.cancel(new Error("left"));
    await made.clock.advance(0);
    expect(made.router.state.inFlight).toBe(0);
  });

  test("are, where nobody says otherwise, two hundred and fifty-six at an endpoint and ten thousand in the process", async () => {
    const made = bench();
    const open = (name: string) => made.router.open(sharingPool([endpoint(name)]), serves, made.options());
    for (let count = 0; count < 10_000; count++) await open(`p${Math.floor(count / 256)}`);
    expect(toldSkips((await failureOf(open("p0"))).trail)).toEqual(["p0/m overflow"]);
    // The last endpoint has room of its own, but the process has none.
    expect(made.router.state.endpoint(endpoint("p39")).usage.inFlight).toBeLessThan(256);
    expect(toldSkips((await failureOf(open("p39"))).trail)).toEqual(["p39/m overflow"]);
  });

  test("are more where an operator allows more, at an endpoint or at its provider", async () => {
    for (const change of [{ use: { maxConcurrent: 3 } }, { providerUse: { maxConcurrent: 3 } }]) {
      const made = bench({ inFlight: { endpoint: 2, process: 100 } });
      const sole = sharingPool([endpoint("a", change)]);
      const open = () => made.router.open(sole, serves, made.options({ queueMaxWaitMs: 0 }));
      const leases = [await open(), await open(), await open()];
      expect(toldSkips((await failureOf(open())).trail)).toEqual(["a/m concurrency"]);
      for (const { lease } of leases) lease.settle({ ok: true });
    }
  });

  test("of the process for a moment do not send those home who wait in line", async () => {
    const made = bench({ inFlight: { endpoint: 256, process: 2 } });
    const limited = sharingPool([endpoint("a", { use: { maxConcurrent: 1 } })]);
    const held = await made.router.open(limited, serves, made.options());
    const waiting = made.router.open(limited, serves, made.options());
    await made.clock.advance(10);
    const other = await made.router.open(sharingPool([endpoint("b")]), serves, made.options());
    await made.clock.advance(10);
    held.lease.settle({ ok: true });
    other.lease.settle({ ok: true });
    await made.clock.advance(10);
    (await waiting).lease.settle({ ok: true });
    expect(made.router.state.inFlight).toBe(0);
  });

  test("of the whole process fail at once, whatever endpoints there are", async () => {
    const made = bench({ inFlight: { endpoint: 256, process: 1 } });
    const opened = await made.router.open(sharingPool([endpoint("a")]), serves, made.options());
    const error = await failureOf(made.router.open(sharingPool([endpoint("b")]), serves, made.options()));
    expect(toldSkips(error.trail)).toEqual(["b/m overflow"]);
    opened.lease.settle({ ok: true });
  });
});

describe("a provider that says that nothing is left of its limit", () => {
  test("is left alone until its reset, although it served", async () => {
    const made = bench();
    const both = sharingPool([endpoint("a", { keys: keys("k1") }), endpoint("b", { tier: 2 })]);
    const attempt = async (lease: Parameters<Parameters<typeof made.router.run>[1]>[0]) => {
      if (lease.endpoint.provider === "a") lease.noteLimit(4000);
    };
    expect(told((await made.router.run(both, attempt, made.options())).trail)).toEqual(["a/m#k1 ok"]);
    expect(told((await made.router.run(both, attempt, made.options())).trail)).toEqual(["b/m ok"]);
    await made.clock.advance(4000);
    expect(told((await made.router.run(both, attempt, made.options())).trail)).toEqual(["a/m#k1 ok"]);
  });
});

describe("a caller's deadline", () => {
  test("leaves a second endpoint half of it, when that is known to need no more", async () => {
    const made = bench();
    const both = sharingPool([endpoint("a", { tier: 1 }), endpoint("b", { tier: 2 })]);
    const quick = sharingPool([endpoint("b")]);
    const attempt = (lease: { endpoint: { provider: string } }) =>
      lease.endpoint.provider === "a"
        ? new Promise<never>(() => {})
        : new Promise<string>((resolve) => made.clock.schedule(800, () => resolve("b")));
    for (let count = 0; count < 3; count++) {
      const { lease } = await pass(made.clock, made.router.open(quick, attempt, made.options()));
      lease.settle({ ok: true });
    }
    const before = made.clock.now();
    const work = made.router.open(both, attempt, made.options({ deadline: before + 4000 }));
    const { lease, trail } = await pass(made.clock, work);
    lease.settle({ ok: true });
    expect(told(trail)[0]).toBe("a/m transient_fault");
    expect(trail.attempts[0]?.durationMs).toBe(2000);
    // It had less time than it may take: that is nobody's fault.
    expect(made.router.state.endpoint(endpoint("a")).breaker.tally(made.clock.now()).failures).toBe(0);
  });

  test("goes to the first endpoint whole, when the second is not known to manage with the rest", async () => {
    const made = bench();
    const both = sharingPool([endpoint("a", { tier: 1 }), endpoint("b", { tier: 2 })]);
    const never = () => new Promise<never>(() => {});
    const work = failureOf(made.router.open(both, never, made.options({ deadline: 4000 })));
    await made.clock.advance(4000);
    expect((await work).trail.attempts).toHaveLength(1);
  });
});

describe("a timeout", () => {
  const slow = () => sharingPool([endpoint("a", { limits: { firstContentMs: 1000, totalMs: 1000 } })]);
  const failuresOf = (made: ReturnType<typeof bench>) =>
    made.router.state.endpoint(endpoint("a")).breaker.tally(made.clock.now()).failures;

  test("is a failure of its endpoint", async () => {
    const made = bench({ maxAttempts: 1 });
    await pass(made.clock, failureOf(made.router.open(slow(), () => new Promise<never>(() => {}), made.options())));
    expect(failuresOf(made)).toBe(1);
  });

  test("is nobody's fault while other streams of the endpoint go on: it is busy, not dead", async () => {
    const made = bench({ maxAttempts: 1 });
    const { lease } = await made.router.open(slow(), serves, made.options());
    const work = failureOf(made.router.open(slow(), () => new Promise<never>(() => {}), made.options()));
    for (let step = 0; step < 10; step++) {
      lease.progressed();
      await made.clock.advance(100);
    }
    await work;
    lease.settle({ ok: true });
    expect(failuresOf(made)).toBe(0);
  });
});

describe("an explanation", () => {
  test("tells the order, the shares and every reason, and changes nothing", async () => {
    const made = bench();
    const all = [
      endpoint("a", { weight: 3, keys: keys("k1", "k2") }),
      endpoint("b"),
      endpoint("off", { enabled: false }),
      endpoint("named", { weight: 0 }),
      endpoint("limited", { tier: 2, use: { maxRps: 1 } }),
      endpoint("spare", { tier: 3 }),
    ];
    const pool = sharingPool(all);
    await made.router.run(sharingPool([all[4] as (typeof all)[0]]), serves, made.options());
    made.router.state.endpoint(all[5] as (typeof all)[0]).manual = {
      state: "draining",
      reason: "moving",
      sinceTimeMs: 1,
    };
    const first = made.router.explain(pool);
    expect(
      first.map(({ endpoint: { id }, position, share, skip }) => [id, position !== undefined, share, skip?.reason]),
    ).toEqual(
      expect.arrayContaining([
        ["a/m", true, 0.75, undefined],
        ["b/m", true, 0.25, undefined],
        ["off/m", false, 0, "disabled"],
        ["named/m", false, 0, "weight_0"],
        ["limited/m", false, 0, "rate_limited"],
        ["spare/m", false, 0, "draining"],
      ]),
    );
    expect(first.find(({ skip }) => skip?.reason === "rate_limited")?.skip?.untilTimeMs).toBe(
      made.clock.wallTime() + 1000,
    );
    expect(made.router.explain(pool)).toEqual(first);
    const next = first.find(({ position }) => position === 1)?.endpoint.id;
    const { trail } = await made.router.run(pool, serves, made.options());
    expect(trail.attempts[0]?.endpoint).toBe(next);
  });

  test("of an endpoint that an operator has forced open or closed says so, and routing obeys", async () => {
    const made = bench();
    const a = endpoint("a", { tier: 1 });
    const both = sharingPool([a, endpoint("b", { tier: 2 })]);
    const state = made.router.state.endpoint(a);
    state.manual = { state: "forced_open", reason: "maintenance", sinceTimeMs: 1 };
    expect(told((await made.router.run(both, serves, made.options())).trail)).toEqual(["b/m ok"]);
    state.manual = { state: "forced_closed", reason: "it is fine", sinceTimeMs: 2 };
    const failing = (lease: { endpoint: { provider: string } }) =>
      lease.endpoint.provider === "a" ? Promise.reject(failures.refusedConnection()) : Promise.resolve();
    for (let count = 0; count < 20; count++) {
      expect(told((await made.router.run(both, failing, made.options())).trail)[0]).toBe("a/m transient_fault");
    }
    expect(made.router.explain(both)[0]?.manual?.reason).toBe("it is fine");
  });
});
