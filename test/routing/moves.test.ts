import { describe, expect, test } from "vitest";
import type { Endpoint } from "../../src/routing/endpoint.ts";
import type { Lease } from "../../src/routing/lease.ts";
import { createPool } from "../../src/routing/pool.ts";
import {
  bench,
  endpoint,
  Failure,
  failureOf,
  failures,
  keys,
  pass,
  sharingPool,
  told,
  toldSkips,
} from "../support/routing.ts";

type Answer = (lease: Lease) => Error | undefined;

/** Attempts that fail at some endpoints, by provider, in turn; beyond what is listed they succeed. */
function scripted(script: Record<string, (() => Error) | readonly (() => Error)[]>) {
  const counts = new Map<string, number>();
  const answer: Answer = ({ endpoint: { provider } }) => {
    const turn = counts.get(provider) ?? 0;
    counts.set(provider, turn + 1);
    const failing = script[provider];
    return typeof failing === "function" ? failing() : failing?.[turn]?.();
  };
  return (lease: Lease) => {
    const error = answer(lease);
    return error ? Promise.reject(error) : Promise.resolve(lease.endpoint.provider);
  };
}

const tiers = (...names: [string, number][]) =>
  sharingPool(names.map(([name, tier]) => endpoint(name, { tier, keys: keys(`${name}1`, `${name}2`) })));

async function way(
  script: Parameters<typeof scripted>[0],
  pool = tiers(["a", 1], ["b", 1], ["c", 2]),
  { settings = {}, options = {}, seed = 1 }: { settings?: object; options?: object; seed?: number } = {},
) {
  const made = bench(settings, seed);
  const work = made.router.run(pool, scripted(script), made.options(options));
  const outcome = await pass(made.clock, work).then(
    ({ trail }) => ({ trail, error: undefined }),
    (error: Awaited<ReturnType<typeof failureOf>>) => ({ trail: error.trail, error }),
  );
  return { ...made, ...outcome, way: told(outcome.trail), skips: toldSkips(outcome.trail) };
}

