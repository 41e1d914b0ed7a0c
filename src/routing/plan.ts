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

/** A line to wait in. */
export interface Line<E extends Endpoint> {
  /** Those in one line wait for the same, so that the first of them does not hold up others who could be served. */
  readonly name: string;
  /** Whether there are other ways, so that it is not worth a long wait. */
  readonly brief: boolean;
  take(): Found<Grant<E>>;
}

/** What to do next. */
export type Move<E extends Endpoint> =
  | { readonly kind: "attempt"; readonly grant: Grant<E> }
  /** Wait and see; with an endpoint: then ask it again. */
  | { readonly kind: "wait"; readonly ms: number; readonly reason: WaitReason; readonly again?: E }
  /** What could serve is at a limit of ours: wait in a line for it. */
  | ({ readonly kind: "queue" } & Line<E>)
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
  /** Those of now: a new configuration brings others. */
  settings: RoutingSettings;
  readonly state: EngineState;
  /** Of those who take over what others have failed at, or else of first choices. */
  pickerOf<E extends Endpoint>(pool: Pool<E>, tier: Tier<E>, takesOver: boolean): Picker<E>;
  /** Tells pools apart: a new configuration has pools of its own, under the same names. */
  numberOf(pool: object): number;
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
  /** When that was, monotonic ms: what a provider asks for counts from then. */
  failedAt: number;
}

