import { describe, expect, test } from "vitest";
import type { Endpoint } from "../../src/routing/endpoint.ts";
import type { Behaviour } from "../../src/simulation/behaviour.ts";
import type { Phase, ProfileEntry } from "../../src/simulation/scenario.ts";
import { createWeather, type IncomingCall } from "../../src/simulation/weather.ts";
import { phase, places } from "../support/rehearsal.ts";
import { endpoint, keys } from "../support/routing.ts";

const a = endpoint("a", { keys: keys("a1", "a2") });
const b = endpoint("b", { tier: 2 });
const all = [{ position: "all" }] as const;

function weather(
  phases: readonly Phase[],
  profiles: readonly ProfileEntry[] = [],
  endpoints: readonly Endpoint[] = [a, b],
) {
  const made = createWeather({ profiles, phases }, places(endpoints), 1);
  let count = 0;
  const call = (changes: Partial<IncomingCall<Endpoint>> = {}): Behaviour =>
    made.respond({
      endpoint: a,
      key: a.keys[0],
      now: 0,
      inFlight: 1,
      luck: `call ${++count}`,
      promptTokens: 100,
      answerTokens: 80,
      ...changes,
    });
  return { ...made, call };
}

const served = (behaviour: Behaviour) => {
  if (behaviour.kind !== "serves") throw new Error(`expected an answer, got ${behaviour.kind}`);
  return behaviour;
};
const failed = (behaviour: Behaviour) => {
  if (behaviour.kind !== "fails") throw new Error(`expected a failure, got ${behaviour.kind}`);
  return { status: behaviour.failure.verdict.httpStatus, ...behaviour, verdict: behaviour.failure.verdict };
};
const quantile = (values: number[], share: number) =>
  values.sort((x, y) => x - y)[Math.floor(values.length * share)] ?? 0;

describe("fair weather", () => {
  test("has the latency that its profile says, and generates as fast", () => {
    const { call } = weather([], [{ on: all, firstContentMs: { median: 200, p99: 1000 }, tokensPerSecond: 40 }]);
    const answers = Array.from({ length: 20_000 }, () => served(call()));
    const first = answers.map(({ firstContentMs }) => firstContentMs);
    // ε: 3 % of the median, 8 % of the 99th percentile, over 20,000 draws.
    expect(Math.abs(quantile(first, 0.5) / 200 - 1)).toBeLessThan(0.03);
    expect(Math.abs(quantile(first, 0.99) / 1000 - 1)).toBeLessThan(0.08);
    for (const { firstContentMs, totalMs } of answers) expect(totalMs - firstContentMs).toBeCloseTo(2000);
  });

  test("lets later entries of a profile change what they name, and only for those they mean", () => {
    const fast = { median: 10, p99: 10 };
    const { call } = weather(
      [],
      [
        { on: all, firstContentMs: fast },
        { on: [{ tier: 2 }], tokensPerSecond: 1000 },
      ],
    );
    expect(served(call())).toMatchObject({ firstContentMs: 10, totalMs: 10 + 1000 });
    expect(served(call({ endpoint: b, key: undefined }))).toMatchObject({ firstContentMs: 10, totalMs: 10 + 80 });
  });

  test("is the same for the same call, whatever was called before", () => {
    const [one, other] = [weather([]), weather([])];
    other.call();
    expect(one.call({ luck: "this one" })).toEqual(other.call({ luck: "this one" }));
    expect(one.call({ luck: "this one" })).not.toEqual(one.call({ luck: "that one" }));
  });

  test("refuses a prompt that is longer than the context window", () => {
    const small = endpoint("s", { contextWindow: 1000 });
    const { call } = weather([], [], [small]);
    expect(served(call({ endpoint: small, key: undefined })).kind).toBe("serves");
    expect(failed(call({ endpoint: small, key: undefined, promptTokens: 1000 })).verdict.next).toBe("larger");
  });
});

