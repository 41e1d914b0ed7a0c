import type { Endpoint, Pool } from "../routing/endpoint.ts";
import type { Lease } from "../routing/lease.ts";
import { createRouter, type Router, type RunOptions } from "../routing/router.ts";
import type { RoutingSettings } from "../routing/settings.ts";
import type { Clock } from "../runtime/clock.ts";
import { type Rng, seededRng } from "../runtime/rng.ts";
import { startArrivals, type Wish } from "./arrivals.ts";
import type { Behaviour } from "./behaviour.ts";
import { classify } from "./failure.ts";
import { goingOn } from "./going-on.ts";
import type { KeySample, Observations, Refusal, RequestRecord } from "./observations.ts";
import { ask } from "./request.ts";
import { RequestUnderWay } from "./request-under-way.ts";
import { type About, type CallerProfile, type Place, placesOf, type Scenario } from "./scenario.ts";
import { createVirtualClock } from "./virtual-clock.ts";
import { createWeather, type IncomingCall, type Weather } from "./weather.ts";
import { createWitness, type Witness } from "./witness.ts";

/** What of the gateway stands around the engine, and is handed in by whoever knows it. */
export interface Surroundings<E extends Endpoint> {
  readonly settings: RoutingSettings;
  /** The candidates for what a caller asks. */
  pool(caller: CallerProfile): Pool<E>;
  about(endpoint: E): About<E>;
  /** What a prompt is thought to cost at an endpoint before it is answered. */
  expectedCost(endpoint: E, promptTokens: number): number;
  /** Longest time until the first content of a stream or the end of a unary call. */
  readonly maxDurationMs: number;
  /** How long a caller will queue; undefined: as long as everybody. */
  queueMaxWaitMs(caller: string): number | undefined;
  /** How a failure is told to the caller. */
  refusalOf(error: unknown): Refusal;
  /** Begins what goes on beside the requests: admission, health checks. */
  begin(machine: Machine<E>): Company;
}

/** What runs beside the requests of a rehearsal uses its clock, its luck and its weather. */
export interface Machine<E extends Endpoint> {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly router: Router;
  readonly weather: Weather<E>;
}

/** What goes on beside the requests. */
export interface Company {
  /** Lets a request of a caller in. @returns how to tell that it is over @throws when the caller is at a limit of its own */
  admit(caller: string): () => void;
  stop(): void;
}

/** How far a rehearsal is. */
export interface Progress {
  readonly nowMs: number;
  readonly untilMs: number;
  readonly requests: number;
}

/** Progress is told so often, and keys are counted. */
const steps = 400;

/** Plays a scenario to its end: the real router, on a virtual clock, among providers that are not there. */
export async function rehearse<E extends Endpoint>(
  scenario: Scenario,
  around: Surroundings<E>,
  { seed, onProgress = () => {} }: { readonly seed: number; readonly onProgress?: (progress: Progress) => void },
): Promise<Observations<E>> {
  const clock = createVirtualClock();
  const pools = new Map(scenario.callers.map((caller) => [caller, around.pool(caller)]));
  const places = placesOf([...new Set(pools.values())], (endpoint) => around.about(endpoint));
  const weather = createWeather(scenario, places, seed);
  const witness = createWitness(places, clock);
  const { settings } = around;
  const router = createRouter({ clock, rng: seededRng(seed), settings, observer: witness.observer });
  const keys = keySamples(places, router);
  const company = around.begin({ clock, rng: seededRng(seed + 1), router, weather });
  const theatre: Theatre<E> = { around, clock, pools, places, weather, witness, router, company };
  const requests: (RequestRecord | undefined)[] = [];
  const untilMs = scenario.durationMs;
  startArrivals(clock, scenario.callers, {
    seed,
    untilMs,
    traffic: (now) => weather.traffic(now),
    async send(wish) {
      const number = requests.push(undefined);
      requests[number - 1] = await playWish(theatre, wish, number);
    },
  });
  const stepMs = Math.max(100, untilMs / steps);
  while (clock.now() < untilMs || witness.underWay.size > 0) {
    await clock.advance(clock.now() < untilMs ? Math.min(stepMs, untilMs - clock.now()) : stepMs);
    for (const sample of keys) {
      const available = router.state.providerNamed(sample.provider)?.ring.counts().available ?? sample.total;
      sample.least = Math.min(sample.least, available);
      if (clock.now() <= untilMs) sample.atEnd = available;
    }
    onProgress({ nowMs: Math.min(clock.now(), untilMs), untilMs, requests: requests.length });
  }
  company.stop();
  const { tallies, breakers, skips } = witness;
  const ended = requests.filter((record) => record !== undefined);
  const { maxDurationMs } = around;
  return { scenario, places, requests: ended, tallies, breakers, skips, keys, maxDurationMs, endedAt: clock.now() };
}

/** Where requests are played. */
interface Theatre<E extends Endpoint> extends Omit<Machine<E>, "rng"> {
  readonly around: Surroundings<E>;
  readonly pools: ReadonlyMap<CallerProfile, Pool<E>>;
  readonly places: readonly Place<E>[];
  readonly witness: Witness<E>;
  readonly company: Company;
}

