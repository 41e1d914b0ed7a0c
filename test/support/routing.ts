import { expect } from "vitest";
import type { Endpoint, Key, Pool, PoolStrategy } from "../../src/routing/endpoint.ts";
import { AttemptTimeout } from "../../src/routing/lease.ts";
import type { RouteObserver } from "../../src/routing/observer.ts";
import { createPool } from "../../src/routing/pool.ts";
import { createRouter, RouteError, type RunOptions } from "../../src/routing/router.ts";
import { type RoutingSettings, routingSettings } from "../../src/routing/settings.ts";
import type { AttemptRecord, SkipRecord, Trail } from "../../src/routing/trail.ts";
import type { Verdict } from "../../src/routing/verdict.ts";
import { createCancellation } from "../../src/runtime/cancellation.ts";
import { seededRng } from "../../src/runtime/rng.ts";
import { Secret } from "../../src/runtime/secret.ts";
import { createVirtualClock } from "../../src/simulation/virtual-clock.ts";

/** A failure that carries its own verdict. */
export class Failure extends Error {
  readonly verdict: Verdict;
  constructor(verdict: Partial<Verdict> = {}) {
    super(verdict.class ?? "transient_fault");
    this.verdict = { next: "other", blame: "endpoint", class: "transient_fault", repeat: "last", ...verdict };
  }
}

/** Failures by what a provider would have said. */
export const failures = {
  serverError: () => new Failure({ repeat: "soon", httpStatus: 500 }),
  overloaded: (retryAfterMs?: number) =>
    new Failure({
      class: "overloaded",
      repeat: "soon",
      httpStatus: 503,
      ...(retryAfterMs !== undefined && { retryAfterMs }),
    }),
  refusedConnection: () => new Failure({ repeat: "last", notSent: true }),
  rateLimited: (retryAfterMs?: number) =>
    new Failure({
      next: "key",
      blame: "key",
      class: "rate_limited",
      repeat: "last",
      httpStatus: 429,
      ...(retryAfterMs !== undefined && { retryAfterMs }),
    }),
  badKey: () => new Failure({ next: "key", blame: "key", class: "key_refused", repeat: "never", httpStatus: 401 }),
  noQuota: (retryAfterMs?: number) =>
    new Failure({
      next: "key",
      blame: "key",
      class: "quota_exhausted",
      repeat: "never",
      httpStatus: 402,
      ...(retryAfterMs !== undefined && { retryAfterMs }),
    }),
  noModel: () => new Failure({ blame: "model", class: "model_unavailable", repeat: "never", httpStatus: 404 }),
  wrongPath: () => new Failure({ class: "misconfigured", repeat: "never", httpStatus: 404 }),
  refused: () =>
    new Failure({ next: "stop", blame: "caller", class: "request_refused", repeat: "never", httpStatus: 400 }),
  tooLong: () =>
    new Failure({ next: "larger", blame: "caller", class: "request_refused", repeat: "never", httpStatus: 400 }),
  additionRefused: () =>
    new Failure({ next: "same", blame: "nobody", class: "request_refused", repeat: "never", httpStatus: 400 }),
  notSent: () => new Failure({ next: "same", blame: "nobody", class: "not_sent", repeat: "last", notSent: true }),
} as const;

/** The engine's `classify` over such failures. */
export function classify(error: unknown): Verdict {
  if (error instanceof Failure) return error.verdict;
  if (error instanceof AttemptTimeout) {
    return { next: "other", blame: "endpoint", class: "transient_fault", repeat: "last", slow: true };
  }
  return { next: "stop", blame: "nobody", class: "caller_gone" };
}

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