describe("a phase", () => {
  test("holds from its beginning to its end, for those it means", () => {
    const { call } = weather([
      phase({ on: [{ tier: 1 }], fails: ["server_error"], fromMs: 1000, toMs: 2000, afterMs: 70 }),
    ]);
    expect(call({ now: 999 }).kind).toBe("serves");
    expect(failed(call({ now: 1000 }))).toMatchObject({ status: 500, afterMs: 70 });
    expect(call({ now: 1000, endpoint: b, key: undefined }).kind).toBe("serves");
    expect(call({ now: 2000 }).kind).toBe("serves");
  });

  test("fails a share of calls, each in one of its ways", () => {
    const { call } = weather([phase({ on: all, fails: ["server_error", "overloaded"], share: 0.3 })]);
    const statuses = Array.from({ length: 10_000 }, () => call()).flatMap((behaviour) =>
      behaviour.kind === "fails" ? [behaviour.failure.verdict.httpStatus] : [],
    );
    // ε: 0.02 over 10,000 calls.
    expect(Math.abs(statuses.length / 10_000 - 0.3)).toBeLessThan(0.02);
    expect(Math.abs(statuses.filter((status) => status === 503).length / statuses.length - 0.5)).toBeLessThan(0.05);
  });

  test("slows down what it does not fail, and phases that overlap add up", () => {
    const calm = weather([]).call({ luck: "x" });
    const slow = weather([phase({ on: all, slower: 3 }), phase({ on: [{ provider: "a" }], slower: 2 })]).call({
      luck: "x",
    });
    expect(served(slow).firstContentMs).toBeCloseTo(served(calm).firstContentMs * 6);
    expect(served(slow).totalMs).toBeCloseTo(served(calm).totalMs * 6);
  });

  test("says what each trouble is: the verdicts are those of the real failures", () => {
    const trouble = (kind: Phase["fails"][number]) =>
      weather([phase({ on: all, fails: [kind], retryAfterMs: 4000 })]).call();
    expect(trouble("hang")).toEqual({ kind: "silent" });
    expect(failed(trouble("black_hole"))).toMatchObject({ afterMs: 5000, verdict: { slow: true, notSent: true } });
    expect(failed(trouble("refused_connection")).verdict).toMatchObject({ notSent: true });
    expect(failed(trouble("rate_limited")).verdict).toMatchObject({ class: "rate_limited", retryAfterMs: 4000 });
    expect(failed(trouble("bad_key")).verdict.class).toBe("key_refused");
    expect(failed(trouble("no_quota")).verdict.class).toBe("quota_exhausted");
    const { breaks, firstContentMs, totalMs } = served(trouble("stall"));
    expect(breaks).toMatchObject({ how: "stalled", silenceMs: 20_000 });
    expect(breaks?.afterMs).toBeGreaterThan(firstContentMs);
    expect(breaks?.afterMs).toBeLessThan(totalMs);
    expect(served(trouble("cut")).breaks?.how).toBe("cut_off");
  });

  test("may mean calls with some keys alone", () => {
    const { call } = weather([phase({ on: [{ tier: 1, key: "a2" }], fails: ["bad_key"] })]);
    expect(call({ key: a.keys[0] }).kind).toBe("serves");
    expect(call({ key: a.keys[1] }).kind).toBe("fails");
  });

  test("may flap: bad for a while, well for a while, bad at first", () => {
    const flapping = { downMs: 3000, upMs: 2000 };
    const { call } = weather([phase({ on: all, fails: ["server_error"], fromMs: 10_000, flapping })]);
    const kinds = [9, 10, 12.9, 13, 14.9, 15, 18.5].map((seconds) => call({ now: seconds * 1000 }).kind);
    expect(kinds).toEqual(["serves", "fails", "fails", "serves", "serves", "fails", "serves"]);
  });

  test("may leave a cold start behind, which wears off", () => {
    const coldStart = { forMs: 60_000, slower: 5, capacity: { inFlight: 2, beyond: "overloaded" as const } };
    const { call } = weather([phase({ on: all, fails: ["server_error"], toMs: 10_000, coldStart })]);
    const usual = served(weather([]).call({ luck: "x" })).firstContentMs;
    expect(served(call({ luck: "x", now: 10_000 })).firstContentMs).toBeCloseTo(usual * 5);
    expect(served(call({ luck: "x", now: 40_000 })).firstContentMs).toBeCloseTo(usual * 3);
    expect(served(call({ luck: "x", now: 70_000 })).firstContentMs).toBeCloseTo(usual);
    expect(failed(call({ now: 20_000, inFlight: 3 })).status).toBe(503);
    expect(call({ now: 80_000, inFlight: 3 }).kind).toBe("serves");
  });

  test("may bring more callers, and says until when that holds", () => {
    const { traffic } = weather([phase({ traffic: 3, fromMs: 1000, toMs: 2000 })]);
    expect(traffic(0)).toEqual({ times: 1, until: 1000 });
    expect(traffic(1000)).toEqual({ times: 3, until: 2000 });
    expect(traffic(2000)).toEqual({ times: 1, until: Number.POSITIVE_INFINITY });
  });
});

