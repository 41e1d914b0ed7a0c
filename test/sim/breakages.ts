import { Breaker, type Permit } from "../../src/routing/breaker.ts";
import type { Endpoint } from "../../src/routing/endpoint.ts";
import { FairQueue } from "../../src/routing/fair-queue.ts";
import { Hedging } from "../../src/routing/hedging.ts";
import { KeyRing } from "../../src/routing/key-ring.ts";
import { Plan } from "../../src/routing/plan.ts";
import { RetryBudget } from "../../src/routing/retry-budget.ts";
import { RouteError, type Router } from "../../src/routing/router.ts";
import { EndpointState, EngineState, type ProviderState } from "../../src/routing/state.ts";
import { WeightedPicker } from "../../src/routing/strategy/weighted.ts";
import { TokenBucket } from "../../src/routing/token-bucket.ts";
import { Trip } from "../../src/routing/trip.ts";
import { WaitingLines } from "../../src/routing/waiting-line.ts";
import { createCancellation } from "../../src/runtime/cancellation.ts";
import type { Tampering } from "../../src/simulation/swarm/machine.ts";
import { determinism, wallClockIdle } from "../../src/simulation/swarm/swarm.ts";
import { trail } from "../support/routing.ts";

/** An engine with a fault of its own, and what must notice it. */
export interface Breakage {
  /** What is broken, in words. */
  readonly what: string;
  /** The invariant that must notice. */
  readonly invariant: string;
  /** Between the engine and the world. */
  readonly tampering?: Tampering;
  /** Breaks a part for all engines. @returns how to mend it */
  readonly patch?: () => () => void;
  /** Whether it does harm of several kinds by its nature; else nothing but that invariant may notice. */
  readonly broad?: boolean;
  /** Whether it shows only between two runs. */
  readonly twice?: boolean;
  /** So many seeds must be enough; 100 unless it takes a rare case. */
  readonly seeds?: number;
}

// A broken part lies about what it is, and generic calls are handed on as they are: that is what `as never` stands for in this file.

/** Replaces a method of a class. @returns how to put the old one back */
function replaced<T extends object, Name extends keyof T>(
  where: T,
  name: Name,
  make: (old: T[Name]) => T[Name],
): () => void {
  const old = where[name];
  where[name] = make(old);
  return () => {
    where[name] = old;
  };
}

/** Something that is true every so many times. */
function every(times: number): () => boolean {
  let count = 0;
  return () => ++count % times === 0;
}

/** A router whose calls go through something first. */
function through(change: (router: Router) => Pick<Router, "run" | "open">): Tampering {
  return { router: (router) => ({ ...router, ...change(router) }) };
}

/** Changes the options of every request. */
function withOptions(change: <O extends Parameters<Router["run"]>[2]>(options: O) => O): Tampering {
  return through((router) => ({
    run: (pool, attempt, options) => router.run(pool, attempt, change(options as never) as never),
    open: (pool, attempt, options) => router.open(pool, attempt, change(options as never) as never),
  }));
}

const never = new Promise<never>(() => {});

