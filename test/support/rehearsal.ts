import { CallError } from "../../src/gateway/call.ts";
import { failureOf } from "../../src/gateway/faults.ts";
import type { Endpoint, Pool, PoolStrategy } from "../../src/routing/endpoint.ts";
import { createPool } from "../../src/routing/pool.ts";
import { RouteError } from "../../src/routing/router.ts";
import { type RoutingSettings, routingSettings } from "../../src/routing/settings.ts";
import { rehearse, type Surroundings } from "../../src/simulation/rehearsal.ts";
import { reportOf } from "../../src/simulation/report.ts";
import type { About, CallerProfile, Phase, Place, Scenario, Selection } from "../../src/simulation/scenario.ts";
import { placesOf } from "../../src/simulation/scenario.ts";

/** A phase from its beginning to its end in which nothing is different yet. */
export function phase(changes: Partial<Phase> & { readonly on?: Selection | undefined } = {}): Phase {
  return {
    name: "trouble",
    fromMs: 0,
    toMs: 60_000,
    on: undefined,
    fails: [],
    share: 1,
    afterMs: 30,
    retryAfterMs: undefined,
    slower: 1,
    capacity: undefined,
    rateLimit: undefined,
    flapping: undefined,
    coldStart: undefined,
    traffic: 1,
    ...changes,
  };
}

/** A caller who asks ten times a second for short streams. */
export function caller(changes: Partial<CallerProfile> = {}): CallerProfile {
  return {
    name: "web",
    model: "",
    pattern: { kind: "open", perSecond: 10, bursts: [] },
    streaming: 1,
    promptTokens: { median: 800, p99: 6000 },
    answerTokens: { median: 40, p99: 200 },
    deadlineMs: undefined,
    patienceMs: undefined,
    leaves: 0,
    retryCount: undefined,
    prefixes: 20,
    repeatable: 0,
    ...changes,
  };
}

/** A minute of one caller in fair weather. */
export function scenario(changes: Partial<Scenario> = {}): Scenario {
  return { name: "test", durationMs: 60_000, profiles: [], phases: [], callers: [caller()], ...changes };
}

/** What a pool does not know of its endpoints. */
export const about = (): About<Endpoint> => ({ kind: "openai", connectMs: 5000, idleMs: 20_000, prefill: false });

/** Endpoints as places of one model. */
export function places(endpoints: readonly Endpoint[]): Place<Endpoint>[] {
  return placesOf([createPool({ model: "think", endpoints })], about);
}

/** What a rehearsal stands in. */
export interface World {
  readonly strategy?: PoolStrategy;
  readonly settings?: Parameters<typeof routingSettings>[0];
  readonly streamRecovery?: Pool<Endpoint>["streamRecovery"];
  readonly changes?: Partial<Surroundings<Endpoint>>;
  readonly seed?: number;
}

/** Rehearses a scenario over endpoints of one model, with what the gateway would tell callers. */
export async function rehearsed(
  endpoints: readonly Endpoint[],
  changes: Partial<Scenario>,
  { strategy = "weighted", settings = {}, streamRecovery = "fail", changes: more = {}, seed = 1 }: World = {},
) {
  const pool = createPool({ model: "think", endpoints, strategy, streamRecovery });
  const total: RoutingSettings = routingSettings(settings);
  const observed = await rehearse(
    scenario(changes),
    {
      settings: total,
      pool: () => pool,
      about,
      expectedCost: () => 1,
      maxDurationMs: 600_000,
      queueMaxWaitMs: () => undefined,
      refusalOf(error) {
        const told = error instanceof RouteError ? CallError.ofRoute(error) : CallError.from(error);
        const { http, code } = failureOf(told.fault);
        return { httpStatus: http, code };
      },
      begin: () => ({ admit: () => () => {}, stop: () => {} }),
      ...more,
    },
    { seed },
  );
  return { observed, report: reportOf(observed) };
}
