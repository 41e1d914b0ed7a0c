import { beforeEach, describe, expect, test } from "vitest";
import { AttemptTimeout, type Lease } from "../../src/routing/lease.ts";
import { createRouter, type RunOptions } from "../../src/routing/router.ts";
import type { AttemptRecord } from "../../src/routing/trail.ts";
import { CallerGone, type Cancellation, DeadlineExceeded } from "../../src/runtime/cancellation.ts";
import { seededRng } from "../../src/runtime/rng.ts";
import { createVirtualClock, type VirtualClock } from "../../src/simulation/virtual-clock.ts";
import { bench, endpoint, Failure, failureOf, failures, keys, pool } from "../support/routing.ts";

let clock: VirtualClock;
let caller: ReturnType<typeof bench>["caller"];
let ended: AttemptRecord[];
let router: () => ReturnType<typeof bench>["router"];
let options: (changes?: Partial<RunOptions>) => RunOptions;

beforeEach(() => {
  const made = bench();
  ({ clock, caller, ended, options } = made);
  router = () => made.router;
});

const never = () => new Promise<never>(() => {});

describe("a request", () => {
  test("goes from endpoint to endpoint in their order until one answers, and the trail tells it", async () => {
    const { value, trail } = await router().run(
      pool(endpoint("a"), endpoint("b"), endpoint("c")),
      async (lease) => {
        if (lease.endpoint.provider === "c") return "landed";
        lease.note({ httpStatus: 500 });
        throw new Failure({ hint: "ask them" });
      },
      options(),
    );
    expect(value).toBe("landed");
    expect(trail.attempts.map(({ endpoint: id, outcome }) => [id, outcome])).toEqual([
      ["a/m", "transient_fault"],
      ["b/m", "transient_fault"],
      ["c/m", "ok"],
    ]);
    expect(trail.attempts[0]).toMatchObject({ index: 1, httpStatus: 500, hint: "ask them", durationMs: 0 });
  });

  test("stops at once when the verdict says that nobody else would take it", async () => {
    const error = await failureOf(
      router().run(
        pool(endpoint("a"), endpoint("b")),
        () => Promise.reject(new Failure({ next: "stop", class: "request_refused" })),
        options(),
      ),
    );
    expect(error.trail.attempts).toHaveLength(1);
    expect(error.verdict?.class).toBe("request_refused");
  });

  test("makes no more attempts than it may, and says whom it passed over", async () => {
    const error = await failureOf(
      router().run(
        pool(endpoint("a"), endpoint("off", { enabled: false }), endpoint("b"), endpoint("c")),
        () => Promise.reject(new Failure()),
        options({ maxAttempts: 2 }),
      ),
    );
    expect(error.trail.attempts.map(({ provider }) => provider)).toEqual(["a", "b"]);
    expect(error.trail.skips).toEqual([
      { endpoint: "off/m", reason: "disabled", at: 0, beforeAttempt: 2 },
      { endpoint: "c/m", reason: "attempt_cap", at: 0, beforeAttempt: 3 },
    ]);
  });

  test("that finds nothing to try fails without a verdict", async () => {
    const error = await failureOf(
      router().run(pool(endpoint("a", { enabled: false })), () => Promise.resolve(1), options()),
    );
    expect(error.verdict).toBeUndefined();
    expect(error.trail.attempts).toEqual([]);
  });

  test("tells the failure that says most: a limit before a fault, a fault before a bad key", async () => {
    const classes = ["key_refused", "rate_limited", "transient_fault"] as const;
    const error = await failureOf(
      router().run(
        pool(endpoint("a"), endpoint("b"), endpoint("c")),
        (lease) => {
          const failed = classes[lease.attempt - 1] ?? "transient_fault";
          return Promise.reject(new Failure({ class: failed, repeat: "never", retryAfterMs: 60_000 }));
        },
        options(),
      ),
    );
    expect(error.verdict?.class).toBe("rate_limited");
  });

  test("takes a provider's keys in turn", async () => {
    const three = keys("k1", "k2", "k3");
    const route = router();
    const used: string[] = [];
    for (let request = 0; request < 6; request++) {
      await route.run(
        pool(endpoint("a", { keys: three })),
        async (lease) => used.push(lease.key?.name ?? ""),
        options(),
      );
    }
    expect([...used].sort()).toEqual(["k1", "k1", "k2", "k2", "k3", "k3"]);
    expect(used.slice(0, 3)).toEqual(used.slice(3));
  });
});