describe("a capacity", () => {
  test("slows all down, or refuses those beyond it", () => {
    const crowd = (beyond: "slower" | "overloaded" | "rate_limited") =>
      weather([], [{ on: all, capacity: { inFlight: 10, beyond } }]).call({ luck: "x", inFlight: 20 });
    const usual = served(weather([]).call({ luck: "x" }));
    expect(served(crowd("slower")).totalMs).toBeCloseTo(usual.totalMs * 2);
    expect(failed(crowd("overloaded")).status).toBe(503);
    expect(failed(crowd("rate_limited")).status).toBe(429);
  });
});

describe("a rate limit", () => {
  const wall = (per: "key" | "endpoint" | "provider") => {
    const c = endpoint("c", { keys: keys("c1", "c2") });
    const other = { ...c, id: "c/other", upstreamModel: "other" };
    const { call } = weather(
      [],
      [{ on: all, rateLimit: { perSecond: 2, burst: 2, per, retryAfterMs: 500 } }],
      [c, other],
    );
    const ask = (at: number, key: number, where = c) => call({ endpoint: where, key: c.keys[key], now: at }).kind;
    return { call, c, ask, other };
  };

  test("lets so many through and refuses the rest with the wait that it states", () => {
    const { call, c, ask } = wall("endpoint");
    expect([ask(0, 0), ask(0, 1), ask(0, 0), ask(499, 0), ask(500, 0)]).toEqual([
      "serves",
      "serves",
      "fails",
      "fails",
      "serves",
    ]);
    expect(failed(call({ endpoint: c, now: 500 })).verdict).toMatchObject({ class: "rate_limited", retryAfterMs: 500 });
  });

  test("may be a key's own, an endpoint's, or a provider's over all of its endpoints", () => {
    const key = wall("key");
    expect([0, 0, 0, 1, 1, 1].map((each) => key.ask(0, each))).toEqual([
      "serves",
      "serves",
      "fails",
      "serves",
      "serves",
      "fails",
    ]);
    const one = wall("endpoint");
    expect([one.ask(0, 0), one.ask(0, 0), one.ask(0, 0), one.ask(0, 0, one.other)]).toEqual([
      "serves",
      "serves",
      "fails",
      "serves",
    ]);
    const whole = wall("provider");
    expect([whole.ask(0, 0), whole.ask(0, 0), whole.ask(0, 0, whole.other)]).toEqual(["serves", "serves", "fails"]);
  });
});

describe("a health check", () => {
  test("meets what calls meet, and of providers that nobody asks here it finds that they are well", () => {
    const { respondToCheck } = weather([phase({ on: [{ tier: 1 }], fails: ["server_error"], toMs: 1000 })]);
    const check = (where: Endpoint, now: number) =>
      respondToCheck({ endpoint: where, key: undefined, now, luck: "c" }).kind;
    expect(check(a, 0)).toBe("fails");
    expect(check(a, 1000)).toBe("serves");
    expect(check(endpoint("stranger"), 0)).toBe("serves");
  });
});
