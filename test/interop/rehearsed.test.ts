import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { createKeyNames } from "../../src/gateway/key-names.ts";
import type { Fault } from "../../src/providers/simulated/fault.ts";
import type { Target } from "../../src/providers/target.ts";
import type { Lease } from "../../src/routing/lease.ts";
import { createRouter } from "../../src/routing/router.ts";
import type { Trail } from "../../src/routing/trail.ts";
import { createCancellation } from "../../src/runtime/cancellation.ts";
import { seededRng } from "../../src/runtime/rng.ts";
import { buildCatalog, engineSettings } from "../../src/server/compose.ts";
import { checkConfig } from "../../src/server/config.ts";
import type { Behaviour } from "../../src/simulation/behaviour.ts";
import { classify, type FailureKind, failure } from "../../src/simulation/failure.ts";
import { ask } from "../../src/simulation/request.ts";
import { createVirtualClock } from "../../src/simulation/virtual-clock.ts";
import { poolConfig, startGateway, startProviders } from "../support/gateway.ts";
import { postChat } from "../support/rest.ts";
import { status } from "./fault-table.ts";

/** What a provider does wrong at a time, by the key that it is asked with; undefined: nothing. */
type Weather = (ms: number, key: string) => Wrong | undefined;

/** A failure in the words of the simulation, and in those of a provider on the wire. */
interface Wrong {
  readonly kind: FailureKind;
  readonly retryAfterMs?: number;
  readonly fault: Fault;
}

const healthy: Fault = { kind: "none" };
const serverError: Wrong = { kind: "server_error", fault: status(500) };
const noQuota: Wrong = {
  kind: "no_quota",
  retryAfterMs: 1000,
  fault: status(402, { headers: { "retry-after": "1" } }),
};

/** The same outage twice: on the virtual clock, and over sockets with the same short limits. */
interface Outage {
  readonly weather: Readonly<Record<string, Weather>>;
  /** One request each so many ms. */
  readonly everyMs: number;
  readonly forMs: number;
  readonly changes?: Parameters<typeof poolConfig>[1];
  readonly routing?: object;
}

/** What happened, in order. */
interface Events {
  /** How each request ended: `served`, or why not. */
  readonly ends: string[];
  /** `provider#key outcome` of each attempt. */
  readonly attempts: string[];
  readonly breakers: readonly string[];
}

const configOf = ({ changes, routing }: Outage, providers: Parameters<typeof poolConfig>[0]) => ({
  ...poolConfig(providers, changes),
  routing: { breaker: { open: "100ms", quick_cap: "200ms", slow_cap: "200ms", sole_cap: "100ms" }, ...routing },
});

const attemptsOf = (trails: readonly Trail[]) =>
  trails.flatMap(({ attempts }) =>
    attempts.map(({ provider, keyName, outcome }) => `${provider}#${keyName} ${outcome}`),
  );

async function simulated(outage: Outage): Promise<Events> {
  const nowhere = Object.fromEntries(
    Object.keys(outage.weather).map((name) => [name, { baseUrl: "http://127.0.0.1:9" }]),
  );
  const config = checkConfig(configOf(outage, nowhere), "the test");
  const clock = createVirtualClock();
  const rng = seededRng(5);
  const breakers: string[] = [];
  const router = createRouter({
    ...{ clock, rng, settings: engineSettings(config.routing) },
    observer: { breakerChanged: (endpoint, state) => breakers.push(`${endpoint} ${state}`) },
  });
  const { catalog } = buildCatalog(config, createKeyNames(rng));
  const fieldPrefix = { routing: "", model: "" };
  const anyone = { name: "anyone", models: undefined, seesTrail: true };
  const pool = catalog.pool({ model: "think", provider: "", fallbackProviders: [], fieldPrefix }, anyone);
  const respond = ({ endpoint: { provider }, key }: Lease<Target>): Behaviour => {
    const wrong = outage.weather[provider]?.(clock.now(), key?.name ?? "");
    if (!wrong) return { kind: "serves", firstContentMs: 2, totalMs: 2 };
    return { kind: "fails", failure: failure(wrong.kind, wrong.retryAfterMs), afterMs: 2 };
  };
  const told: Promise<{ outcome: string; trail: Trail }>[] = [];
  for (let at = 0; at < outage.forMs; at += outage.everyMs) {
    const options = {
      ...{ classify, cancellation: createCancellation(), deadline: clock.now() + 10_000 },
      ...{ maxAttempts: 10, traceId: String(at) },
    };
    told.push(ask(router, clock, { mode: "run", pool, options, respond, idleMs: 1000 }));
    await clock.advance(outage.everyMs);
  }
  await clock.advance(10_000);
  const all = await Promise.all(told);
  const ends = all.map(({ outcome, trail }) =>
    outcome === "served" ? "served" : trail.attempts.length > 0 ? "all failed" : "nothing to try",
  );
  return { ends, breakers, attempts: attemptsOf(all.map(({ trail }) => trail)) };
}