describe("time", () => {
  test("an attempt that takes longer than its endpoint may is called off, and the next one starts", async () => {
    let calledOff: unknown;
    const work = router().run(
      pool(endpoint("slow"), endpoint("b")),
      (lease) => {
        if (lease.endpoint.provider === "b") return Promise.resolve("b");
        lease.cancellation.onCancel((reason) => {
          calledOff = reason;
        });
        return never();
      },
      options(),
    );
    await clock.advance(19_999);
    expect(calledOff).toBeUndefined();
    await clock.advance(1);
    expect((await work).value).toBe("b");
    expect(calledOff).toBeInstanceOf(AttemptTimeout);
    expect(ended[0]?.durationMs).toBe(20_000);
  });

  test("the deadline ends the request and the attempt in flight, although the attempt does not listen", async () => {
    const work = failureOf(router().run(pool(endpoint("a"), endpoint("b")), never, options({ deadline: 3000 })));
    await clock.advance(3000);
    const error = await work;
    expect(error.cause).toBeInstanceOf(DeadlineExceeded);
    expect(error.trail.attempts).toHaveLength(1);
  });

  test("no further attempt starts with less than a quarter of a second left", async () => {
    const work = failureOf(
      router().run(
        pool(endpoint("a"), endpoint("b")),
        async () => {
          await new Promise<void>((resolve) => clock.schedule(2900, resolve));
          throw new Failure();
        },
        options({ deadline: 3000 }),
      ),
    );
    await clock.advance(3000);
    const { trail } = await work;
    expect(trail.attempts).toHaveLength(1);
    expect(trail.skips).toEqual([{ endpoint: "b/m", reason: "deadline", at: 2900, beforeAttempt: 2 }]);
  });

  test("the caller's leaving ends it at once, and no attempt follows", async () => {
    const work = failureOf(router().run(pool(endpoint("a"), endpoint("b")), never, options()));
    caller.cancel(new CallerGone());
    const error = await work;
    expect(error.cause).toBeInstanceOf(CallerGone);
    expect(error.trail.attempts.map(({ outcome }) => outcome)).toEqual(["caller_gone"]);
  });

  test("a caller who left before anything began costs no attempt", async () => {
    caller.cancel(new CallerGone());
    const error = await failureOf(router().run(pool(endpoint("a")), () => Promise.resolve(1), options()));
    expect(error.trail.attempts).toEqual([]);
    expect(error.cause).toBeInstanceOf(CallerGone);
  });

  test("nothing is left behind, however it ended: no timer, and nobody who listens for the caller", async () => {
    let listening = 0;
    const counted: Cancellation = {
      cancelled: false,
      reason: undefined,
      onCancel() {
        let mine = 1;
        listening += mine;
        return () => {
          listening -= mine;
          mine = 0;
        };
      },
    };
    const watched = options({ cancellation: counted });
    await router().run(pool(endpoint("a")), () => Promise.resolve(1), watched);
    await failureOf(router().run(pool(endpoint("a")), () => Promise.reject(new Failure({ repeat: "never" })), watched));
    const { lease } = await router().open(pool(endpoint("a")), () => Promise.resolve(1), watched);
    expect(listening).toBe(1);
    lease.settle({ ok: true });
    expect(listening).toBe(0);
    expect(clock.pending).toBe(0);
  });
});

describe("a stream", () => {
  const open = (attempt: (lease: Lease) => Promise<unknown> = () => Promise.resolve("first")) =>
    router().open(pool(endpoint("a"), endpoint("b")), attempt, options());

  test("is the owner's from its first content on: no time limit of the router touches it any more", async () => {
    const { lease, trail } = await open(async () => {
      await new Promise<void>((resolve) => {
        clock.schedule(700, resolve);
        void clock.advance(700);
      });
    });
    await clock.advance(1_000_000);
    expect(lease.cancellation.cancelled).toBe(false);
    expect(trail.attempts[0]).toMatchObject({ firstContentMs: 700 });
    expect(trail.attempts[0]?.outcome).toBeUndefined();
    lease.settle({ ok: true });
    expect(trail.attempts[0]).toMatchObject({ outcome: "ok", durationMs: 1_000_700 });
  });

  test("still hears its caller leave", async () => {
    const { lease } = await open();
    caller.cancel(new CallerGone());
    expect(lease.cancellation.reason).toBeInstanceOf(CallerGone);
  });

  test("that breaks after its first content marks the trail as partial", async () => {
    const { lease, trail } = await open();
    lease.settle({ ok: false, error: new Failure() });
    expect(trail.partial).toBe(true);
    expect(trail.attempts[0]?.outcome).toBe("transient_fault");
  });

  test("that fails before its first content hops on", async () => {
    const { lease, trail } = await open((each) =>
      each.attempt === 1 ? Promise.reject(new Failure()) : Promise.resolve("first"),
    );
    expect(lease.endpoint.provider).toBe("b");
    expect(trail.partial).toBe(false);
  });

  test("can be settled once only", async () => {
    const { lease } = await open();
    lease.settle({ ok: true });
    expect(() => lease.settle({ ok: true })).toThrow(/settled twice/);
  });
});

test("a key whose first request after its rest said nothing about it is tried again at once, also where time passes between two looks", async () => {
  // On the machine's clock no two looks are the same.
  const virtual = createVirtualClock();
  let looks = 0;
  const clock = { ...virtual, now: () => virtual.now() + ++looks / 1000 };
  const router = createRouter({ clock, rng: seededRng(1) });
  const made = bench();
  const sole = pool(endpoint("a", { keys: keys("k1") }));
  const options = () => made.options({ deadline: clock.now() + 60_000, maxAttempts: 1 });
  const failing = (how: () => Error) => async () => {
    throw how();
  };
  await expect(
    router.run(
      sole,
      failing(() => failures.rateLimited(1000)),
      options(),
    ),
  ).rejects.toThrow();
  await virtual.advance(1100);
  await expect(
    router.run(
      sole,
      failing(() => failures.serverError()),
      options(),
    ),
  ).rejects.toThrow();
  expect(
    router.state.hindrance(endpoint("a", { keys: sole.tiers[0]?.members[0]?.keys ?? [] }), clock.now()),
  ).toBeUndefined();
});