/** Without the names of keys. */
const providers = (hops: readonly string[]) => hops.map((hop) => hop.replace(/\/m(#\w+)? /, " "));

describe("after a failure a request tries, in this order,", () => {
  test("another key of the same endpoint, when the key was to blame", async () => {
    for (const fails of [failures.badKey, failures.noQuota, failures.rateLimited]) {
      const { way: hops } = await way({ a: [fails], b: [fails] }, tiers(["a", 1], ["c", 2]));
      expect(providers(hops)).toEqual([`a ${fails().verdict.class}`, "a ok"]);
      expect(new Set(hops.map((hop) => hop.split(" ")[0])).size).toBe(2);
    }
  });

  test("an equal of its tier at once, before it waits for anything", async () => {
    const { way: hops, clock } = await way({ a: failures.serverError }, tiers(["a", 1], ["b", 1], ["c", 2]));
    expect(hops.at(-1)).toMatch(/^b/);
    expect(clock.now()).toBeLessThanOrEqual(100);
  });

  test("one repeat of the endpoint before a worse tier, after a backoff, when the provider had answered that it failed", async () => {
    const { way: hops, trail } = await way({ a: [failures.serverError] }, tiers(["a", 1], ["c", 2]));
    expect(providers(hops)).toEqual(["a transient_fault", "a ok"]);
    expect(trail.attempts[1]).toMatchObject({ waitReason: "backoff" });
    expect(trail.attempts[1]?.waitMs).toBeLessThanOrEqual(250);
  });

  test("the worse tier, when the repeat failed too; it is repeated once only", async () => {
    const { way: hops } = await way({ a: failures.overloaded }, tiers(["a", 1], ["c", 2]));
    expect(providers(hops)).toEqual(["a overloaded", "a overloaded", "c ok"]);
  });

  test("the worse tier at once, when the connection was refused, the answer was cut or nothing came in time", async () => {
    const { way: hops, clock } = await way({ a: failures.refusedConnection }, tiers(["a", 1], ["c", 2]));
    expect(providers(hops)).toEqual(["a transient_fault", "c ok"]);
    expect(clock.now()).toBeLessThanOrEqual(100);
  });

  test("the worse tier at once, when its keys are limited and no patience is set", async () => {
    const { way: hops } = await way({ a: () => failures.rateLimited(400) }, tiers(["a", 1], ["c", 2]));
    expect(providers(hops)).toEqual(["a rate_limited", "a rate_limited", "c ok"]);
  });

  test("the limited endpoint again before a worse tier, when patience is set and suffices", async () => {
    const limited = [() => failures.rateLimited(400), () => failures.rateLimited(400)];
    const { way: hops } = await way({ a: limited }, tiers(["a", 1], ["c", 2]), { settings: { patienceMs: 1000 } });
    expect(providers(hops)).toEqual(["a rate_limited", "a rate_limited", "a ok"]);
  });

  test("the limited endpoint, too, when it comes while that rests and patience suffices; at once the worse tier without", async () => {
    for (const [patienceMs, expected] of [
      [3000, "a ok"],
      [0, "c ok"],
    ] as const) {
      const made = bench({ patienceMs });
      const two = tiers(["a", 1], ["c", 2]);
      const attempt = scripted({ a: [() => failures.rateLimited(1000), () => failures.rateLimited(1000)] });
      void pass(made.clock, made.router.run(two, attempt, made.options({ maxAttempts: 1 }))).catch(() => {});
      await made.clock.advance(100);
      const { trail } = await pass(made.clock, made.router.run(two, attempt, made.options()));
      expect(providers(told(trail))).toEqual([expected]);
    }
  });

  test("the best endpoint again, when nothing else is left, with growing waits up to the cap", async () => {
    const { way: hops, trail, error } = await way({ a: failures.serverError }, sharingPool([endpoint("a")]));
    expect(hops).toEqual(Array(4).fill("a/m transient_fault"));
    const waits = trail.attempts.slice(1).map(({ waitMs = 0 }) => waitMs);
    for (const [index, ms] of waits.entries()) expect(ms).toBeLessThanOrEqual(250 * 2 ** index);
    expect(error?.capped).toBe(true);
  });

  test("a sole endpoint that refused the connection again, too: never worse than asking the provider oneself", async () => {
    const { way: hops } = await way({ a: [failures.refusedConnection] }, sharingPool([endpoint("a")]));
    expect(hops).toEqual(["a/m transient_fault", "a/m ok"]);
  });

  test("a limited sole endpoint when its time has come, no sooner than it asked for, and not all at the same moment", async () => {
    const waits: number[] = [];
    for (let seed = 1; seed <= 50; seed++) {
      const { trail } = await way({ a: [() => failures.rateLimited(2000)] }, sharingPool([endpoint("a")]), { seed });
      waits.push(trail.attempts[1]?.waitMs ?? 0);
    }
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(2000);
    expect(Math.max(...waits)).toBeLessThanOrEqual(3000);
    expect(Math.max(...waits) - Math.min(...waits)).toBeGreaterThan(700);
  });

  test("nothing, when the provider asks for more patience than there is: the caller is told how long it would take", async () => {
    const {
      way: hops,
      error,
      clock,
    } = await way({ a: () => failures.rateLimited(20_000) }, sharingPool([endpoint("a")]));
    expect(hops).toEqual(["a/m rate_limited"]);
    expect(clock.now()).toBeLessThanOrEqual(100);
    expect(error?.retryAfterMs).toBeGreaterThan(19_000);
    expect(error?.retryAfterMs).toBeLessThanOrEqual(20_000);
  });
});

describe("a refusal", () => {
  test("of the request itself ends it without a second attempt", async () => {
    const { way: hops } = await way({ a: failures.refused, b: failures.refused });
    expect(hops).toHaveLength(1);
  });

  test("of the model puts the endpoint out for five minutes and moves on", async () => {
    const made = bench();
    const two = sharingPool([endpoint("a", { tier: 1 }), endpoint("b", { tier: 2 })]);
    const attempt = scripted({ a: [failures.noModel] });
    expect(told((await made.router.run(two, attempt, made.options())).trail)).toEqual([
      "a/m model_unavailable",
      "b/m ok",
    ]);
    const second = (await made.router.run(two, attempt, made.options())).trail;
    expect([told(second), toldSkips(second)]).toEqual([["b/m ok"], ["a/m model_off"]]);
    await made.clock.advance(5 * 60_000);
    expect(told((await made.router.run(two, attempt, made.options())).trail)).toEqual(["a/m ok"]);
  });

  test("of the path puts the endpoint out until a check finds it right, and at the latest it is asked again by itself", async () => {
    const made = bench();
    const a = endpoint("a", { tier: 1 });
    const two = sharingPool([a, endpoint("b", { tier: 2 })]);
    const attempt = scripted({ a: [failures.wrongPath, failures.wrongPath] });
    const next = async () => told((await made.router.run(two, attempt, made.options())).trail);
    expect(await next()).toEqual(["a/m misconfigured", "b/m ok"]);
    expect(await next()).toEqual(["b/m ok"]);
    made.router.state.endpoint(a).checkSucceeded(made.clock.now());
    expect(await next()).toEqual(["a/m misconfigured", "b/m ok"]);
    await made.clock.advance(60_000);
    expect(await next()).toEqual(["b/m ok"]);
    await made.clock.advance(60_000);
    expect(await next()).toEqual(["a/m ok"]);
  });

  test("of something that we added is repeated once at the same endpoint with the same key, uncounted", async () => {
    const { way: hops } = await way({ a: [failures.additionRefused] }, tiers(["a", 1]), {
      options: { maxAttempts: 1 },
    });
    expect(providers(hops)).toEqual(["a request_refused", "a ok"]);
    expect(new Set(hops.map((hop) => hop.split(" ")[0])).size).toBe(1);
  });

  test("of the same thing without the addition is the caller's", async () => {
    const { way: hops, error } = await way(
      { a: [failures.additionRefused, failures.refused] },
      tiers(["a", 1], ["c", 2]),
    );
    expect(providers(hops)).toEqual(["a request_refused", "a request_refused"]);
    expect(error?.verdict?.next).toBe("stop");
  });
});

describe("a request that cannot have reached its provider", () => {
  test("is sent once more at once, uncounted, and then elsewhere", async () => {
    const { way: hops, clock } = await way({ a: failures.notSent }, tiers(["a", 1], ["c", 2]), {
      options: { maxAttempts: 2 },
    });
    expect(providers(hops)).toEqual(["a not_sent", "a not_sent", "c ok"]);
    expect(clock.now()).toBeLessThanOrEqual(100);
  });

  test("gives its place under a rate limit back", async () => {
    const made = bench();
    const a = endpoint("a", { use: { maxRps: 1 } });
    await made.router.run(sharingPool([a]), scripted({ a: [failures.notSent] }), made.options());
    expect(made.router.state.endpoint(a).usage.bucket?.remaining(made.clock.now())).toBe(0);
    await made.clock.advance(1000);
    expect(made.router.state.endpoint(a).usage.bucket?.remaining(made.clock.now())).toBe(1);
  });
});

describe("a prompt that is too long for an endpoint", () => {
  const windows = (overflow: "larger" | "next" | "stop") =>
    createPool<Endpoint>({
      model: "think",
      endpoints: [
        endpoint("a", { tier: 1, contextWindow: 8000 }),
        endpoint("same", { tier: 2, contextWindow: 8000 }),
        endpoint("large", { tier: 3, contextWindow: 128_000 }),
      ],
      onContextOverflow: overflow,
    });

  test("goes to one that declares a larger window, past those that do not", async () => {
    const { way: hops, skips } = await way({ a: failures.tooLong, same: failures.tooLong }, windows("larger"));
    expect(hops).toEqual(["a/m request_refused", "large/m ok"]);
    expect(skips).toEqual(["same/m context_window"]);
  });

  test("goes to the next one, or to none, where that is set", async () => {
    const next = await way({ a: failures.tooLong, same: failures.tooLong }, windows("next"));
    expect(next.way).toEqual(["a/m request_refused", "same/m request_refused", "large/m ok"]);
    const stop = await way({ a: failures.tooLong }, windows("stop"));
    expect(stop.way).toEqual(["a/m request_refused"]);
  });

  test("never comes back to the same one, and the refusal is what the caller is told", async () => {
    const { way: hops, error } = await way(
      { a: failures.tooLong, b: failures.serverError },
      sharingPool([endpoint("a", { contextWindow: 8 }), endpoint("b", { tier: 2, contextWindow: 9 })]),
    );
    expect(hops.filter((hop) => hop.startsWith("a"))).toHaveLength(1);
    expect(error?.verdict?.class).toBe("request_refused");
  });
});

describe("the cap", () => {
  test("holds over endpoints and repeats together", async () => {
    const all = [1, 2, 3, 4, 5, 6].map((number) => endpoint(`p${number}`));
    const { way: hops, skips } = await way(
      Object.fromEntries(all.map(({ provider }) => [provider, failures.serverError])),
      sharingPool(all),
    );
    expect(hops).toHaveLength(4);
    expect(skips).toHaveLength(2);
    expect(new Set(skips.map((skip) => skip.split(" ")[1]))).toEqual(new Set(["attempt_cap"]));
  });

  test("is lowered by the caller and never raised", async () => {
    const failing = { a: failures.serverError, b: failures.serverError, c: failures.serverError };
    expect((await way(failing, undefined, { options: { maxAttempts: 1 } })).way).toHaveLength(1);
    expect((await way(failing, undefined, { options: { maxAttempts: 99 } })).way).toHaveLength(4);
  });

  test("reaches every target of an ordered pool, ten at most", async () => {
    const names = Array.from({ length: 12 }, (_, index) => `p${index}`);
    const failing = Object.fromEntries(names.map((name) => [name, failures.refusedConnection]));
    const ordered = (count: number) =>
      createPool({
        model: "think",
        strategy: "ordered",
        endpoints: names.slice(0, count).map((name) => endpoint(name)),
      });
    expect(providers((await way(failing, ordered(7))).way)).toEqual(
      names.slice(0, 7).map((name) => `${name} transient_fault`),
    );
    expect((await way(failing, ordered(12))).way).toHaveLength(10);
  });

  test("is never spent on a repeat that would cost an untried endpoint its chance", async () => {
    const four = tiers(["a", 1], ["b", 2], ["c", 3], ["d", 4]);
    const failing = { a: failures.serverError, b: failures.serverError, c: failures.serverError };
    expect(providers((await way(failing, four)).way)).toEqual([
      "a transient_fault",
      "b transient_fault",
      "c transient_fault",
      "d ok",
    ]);
  });

  test("does not count further keys", async () => {
    const five = keys("k1", "k2", "k3", "k4", "k5");
    const sole = sharingPool([endpoint("a", { keys: five })]);
    const { way: hops } = await way({ a: Array(4).fill(failures.badKey) }, sole, { options: { maxAttempts: 1 } });
    expect(providers(hops)).toEqual([...Array(4).fill("a key_refused"), "a ok"]);
  });
});

describe("failover that is switched off", () => {
  test("stays with the first endpoint, its keys and its repeats", async () => {
    const { way: hops } = await way({ a: failures.serverError }, tiers(["a", 1], ["c", 2]), {
      settings: { failover: false },
    });
    expect(providers(hops)).toEqual(Array(4).fill("a transient_fault"));
  });
});

describe("repeats of one endpoint", () => {
  test("are held to a fifth of its requests and three a second: an outage is not multiplied", async () => {
    const made = bench({ breaker: { enabled: false }, inFlight: { endpoint: 10_000, process: 10_000 } });
    const sole = sharingPool([endpoint("a")]);
    let attempts = 0;
    const attempt = () => {
      attempts += 1;
      return Promise.reject(failures.serverError());
    };
    const requests = 500;
    const work = Array.from({ length: requests }, () => failureOf(made.router.run(sole, attempt, made.options())));
    await made.clock.advance(9000);
    await Promise.all(work);
    expect(attempts - requests).toBeLessThanOrEqual(0.2 * requests + 30);
    expect(attempts - requests).toBeGreaterThan(100);
  });

  test("end at once, without another attempt, when the caller leaves during the wait", async () => {
    const made = bench();
    let attempts = 0;
    const attempt = () => {
      attempts += 1;
      return Promise.reject(failures.rateLimited(5000));
    };
    const work = failureOf(made.router.run(sharingPool([endpoint("a")]), attempt, made.options()));
    await made.clock.advance(100);
    made.caller.cancel(new Error("left"));
    const error = await work;
    expect(error.trail.attempts).toHaveLength(1);
    expect(made.clock.pending).toBe(0);
    await made.clock.advance(60_000);
    expect(attempts).toBe(1);
  });

  test("are not begun when the deadline leaves no room for them: the failure is told at once", async () => {
    const {
      error,
      clock,
      way: hops,
    } = await way({ a: () => failures.rateLimited(3000) }, sharingPool([endpoint("a")]), {
      options: { deadline: 2000 },
    });
    expect(hops).toHaveLength(1);
    expect(error?.verdict?.class).toBe("rate_limited");
    expect(clock.now()).toBeLessThanOrEqual(100);
  });
});

describe("the failure that is told when all have failed", () => {
  test.each([
    ["a refusal before a limit", [failures.tooLong, failures.rateLimited], "request_refused"],
    ["a limit before a fault", [failures.rateLimited, failures.serverError], "rate_limited"],
    ["an empty account before a fault", [failures.serverError, failures.noQuota], "quota_exhausted"],
    ["a fault before a bad key", [failures.serverError, failures.badKey], "transient_fault"],
  ] as const)("is %s", async (_, [first, second], expected) => {
    const two = sharingPool([endpoint("a", { tier: 1 }), endpoint("b", { tier: 2, contextWindow: 9 })]);
    const { error } = await way({ a: first, b: second }, two, { options: { deadline: 300 } });
    expect(error?.verdict?.class).toBe(expected);
  });
});

describe("an endpoint that was silent", () => {
  test("is not asked again in the same request while another is left", async () => {
    const made = bench();
    const asked: string[] = [];
    const attempt = (lease: Lease) => {
      asked.push(lease.endpoint.provider);
      return lease.endpoint.provider === "a"
        ? new Promise<never>(() => {})
        : Promise.reject(new Failure({ repeat: "soon" }));
    };
    const two = sharingPool([endpoint("a", { tier: 1 }), endpoint("b", { tier: 2 })]);
    const options = made.options({ deadline: 60_000 });
    const work = failureOf(made.router.open(two, attempt, options));
    await made.clock.advance(60_000);
    await work;
    expect(asked.slice(0, 2)).toEqual(["a", "b"]);
  });
});
