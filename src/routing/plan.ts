import type { Clock } from "../runtime/clock.ts";
import type { Rng } from "../runtime/rng.ts";
import { afterRetryAfter, fullJitter } from "./backoff.ts";
import type { Permit } from "./breaker.ts";
import type { Endpoint, Pool, Tier } from "./endpoint.ts";
import type { KeySlot } from "./key-ring.ts";
import { hardMaxAttempts, minAttemptMs, type RoutingSettings } from "./settings.ts";
import type { EndpointState, EngineState, Hindrance, ProviderState } from "./state.ts";
import type { Offer, Picker, PickRequest } from "./strategy/picker.ts";
import type { SkipRecord, TrailWriter, WaitReason } from "./trail.ts";
import type { Verdict } from "./verdict.ts";
import type { Found } from "./waiting-line.ts";

/** What an attempt has been given: everything is taken that must be given back. */
export interface Grant<E extends Endpoint> {
  readonly endpoint: E;
  readonly state: EndpointState;
  readonly provider: ProviderState;
  readonly slot: KeySlot;
  readonly permit: Permit;
  /** Position of the endpoint's tier in the pool. */
  readonly tier: number;
}

/** What to do next. */
export type Move<E extends Endpoint> =
  | { readonly kind: "attempt"; readonly grant: Grant<E> }
  /** Wait and see; with an endpoint: then ask it again. */
  | { readonly kind: "wait"; readonly ms: number; readonly reason: WaitReason; readonly again?: E }
  /** Every candidate is at a limit of ours. */
  | { readonly kind: "queue" }
  | { readonly kind: "give_up" };

/** What binds one request. */
export interface Bounds<E extends Endpoint> {
  /** The caller's own cap on attempts; the settings' cap binds too. */
  readonly maxAttempts: number;
  /** Monotonic ms. */
  readonly deadline: number;
  readonly mode: "run" | "open";
  readonly request: PickRequest<E>;
}

/** What every request's plan is made of. */
export interface Engine {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly settings: RoutingSettings;
  readonly state: EngineState;
  pickerOf<E extends Endpoint>(pool: Pool<E>, tier: Tier<E>): Picker<E>;
}

/** An endpoint that this request has asked. */
interface Tried<E extends Endpoint> {
  readonly endpoint: E;
  readonly tier: number;
  readonly slots: Set<KeySlot>;
  /** The last slot, for an exact repeat. */
  slot: KeySlot;
  /** Further keys after limits. */
  rotations: number;
  /** Times it was asked again after a wait. */
  returns: number;
  /** What was repeated exactly already, by its class. */
  readonly repeated: Set<string>;
  verdict: Verdict | undefined;
}

/** A Retry-After that is longer than this is not waited for while a worse tier is free. */
const soonMs = 1000;

/**
 * Who is next, in one request. The order of moves after a failure: another key of the endpoint, another endpoint of its tier, one
 * repeat of the endpoint if that is worth waiting for, the next tier, and when nothing else is left the best endpoint again.
 */
export class Plan<E extends Endpoint> {
  readonly #engine: Engine;
  readonly #pool: Pool<E>;
  readonly #bounds: Bounds<E>;
  readonly #trail: TrailWriter;
  readonly #onSkip: (skip: SkipRecord) => void;
  readonly #startedAt: number;
  readonly #maxAttempts: number;
  readonly #tried = new Map<string, Tried<E>>();
  #last: Tried<E> | undefined;
  /** Attempts that count against the cap. */
  #counted = 0;
  #authRotations = 0;
  #waitedMs = 0;
  #patienceUsed = false;
  #queueLeft = false;
  /** A prompt was too long for this many tokens; only larger windows are worth asking. */
  #outgrown: number | undefined;
  /** Of the last walk: what was passed over, and what might serve all the same when nothing else is left. */
  #hindered: Hindrance[] = [];
  #barred: { readonly member: E; readonly tier: number; readonly until: number | undefined }[] = [];
  #returning: { readonly member: E; readonly tier: number }[] = [];

