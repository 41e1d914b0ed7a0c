import { type Cancellation, type CancellationSource, linkedCancellation } from "../runtime/cancellation.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Endpoint } from "./endpoint.ts";
import { AttemptTimeout, type Lease, type Outcome, Superseded } from "./lease.ts";
import type { RouteObserver } from "./observer.ts";
import type { Grant } from "./plan.ts";
import type { EngineState } from "./state.ts";
import type { AttemptRecord, Purpose, TrailWriter, Waited } from "./trail.ts";
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
export function beginAttempt<E extends Endpoint>(
  { clock, state, observer, roomMade }: Surroundings,
  { grant, waited, purpose, trail, mode, cancellation, deadline, limit, classify }: Beginning<E>,
): OwnedLease<E> {
  const { endpoint, state: endpointState, provider, slot, permit } = grant;
  const { ring } = provider;
  const startedAt = clock.now();
  const record = trail.attempt(endpoint, slot.key, clock.wallTime(), waited, purpose);
  const { source, unlink } = linkedCancellation(cancellation);
  const disarm = clock.schedule(limit.ms, () => {
    const late = clock.now() - startedAt - limit.ms > lateMs;
    const busy = mode === "open" && endpointState.progressAt > startedAt + limit.ms / 2;
    source.cancel(new AttemptTimeout(mode === "run" ? "total" : "first_content", limit.shortened || late || busy));
  });
  observer.attemptStarted?.(trail, record);
  let settled = false;
  let limitResetMs: number | undefined;
  /** Set by commit. */
  let releaseRequest: (() => void) | undefined;

  /** The call is good: for a stream when it has begun, for a unary one when it is whole. */
  function succeeded(now: number): void {
    endpointState.breaker.settle(permit, now, "success");
    endpointState.served(startedAt);
    ring.succeeded(slot, endpoint.id, startedAt);
    if (limitResetMs !== undefined) ring.coolUntil(slot, endpoint.id, now, now + limitResetMs);
    endpointState.latency[mode === "open" ? "stream" : "unary"].observe(now, now - startedAt);
  }

  function failed(verdict: Verdict, now: number): void {
    const endpointIsToBlame = verdict.blame === "endpoint" && verdict.class !== "misconfigured";
    endpointState.breaker.settle(permit, now, endpointIsToBlame ? "failure" : "neutral", verdict.slow);
    if (verdict.class === "misconfigured") endpointState.misconfigured(now);
    if (verdict.blame === "model") endpointState.modelRefused(now);
    learnOfKey(verdict, now);
  }

  function learnOfKey(verdict: Verdict, now: number): void {
    if (verdict.class === "rate_limited") ring.rateLimited(slot, endpoint.id, startedAt, now, verdict.retryAfterMs);
    else if (verdict.class === "quota_exhausted") ring.exhausted(slot, startedAt, now, verdict.retryAfterMs);
    else if (verdict.class === "key_refused") ring.refused(slot, startedAt, now);
    // By the time at which it was taken: the ring knows who went first by that.
    else ring.released(slot, endpoint.id, permit.startedAt);
  }

  /** @param breaks whether a failure after the first content is the request's end */
  function end(verdict: Verdict | undefined, breaks: boolean): void {
    if (settled) throw new Error(`attempt ${record.index} at ${endpoint.id} was settled twice`);
    settled = true;
    disarm();
    unlink();
    const now = clock.now();
    const committed = releaseRequest !== undefined;
    if (!committed && !verdict) succeeded(now);
    else if (!committed && verdict) failed(verdict, now);
    else if (verdict?.blame === "endpoint") endpointState.breaker.brokeOff(now, verdict.slow ?? false);
    else if (verdict?.blame === "key") learnOfKey(verdict, now);
    releaseRequest?.();
    state.end(endpointState, provider, now, verdict?.notSent ? startedAt : undefined);
    record.durationMs = now - startedAt;
    record.outcome = verdict?.class ?? "ok";
    if (verdict) describe(record, verdict);
    if (verdict && committed && breaks) trail.breakOff();
    observer.attemptEnded?.(trail, record);
    // Whoever has left has not been failed.
    if (verdict && committed && breaks && verdict.class !== "caller_gone") observer.failed?.(trail);
  }

  /** What an error means; a timeout may be nobody's fault, which only the engine knows. */
  function verdictOf(error: unknown): Verdict {
    const verdict = classify(error);
    return error instanceof AttemptTimeout && error.blameless ? { ...verdict, blame: "nobody" } : verdict;
  }

  return {
    endpoint,
    key: slot.key,
    attempt: record.index,
    cancellation: source,
    deadline,
    note: (facts) => void Object.assign(record, facts),
    noteLimit(resetMs) {
      limitResetMs = resetMs;
    },
    progressed() {
      endpointState.progressAt = clock.now();
    },
    settle(outcome: Outcome) {
      end(outcome.ok ? undefined : verdictOf(outcome.error), true);
      roomMade();
    },
    fail(error) {
      const verdict = verdictOf(error);
      end(verdict, true);
      // Whatever the attempt still holds closes itself, also when it failed by itself.
      source.cancel(error);
      return verdict;
    },
    supersede() {
      const now = clock.now();
      // So long it has taken at least: were it forgotten, only quick answers would be remembered of a slow endpoint. Where that is
      // less than usual it tells nothing, for a hedge may be given up as soon as it is made.
      const usualMs = endpointState.firstContents.quantile(0.5) ?? Number.POSITIVE_INFINITY;
      if (now - startedAt > usualMs) endpointState.firstContents.add(now - startedAt);
      endpointState.latency.stream.observeAtLeast(now, now - startedAt);
      record.maybeBilled = true;
      end(superseded, true);
      source.cancel(new Superseded());
      roomMade();
    },
    commit(release) {
      releaseRequest = release;
      disarm();
      const now = clock.now();
      record.firstContentMs = now - startedAt;
      succeeded(now);
      endpointState.firstContents.add(record.firstContentMs);
      endpointState.progressAt = now;
      observer.committed?.(trail, record);
    },
    breakOff(error) {
      const verdict = verdictOf(error);
      end(verdict, false);
      return verdict;
    },
  };
}

function describe(record: AttemptRecord, verdict: Verdict): void {
  const { httpStatus, providerCode, retryAfterMs, hint, maybeBilled } = verdict;
  if (maybeBilled) record.maybeBilled = true;
  if (httpStatus !== undefined) record.httpStatus = httpStatus;
  if (providerCode !== undefined) record.providerCode = providerCode;
  if (retryAfterMs !== undefined) record.retryAfterMs = retryAfterMs;
  if (hint !== undefined) record.hint = record.hint === undefined ? hint : `${hint}; ${record.hint}`;
}
