import type { Endpoint, Key } from "../routing/endpoint.ts";
import { hash32 } from "../routing/strategy/hash32.ts";
import { TokenBucket } from "../routing/token-bucket.ts";
import { seededRng } from "../runtime/rng.ts";
import type { Behaviour } from "./behaviour.ts";
import { createDice, type Dice } from "./dice.ts";
import { Failure, failure } from "./failure.ts";
import type { Capacity, Phase, Place, ProfileEntry, Spread, Trouble } from "./scenario.ts";
import { type Standing, standingsOf } from "./standing.ts";
import { type Traffic, trafficOf } from "./traffic.ts";
import { isOn } from "./turns.ts";

/** One call as its provider sees it. */
export interface IncomingCall<E extends Endpoint> {
  readonly endpoint: E;
  readonly key: Key | undefined;
  /** Monotonic ms. */
  readonly now: number;
  /** Calls of the endpoint in flight, this one included. */
  readonly inFlight: number;
  /** Tells calls apart: the same call under the same seed has the same luck, whatever else is different. */
  readonly luck: string;
  readonly promptTokens: number;
  readonly answerTokens: number;
}

/** What every endpoint does with a call at a time. */
export interface Weather<E extends Endpoint> {
  respond(call: IncomingCall<E>): Behaviour;
  /** What a check that costs nothing meets: a small answer, or what calls meet. */
  respondToCheck(call: Pick<IncomingCall<E>, "endpoint" | "key" | "now" | "luck">): Behaviour;
  /** How much more than usual callers ask, and until when that holds. */
  readonly traffic: Traffic;
}

/** A list of models comes so soon. */
const checkMs = 50;
const well: Behaviour = { kind: "serves", firstContentMs: checkMs, totalMs: checkMs };
/** A provider that refuses for lack of room does so at once. */
const refusalMs = 10;
/** An answer has no more tokens than this, whatever the dice say. */
const mostTokens = 200_000;

/** Makes the weather of a scenario over endpoints. */
export function createWeather<E extends Endpoint>(
  { profiles, phases }: { readonly profiles: readonly ProfileEntry[]; readonly phases: readonly Phase[] },
  places: readonly Place<E>[],
  seed: number,
): Weather<E> {
  const placeOf = new Map(places.map((place) => [place.endpoint.id, place]));
  const standings = standingsOf(profiles, phases, places);
  const buckets = new Map<string, TokenBucket>();

  /** Whether a wall lets the call through. */
  function admitted({ limit, scope }: NonNullable<Standing["rateLimit"]>, call: IncomingCall<E>): boolean {
    const { endpoint, key } = call;
    const who = { key: `${endpoint.provider}#${key?.id ?? ""}`, endpoint: endpoint.id, provider: endpoint.provider };
    const name = `${scope} ${who[limit.per]}`;
    let bucket = buckets.get(name);
    if (!bucket) {
      bucket = new TokenBucket(limit.perSecond, limit.burst);
      buckets.set(name, bucket);
    }
    return bucket.take(call.now);
  }

  function respond(call: IncomingCall<E>): Behaviour {
    const { endpoint, inFlight } = call;
    const standing = standings.get(endpoint.id);
    if (!standing) throw new Error(`no weather for ${endpoint.id}`);
    const dice = createDice(seededRng(hash32(`${seed} ${endpoint.id} ${call.luck}`)));
    // Drawn in any case and first, so that a phase changes what it says and nothing else.
    const firstContentMs = dice.latency(standing.firstContentMs.median, standing.firstContentMs.p99);
    const tokens = standing.answerTokens ? tokensOf(dice, standing.answerTokens) : call.answerTokens;
    const { slower, capacity, rateLimit, trouble } = conditionsOf(standing, call, dice);
    if (trouble && !isBreak(trouble.kind))
      return ends(trouble.kind, trouble.phase, placeOf.get(endpoint.id)?.connectMs);
    const window = endpoint.contextWindow;
    if (window !== undefined && call.promptTokens + 1 > window) {
      return { kind: "fails", failure: failure("too_long"), afterMs: refusalMs };
    }
    if (rateLimit && !admitted(rateLimit, call)) {
      return { kind: "fails", failure: failure("rate_limited", rateLimit.limit.retryAfterMs), afterMs: refusalMs };
    }
    if (capacity && inFlight > capacity.inFlight) {
      if (capacity.beyond !== "slower") return { kind: "fails", failure: failure(capacity.beyond), afterMs: refusalMs };
    }
    const crowding = capacity ? Math.max(1, inFlight / capacity.inFlight) : 1;
    const first = firstContentMs * slower * crowding;
    const total = first + ((tokens * 1000) / standing.tokensPerSecond) * slower * crowding;
    const serves = { kind: "serves", firstContentMs: first, totalMs: total, answerTokens: tokens } as const;
    if (!trouble) return serves;
    const silenceMs = placeOf.get(endpoint.id)?.idleMs;
    const how = trouble.kind === "cut" ? "cut_off" : "stalled";
    return { ...serves, breaks: { afterMs: dice.between(first, total), how, silenceMs } };
  }

  return {
    respond,
    respondToCheck(call) {
      // Providers that nobody asks here are well.
      const known = standings.has(call.endpoint.id);
      const behaviour = known ? respond({ ...call, inFlight: 0, promptTokens: 0, answerTokens: 0 }) : well;
      return behaviour.kind === "serves" ? well : behaviour;
    },
    traffic: trafficOf(phases),
  };
}

