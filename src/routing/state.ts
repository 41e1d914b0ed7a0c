import type { Clock } from "../runtime/clock.ts";
import type { Rng } from "../runtime/rng.ts";
import { hopSpanId } from "../runtime/trace-context.ts";
import { Breaker, type BreakerState, type CallResult, type Permit } from "./breaker.ts";
import type { Endpoint, Key, SkipReason, UseLimits } from "./endpoint.ts";
import { KeyRing } from "./key-ring.ts";
import { PeakEwma, RecentTimes } from "./latency.ts";
import { RetryBudget } from "./retry-budget.ts";
import type { RoutingSettings } from "./settings.ts";
import { TokenBucket } from "./token-bucket.ts";
import type { AttemptRef, Trail } from "./trail.ts";

/** What an operator has set by hand. It holds until it is taken back. */
export interface ManualState {
  readonly state: "forced_open" | "forced_closed" | "draining" | "disabled";
  readonly reason: string;
  /** Wall time. */
  readonly sinceTimeMs: number;
}

/** Why an endpoint cannot be used now. */
export interface Hindrance {
  readonly reason: SkipReason;
  /** Monotonic ms; undefined: not known. */
  readonly until?: number | undefined;
  /** What a request may do about it when nothing else is left: queue for a limit of ours, or wait as the provider asked. */
  readonly wait?: "queue" | "retry_after";
  /** The attempt that opened the breaker which is in the way. */
  readonly openedBy?: AttemptRef | undefined;
  /** For people: how many keys wait for what. */
  readonly detail?: string;
}

/** An endpoint that is out although its breaker is not asked. */
interface Off {
  readonly reason: "model_off" | "unhealthy";
  /** When it began: what began earlier and served says nothing about it. */
  readonly since: number;
  until: number;
  readonly times: number;
}

/** A refused model is asked for again after so long. */
const modelOffMs = 5 * 60_000;
/** A wrong base URL is looked at again after so long, twice as long each time; a check or a change is sooner. */
const unhealthyMs = { first: 60_000, longest: 3_600_000 };
/** An endpoint that comes back takes a tenth of its share for a second, and then more and more until it has all of it. */
const ramp = { flatMs: 1000, wholeMs: 10_000, from: 0.1 };
/** Endpoints beyond these are forgotten, the longest known first: callers may name any model where a provider takes any. */
const maxEndpoints = 10_000;

/** Use of something that has a limit: an endpoint, or a provider over all of its endpoints. */
export class Usage {
  inFlight = 0;
  bucket: TokenBucket | undefined;
  #limits: UseLimits | undefined;
  /** The last one that there was, and its rate. */
  #last: { readonly bucket: TokenBucket; readonly maxRps: number } | undefined;

  /**
   * Takes limits as they are for whoever asks. What was used before stays used: requests of two configurations may ask in turn, and
   * each would else find a full bucket.
   */
  adopt(limits: UseLimits | undefined, now: number): void {
    if (limits === this.#limits) return;
    if (limits?.maxRps !== this.#limits?.maxRps) this.bucket = this.#bucketFor(limits?.maxRps, now);
    this.#limits = limits;
  }

  #bucketFor(maxRps: number | undefined, now: number): TokenBucket | undefined {
    if (maxRps === undefined) return undefined;
    if (this.#last?.maxRps !== maxRps) {
      this.#last = { maxRps, bucket: this.#last?.bucket.changedTo(maxRps, now) ?? new TokenBucket(maxRps) };
    }
    return this.#last.bucket;
  }

  get limited(): boolean {
    return this.bucket !== undefined || this.maxConcurrent !== undefined;
  }

  get maxConcurrent(): number | undefined {
    return this.#limits?.maxConcurrent;
  }
}

/** What is known of a provider. */
export class ProviderState {
  readonly ring: KeyRing;
  readonly usage = new Usage();
  #keys: readonly Key[];

  constructor(keys: readonly Key[], rng: Rng) {
    this.#keys = keys;
    this.ring = new KeyRing(keys, rng);
  }

