import { expect } from "vitest";
import type { Endpoint, Key, Pool, PoolStrategy } from "../../src/routing/endpoint.ts";
import type { RouteObserver } from "../../src/routing/observer.ts";
import { createPool } from "../../src/routing/pool.ts";
import { createRouter, RouteError, type RunOptions } from "../../src/routing/router.ts";
import { type RoutingSettings, routingSettings } from "../../src/routing/settings.ts";
import {
  type AttemptRecord,
  createTrail,
  type Purpose,
  type SkipRecord,
  type Trail,
  type TrailWriter,
} from "../../src/routing/trail.ts";
import { createCancellation } from "../../src/runtime/cancellation.ts";
import { seededRng } from "../../src/runtime/rng.ts";
import { Secret } from "../../src/runtime/secret.ts";
import { classify, Failure, failure } from "../../src/simulation/failure.ts";
import { createVirtualClock } from "../../src/simulation/virtual-clock.ts";

export { classify, Failure };

/** Failures by what a provider would have said. */
export const failures = {
  serverError: () => failure("server_error"),
  overloaded: (retryAfterMs?: number) => failure("overloaded", retryAfterMs),
  refusedConnection: () => failure("refused_connection"),
  rateLimited: (retryAfterMs?: number) => failure("rate_limited", retryAfterMs),
  badKey: () => failure("bad_key"),
  noQuota: (retryAfterMs?: number) => failure("no_quota", retryAfterMs),
  noModel: () => failure("no_model"),
  wrongPath: () => failure("wrong_path"),
  refused: () => failure("refused_request"),
  tooLong: () => failure("too_long"),
  additionRefused: () => failure("addition_refused"),
  notSent: () => failure("not_sent"),
} as const;

/** An endpoint `name/m` in tier 1 that wants no key. */
export function endpoint(name: string, changes: Partial<Endpoint> = {}): Endpoint {
  return {
    id: `${name}/m`,
    provider: name,
    upstreamModel: "m",
    tier: 1,
    weight: 1,
    enabled: true,
    keys: [],
    limits: { firstContentMs: 10_000, totalMs: 20_000 },
    ...changes,
  };
}

/** Keys by their names; a key's id is its name. */
export function keys(...names: string[]): Key[] {
  return names.map((name) => ({ id: name, name, secret: new Secret(`sk-test-canary-${name}`) }));
}

export function pool(...endpoints: Endpoint[]): Pool<Endpoint> {
  return createPool({ model: "think", endpoints, strategy: "ordered" });
}

/** The trail of a request that has made no attempt yet, and how one is begun. */
export function trail(model = "think", traceId = "0".repeat(32)) {
  return createTrail(createPool({ model, endpoints: [] }), { traceId, spanId: "0".repeat(16), startedAt: 0 });
}

/** Begins an attempt, as the router does. */
export function attempt(
  of: TrailWriter,
  at: Endpoint,
  changes: { key?: Key; startTimeMs?: number; purpose?: Purpose } = {},
) {
  const { key, startTimeMs = 0, purpose } = changes;
  return of.attempt({ endpoint: at, key, permit: "normal" }, { startTimeMs, startedAt: 0 }, undefined, purpose);
}

/** Endpoints that share, by their tiers. */
export function sharingPool(endpoints: readonly Endpoint[], strategy: PoolStrategy = "weighted"): Pool<Endpoint> {
  return createPool({ model: "think", endpoints, strategy });
}

/** A router on a virtual clock with everything that it tells. */
export function bench(settings: Parameters<typeof routingSettings>[0] = {}, seed = 1) {
  const clock = createVirtualClock();
  const caller = createCancellation();
  const ended: AttemptRecord[] = [];
  const skipped: SkipRecord[] = [];
  const breakers: { endpoint: string; state: string; at: number }[] = [];
  const observer: RouteObserver = {
    attemptEnded: (_, attempt) => ended.push(attempt),
    skipped: (_, skip) => skipped.push(skip),
    breakerChanged: (id, state) => breakers.push({ endpoint: id, state, at: clock.now() }),
  };
  const total: RoutingSettings = routingSettings(settings);
  const router = createRouter({ clock, rng: seededRng(seed), settings: total, observer });
  return {
    clock,
    caller,
    ended,
    skipped,
    breakers,
    router,
    options: (changes: Partial<RunOptions> = {}): RunOptions => ({
      classify,
      cancellation: caller,
      deadline: clock.now() + 60_000,
      maxAttempts: Number.POSITIVE_INFINITY,
      traceId: "0".repeat(32),
      ...changes,
    }),
  };
}

/** `a/m ok` for each attempt, with its key where it has one. */
export function told({ attempts }: Trail): string[] {
  return attempts.map(({ endpoint: id, keyName, outcome }) => `${id}${keyName && `#${keyName}`} ${outcome}`);
}

/** `b/m breaker_open` for each skip. */
export function toldSkips({ skips }: Trail): string[] {
  return skips.map(({ endpoint: id, reason }) => `${id} ${reason}`);
}

/** The failure of a request that must fail. */
export async function failureOf(work: Promise<unknown>): Promise<RouteError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(RouteError);
  return error as RouteError;
}

/** Lets virtual time pass until some work is done, a second at a time; an hour at most. */
export async function pass<T>(clock: { advance(ms: number): Promise<void> }, work: Promise<T>): Promise<T> {
  let done = false;
  const watched = work.finally(() => {
    done = true;
  });
  watched.catch(() => {});
  for (let step = 0; step < 36_000 && !done; step++) await clock.advance(100);
  return watched;
}
