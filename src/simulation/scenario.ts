import type { Endpoint, Pool } from "../routing/endpoint.ts";
import type { FailureKind } from "./failure.ts";

/** A quantity that varies: half lies below the median, one in a hundred above the 99th percentile. */
export interface Spread {
  readonly median: number;
  readonly p99: number;
}

/** What a provider takes on at once. */
export interface Capacity {
  /** Calls in flight at one endpoint. */
  readonly inFlight: number;
  /** What becomes of more: all of them slow down in proportion, or those beyond are refused with 503 or 429. */
  readonly beyond: "slower" | "overloaded" | "rate_limited";
}

/** A wall: so many calls a second, then 429. */
export interface RateLimit {
  readonly perSecond: number;
  /** Calls at once. */
  readonly burst: number;
  readonly per: "key" | "endpoint" | "provider";
  /** What the refusal says; undefined: nothing. */
  readonly retryAfterMs: number | undefined;
}

/** How endpoints serve. What is undefined stays as an earlier entry has it. */
export interface Profile {
  readonly firstContentMs?: Spread | undefined;
  readonly tokensPerSecond?: number | undefined;
  /** In place of what the caller's prompts would bring. */
  readonly answerTokens?: Spread | undefined;
  readonly capacity?: Capacity | undefined;
  readonly rateLimit?: RateLimit | undefined;
}

/** A profile and those whom it describes. */
export interface ProfileEntry extends Profile {
  readonly on: Selection;
}

/** Fits any configuration: what is named must all hold. */
export interface Selector {
  readonly position?: "all" | "first" | "last" | undefined;
  /** Counted from 1, whatever the priorities are. */
  readonly tier?: number | undefined;
  readonly priority?: number | undefined;
  readonly provider?: string | undefined;
  readonly kind?: string | undefined;
  /** `provider/model`. */
  readonly endpoint?: string | undefined;
  /** Name of a key: only calls with it. */
  readonly key?: string | undefined;
  /** The first so many of each provider's keys, rounded up: only calls with them. */
  readonly shareOfKeys?: number | undefined;
}

/** One selector or several: whoever one of them selects. */
export type Selection = readonly Selector[];

/** What can go wrong with a call. */
export type Trouble =
  | Exclude<FailureKind, "cut_off" | "stalled" | "refused_request" | "too_long" | "addition_refused" | "not_sent">
  | "black_hole" // nobody answers the attempt to connect
  | "hang" // connects, and never says anything
  | "cut" // the answer breaks off in its middle
  | "stall"; // the answer stops in its middle, and its connection stays

/** What an endpoint is like for some time after a phase has ended. */
export interface ColdStart {
  readonly forMs: number;
  /** At first; it wears off evenly. */
  readonly slower: number;
  readonly capacity: Capacity | undefined;
}

/** A stretch of time in which something is different. */
export interface Phase {
  readonly name: string;
  readonly fromMs: number;
  readonly toMs: number;
  /** Undefined: only the callers change. */
  readonly on: Selection | undefined;
  /** Which of them a failing call has is left to chance. */
  readonly fails: readonly Trouble[];
  /** Of calls that fail, 0 to 1. */
  readonly share: number;
  /** How soon a failure comes. */
  readonly afterMs: number;
  readonly retryAfterMs: number | undefined;
  /** Latency and length of generation times this. */
  readonly slower: number;
  readonly capacity: Capacity | undefined;
  readonly rateLimit: RateLimit | undefined;
  /** Within the phase it is bad for `downMs`, good for `upMs`, and so on. */
  readonly flapping: { readonly downMs: number; readonly upMs: number } | undefined;
  readonly coldStart: ColdStart | undefined;
  /** Requests of callers who come by themselves, times this. */
  readonly traffic: number;
}

/** Requests that come together. */
export interface Burst {
  readonly atMs: number;
  readonly requests: number;
  readonly overMs: number;
}

/** Who asks, how often, and for what. */
export interface CallerProfile {
  readonly name: string;
  /** Empty: the default model. */
  readonly model: string;
  /** Open: they come whatever becomes of them. Closed: so many, each of whom asks again some time after its answer. */
  readonly pattern:
    | { readonly kind: "open"; readonly perSecond: number; readonly bursts: readonly Burst[] }
    | { readonly kind: "closed"; readonly users: number; readonly thinkMs: number };
  /** Share of requests that are streams. */
  readonly streaming: number;
  readonly promptTokens: Spread;
  readonly answerTokens: Spread;
  /** Of the whole call; undefined: none. */
  readonly deadlineMs: number | undefined;
  /** It leaves when nothing has come by then; undefined: it waits. */
  readonly patienceMs: number | undefined;
  /** Share of streams that it gives up in their middle. */
  readonly leaves: number;
  /** Attempts after the first at most; undefined: the gateway's own cap. */
  readonly retryCount: number | undefined;
  /** Share of prompts that one model answers alike each time: at temperature 0, or with a seed. */
  readonly repeatable: number;
  /** How many different beginnings its prompts have, for affinity. */
  readonly prefixes: number;
}

/** A rehearsal as it is written down. */
export interface Scenario {
  readonly name: string;
  readonly durationMs: number;
  readonly profiles: readonly ProfileEntry[];
  readonly phases: readonly Phase[];
  readonly callers: readonly CallerProfile[];
}