  /** Takes the keys of a new configuration. */
  adopt(keys: readonly Key[]): void {
    if (keys === this.#keys) return;
    const isSame =
      keys.length === this.#keys.length &&
      keys.every(({ id, name }, index) => id === this.#keys[index]?.id && name === this.#keys[index]?.name);
    this.#keys = keys;
    // What is known of the ring as a whole stays with it as long as it is the same.
    if (!isSame) this.ring.replace(keys);
  }
}

/** A failed attempt, as far as a breaker is concerned. */
export interface FailureFacts {
  readonly slow: boolean;
  readonly trail: Trail;
  /** Its position, from 1. */
  readonly attempt: number;
}

/** What is known of an endpoint. */
export class EndpointState {
  readonly breaker: Breaker;
  readonly usage = new Usage();
  readonly retries: RetryBudget;
  /** Recent time to first content of streams, and of whole unary answers. */
  readonly latency = { stream: new PeakEwma(), unary: new PeakEwma() };
  readonly firstContents = new RecentTimes();
  /** When a stream last brought content. */
  progressAt = Number.NEGATIVE_INFINITY;
  manual: ManualState | undefined;
  /** Which attempt has opened its breaker, and which of its openings that was. */
  #opener: { readonly opening: number; readonly attempt: AttemptRef } | undefined;
  #off: Off | undefined;

  constructor(breaker: Breaker, retries: RetryBudget) {
    this.breaker = breaker;
    this.retries = retries;
  }

  /** A call has failed, or says nothing. */
  settle(permit: Permit, now: number, result: Exclude<CallResult, "success">, facts: FailureFacts): void {
    const before = this.breaker.openings;
    this.breaker.settle(permit, now, result, facts.slow);
    this.#noteOpening(before, facts);
  }

  /** A call has failed long after it had counted as a success. */
  brokeOff(now: number, facts: FailureFacts): void {
    const before = this.breaker.openings;
    this.breaker.brokeOff(now, facts.slow);
    this.#noteOpening(before, facts);
  }

  #noteOpening(before: number, { trail, attempt }: FailureFacts): void {
    if (this.breaker.openings === before) return;
    const ref = { traceId: trail.traceId, spanId: hopSpanId(trail.spanId, attempt) };
    this.#opener = { opening: this.breaker.openings, attempt: ref };
  }

  /** The attempt that has opened its breaker; undefined when it was none, as when a probe does not come back. */
  get openedBy(): AttemptRef | undefined {
    return this.#opener?.opening === this.breaker.openings ? this.#opener.attempt : undefined;
  }

  off(now: number): Hindrance | undefined {
    return this.#off && now < this.#off.until ? this.#off : undefined;
  }

  /** The provider refused this model. */
  modelRefused(now: number): void {
    this.#off = { reason: "model_off", since: now, until: now + modelOffMs, times: 1 };
  }

  /** There is no such API at its base URL. */
  misconfigured(now: number): void {
    const times = this.#off?.reason === "unhealthy" ? this.#off.times : 0;
    const ms = Math.min(unhealthyMs.first * 2 ** times, unhealthyMs.longest);
    this.#off = { reason: "unhealthy", since: now, until: now + ms, times: times + 1 };
  }

  /** A call that began then has been served. */
  served(startedAt: number): void {
    if (this.#off && startedAt > this.#off.since) this.#off = undefined;
  }

  /** A free check succeeded: its base URL is right, and probes may begin. */
  checkSucceeded(now: number): void {
    if (this.#off?.reason === "unhealthy") this.#off.until = now;
    this.breaker.checkSucceeded(now);
  }

  /** Which part of its share it may take, 0 to 1: one that has just come back is not thrown into the deep end. */
  share(now: number): number {
    const { closedAt } = this.breaker;
    if (closedAt === undefined || now - closedAt >= ramp.wholeMs) return 1;
    const grown = Math.max(0, now - closedAt - ramp.flatMs) / (ramp.wholeMs - ramp.flatMs);
    return ramp.from + (1 - ramp.from) * grown;
  }
}

function full({ inFlight, maxConcurrent }: Usage): boolean {
  return maxConcurrent !== undefined && inFlight >= maxConcurrent;
}

/** Told when a breaker changes its state. */
export type BreakerListener = (endpoint: string, state: BreakerState, untilTimeMs: number | undefined) => void;

/**
 * What this process has learnt of endpoints and providers, beyond single requests. It is known by their names, so it outlives the
 * configuration that they stand in.
 */
export class EngineState {
  /** Calls in flight, all together. */
  inFlight = 0;
  readonly #clock: Clock;
  readonly #rng: Rng;
  #settings: RoutingSettings;
  readonly #onBreaker: BreakerListener;
  readonly #endpoints = new Map<string, EndpointState>();
  readonly #providers = new Map<string, ProviderState>();

  constructor(clock: Clock, rng: Rng, settings: RoutingSettings, onBreaker: BreakerListener = () => {}) {
    this.#clock = clock;
    this.#rng = rng;
    this.#settings = settings;
    this.#onBreaker = onBreaker;
  }

  endpoint(endpoint: Endpoint): EndpointState {
    let state = this.#endpoints.get(endpoint.id);
    if (!state) {
      state = this.#newEndpoint(endpoint.id);
      if (this.#endpoints.size >= maxEndpoints) this.#forgetOne();
      this.#endpoints.set(endpoint.id, state);
    }
    state.usage.adopt(endpoint.use, this.#clock.now());
    return state;
  }

  /** An endpoint by its id, if anybody has asked for it. */
  endpointNamed(id: string): EndpointState | undefined {
    return this.#endpoints.get(id);
  }

  /** Every endpoint that anybody has asked for, by its id. */
  endpoints(): Iterable<readonly [string, EndpointState]> {
    return this.#endpoints;
  }

  provider({ provider: name, keys, providerUse }: Endpoint): ProviderState {
    let state = this.#providers.get(name);
    if (!state) {
      state = new ProviderState(keys, this.#rng);
      this.#providers.set(name, state);
    }
    state.usage.adopt(providerUse, this.#clock.now());
    return state;
  }

  /** A provider by its name, if anybody has asked for it or it was announced. */
  providerNamed(name: string): ProviderState | undefined {
    return this.#providers.get(name);
  }

  /** Announces a provider with its keys, or with other keys than before. */
  adoptKeys(provider: string, keys: readonly Key[]): void {
    const known = this.#providers.get(provider);
    if (known) known.adopt(keys);
    else this.#providers.set(provider, new ProviderState(keys, this.#rng));
  }

  /** What was learnt of a provider does not hold for another that has its name now. Calls in flight end as they began. */
  forgetProvider(name: string): void {
    this.#providers.delete(name);
    for (const id of this.#endpoints.keys()) if (id.startsWith(`${name}/`)) this.#endpoints.delete(id);
  }

  /** Goes on with other settings; what has been learnt stays. */
  adopt(settings: RoutingSettings): void {
    this.#settings = settings;
    for (const { breaker, retries } of this.#endpoints.values()) {
      breaker.adopt(settings.breaker, this.#clock.now());
      retries.adopt(settings.retryBudget);
    }
  }

  /** Everything that keeps an endpoint from being used now, but for its breaker. Changes nothing. */
  hindrance(endpoint: Endpoint, now: number): Hindrance | undefined {
    if (!endpoint.enabled) return { reason: "disabled" };
    const state = this.endpoint(endpoint);
    const manual = state.manual?.state;
    if (manual && manual !== "forced_closed") return { reason: manual };
    const off = state.off(now);
    if (off) return off;
    const blocked = this.provider(endpoint).ring.blocked(now, endpoint.id);
    if (!blocked) return this.fullness(endpoint, now);
    const { reason } = blocked;
    return {
      reason: reason === "key_refused" ? "no_key" : reason,
      until: blocked.until,
      wait: "retry_after",
      detail: blocked.detail,
    };
  }

  /** The limits of ours that keep an endpoint from being used now. */
  fullness(endpoint: Endpoint, now: number): Hindrance | undefined {
    const { usage } = this.endpoint(endpoint);
    const { usage: ofProvider } = this.provider(endpoint);
    if (full(usage) || full(ofProvider)) return { reason: "concurrency", wait: "queue" };
    const ownLimit = usage.maxConcurrent ?? ofProvider.maxConcurrent;
    if (ownLimit === undefined && usage.inFlight >= this.#settings.inFlight.endpoint) return { reason: "overflow" };
    const until = Math.max(usage.bucket?.availableAt(now) ?? now, ofProvider.bucket?.availableAt(now) ?? now);
    return until > now ? { reason: "rate_limited", until, wait: "queue" } : undefined;
  }

  /** Why its breaker keeps calls out now. */
  barred(endpoint: Endpoint, now: number, sole: boolean): Hindrance | undefined {
    const state = this.endpoint(endpoint);
    if (state.manual?.state === "forced_closed") return undefined;
    const barred = state.breaker.barred(now, sole);
    return barred && { reason: "breaker_open", until: barred.until, openedBy: state.openedBy };
  }

  /** Takes from every limit that a call counts against. */
  begin({ usage }: EndpointState, provider: ProviderState, now: number): void {
    for (const each of [usage, provider.usage]) {
      each.bucket?.take(now);
      each.inFlight += 1;
    }
    this.inFlight += 1;
  }

  /**
   * @param notSentSince when a call began that the provider cannot have counted: then the limits do not either; undefined: it has
   */
  end({ usage }: EndpointState, provider: ProviderState, now: number, notSentSince: number | undefined): void {
    for (const each of [usage, provider.usage]) {
      if (notSentSince !== undefined) each.bucket?.giveBack(now, notSentSince);
      each.inFlight -= 1;
    }
    this.inFlight -= 1;
  }

  #newEndpoint(id: string): EndpointState {
    const breaker = new Breaker(this.#settings.breaker, this.#rng, (state, until) => {
      const inMs = until === undefined ? undefined : until - this.#clock.now();
      this.#onBreaker(id, state, inMs === undefined ? undefined : this.#clock.wallTime() + inMs);
    });
    return new EndpointState(breaker, new RetryBudget({ ratio: this.#settings.retryBudget }));
  }

  /** Forgets the longest known endpoint that nobody uses. */
  #forgetOne(): void {
    for (const [id, { usage, manual, breaker }] of this.#endpoints) {
      if (usage.inFlight > 0 || usage.limited || manual || breaker.state !== "closed") continue;
      this.#endpoints.delete(id);
      return;
    }
  }
}
