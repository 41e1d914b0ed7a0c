import { type Cancellation, type CancellationSource, createCancellation } from "../runtime/cancellation.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Endpoint, Key } from "./endpoint.ts";
import { AttemptTimeout, type Lease, type Outcome, Superseded } from "./lease.ts";
import type { RouteObserver } from "./observer.ts";
import type { Grant } from "./plan.ts";
import type { EngineState, FailureFacts } from "./state.ts";
import type { AttemptFacts, AttemptRecord, Purpose, TrailWriter, Waited } from "./trail.ts";
import type { Verdict } from "./verdict.ts";

/** A lease as the router itself sees it. */
export interface OwnedLease<E extends Endpoint> extends Lease<E> {
  readonly cancellation: CancellationSource;
  /** The attempt failed before its first content. */
  fail(error: unknown): Verdict;
  /** Another attempt of the same request was quicker. */
  supersede(): void;
  /** The first content is in hand. @param release lets go of the request, whose cancellation a committed stream still hears */
  commit(release: () => void): void;
  /** A committed stream failed, and may go on elsewhere: whether the request is broken is not known yet. */
  breakOff(error: unknown): Verdict;
}

/** What an attempt is made in. */
export interface Surroundings {
  readonly clock: Clock;
  readonly state: EngineState;
  readonly observer: RouteObserver;
  /** Told when an attempt has ended that the router does not wait for. */
  roomMade(): void;
}

/** What an attempt is begun with. */
export interface Beginning<E extends Endpoint> {
  readonly grant: Grant<E>;
  readonly waited: Waited | undefined;
  readonly purpose: Purpose | undefined;
  readonly trail: TrailWriter;
  readonly mode: "run" | "open";
  /** Of the request. */
  readonly cancellation: Cancellation;
  /** Of the request, monotonic ms. */
  readonly deadline: number;
  /** How long it may take. Shortened: less than its endpoint may take, so that running into it says nothing of the endpoint. */
  readonly limit: { readonly ms: number; readonly shortened: boolean };
  classify(error: unknown): Verdict;
}

/** A timer that fires so much later than it should shows that our own loop stood still. */
const lateMs = 200;

const superseded: Verdict = { next: "stop", blame: "nobody", class: "superseded" };

/** Opens an attempt: its record, its time limit, its cancellation. Whatever its end tells of the endpoint and the key is learnt here. */
export function beginAttempt<E extends Endpoint>(surroundings: Surroundings, beginning: Beginning<E>): OwnedLease<E> {
  return new OpenAttempt(surroundings, beginning);
}

/** A class, for every request makes one at least: closures of each one's own would cost several times as much. */
class OpenAttempt<E extends Endpoint> implements OwnedLease<E> {
  readonly cancellation: CancellationSource = createCancellation();
  readonly endpoint: E;
  readonly key: Key | undefined;
  readonly attempt: number;
  readonly deadline: number;
  readonly #surroundings: Surroundings;
  readonly #grant: Grant<E>;
  readonly #trail: TrailWriter;
  readonly #mode: "run" | "open";
  readonly #classify: (error: unknown) => Verdict;
  readonly #record: AttemptRecord;
  readonly #startedAt: number;
  readonly #unlink: () => void;
  readonly #disarm: () => void;
  #settled = false;
  #limitResetMs: number | undefined;
  /** Set by commit. */
  #releaseRequest: (() => void) | undefined;