  constructor(
    engine: Engine,
    pool: Pool<E>,
    bounds: Bounds<E>,
    trail: TrailWriter,
    onSkip: (skip: SkipRecord) => void,
  ) {
    this.#engine = engine;
    this.#pool = pool;
    this.#bounds = bounds;
    this.#trail = trail;
    this.#onSkip = onSkip;
    this.#startedAt = engine.clock.now();
    const { maxAttempts } = engine.settings;
    const own = pool.strategy === "ordered" ? Math.max(maxAttempts, pool.size) : maxAttempts;
    this.#maxAttempts = Math.min(own, hardMaxAttempts, bounds.maxAttempts);
    for (const { endpoint, reason } of pool.ruledOut) this.#skip(endpoint, { reason });
  }

  /** The next move; what it takes for an attempt is taken. */
  next(): Move<E> {
    const now = this.#engine.clock.now();
    const last = this.#last;
    if (last && this.#bounds.deadline - now < minAttemptMs) return this.#giveUp("deadline");
    const again = last && this.#again(last, now);
    if (again) return again;
    if (this.#counted >= this.#maxAttempts) return this.#giveUp("attempt_cap");
    return this.#onward(last, now) ?? this.#whatIsLeft(now);
  }

  /** After a wait: the endpoint that was waited for, if it can be asked now. */
  resume(endpoint: E): Grant<E> | undefined {
    const tried = this.#tried.get(endpoint.id);
    return tried && this.#grant(endpoint, tried.tier, this.#engine.clock.now(), true);
  }

  /** From the queue: whatever can be asked now, or when something can. */
  pickNow(): Found<Grant<E>> {
    const move = this.#onward(undefined, this.#engine.clock.now());
    return move?.kind === "attempt" ? { grant: move.grant } : { until: soonestOf(this.#queueable()) };
  }

  /** The queue has had its chance. */
  leaveQueue(): void {
    this.#queueLeft = true;
  }

  /** When the first of those that were passed over can be asked, monotonic ms; undefined when nobody knows. */
  soonest(): number | undefined {
    const now = this.#engine.clock.now();
    const times = [...this.#hindered, ...this.#barred].map(({ until }) => until);
    for (const { endpoint } of this.#tried.values()) {
      const { state } = this.#engine;
      times.push((state.hindrance(endpoint, now) ?? state.barred(endpoint, now, this.#sole))?.until);
    }
    const known = times.filter((until) => until !== undefined && until > now) as number[]; // filter does not narrow
    return known.length > 0 ? Math.min(...known) : undefined;
  }

  /** Whether anything has been asked. */
  get begun(): boolean {
    return this.#tried.size > 0;
  }

  /**
   * The line to wait in: those in one line wait for the same endpoints, so that the first of them does not hold up others who could
   * be served.
   */
  lineName(): string {
    const tried = [...this.#tried.keys()].sort().join(",");
    const named =
      this.#pool.policy === "pinned" ? this.#pool.tiers.flatMap(({ members }) => members.map(({ id }) => id)) : [];
    return [this.#pool.model, ...named, tried].join(" ");
  }

  /** Whether the cap was what ended it although there was more to try. */
  get capped(): boolean {
    return this.#counted >= this.#maxAttempts;
  }

  /** How an attempt failed: what comes next hangs on it. */
  failed({ endpoint }: Grant<E>, verdict: Verdict): void {
    const tried = this.#tried.get(endpoint.id);
    if (!tried) return;
    tried.verdict = verdict;
    this.#last = tried;
    if (verdict.next === "larger") this.#outgrown = Math.max(this.#outgrown ?? 0, endpoint.contextWindow ?? 0);
  }

  /** An endpoint that could be asked after this one fails; undefined: none. Takes nothing. */
  another(): E | undefined {
    const now = this.#engine.clock.now();
    for (const { members } of this.#pool.tiers) {
      const found = members.find((member) => this.#isFree(member, now));
      if (found) return found;
    }
    return undefined;
  }

  get #sole(): boolean {
    return this.#pool.size === 1;
  }

  /** The same endpoint at once: exactly as before, or with another key. Neither counts against the cap. */
  #again(last: Tried<E>, now: number): Move<E> | undefined {
    const { verdict, endpoint, tier } = last;
    if (verdict?.next === "same" && !last.repeated.has(verdict.class)) {
      last.repeated.add(verdict.class);
      return moveOf(this.#grant(endpoint, tier, now, false, last.slot));
    }
    if (verdict?.next !== "key" || !this.#mayRotate(last, verdict, now)) return undefined;
    const grant = this.#grant(endpoint, tier, now, false);
    if (grant && verdict.class === "rate_limited") last.rotations += 1;
    else if (grant) this.#authRotations += 1;
    return moveOf(grant);
  }

  #mayRotate(last: Tried<E>, { class: why }: Verdict, now: number): boolean {
    const { rate, auth } = this.#engine.settings.keyRotations;
    if (why === "rate_limited") return last.rotations < rate;
    // Many bad keys are found out fast, but not for ever: the caller's time is for an answer.
    return this.#authRotations < auth && now - this.#startedAt <= (this.#bounds.deadline - this.#startedAt) / 4;
  }

  /** An endpoint that this request has not asked, the best tier first. */
  #onward(last: Tried<E> | undefined, now: number): Move<E> | undefined {
    this.#hindered = [];
    this.#barred = [];
    this.#returning = [];
    if (last && !this.#engine.settings.failover) return undefined;
    if (this.#engine.state.inFlight >= this.#engine.settings.inFlight.process) {
      for (const { members } of this.#pool.tiers) if (members[0]) this.#hinder(members[0].id, { reason: "overflow" });
      return { kind: "give_up" };
    }
    for (const [index, tier] of this.#pool.tiers.entries()) {
      const patience = last && index > last.tier ? this.#patience(last, index, now) : undefined;
      if (patience) return patience;
      const grant = this.#pick(tier, index, now);
      if (grant) return { kind: "attempt", grant };
    }
    for (const { member, tier } of this.#returning) {
      const grant = this.#grant(member, tier, now, true);
      if (grant) return { kind: "attempt", grant };
    }
    return undefined;
  }

  #pick(tier: Tier<E>, index: number, now: number): Grant<E> | undefined {
    let grant: Grant<E> | undefined;
    const offer = (member: E): Offer => {
      if (this.#tried.has(member.id)) return "excluded";
      if (this.#tooSmall(member)) {
        this.#skip(member.id, { reason: "context_window" });
        return "excluded";
      }
      const hindrance = this.#engine.state.hindrance(member, now);
      if (hindrance) {
        this.#hinder(member.id, hindrance);
        return "passed";
      }
      const barred = this.#engine.state.barred(member, now, this.#sole);
      if (barred) {
        this.#barred.push({ member, tier: index, until: barred.until });
        this.#skip(member.id, barred);
        return "passed";
      }
      if (this.#holdsBack(member, now)) {
        this.#returning.push({ member, tier: index });
        this.#skip(member.id, { reason: "returning" });
        return "passed";
      }
      grant = this.#take(member, index, now, true);
      return grant ? "taken" : "passed";
    };
    this.#engine.pickerOf(this.#pool, tier).pick(offer, this.#bounds.request);
    return grant;
  }

  /** Whether an endpoint that has come back lets this request go to others. */
  #holdsBack(member: E, now: number): boolean {
    if (this.#sole) return false;
    const share = this.#engine.state.endpoint(member).share(now);
    return share < 1 && this.#engine.rng.next() >= share;
  }

  /**
   * One repeat before a worse tier, where that may well do: the provider has answered that it failed, or it is overloaded. It must
   * not cost an endpoint its chance that the cap would else have reached.
   */
  #patience(last: Tried<E>, fromTier: number, now: number): Move<E> | undefined {
    if (this.#patienceUsed) return undefined;
    this.#patienceUsed = true;
    const ms = this.#patienceMs(last, now);
    if (ms === undefined || now + ms + minAttemptMs > this.#bounds.deadline) return undefined;
    const spare = this.#maxAttempts - this.#counted - 1;
    const untried = this.#countFree(fromTier, spare + 1, now);
    if (untried === 0 || untried > spare) return undefined;
    const { state } = this.#engine;
    const closed = !state.barred(last.endpoint, now, this.#sole);
    if (!closed || !state.endpoint(last.endpoint).retries.tryRepeat(now)) return undefined;
    last.returns += 1;
    const reason = last.verdict?.retryAfterMs === undefined ? "backoff" : "retry_after";
    return { kind: "wait", ms, reason, again: last.endpoint };
  }

  #patienceMs({ verdict, returns, endpoint }: Tried<E>, now: number): number | undefined {
    const { rng, settings, state } = this.#engine;
    if (verdict?.class === "rate_limited") {
      const until = state.hindrance(endpoint, now)?.until;
      return until !== undefined && until - now <= settings.patienceMs ? until - now : undefined;
    }
    if (verdict?.repeat !== "soon") return undefined;
    const { retryAfterMs } = verdict;
    if (retryAfterMs === undefined) return fullJitter(rng, returns, settings.backoff);
    return retryAfterMs <= soonMs ? afterRetryAfter(rng, retryAfterMs) : undefined;
  }

  /** Nothing can be asked at once: what waiting brings, and whatever else is better than giving up. */
  #whatIsLeft(now: number): Move<E> {
    if (!this.#queueLeft && this.#queueable().length > 0) return { kind: "queue" };
    const lastResort = this.#lastResort(now);
    if (lastResort) return { kind: "attempt", grant: lastResort };
    return this.#return(now) ?? this.#giveUp(undefined);
  }

  #queueable(): Hindrance[] {
    return this.#hindered.filter(({ wait }) => wait === "queue");
  }

  /** Breakers alone keep these out. */
  #lastResort(now: number): Grant<E> | undefined {
    for (const { member, tier } of this.#barred) {
      const state = this.#engine.state.endpoint(member);
      const permit = state.breaker.lastResort(now);
      const grant = permit && this.#take(member, tier, now, true, undefined, permit);
      if (grant) return grant;
    }
    return undefined;
  }

  /** The endpoint that can be asked (again) soonest, if that is soon enough. */
  #return(now: number): Move<E> | undefined {
    const { settings, rng, state } = this.#engine;
    let best: { readonly at: number; readonly reason: WaitReason; readonly again?: Tried<E> } | undefined;
    for (const tried of this.#tried.values()) {
      const { verdict, endpoint, returns } = tried;
      const mayRepeat = verdict?.class === "rate_limited" || (verdict?.repeat ?? "never") !== "never";
      if (!verdict || !mayRepeat || state.barred(endpoint, now, this.#sole)) continue;
      const hindrance = state.hindrance(endpoint, now);
      if (hindrance && hindrance.until === undefined) continue;
      const stated = Math.max(verdict.retryAfterMs ?? 0, (hindrance?.until ?? now) - now);
      const ms = Math.max(
        stated > 0 ? afterRetryAfter(rng, stated) : 0,
        verdict.class === "rate_limited" ? 0 : fullJitter(rng, returns, settings.backoff),
      );
      if (!best || now + ms < best.at)
        best = { at: now + ms, reason: stated > 0 ? "retry_after" : "backoff", again: tried };
    }
    for (const { until, wait } of this.#hindered) {
      if (wait !== "retry_after" || until === undefined) continue;
      const at = now + afterRetryAfter(rng, until - now);
      if (!best || at < best.at) best = { at, reason: "retry_after" };
    }
    if (!best) return undefined;
    const { at, reason, again } = best;
    const ms = Math.max(1, at - now);
    const patient = this.#waitedMs + ms <= settings.lastPatienceMs + soonMs;
    if (!patient || at + minAttemptMs > this.#bounds.deadline) return undefined;
    if (!again) {
      this.#waitedMs += ms;
      return { kind: "wait", ms, reason };
    }
    if (!state.endpoint(again.endpoint).retries.tryRepeat(now)) return undefined;
    again.returns += 1;
    this.#waitedMs += ms;
    return { kind: "wait", ms, reason, again: again.endpoint };
  }

  #giveUp(reason: "deadline" | "attempt_cap" | undefined): Move<E> {
    if (reason) {
      for (const { members } of this.#pool.tiers) {
        for (const member of members) {
          if (this.#tried.has(member.id)) continue;
          this.#skip(member.id, member.enabled ? { reason } : { reason: "disabled" });
        }
      }
    }
    return { kind: "give_up" };
  }

  #grant(member: E, tier: number, now: number, counts: boolean, slot?: KeySlot): Grant<E> | undefined {
    const { state } = this.#engine;
    const hindrance = slot ? undefined : state.hindrance(member, now);
    if (hindrance || state.barred(member, now, this.#sole)) return undefined;
    return this.#take(member, tier, now, counts, slot);
  }

  /** Takes a key, a permit and a place. */
  #take(
    member: E,
    tier: number,
    now: number,
    counts: boolean,
    sameSlot?: KeySlot,
    lastResort?: Permit,
  ): Grant<E> | undefined {
    const { state: engineState } = this.#engine;
    const state = engineState.endpoint(member);
    const provider = engineState.provider(member);
    let tried = this.#tried.get(member.id);
    // Keys that this request has used are passed over when a key is to blame, else they may serve again.
    const usedUp = tried?.verdict?.next === "key" ? tried.slots : undefined;
    const slot =
      sameSlot ??
      provider.ring.pick(now, member.id, usedUp) ??
      (counts ? provider.ring.pick(now, member.id) : undefined);
    if (!slot) return undefined;
    const limits = member.limits;
    const leaseMs = (this.#bounds.mode === "open" ? limits.firstContentMs : limits.totalMs) + 1000;
    const permit = lastResort ?? state.breaker.acquire(now, leaseMs);
    engineState.begin(state, provider, now);
    if (counts) {
      this.#counted += 1;
      if (!tried) state.retries.request(now);
    }
    tried ??= {
      endpoint: member,
      tier,
      slots: new Set(),
      slot,
      rotations: 0,
      returns: 0,
      repeated: new Set(),
      verdict: undefined,
    };
    tried.slots.add(slot);
    tried.slot = slot;
    this.#tried.set(member.id, tried);
    return { endpoint: member, state, provider, slot, permit, tier };
  }

  #tooSmall({ contextWindow = 0 }: E): boolean {
    return this.#outgrown !== undefined && this.#pool.onContextOverflow === "larger" && contextWindow <= this.#outgrown;
  }

  #isFree(member: E, now: number): boolean {
    const { state } = this.#engine;
    if (this.#tried.has(member.id) || this.#tooSmall(member) || member.weight === 0) return false;
    return !state.hindrance(member, now) && !state.barred(member, now, this.#sole);
  }

  /** How many endpoints from a tier on could be asked now; counts no further than it must. */
  #countFree(fromTier: number, most: number, now: number): number {
    let count = 0;
    for (const { members } of this.#pool.tiers.slice(fromTier)) {
      for (const member of members) {
        if (count >= most) return count;
        if (this.#isFree(member, now)) count += 1;
      }
    }
    return count;
  }

  #hinder(endpoint: string, hindrance: Hindrance): void {
    this.#hindered.push(hindrance);
    this.#skip(endpoint, hindrance);
  }

  #skip(endpoint: string, { reason, until, detail }: Omit<Hindrance, "wait">): void {
    const { clock } = this.#engine;
    const untilTimeMs = until === undefined ? undefined : Math.round(clock.wallTime() + until - clock.now());
    const skip = this.#trail.skip(endpoint, reason, {
      ...(untilTimeMs !== undefined && { untilTimeMs }),
      ...(detail !== undefined && { detail }),
    });
    if (skip) this.#onSkip(skip);
  }
}

function moveOf<E extends Endpoint>(grant: Grant<E> | undefined): Move<E> | undefined {
  return grant && { kind: "attempt", grant };
}

function soonestOf(hindrances: readonly Hindrance[]): number | undefined {
  const times = hindrances.flatMap(({ until }) => (until === undefined ? [] : [until]));
  return times.length > 0 ? Math.min(...times) : undefined;
}