/** Plays one request from the gateway's door to its end. */
async function playWish<E extends Endpoint>(theatre: Theatre<E>, wish: Wish, number: number): Promise<RequestRecord> {
  const { around, clock, witness, router, company } = theatre;
  const { caller, mode } = wish;
  const record = { at: clock.now(), caller: caller.name, stream: mode === "open" };
  let release: () => void;
  try {
    release = company.admit(caller.name);
  } catch (error) {
    return { ...record, ...nothing, outcome: "not_admitted", refusal: around.refusalOf(error) };
  }
  const traceId = number.toString(16).padStart(32, "0");
  const request = new RequestUnderWay<E>(wish, clock);
  witness.underWay.set(traceId, request);
  const pool = theatre.pools.get(caller) as Pool<E>; // every caller has one
  const result = await ask(router, clock, {
    mode,
    pool,
    // Each answer that stalls brings its own.
    idleMs: 0,
    recovery: pool.streamRecovery === "fail" ? undefined : { withinMs: around.maxDurationMs },
    options: optionsOf(around, request, clock.now(), traceId),
    respond: (lease) => respondTo(theatre, request, lease),
  });
  request.over();
  release();
  witness.underWay.delete(traceId);
  const { by, error, firstContentMs, totalMs } = result;
  const { attempts, skips } = result.trail;
  const outcome = request.outcomeOf(result);
  const refused = outcome === "failed" || outcome === "broken";
  const met = refused || outcome === "gave_up" ? [...attempts, ...skips].map(({ endpoint }) => endpoint) : [];
  return {
    ...record,
    outcome,
    by: by ? witness.positionOf(by.id) : -1,
    attempts: attempts.length,
    firstContentMs,
    totalMs,
    refusal: refused ? around.refusalOf(error) : undefined,
    skips: refused ? skips.map(({ reason }) => reason) : [],
    met: [...new Set(met.map((endpoint) => witness.positionOf(endpoint)))],
    recovered: outcome === "served" && attempts.some(({ purpose }) => purpose === "recovery"),
    hedgeWon: attempts.some((attempt) => attempt.purpose === "hedge" && attempt.firstContentMs !== undefined),
  };
}

/** What is known of a request that was not let in. */
const nothing = {
  by: -1,
  attempts: 0,
  firstContentMs: undefined,
  totalMs: 0,
  skips: [],
  met: [],
  recovered: false,
  hedgeWon: false,
} as const;

function optionsOf<E extends Endpoint>(
  around: Surroundings<E>,
  { wish, cancellation }: RequestUnderWay<E>,
  now: number,
  traceId: string,
): RunOptions<E> {
  const { caller, promptTokens } = wish;
  const { deadlineMs = Number.POSITIVE_INFINITY, retryCount = Number.POSITIVE_INFINITY } = caller;
  return {
    classify,
    cancellation,
    deadline: now + Math.min(deadlineMs, around.maxDurationMs),
    maxAttempts: 1 + retryCount,
    traceId,
    caller: caller.name,
    queueMaxWaitMs: around.queueMaxWaitMs(caller.name),
    request: {
      cost: (endpoint) => around.expectedCost(endpoint, promptTokens),
      ...affinityOf(around.settings, wish),
    },
  };
}

/** What a provider does with an attempt: serves anew, or goes on with what another one has begun. */
function respondTo<E extends Endpoint>(
  { clock, weather, witness, places }: Theatre<E>,
  request: RequestUnderWay<E>,
  { endpoint, key, attempt }: Lease<E>,
): Behaviour {
  const { name, promptTokens, answerTokens, repeatable } = request.wish;
  const { id } = endpoint;
  const call: IncomingCall<E> = {
    endpoint,
    key,
    now: clock.now(),
    inFlight: witness.inFlight(id),
    luck: `${name}/${attempt}`,
    promptTokens,
    answerTokens,
  };
  const { told } = request;
  if (!told) return request.meets(attempt, endpoint, weather.respond(call));
  const prefill = places[witness.positionOf(id)]?.prefill ?? false;
  const alike = repeatable && endpoint.upstreamModel === told.endpoint.upstreamModel;
  const behaviour = goingOn(call, told.behaviour, { prefill, alike }, (each) => weather.respond(each));
  return request.meets(attempt, endpoint, behaviour);
}

function affinityOf({ affinity }: RoutingSettings, { caller, prefix }: Wish): { affinityKey?: string } {
  if (affinity === "none") return {};
  return { affinityKey: affinity === "caller" ? caller.name : `${caller.name} ${prefix}` };
}

function keySamples<E extends Endpoint>(places: readonly Place<E>[], router: Router): KeySample[] {
  const samples = new Map<string, KeySample>();
  for (const { endpoint } of places) {
    const { provider, keys } = endpoint;
    router.state.adoptKeys(provider, keys);
    const total = keys.length;
    if (total > 0) samples.set(provider, { provider, total, least: total, atEnd: total });
  }
  return [...samples.values()];
}