async function overSockets(outage: Outage): Promise<Events> {
  const began = performance.now();
  const providers = await startProviders(
    Object.fromEntries(
      Object.entries(outage.weather).map(([name, weather]) => [
        name,
        {
          schedule: (_: number, key = "") =>
            weather(performance.now() - began, key.split("-of-").at(-1) ?? "")?.fault ?? healthy,
        },
      ]),
    ),
  );
  const gateway = await startGateway(configOf(outage, providers), providers);
  const ends: string[] = [];
  const send = async (index: number) => {
    const response = await postChat(gateway.address, { model: "think", messages: [{ role: "user", content: "x" }] });
    await response.arrayBuffer();
    ends[index] = { 200: "served", 502: "all failed", 503: "nothing to try" }[response.status] ?? `${response.status}`;
  };
  for (let index = 0; index * outage.everyMs < outage.forMs; index++) {
    await sleep(Math.max(0, began + index * outage.everyMs - performance.now()));
    // One at a time, so that it is plain whose key the provider sees.
    await send(index);
  }
  return { ends, breakers: gateway.breakers, attempts: attemptsOf(gateway.trails) };
}

/** Each thing once, in the order of its first time. */
const order = (events: readonly string[]) => [...new Set(events)];
/** However often a probe failed: the order of a breaker's states, repetitions left out. */
const breakerOrder = (events: readonly string[]) =>
  events.join(", ").replace(/(, \S+ half_open, \S+ open)+/g, ", probed in vain");

describe("the simulation and the sockets agree in the order of events", () => {
  test("when one of two endpoints is down for a while and comes back", async () => {
    const outage: Outage = {
      weather: { a: (ms) => (ms < 1500 ? serverError : undefined), b: () => undefined },
      everyMs: 10,
      forMs: 3000,
      changes: { each: { priority: 1 } },
    };
    const [rehearsed, real] = [await simulated(outage), await overSockets(outage)];
    expect(order(rehearsed.ends)).toEqual(["served"]);
    expect(order(real.ends)).toEqual(order(rehearsed.ends));
    expect(breakerOrder(rehearsed.breakers)).toBe(
      "a/a-model open, probed in vain, a/a-model half_open, a/a-model closed",
    );
    expect(breakerOrder(real.breakers)).toBe(breakerOrder(rehearsed.breakers));
  });

  test("when everything is down for a while and comes back", async () => {
    const outage: Outage = {
      weather: { a: (ms) => (ms < 1500 ? serverError : undefined) },
      everyMs: 10,
      forMs: 3000,
      routing: { max_attempts: 1, breaker: { open: "100ms", quick_cap: "200ms", sole_cap: "100ms" } },
    };
    const [rehearsed, real] = [await simulated(outage), await overSockets(outage)];
    expect(order(rehearsed.ends)).toEqual(["all failed", "nothing to try", "served"]);
    expect(order(real.ends)).toEqual(order(rehearsed.ends));
    expect(rehearsed.ends.at(-1)).toBe("served");
    expect(real.ends.at(-1)).toBe("served");
    expect(breakerOrder(real.breakers)).toBe(breakerOrder(rehearsed.breakers));
  });

  test("when a key is without quota for a while: it is asked once in each of its rests, and then serves again", async () => {
    const outage: Outage = {
      weather: { a: (ms, key) => (key === "k1" && ms < 2500 ? noQuota : undefined) },
      everyMs: 20,
      forMs: 4000,
      changes: {
        a: {
          keys: [
            { name: "k1", value: "sk-of-k1" },
            { name: "k2", value: "sk-of-k2" },
          ],
        },
      },
    };
    const [rehearsed, real] = [await simulated(outage), await overSockets(outage)];
    const ofTheKey = ({ attempts }: Events) => attempts.filter((attempt) => attempt.startsWith("a#k1"));
    const failures = (events: Events) => ofTheKey(events).filter((attempt) => attempt.endsWith("quota_exhausted"));
    expect(order(rehearsed.ends)).toEqual(["served"]);
    expect(order(real.ends)).toEqual(["served"]);
    expect(order(ofTheKey(rehearsed))).toEqual(["a#k1 quota_exhausted", "a#k1 ok"]);
    expect(order(ofTheKey(real))).toEqual(order(ofTheKey(rehearsed)));
    expect(failures(rehearsed)).toHaveLength(3);
    expect(failures(real)).toHaveLength(3);
  });
});