/** A wait that may bring something. */
interface Way<E extends Endpoint> {
  /** Monotonic ms. */
  readonly at: number;
  readonly reason: WaitReason;
  readonly again?: Tried<E>;
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
  #bounds: Bounds<E>;
  readonly #trail: TrailWriter;
  readonly #onSkip: (skip: SkipRecord) => void;
  #startedAt: number;
  #maxAttempts: number;
  readonly #tried = new Map<string, Tried<E>>();
  #last: Tried<E> | undefined;
  /** Attempts that count against the cap. */
  #counted = 0;
  #authRotations = 0;
  /** Waited because providers asked for it. */
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
    return this.#onward(last, now) ?? this.#whatIsLeft(last, now);
  }

  /** After a wait: what was waited for, if it can be had now or in a line; else whatever is next. */
  resume(endpoint: E): Move<E> {
    const tried = this.#tried.get(endpoint.id);
    if (!tried) return this.next();
    const { retries } = this.#engine.state.endpoint(endpoint);
    const repeat = () => {
      const now = this.#engine.clock.now();
      // A wait that was in vain costs nothing; what counts is the repeat.
      const grant = retries.allows(now) ? this.#grant(endpoint, tried.tier, now, true) : undefined;
      if (grant) retries.tryRepeat(now);
      return grant;
    };
    return moveOf(repeat()) ?? this.#lineAt(endpoint, repeat) ?? this.next();
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

  /** Whether as many attempts were made as may be. */
  get capped(): boolean {
    return this.#counted >= this.#maxAttempts;
  }

  /** How an attempt failed: what comes next hangs on it. */
  failed({ endpoint }: Grant<E>, verdict: Verdict): void {
    const tried = this.#tried.get(endpoint.id);
    if (!tried) return;
    tried.verdict = verdict;
    tried.failedAt = this.#engine.clock.now();
    this.#last = tried;
    if (verdict.next === "larger") this.#outgrown = Math.max(this.#outgrown ?? 0, endpoint.contextWindow ?? 0);
  }

  /** An attempt beside the one that is under way, at an endpoint that can be had at once; undefined: there is none. */
  hedge(): Grant<E> | undefined {
    const { clock, settings, state } = this.#engine;
    const now = clock.now();
    if (!settings.failover || this.#counted >= this.#maxAttempts) return undefined;
    if (this.#bounds.deadline - now < minAttemptMs || state.inFlight >= settings.inFlight.process) return undefined;
    for (const [index, tier] of this.#pool.tiers.entries()) {
      const grant = this.#pick(tier, index, now);
      if (grant) return grant;
    }
    return undefined;
  }

  /** A stream has broken after its first content: one more attempt is planned, with a deadline of its own. */
  goOn(grant: Grant<E>, verdict: Verdict, deadline: number): void {
    this.#startedAt = this.#engine.clock.now();
    this.#bounds = { ...this.#bounds, deadline };
    this.#maxAttempts = Math.min(this.#maxAttempts, this.#counted + 1);
    // Content has been served: another endpoint goes on sooner than the one that broke comes back.
    this.#patienceUsed = true;
    this.#queueLeft = false;
    // What was given up because another was quicker has not failed.
    for (const [id, { verdict: failure }] of this.#tried) {
      if (failure === undefined && id !== grant.endpoint.id) this.#tried.delete(id);
    }
    this.failed(grant, verdict);
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
      const { slot } = last;
      const repeat = () => this.#grant(endpoint, tier, this.#engine.clock.now(), false, slot);
      return moveOf(repeat()) ?? this.#lineAt(endpoint, repeat);
    }
    return moveOf(this.#rotate(last, now));
  }

  /** Another key of the endpoint. */
  #rotate(last: Tried<E>, now: number): Grant<E> | undefined {
    const { verdict, endpoint, tier } = last;
    if (verdict?.next !== "key" || !this.#mayRotate(last, verdict, now)) return undefined;
    const grant = this.#grant(endpoint, tier, now, false);
    if (grant && verdict.class === "rate_limited") last.rotations += 1;
    else if (grant) this.#authRotations += 1;
    return grant;
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
    let considered = false;
    for (const [index, tier] of this.#pool.tiers.entries()) {
      if (last && index > last.tier && !considered) {
        considered = true;
        const patience = this.#patience(last, index, now);
        if (patience) return patience;
      }
      const grant = this.#pick(tier, index, now);
      if (grant) return { kind: "attempt", grant };
      const limit = last ? undefined : this.#patienceForLimit(index + 1, now);
      if (limit) return limit;
    }
    for (const { member, tier } of this.#returning) {
      const grant = this.#grant(member, tier, now, true);
      if (grant) return { kind: "attempt", grant };
    }
    return undefined;
  }

  #pick(tier: Tier<E>, index: number, now: number): Grant<E> | undefined {
    let grant: Grant<E> | undefined;
    // Whoever takes over has its turns counted apart: else an endpoint that fails would be first more often than its share.
    const takesOver = this.begun;
    const offer = (member: E): Offer => {
      if (this.#tried.has(member.id)) return takesOver ? "passed" : "excluded";
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
        return "deferred";
      }
      grant = this.#take(member, index, now, true);
      return grant ? "taken" : "passed";
    };
    this.#engine.pickerOf(this.#pool, tier, takesOver).pick(offer, this.#bounds.request);
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
    const ms = this.#patienceMs(last, now);
    if (ms === undefined || now + ms + minAttemptMs > this.#bounds.deadline) return undefined;
    const spare = this.#maxAttempts - this.#counted - 1;
    const untried = this.#countFree(fromTier, spare + 1, now);
    // Those that have just come back are asked when nobody else is left.
    if (untried === 0 || untried + this.#returning.length > spare) return undefined;
    const { state } = this.#engine;
    const closed = !state.barred(last.endpoint, now, this.#sole);
    if (!closed || !state.endpoint(last.endpoint).retries.allows(now)) return undefined;
    this.#patienceUsed = true;
    last.returns += 1;
    const reason = last.verdict?.retryAfterMs === undefined ? "backoff" : "retry_after";
    return { kind: "wait", ms, reason, again: last.endpoint };
  }

  /** Who comes while a tier's endpoints are limited waits for them, too, instead of being served by a worse one at once. */
  #patienceForLimit(nextTier: number, now: number): Move<E> | undefined {
    const { rng, settings } = this.#engine;
    if (settings.patienceMs === 0 || this.#patienceUsed) return undefined;
    const until = soonestOf(
      this.#hindered.filter(({ wait, reason }) => wait === "retry_after" && reason === "rate_limited"),
    );
    if (until === undefined || until - now > settings.patienceMs || this.#countFree(nextTier, 1, now) === 0)
      return undefined;
    this.#patienceUsed = true;
    return { kind: "wait", ms: afterRetryAfter(rng, until - now), reason: "retry_after" };
  }

  #patienceMs({ verdict, returns, endpoint }: Tried<E>, now: number): number | undefined {
    const { rng, settings, state } = this.#engine;
    if ((verdict?.repeat ?? "never") === "never") return undefined;
    if (verdict?.class === "rate_limited") {
      const until = state.hindrance(endpoint, now)?.until;
      if (until === undefined || until - now > settings.patienceMs) return undefined;
      return afterRetryAfter(rng, until - now);
    }
    if (verdict?.repeat !== "soon") return undefined;
    const { retryAfterMs } = verdict;
    if (retryAfterMs === undefined) return fullJitter(rng, returns, settings.backoff);
    return retryAfterMs <= soonMs ? afterRetryAfter(rng, retryAfterMs) : undefined;
  }

  /** Nothing can be asked at once: what waiting brings, and whatever else is better than giving up. */
  #whatIsLeft(last: Tried<E> | undefined, now: number): Move<E> {
    if (!this.#queueLeft && this.#queueable().length > 0) return { kind: "queue", ...this.#line() };
    const rotate = last && (() => this.#rotate(last, this.#engine.clock.now()));
    const line = rotate && last.verdict?.next === "key" ? this.#lineAt(last.endpoint, rotate) : undefined;
    return line ?? moveOf(this.#lastResort(now)) ?? this.#return(now) ?? this.#giveUp(undefined);
  }

  /** The line for whatever has not been asked. */
  #line(): Line<E> {
    const tried = [...this.#tried.keys()].sort();
    return {
      name: [this.#engine.numberOf(this.#pool), "but", ...tried].join(" "),
      brief: this.begun,
      take: () => {
        const move = this.#onward(undefined, this.#engine.clock.now());
        if (move?.kind === "attempt") return { grant: move.grant };
        // The process as a whole is full: that passes.
        if (move) return { until: undefined };
        const queueable = this.#queueable();
        return queueable.length > 0 ? { until: soonestOf(queueable) } : { gone: true };
      },
    };
  }

  /** The line for one endpoint that is full; undefined when it is not, or when waiting in line has been in vain. */
  #lineAt(endpoint: E, take: () => Grant<E> | undefined): Move<E> | undefined {
    const { state, clock } = this.#engine;
    if (this.#queueLeft || state.hindrance(endpoint, clock.now())?.wait !== "queue") return undefined;
    return {
      kind: "queue",
      name: `at ${endpoint.id}`,
      brief: false,
      take: () => {
        const full = state.hindrance(endpoint, clock.now());
        if (full?.wait === "queue") return { until: full.until };
        const grant = take();
        return grant ? { grant } : { gone: true };
      },
    };
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
    const ways = [...this.#tried.values()].flatMap((tried) => this.#wayBack(tried, now) ?? []);
    // One that was silent only when nothing else is left: it has cost the most.
    const quick = ways.filter(({ again }) => !again?.verdict?.slow);
    const best = soonestWay([...(quick.length > 0 ? quick : ways), ...this.#waysOn(now)]);
    if (!best) return undefined;
    const { reason, again } = best;
    const ms = Math.max(1, best.at - now);
    if (best.at + minAttemptMs > this.#bounds.deadline || !this.#hasPatience(reason, ms)) return undefined;
    if (!again) return { kind: "wait", ms, reason };
    again.returns += 1;
    return { kind: "wait", ms, reason, again: again.endpoint };
  }

  /** When an endpoint that has failed may be asked again; undefined: not in this request. */
  #wayBack(tried: Tried<E>, now: number): Way<E> | undefined {
    const { settings, rng, state } = this.#engine;
    const { verdict, endpoint, returns, failedAt } = tried;
    if ((verdict?.repeat ?? "never") === "never" || state.barred(endpoint, now, this.#sole)) return undefined;
    if (!state.endpoint(endpoint).retries.allows(now)) return undefined;
    const hindrance = state.hindrance(endpoint, now);
    const backoff = fullJitter(rng, returns, settings.backoff);
    const full = hindrance?.wait === "queue";
    if (hindrance && (full ? this.#queueLeft : hindrance.until === undefined)) return undefined;
    const free = full ? now : (hindrance?.until ?? now);
    const stated = Math.max(failedAt + (verdict?.retryAfterMs ?? 0), free) - now;
    const asked = stated > 0 ? afterRetryAfter(rng, stated) : 0;
    return { at: now + Math.max(asked, backoff), reason: asked > backoff ? "retry_after" : "backoff", again: tried };
  }

  /** When endpoints that have not been asked may be: those whose provider has asked to be left alone. */
  #waysOn(now: number): Way<E>[] {
    return this.#hindered.flatMap(({ until, wait }) =>
      wait === "retry_after" && until !== undefined
        ? [{ at: now + afterRetryAfter(this.#engine.rng, until - now), reason: "retry_after" as const }]
        : [],
    );
  }

  /** Whether a request may wait for so long for that reason; it then has. */
  #hasPatience(reason: WaitReason, ms: number): boolean {
    if (reason !== "retry_after") return true;
    this.#waitedMs += ms;
    return this.#waitedMs <= this.#engine.settings.lastPatienceMs + soonMs;
  }

  #giveUp(reason: "deadline" | "attempt_cap" | undefined): Move<E> {
    if (reason && this.#engine.settings.failover) {
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
    if (state.inFlight >= this.#engine.settings.inFlight.process) return undefined;
    if (state.hindrance(member, now) || state.barred(member, now, this.#sole)) return undefined;
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
      (sameSlot && provider.ring.again(sameSlot, now, member.id)) ??
      provider.ring.pick(now, member.id, usedUp) ??
      (counts ? provider.ring.pick(now, member.id) : undefined);
    if (!slot) return undefined;
    const limits = member.limits;
    const leaseMs = (this.#bounds.mode === "open" ? limits.firstContentMs : limits.totalMs) + 1000;
    const bypassed = state.manual?.state === "forced_closed";
    const permit = lastResort ?? (bypassed ? state.breaker.bypass(now) : state.breaker.acquire(now, leaseMs));
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
      failedAt: now,
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

  #skip(endpoint: string, { reason, until, detail, openedBy }: Omit<Hindrance, "wait">): void {
    const { clock } = this.#engine;
    const now = clock.now();
    const untilTimeMs = until === undefined ? undefined : Math.round(clock.wallTime() + until - now);
    const skip = this.#trail.skip(endpoint, reason, now, {
      ...(untilTimeMs !== undefined && { untilTimeMs }),
      ...(detail !== undefined && { detail }),
      ...(openedBy && { openedBy }),
    });
    if (skip) this.#onSkip(skip);
  }
}

function moveOf<E extends Endpoint>(grant: Grant<E> | undefined): Move<E> | undefined {
  return grant && { kind: "attempt", grant };
}

function soonestWay<E extends Endpoint>(ways: readonly Way<E>[]): Way<E> | undefined {
  return ways.reduce<Way<E> | undefined>((best, way) => (best && best.at <= way.at ? best : way), undefined);
}

function soonestOf(hindrances: readonly Hindrance[]): number | undefined {
  const times = hindrances.flatMap(({ until }) => (until === undefined ? [] : [until]));
  return times.length > 0 ? Math.min(...times) : undefined;
}