/** An endpoint as selectors see it. */
export interface Place<E extends Endpoint> {
  readonly endpoint: E;
  /** The provider's kind. */
  readonly kind: string;
  /** How long connecting to it may take. */
  readonly connectMs: number;
  /** How long silence in its streams is waited through. */
  readonly idleMs: number;
  /** Whether it goes on with the beginning of an answer that it is given. */
  readonly prefill: boolean;
  /** Its tiers in the models that are asked, from 1. */
  readonly tiers: readonly number[];
  readonly first: boolean;
  readonly last: boolean;
}

/** What a pool does not know of its endpoints. */
export type About<E extends Endpoint> = Pick<Place<E>, "kind" | "connectMs" | "idleMs" | "prefill">;

/** The endpoints of pools with what selectors go by. @param about what the pool does not know of an endpoint */
export function placesOf<E extends Endpoint>(pools: readonly Pool<E>[], about: (endpoint: E) => About<E>): Place<E>[] {
  const places = new Map<string, { -readonly [K in keyof Place<E>]: Place<E>[K] } & { tiers: number[] }>();
  for (const { tiers } of pools) {
    const order = tiers.flatMap(({ members }) => members);
    for (const [index, { members }] of tiers.entries()) {
      for (const endpoint of members) {
        const known = places.get(endpoint.id) ?? {
          endpoint,
          ...about(endpoint),
          tiers: [],
          first: false,
          last: false,
        };
        if (!known.tiers.includes(index + 1)) known.tiers.push(index + 1);
        known.first ||= endpoint === order[0];
        known.last ||= endpoint === order.at(-1);
        places.set(endpoint.id, known);
      }
    }
  }
  return [...places.values()];
}

/** Whom a selection means. */
export interface Selected {
  /** Endpoints by their ids, each with the keys that are meant by their ids; undefined: whatever the key. */
  readonly endpoints: ReadonlyMap<string, ReadonlySet<string> | undefined>;
}

/** @returns undefined when it means nobody */
export function select<E extends Endpoint>(selection: Selection, places: readonly Place<E>[]): Selected | undefined {
  const endpoints = new Map<string, ReadonlySet<string> | undefined>();
  for (const selector of selection) {
    for (const place of places) {
      if (!matches(selector, place)) continue;
      const { id } = place.endpoint;
      const keys = keysOf(selector, place);
      if (keys?.size === 0) continue;
      const before = endpoints.get(id);
      const all = keys === undefined || (endpoints.has(id) && before === undefined);
      endpoints.set(id, all ? undefined : new Set([...(before ?? []), ...keys]));
    }
  }
  return endpoints.size > 0 ? { endpoints } : undefined;
}

function matches<E extends Endpoint>(selector: Selector, { endpoint, kind, tiers, first, last }: Place<E>): boolean {
  if (selector.position === "first" && !first) return false;
  if (selector.position === "last" && !last) return false;
  if (selector.tier !== undefined && !tiers.includes(selector.tier)) return false;
  if (selector.priority !== undefined && endpoint.tier !== selector.priority) return false;
  if (selector.provider !== undefined && endpoint.provider !== selector.provider) return false;
  if (selector.kind !== undefined && kind !== selector.kind) return false;
  return selector.endpoint === undefined || endpoint.id === selector.endpoint;
}

/** The keys that are meant of an endpoint; undefined: all of them. */
function keysOf<E extends Endpoint>({ key, shareOfKeys }: Selector, { endpoint }: Place<E>): Set<string> | undefined {
  if (key === undefined && shareOfKeys === undefined) return undefined;
  const { keys } = endpoint;
  const some = shareOfKeys === undefined ? keys : keys.slice(0, Math.ceil(keys.length * shareOfKeys));
  return new Set(some.filter(({ name }) => key === undefined || name === key).map(({ id }) => id));
}

/** What there is to select, for whoever has selected nothing. */
export function selectable<E extends Endpoint>(places: readonly Place<E>[]): string {
  const list = (values: readonly (string | number)[]) => [...new Set(values)].slice(0, 8).join(", ");
  const keys = list(places.flatMap(({ endpoint }) => endpoint.keys.map(({ name }) => name)));
  return [
    `tiers ${list(places.flatMap(({ tiers }) => tiers).sort((a, b) => a - b))}`,
    `priorities ${list(places.map(({ endpoint }) => endpoint.tier))}`,
    `providers ${list(places.map(({ endpoint }) => endpoint.provider))}`,
    `kinds ${list(places.map(({ kind }) => kind))}`,
    `endpoints ${list(places.map(({ endpoint }) => endpoint.id))}`,
    `keys ${keys || "none"}`,
  ].join("; ");
}

/** A selector in words, as it would be written. */
export function selectorText(selector: Selector): string {
  const { position, tier, priority, provider, kind, endpoint, key, shareOfKeys } = selector;
  const named = { tier, priority, provider, kind, endpoint, key, share_of_keys: shareOfKeys };
  const parts = Object.entries(named)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}: ${value}`);
  return [position, ...parts].filter(Boolean).join(", ") || "all";
}