/** What an endpoint is like for one call. */
interface Conditions {
  readonly slower: number;
  readonly capacity: Capacity | undefined;
  readonly rateLimit: Standing["rateLimit"];
  readonly trouble: { readonly kind: Trouble; readonly phase: Phase } | undefined;
}

/** What the phases make of an endpoint now: slownesses multiply, of all else the last one holds. */
function conditionsOf<E extends Endpoint>(standing: Standing, { key, now }: IncomingCall<E>, dice: Dice): Conditions {
  let { capacity, rateLimit } = standing;
  let slower = 1;
  let trouble: Conditions["trouble"];
  for (const { phase, keys, scope } of standing.phases) {
    const cold = coldness(phase, now);
    if (cold > 0 && phase.coldStart) {
      slower *= 1 + (phase.coldStart.slower - 1) * cold;
      capacity = phase.coldStart.capacity ?? capacity;
    }
    if (!isOn(phase, now) || (keys && !keys.has(key?.id ?? ""))) continue;
    slower *= phase.slower;
    capacity = phase.capacity ?? capacity;
    if (phase.rateLimit) rateLimit = { limit: phase.rateLimit, scope };
    if (phase.fails.length > 0 && dice.chance(phase.share)) trouble = { kind: dice.one(phase.fails), phase };
  }
  return { slower, capacity, rateLimit, trouble };
}

/** A number of tokens, one at least. */
export function tokensOf(dice: Dice, { median, p99 }: Spread): number {
  return Math.min(mostTokens, Math.max(1, Math.round(dice.latency(median, p99))));
}

/** How much of a cold start is left, 1 to 0. */
function coldness({ toMs, coldStart }: Phase, now: number): number {
  if (!coldStart || now < toMs || now >= toMs + coldStart.forMs) return 0;
  return 1 - (now - toMs) / coldStart.forMs;
}

function isBreak(kind: Trouble): kind is "cut" | "stall" {
  return kind === "cut" || kind === "stall";
}

function ends(kind: Exclude<Trouble, "cut" | "stall">, phase: Phase, connectMs = 5000): Behaviour {
  const { afterMs, retryAfterMs } = phase;
  if (kind === "hang") return { kind: "silent" };
  if (kind === "black_hole") {
    return { kind: "fails", failure: new Failure({ slow: true, notSent: true }), afterMs: connectMs };
  }
  return { kind: "fails", failure: failure(kind, retryAfterMs), afterMs };
}