  constructor(surroundings: Surroundings, beginning: Beginning<E>) {
    const { clock, observer } = surroundings;
    const { grant, waited, purpose, trail, mode, cancellation, deadline, limit, classify } = beginning;
    this.#surroundings = surroundings;
    this.#grant = grant;
    this.#trail = trail;
    this.#mode = mode;
    this.#classify = classify;
    this.endpoint = grant.endpoint;
    this.key = grant.slot.key;
    this.deadline = deadline;
    this.#startedAt = clock.now();
    const { endpoint, slot, permit } = grant;
    const begun = { startTimeMs: clock.wallTime(), startedAt: this.#startedAt };
    this.#record = trail.attempt({ endpoint, key: slot.key, permit: permit.kind }, begun, waited, purpose);
    this.attempt = this.#record.index;
    this.#unlink = cancellation.onCancel((reason) => this.cancellation.cancel(reason));
    this.#disarm = clock.schedule(limit.ms, () => this.#timeOut(limit));
    observer.attemptStarted?.(trail, this.#record);
  }

  #timeOut(limit: Beginning<E>["limit"]): void {
    const startedAt = this.#startedAt;
    const late = this.#surroundings.clock.now() - startedAt - limit.ms > lateMs;
    const busy = this.#mode === "open" && this.#grant.state.progressAt > startedAt + limit.ms / 2;
    const phase = this.#mode === "run" ? "total" : "first_content";
    this.cancellation.cancel(new AttemptTimeout(phase, limit.shortened || late || busy));
  }

  note(facts: Partial<AttemptFacts>): void {
    Object.assign(this.#record, facts);
  }

  noteLimit(resetMs: number): void {
    this.#limitResetMs = resetMs;
  }

  progressed(): void {
    this.#grant.state.progressAt = this.#surroundings.clock.now();
  }

  settle(outcome: Outcome): void {
    this.#end(outcome.ok ? undefined : this.#verdictOf(outcome.error), true);
    this.#surroundings.roomMade();
  }

  fail(error: unknown): Verdict {
    const verdict = this.#verdictOf(error);
    this.#end(verdict, true);
    // Whatever the attempt still holds closes itself, also when it failed by itself.
    this.cancellation.cancel(error);
    return verdict;
  }

  supersede(): void {
    const { state } = this.#grant;
    const now = this.#surroundings.clock.now();
    const elapsedMs = now - this.#startedAt;
    // So long it has taken at least: were it forgotten, only quick answers would be remembered of a slow endpoint. Where that is
    // less than usual it tells nothing, for a hedge may be given up as soon as it is made.
    const usualMs = state.firstContents.quantile(0.5) ?? Number.POSITIVE_INFINITY;
    if (elapsedMs > usualMs) state.firstContents.add(elapsedMs);
    state.latency.stream.observeAtLeast(now, elapsedMs);
    this.#record.maybeBilled = true;
    this.#end(superseded, true);
    this.cancellation.cancel(new Superseded());
    this.#surroundings.roomMade();
  }

  commit(release: () => void): void {
    const { clock, observer } = this.#surroundings;
    const { state } = this.#grant;
    this.#releaseRequest = release;
    this.#disarm();
    const now = clock.now();
    const firstContentMs = now - this.#startedAt;
    this.#record.firstContentMs = firstContentMs;
    this.#succeeded(now);
    state.firstContents.add(firstContentMs);
    state.progressAt = now;
    observer.committed?.(this.#trail, this.#record);
  }

  breakOff(error: unknown): Verdict {
    const verdict = this.#verdictOf(error);
    this.#end(verdict, false);
    return verdict;
  }

  /** The call is good: for a stream when it has begun, for a unary one when it is whole. */
  #succeeded(now: number): void {
    const { endpoint, state, provider, slot, permit } = this.#grant;
    const startedAt = this.#startedAt;
    state.breaker.settle(permit, now, "success");
    state.served(startedAt);
    provider.ring.succeeded(slot, endpoint.id, startedAt);
    if (this.#limitResetMs !== undefined) provider.ring.coolUntil(slot, endpoint.id, now, now + this.#limitResetMs);
    state.latency[this.#mode === "open" ? "stream" : "unary"].observe(now, now - startedAt);
  }

  #failed(verdict: Verdict, now: number): void {
    const { state, permit } = this.#grant;
    const endpointIsToBlame = verdict.blame === "endpoint" && verdict.class !== "misconfigured";
    state.settle(permit, now, endpointIsToBlame ? "failure" : "neutral", this.#as(verdict));
    if (verdict.class === "misconfigured") state.misconfigured(now);
    if (verdict.blame === "model") state.modelRefused(now);
    this.#learnOfKey(verdict, now);
  }

  /** What a breaker that opens now should know. */
  #as(verdict: Verdict): FailureFacts {
    return { slow: verdict.slow ?? false, trail: this.#trail, attempt: this.attempt };
  }

  #learnOfKey(verdict: Verdict, now: number): void {
    const { endpoint, provider, slot, permit } = this.#grant;
    const { ring } = provider;
    const startedAt = this.#startedAt;
    if (verdict.class === "rate_limited") ring.rateLimited(slot, endpoint.id, startedAt, now, verdict.retryAfterMs);
    else if (verdict.class === "quota_exhausted") ring.exhausted(slot, startedAt, now, verdict.retryAfterMs);
    else if (verdict.class === "key_refused") ring.refused(slot, startedAt, now);
    // By the time at which it was taken: the ring knows who went first by that.
    else ring.released(slot, endpoint.id, permit.startedAt);
  }

  /** @param breaks whether a failure after the first content is the request's end */
  #end(verdict: Verdict | undefined, breaks: boolean): void {
    const { clock, state: engineState, observer } = this.#surroundings;
    const { state, provider } = this.#grant;
    const record = this.#record;
    const trail = this.#trail;
    if (this.#settled) throw new Error(`attempt ${record.index} at ${this.endpoint.id} was settled twice`);
    this.#settled = true;
    this.#disarm();
    this.#unlink();
    const now = clock.now();
    const committed = this.#releaseRequest !== undefined;
    if (!committed && !verdict) this.#succeeded(now);
    else if (!committed && verdict) this.#failed(verdict, now);
    else if (verdict?.blame === "endpoint") state.brokeOff(now, this.#as(verdict));
    else if (verdict?.blame === "key") this.#learnOfKey(verdict, now);
    this.#releaseRequest?.();
    engineState.end(state, provider, now, verdict?.notSent ? this.#startedAt : undefined);
    record.durationMs = now - this.#startedAt;
    record.outcome = verdict?.class ?? "ok";
    if (verdict) describe(record, verdict);
    if (verdict && committed && breaks) trail.breakOff();
    observer.attemptEnded?.(trail, record);
    // Whoever has left has not been failed.
    if (verdict && committed && breaks && verdict.class !== "caller_gone") observer.failed?.(trail);
  }

  /** What an error means; a timeout may be nobody's fault, which only the engine knows. */
  #verdictOf(error: unknown): Verdict {
    const verdict = this.#classify(error);
    return error instanceof AttemptTimeout && error.blameless ? { ...verdict, blame: "nobody" } : verdict;
  }
}

function describe(record: AttemptRecord, verdict: Verdict): void {
  const { httpStatus, providerCode, retryAfterMs, hint, maybeBilled } = verdict;
  record.verdict = verdict;
  if (maybeBilled) record.maybeBilled = true;
  if (httpStatus !== undefined) record.httpStatus = httpStatus;
  if (providerCode !== undefined) record.providerCode = providerCode;
  if (retryAfterMs !== undefined) record.retryAfterMs = retryAfterMs;
  if (hint !== undefined) record.hint = record.hint === undefined ? hint : `${hint}; ${record.hint}`;
}