/** What the swarm must see. */
export const breakages: readonly Breakage[] = [
  {
    what: "a request in fifty is never answered",
    broad: true,
    invariant: "every request ends exactly once",
    tampering: {
      router(router) {
        const lost = every(50);
        return { ...router, run: async (...args) => (lost() ? never : router.run(...args)) };
      },
    },
  },
  {
    what: "the engine keeps to deadlines that are half a minute later",
    broad: true,
    invariant: "nothing outlives its deadline",
    tampering: withOptions((options) => ({ ...options, deadline: options.deadline + 30_000 })),
  },
  {
    what: "timers that are called off stay",
    invariant: "no timer or listener outlives its request",
    tampering: {
      clock: (clock) => ({
        ...clock,
        now: () => clock.now(),
        schedule(delayMs, callback) {
          let off = false;
          clock.schedule(delayMs, () => {
            if (!off) callback();
          });
          return () => {
            off = true;
          };
        },
      }),
    },
  },
  {
    what: "a request sees every change of the configuration",
    invariant: "a request sees one snapshot",
    tampering: {
      router(router, world) {
        const last = world.snapshots.at(-1);
        return {
          ...router,
          run: (pool, ...rest) => router.run(pool.model === "think" ? (last as never) : pool, ...rest),
        };
      },
    },
  },
  {
    what: "the cap on attempts is two higher",
    invariant: "attempts stay within their cap",
    tampering: { settings: (settings) => ({ ...settings, maxAttempts: settings.maxAttempts + 2 }) },
  },
  {
    what: "an open breaker lets every last resort through",
    invariant: "an outage is not multiplied",
    patch: () =>
      replaced(
        Breaker.prototype,
        "lastResort",
        (old) =>
          function (this: Breaker, now) {
            return old.call(this, now) ?? old.call(this, now + 5000);
          },
      ),
  },
  {
    what: "keys are gone through without end",
    invariant: "further keys and exact repeats stay within their bounds",
    tampering: { settings: (settings) => ({ ...settings, keyRotations: { rate: 64, auth: 64 } }) },
  },
  {
    what: "whatever failed is repeated at once",
    invariant: "no endpoint is asked twice at once",
    patch: () => {
      let count = 0;
      return replaced(
        Plan.prototype,
        "failed",
        (old) =>
          function (this: Plan<never>, grant, verdict) {
            const again =
              verdict.next === "other"
                ? ({ ...verdict, next: "same", class: `${verdict.class} ${count++}` } as never)
                : verdict;
            old.call(this, grant, again);
          },
      );
    },
  },
  {
    what: "the engine does not hear that a caller has left",
    invariant: "no attempt begins too late",
    tampering: withOptions((options) => ({ ...options, cancellation: createCancellation() })),
  },
  {
    what: "a stream that breaks goes on a second time",
    broad: true,
    invariant: "after its first content a request goes on once at most",
    tampering: through((router) => ({
      run: router.run,
      async open(pool, attempt, options) {
        const opened = await router.open(pool, attempt, options);
        return {
          ...opened,
          async recover(error, again, deadline) {
            const next = await opened.recover(error, again, deadline);
            if (next)
              void router.open(pool, again, options).then(
                ({ lease }) => lease.settle({ ok: true }),
                () => {},
              );
            return next;
          },
        };
      },
    })),
  },
  {
    what: "what providers ask for is not heard",
    invariant: "what a provider asks for is waited for",
    tampering: withOptions((options) => ({
      ...options,
      classify(error: unknown) {
        const { retryAfterMs: _, ...verdict } = options.classify(error);
        return verdict;
      },
    })),
  },
  {
    what: "limits are waited for ten times as long",
    invariant: "patience has its bounds",
    tampering: { settings: (settings) => ({ ...settings, lastPatienceMs: settings.lastPatienceMs * 10 }) },
  },
  {
    what: "backoff begins with ten seconds",
    invariant: "backoff has its bounds",
    tampering: { settings: (settings) => ({ ...settings, backoff: { baseMs: 10_000, maxMs: 30_000 } }) },
  },
  {
    what: "everybody stands in line for as long as the deadline lets it",
    invariant: "nobody stands in line for too long",
    patch: () =>
      replaced(
        WaitingLines.prototype,
        "wait",
        (old) =>
          function (this: WaitingLines<never>, where, attempt, maxWaitMs, ...rest) {
            return old.call(this, where, attempt, maxWaitMs * 20, ...rest);
          },
      ),
  },
  {
    what: "who comes does not see the line",
    invariant: "nobody overtakes those in line, and lines are bounded",
    patch: () =>
      replaced(WaitingLines.prototype, "roomMade", (old) => {
        const hears = every(3);
        return function (this: WaitingLines<never>) {
          if (hears()) old.call(this);
        };
      }),
  },
  {
    what: "the last in line comes first",
    invariant: "nobody overtakes those in line, and lines are bounded",
    patch: lastComesFirst,
  },
  {
    what: "lines have no bound",
    invariant: "nobody overtakes those in line, and lines are bounded",
    tampering: { settings: (settings) => ({ ...settings, queue: { ...settings.queue, bound: 1000 } }) },
  },
  {
    what: "a free endpoint is now and then said to be full",
    invariant: "the best tier comes first",
    patch: () =>
      replaced(EngineState.prototype, "hindrance", (old) => {
        const lies = every(20);
        return function (this: EngineState, ...args) {
          return old.apply(this, args) ?? (lies() ? { reason: "concurrency" } : undefined);
        };
      }),
  },
  {
    what: "breakers are not asked",
    broad: true,
    invariant: "who is chosen may be asked",
    patch: () => replaced(EngineState.prototype, "barred", () => () => undefined),
  },
  {
    what: "an operator's hand is not felt",
    invariant: "who is chosen may be asked",
    patch: () => replaced(EndpointState.prototype, "off", () => () => undefined),
  },
  {
    what: "the first in a tier is always first",
    invariant: "everybody gets its share",
    patch: () =>
      replaced(
        WeightedPicker.prototype,
        "pick",
        (old) =>
          function (this: WeightedPicker<Endpoint>, offer) {
            const members: Endpoint[] = [];
            old.call(this, (member) => {
              members.push(member);
              return "passed";
            });
            members.sort((a, b) => a.id.localeCompare(b.id));
            return members.find((member) => offer(member) === "taken");
          },
      ),
  },
  {
    what: "who has failed once gives up",
    invariant: "no request fails that could have been served",
    patch: () =>
      replaced(
        Plan.prototype,
        "next",
        (old) =>
          function (this: Plan<never>) {
            return this.begun ? { kind: "give_up" } : old.call(this);
          },
      ),
  },
  {
    what: "a health check closes a breaker",
    broad: true,
    invariant: "breakers move only where they may",
    patch: () =>
      replaced(
        Breaker.prototype,
        "checkSucceeded",
        () =>
          function (this: Breaker, now) {
            this.reset(now);
          },
      ),
  },
  {
    what: "a half open breaker lets everybody through",
    broad: true,
    invariant: "one probe at a time",
    patch: () =>
      replaced(
        Breaker.prototype,
        "barred",
        (old) =>
          function (this: Breaker, ...args) {
            const barred = old.apply(this, args);
            return this.state === "half_open" ? undefined : barred;
          },
      ),
  },
  {
    what: "a permit in thirty is not given back",
    broad: true,
    invariant: "every permit is given back once",
    tampering: {
      engine(router, sites) {
        const loses = every(30);
        for (const site of sites) {
          const { breaker } = router.state.endpoint(site);
          replaced(breaker, "settle", (old) => (...args) => {
            if (!loses()) old(...args);
          });
        }
      },
    },
  },
  {
    what: "a breaker opens one failure too late",
    broad: true,
    invariant: "breakers move exactly when they must",
    patch: () =>
      replaced(Trip.prototype, "tripped", (old) => {
        const late = new WeakSet<Trip>();
        return function (this: Trip, now) {
          if (!old.call(this, now)) return false;
          if (late.has(this)) return true;
          late.add(this);
          return false;
        };
      }),
  },
  {
    what: "an open breaker stays open for three times as long",
    invariant: "breakers stay open for as long as they should",
    tampering: {
      settings: (settings) => ({
        ...settings,
        breaker: { ...settings.breaker, openMs: settings.breaker.openMs * 3, quickCapMs: 30_000 },
      }),
    },
  },
  {
    what: "results of an earlier state of a breaker count",
    broad: true,
    invariant: "late results change no breaker",
    patch: () => {
      const last = new WeakMap<Breaker, Permit>();
      const mends = [
        replaced(
          Breaker.prototype,
          "acquire",
          (old) =>
            function (this: Breaker, ...args) {
              const permit = old.apply(this, args);
              last.set(this, permit);
              return permit;
            },
        ),
        replaced(
          Breaker.prototype,
          "settle",
          (old) =>
            function (this: Breaker, permit, ...how) {
              const generation = last.get(this)?.generation ?? permit.generation;
              old.call(this, { ...permit, generation: Math.max(generation, permit.generation) }, ...how);
            },
        ),
      ];
      return () => mends.forEach((mend) => void mend());
    },
  },
  {
    what: "what says nothing counts as a failure",
    broad: true,
    invariant: "neutral results change no breaker",
    patch: () =>
      replaced(
        Breaker.prototype,
        "settle",
        (old) =>
          function (this: Breaker, permit, now, result, slow) {
            old.call(this, permit, now, result === "neutral" ? "failure" : result, slow);
          },
      ),
  },
  {
    what: "limits are held against their endpoint",
    invariant: "no breaker hears of what is not its endpoint's fault",
    tampering: withOptions((options) => ({
      ...options,
      classify(error: unknown) {
        const verdict = options.classify(error);
        return verdict.class === "rate_limited" ? { ...verdict, blame: "endpoint" as const } : verdict;
      },
    })),
  },
  {
    what: "timeouts are nobody's fault",
    invariant: "breakers hear what their endpoints did",
    tampering: withOptions((options) => ({
      ...options,
      classify(error: unknown) {
        const verdict = options.classify(error);
        return verdict.slow ? { ...verdict, blame: "nobody" as const } : verdict;
      },
    })),
  },
  {
    what: "a failure is held against a neighbour as well",
    broad: true,
    invariant: "a result changes only what it is about",
    patch: () => {
      const all: Breaker[] = [];
      const mends = [
        replaced(
          Breaker.prototype,
          "acquire",
          (old) =>
            function (this: Breaker, ...args) {
              if (!all.includes(this)) all.push(this);
              return old.apply(this, args);
            },
        ),
        replaced(
          Breaker.prototype,
          "settle",
          (old) =>
            function (this: Breaker, permit, now, result, slow) {
              old.call(this, permit, now, result, slow);
              if (result === "failure")
                for (const other of all) if (other !== this) Breaker.prototype.brokeOff.call(other, now, false);
            },
        ),
      ];
      return () => mends.forEach((mend) => void mend());
    },
  },
  {
    what: "a refused key takes another with it",
    broad: true,
    invariant: "a result changes only what it is about",
    patch: () =>
      replaced(
        KeyRing.prototype,
        "refused",
        (old) =>
          function (this: KeyRing, slot, startedAt, now) {
            old.call(this, slot, startedAt, now);
            const other = this.pick(now, "nowhere");
            if (other) old.call(this, other, startedAt, now);
          },
      ),
  },
  {
    what: "limits of keys are forgotten",
    invariant: "keys that rest are not used",
    patch: () => replaced(KeyRing.prototype, "rateLimited", () => () => {}),
  },
  {
    what: "refused keys are used on",
    invariant: "keys that rest are not used",
    patch: () => replaced(KeyRing.prototype, "refused", () => () => {}),
  },
  {
    what: "keys of another provider are sent",
    broad: true,
    invariant: "a key goes to its own provider only",
    patch: () =>
      replaced(EngineState.prototype, "provider", (old) => {
        const first = new WeakMap<EngineState, ProviderState>();
        return function (this: EngineState, endpoint) {
          const own = old.call(this, endpoint);
          const other = first.get(this) ?? own;
          first.set(this, other);
          return other;
        };
      }),
  },
  {
    what: "a bucket gives a token too much",
    invariant: "rates hold in every window",
    patch: () =>
      replaced(
        TokenBucket.prototype,
        "availableAt",
        (old) =>
          function (this: TokenBucket, now) {
            return old.call(this, now) - 400;
          },
      ),
  },
  {
    what: "a limit that somebody changes begins with a full bucket",
    invariant: "rates hold in every window",
    patch: () => replaced(TokenBucket.prototype, "changedTo", () => (rate) => new TokenBucket(rate)),
    seeds: 600,
  },
  {
    what: "there is a place more than there is",
    invariant: "places hold",
    patch: () =>
      replaced(
        EngineState.prototype,
        "fullness",
        (old) =>
          function (this: EngineState, endpoint, now) {
            const full = old.call(this, endpoint, now);
            return full?.reason === "concurrency" ? undefined : full;
          },
      ),
  },
  {
    what: "a call in fifty is not counted off",
    broad: true,
    invariant: "what is in flight is what is counted",
    patch: () =>
      replaced(EngineState.prototype, "end", (old) => {
        const forgets = every(50);
        return function (this: EngineState, ...args) {
          if (!forgets()) old.apply(this, args);
        };
      }),
  },
  {
    what: "repeats cost nothing",
    invariant: "repeats stay within their budget",
    patch: () => replaced(RetryBudget.prototype, "allows", () => () => true),
    seeds: 600,
  },
  {
    what: "a caller hears another attempt than the one that is leased",
    invariant: "an answer comes from one attempt, or from two joined",
    tampering: {
      router(router) {
        let last: unknown;
        return {
          ...router,
          async open(...args) {
            const opened = await router.open(...args);
            const value = last === undefined ? opened.value : (last as typeof opened.value);
            last = opened.value;
            return { ...opened, value };
          },
        };
      },
    },
  },
  {
    what: "a stream that broke is not marked",
    invariant: "an answer is whole, or marked as broken",
    tampering: through((router) => ({
      run: router.run,
      async open(pool, attempt, options) {
        const opened = await router.open(pool, attempt, options);
        const trail = new Proxy(opened.trail, {
          get: (target, name) => (name === "partial" ? false : Reflect.get(target, name)),
        });
        return { ...opened, trail };
      },
    })),
  },
  {
    what: "hedges are not counted",
    invariant: "hedges are few and late",
    patch: () => replaced(Hedging.prototype, "spend", () => () => {}),
  },
  {
    what: "a breaker never has enough of successes",
    broad: true,
    invariant: "breakers close when their endpoints serve",
    tampering: {
      settings: (settings) => ({
        ...settings,
        breaker: { ...settings.breaker, successesToClose: Number.POSITIVE_INFINITY },
      }),
    },
  },
  {
    what: "an attempt is given up without a word",
    broad: true,
    invariant: "no attempt outlives its request",
    tampering: {
      router(router) {
        const leaves = every(20);
        return {
          ...router,
          async run(...args) {
            if (!leaves()) return router.run(...args);
            const work = router.run(...args);
            work.catch(() => {});
            throw new RouteError(trail("think", args[2].traceId), undefined, undefined);
          },
        };
      },
    },
  },
  {
    what: "the slower of two goes on",
    broad: true,
    invariant: "the slower of two is given up at once",
    tampering: {
      router(router) {
        return {
          ...router,
          async open(pool, attempt, options) {
            const [one] = await Promise.all([
              router.open(pool, attempt, options),
              router.open(pool, attempt, options).then(({ lease }) => lease.settle({ ok: true })),
            ]);
            return one;
          },
        };
      },
    },
  },
  {
    what: "an endpoint that has failed once stays out of the way",
    broad: true,
    invariant: "traffic returns to the best tier",
    patch: () =>
      replaced(
        EndpointState.prototype,
        "share",
        (old) =>
          function (this: EndpointState, now) {
            return this.breaker.closedAt === undefined ? old.call(this, now) : 0.01;
          },
      ),
  },
  {
    what: "a key that was refused is never tried again",
    invariant: "keys return when their time is over",
    patch: () =>
      replaced(
        KeyRing.prototype,
        "refused",
        (old) =>
          function (this: KeyRing, slot, startedAt, now) {
            for (let times = 0; times < 60; times++) old.call(this, slot, startedAt + times * 1e9, now + times * 1e9);
          },
      ),
  },
  {
    what: "chance comes from elsewhere",
    invariant: determinism,
    twice: true,
    tampering: {
      rng: (rng) => ({ next: () => (Math.random() < 0.01 ? Math.random() : rng.next()) }),
    },
  },
  {
    what: "chance hangs on what the wall shows",
    invariant: wallClockIdle,
    twice: true,
    tampering: {
      rng: (rng, clock) => ({ next: () => (rng.next() + (clock.wallTime() - clock.now()) / 1e15) % 1 }),
    },
  },
];

/** A queue that is a pile. */
function lastComesFirst(): () => void {
  const piles = new WeakMap<object, { item: unknown; gone: boolean }[]>();
  const pileOf = (queue: object) => {
    const pile = (piles.get(queue) ?? []).filter(({ gone }) => !gone);
    piles.set(queue, pile);
    return pile;
  };
  const { prototype } = FairQueue;
  const size = Object.getOwnPropertyDescriptor(prototype, "size");
  Object.defineProperty(prototype, "size", {
    configurable: true,
    get: function (this: object) {
      return pileOf(this).length;
    },
  });
  const mends = [
    replaced(
      prototype,
      "push",
      () =>
        function (this: object, _, item) {
          const entry = { item, gone: false };
          pileOf(this).push(entry);
          return () => {
            entry.gone = true;
          };
        },
    ),
    replaced(
      prototype,
      "peek",
      () =>
        function (this: object) {
          return pileOf(this).at(-1)?.item as never;
        },
    ),
    replaced(
      prototype,
      "shift",
      () =>
        function (this: object) {
          return pileOf(this).pop()?.item as never;
        },
    ),
  ];
  return () => {
    for (const mend of mends) mend();
    if (size) Object.defineProperty(prototype, "size", size);
  };
}
