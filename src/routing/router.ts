import {
  type Cancellation,
  type CancellationSource,
  DeadlineExceeded,
  linkedCancellation,
} from "../runtime/cancellation.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Rng } from "../runtime/rng.ts";
import type { Endpoint, Pool } from "./endpoint.ts";
import { type Candidate, explain } from "./explain.ts";
import { AttemptTimeout, type Lease, type Outcome } from "./lease.ts";
import type { RouteObserver } from "./observer.ts";
import { createPickers } from "./pickers.ts";
import { type Engine, type Grant, type Move, Plan } from "./plan.ts";
import { minAttemptMs, type RoutingSettings, routingDefaults } from "./settings.ts";
import { EngineState } from "./state.ts";
import type { PickRequest } from "./strategy/picker.ts";
import { type AttemptRecord, createTrail, type Trail, type TrailWriter, type Waited } from "./trail.ts";
import type { FaultClass, Verdict } from "./verdict.ts";
import { WaitingLines } from "./waiting-line.ts";

/** How one request is routed. */
export interface RunOptions<E extends Endpoint = Endpoint> {
  /** Says what a failed attempt means; the engine itself never looks into an error. */
  classify(error: unknown): Verdict;
  /** Of the request: the caller, its own deadline, shutdown. */
  readonly cancellation: Cancellation;
  /** Monotonic milliseconds: over all attempts and waits, until commit. */
  readonly deadline: number;
  /** The caller's own cap on attempts; it can only lower the engine's. */
  readonly maxAttempts: number;
  /** W3C trace id, for the trail. */
  readonly traceId: string;
  /** Whose turn it is where requests queue; all who say nothing are one. */
  readonly caller?: string;
  /** Longest wait for a limit of ours; undefined: the engine's. */
  readonly queueMaxWaitMs?: number | undefined;
  /** What strategies want to know of the request. */
  readonly request?: PickRequest<E>;
}

/** What an attempt brought, and the way to it. */
export interface Routed<T, E extends Endpoint> {
  readonly value: T;
  readonly lease: Lease<E>;
  /** Live: a stream's last attempt ends after `open` has resolved. */
  readonly trail: Trail;
}

/** How `run` and `open` fail. */
export class RouteError extends Error {
  override name = "RouteError";
  /** What ended the request; undefined when nothing could be tried. */
  readonly verdict: Verdict | undefined;
  readonly trail: Trail;
  /** When something can be tried again, in ms from now; undefined: not known. */
  readonly retryAfterMs: number | undefined;
  /** Whether as many attempts were made as may be. */
  readonly capped: boolean;

  constructor(
    trail: Trail,
    cause: unknown,
    verdict: Verdict | undefined,
    facts: { readonly retryAfterMs?: number | undefined; readonly capped?: boolean } = {},
  ) {
    super("no attempt succeeded", { cause });
    this.verdict = verdict;
    this.trail = trail;
    this.retryAfterMs = facts.retryAfterMs;
    this.capped = facts.capped ?? false;
  }
}

/** The attempt loop. It knows no payload: an attempt is a function that takes a lease and brings something. */
export interface Router {
  /** Unary: resolves when an attempt has brought its whole answer. @throws RouteError */
  run<T, E extends Endpoint>(
    pool: Pool<E>,
    attempt: (lease: Lease<E>) => Promise<T>,
    options: RunOptions<E>,
  ): Promise<Routed<T, E>>;
  /**
   * Stream: resolves at the commit point, when an attempt has its first content in hand. From then on nothing hops, the time
   * limits of the router are off, and the owner settles the lease. @throws RouteError
   */
  open<T, E extends Endpoint>(
    pool: Pool<E>,
    attempt: (lease: Lease<E>) => Promise<T>,
    options: RunOptions<E>,
  ): Promise<Routed<T, E>>;
  /** The order in which a pool would be tried now, and why some of it would not be. Changes nothing. */
  explain<E extends Endpoint>(pool: Pool<E>, request?: PickRequest<E>): readonly Candidate<E>[];
  /** What has been learnt, for whoever looks after it: health checks, operators, statistics. */
  readonly state: EngineState;
}

/** Which failure tells the caller most when all have failed: a limit says when to come back, a bad key says nothing to a caller. */
const usefulness: readonly FaultClass[] = [
  "request_refused",
  "rate_limited",
  "quota_exhausted",
  "overloaded",
  "transient_fault",
  "not_sent",
  "model_unavailable",
  "key_refused",
  "misconfigured",
];

/** A timer that fires so much later than it should shows that our own loop stood still. */
const lateMs = 200;

/** Makes a router; all its time and chance come from outside. */
export function createRouter(machine: {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly settings?: RoutingSettings;
  readonly observer?: RouteObserver;
}): Router {
  const { clock, rng, observer = {}, settings = routingDefaults } = machine;
  const state = new EngineState(clock, rng, settings, (endpoint, breaker, untilTimeMs) =>
    observer.breakerChanged?.(endpoint, breaker, untilTimeMs),
  );
  const pickerOf = createPickers(state, clock, rng);
  const engine: Engine = { clock, rng, settings, state, pickerOf };
  const lines = new WaitingLines<Grant<Endpoint>>(clock, settings.queue.bound);

  async function route<T, E extends Endpoint>(
    pool: Pool<E>,
    attempt: (lease: Lease<E>) => Promise<T>,
    options: RunOptions<E>,
    mode: "run" | "open",
  ): Promise<Routed<T, E>> {
    const trail = createTrail(pool.model, pool.policy, options.traceId);
    const { deadline, maxAttempts, request: wishes = {} } = options;
    const { source: request, unlink } = linkedCancellation(options.cancellation);
    if (deadline <= clock.now()) request.cancel(new DeadlineExceeded());
    const disarm = clock.schedule(deadline - clock.now(), () => request.cancel(new DeadlineExceeded()));
    const plan = new Plan<E>(engine, pool, { maxAttempts, deadline, mode, request: wishes }, trail, (skip) =>
      observer.skipped?.(trail, skip),
    );
    const failures: { error: unknown; verdict: Verdict }[] = [];
    /** Whether a committed stream goes on hearing the request's cancellation; its lease lets go of it. */
    let handedOver = false;
    try {
      while (!request.cancelled) {
        const move = nextMove(plan);
        const next =
          move.kind === "attempt"
            ? { grant: move.grant, waited: undefined }
            : await waitFor(move, pool, plan, options, request);
        if (!next) break;
        if (request.cancelled) {
          giveBack(next.grant);
          break;
        }
        const lease = begin(next.grant, next.waited, plan, trail, options, request, mode);
        try {
          const value = await unlessCancelled(attempt(lease), lease.cancellation);
          if (mode === "run") lease.settle({ ok: true });
          else lease.commit(unlink);
          handedOver = mode === "open";
          return { value, lease, trail };
        } catch (error) {
          const verdict = lease.fail(error);
          failures.push({ error, verdict });
          if (verdict.next === "stop" || (verdict.next === "larger" && pool.onContextOverflow === "stop")) break;
          plan.failed(next.grant, verdict);
        }
      }
      if (request.cancelled && failures.at(-1)?.error !== request.reason) {
        failures.push({ error: request.reason, verdict: options.classify(request.reason) });
      }
      const { error, verdict } = mostUseful(failures);
      const soonest = plan.soonest();
      const retryAfterMs = soonest === undefined ? undefined : Math.max(0, soonest - clock.now());
      observer.failed?.(trail);
      throw new RouteError(trail, error, verdict, { retryAfterMs, capped: plan.capped });
    } finally {
      disarm();
      if (!handedOver) {
        unlink();
        lines.roomMade();
      }
    }
  }

  /** What to do next. Whoever comes later must not overtake those in line; whoever has been served badly goes on first. */
  function nextMove<E extends Endpoint>(plan: Plan<E>): Move<E> {
    const isNew = !plan.begun;
    if (isNew) lines.roomMade();
    const move = plan.next();
    if (!isNew) lines.roomMade();
    return move;
  }

  /** What may be attempted after whatever must be waited for; undefined when nothing is left or nobody wants it any more. */
  async function waitFor<E extends Endpoint>(
    first: Move<E>,
    { model }: Pool<E>,
    plan: Plan<E>,
    { deadline, caller = "", queueMaxWaitMs = settings.queue.maxWaitMs }: RunOptions<E>,
    request: Cancellation,
  ): Promise<{ grant: Grant<E>; waited: Waited | undefined } | undefined> {
    const since = clock.now();
    let reason: Waited["reason"] | undefined;
    const granted = (grant: Grant<E>) => ({ grant, waited: reason && { ms: clock.now() - since, reason } });
    for (let move = first; ; ) {
      if (move.kind === "attempt") return granted(move.grant);
      if (move.kind === "give_up") return undefined;
      if (move.kind === "wait") {
        reason = move.reason;
        await sleep(move.ms, request);
        if (request.cancelled) return undefined;
        move = move.again ? plan.resume(move.again) : plan.next();
        continue;
      }
      reason ??= "queue";
      const patience = move.brief ? Math.min(queueMaxWaitMs, settings.queue.maxWaitMs) : queueMaxWaitMs;
      const maxWaitMs = Math.min(patience, deadline - clock.now() - minAttemptMs);
      const where = { pool: model, line: move.name, caller };
      const grant = (await lines.wait(where, move.take, maxWaitMs, request)) as Grant<E> | undefined; // its own plan's
      if (grant) return granted(grant);
      if (request.cancelled) return undefined;
      plan.leaveQueue();
      move = plan.next();
    }
  }

  /** Gives back what was taken for an attempt that nobody wants any more. */
  function giveBack<E extends Endpoint>({ endpoint, state: endpointState, provider, slot, permit }: Grant<E>): void {
    const now = clock.now();
    endpointState.breaker.settle(permit, now, "neutral");
    provider.ring.released(slot, endpoint.id, permit.startedAt);
    state.end(endpointState, provider, now, permit.startedAt);
  }

  /** Sleeps; wakes at once when nobody wants the result any more. */
  function sleep(ms: number, cancellation: Cancellation): Promise<void> {
    return new Promise((resolve) => {
      const stopTimer = clock.schedule(ms, () => {
        unlink();
        resolve();
      });
      const unlink = cancellation.onCancel(() => {
        stopTimer();
        resolve();
      });
    });
  }

  /** Opens an attempt: its record, its time limit, its cancellation. */
  function begin<E extends Endpoint>(
    grant: Grant<E>,
    waited: Waited | undefined,
    plan: Plan<E>,
    trail: TrailWriter,
    options: RunOptions<E>,
    request: Cancellation,
    mode: "run" | "open",
  ): OwnedLease<E> {
    const { endpoint, state: endpointState, provider, slot, permit } = grant;
    const startedAt = clock.now();
    const record = trail.attempt(endpoint, slot.key, clock.wallTime(), waited);
    const { source, unlink } = linkedCancellation(request);
    const { limitMs, shortened } = timeLimit(endpoint, plan, options.deadline - startedAt, mode);
    const phase = mode === "run" ? "total" : "first_content";
    const disarm = clock.schedule(limitMs, () => {
      const late = clock.now() - startedAt - limitMs > lateMs;
      const busy = mode === "open" && endpointState.progressAt > startedAt + limitMs / 2;
      source.cancel(new AttemptTimeout(phase, shortened || late || busy));
    });
    observer.attemptStarted?.(trail, record);
    let settled = false;
    let limitResetMs: number | undefined;
    /** Set by commit: lets go of the request, whose cancellation a committed stream still hears. */
    let releaseRequest: (() => void) | undefined;

    /** The call is good: for a stream when it has begun, for a unary one when it is whole. */
    function succeeded(now: number): void {
      endpointState.breaker.settle(permit, now, "success");
      endpointState.served(startedAt);
      provider.ring.succeeded(slot, endpoint.id, startedAt);
      if (limitResetMs !== undefined) provider.ring.coolUntil(slot, endpoint.id, now, now + limitResetMs);
      endpointState.latency[mode === "open" ? "stream" : "unary"].observe(now, now - startedAt);
    }

    function failed(verdict: Verdict, now: number): void {
      const endpointIsToBlame = verdict.blame === "endpoint" && verdict.class !== "misconfigured";
      endpointState.breaker.settle(permit, now, endpointIsToBlame ? "failure" : "neutral", verdict.slow);
      if (verdict.class === "misconfigured") endpointState.misconfigured(now);
      if (verdict.blame === "model") endpointState.modelRefused(now);
      const { ring } = provider;
      if (verdict.class === "rate_limited") ring.rateLimited(slot, endpoint.id, startedAt, now, verdict.retryAfterMs);
      else if (verdict.class === "quota_exhausted") ring.exhausted(slot, startedAt, now, verdict.retryAfterMs);
      else if (verdict.class === "key_refused") ring.refused(slot, startedAt, now);
      else ring.released(slot, endpoint.id, startedAt);
    }

    function end(outcome: Outcome): Verdict | undefined {
      if (settled) throw new Error(`attempt ${record.index} at ${endpoint.id} was settled twice`);
      settled = true;
      disarm();
      unlink();
      const now = clock.now();
      const verdict = outcome.ok ? undefined : verdictOf(outcome.error, options);
      if (!releaseRequest && !verdict) succeeded(now);
      else if (!releaseRequest && verdict) failed(verdict, now);
      else if (verdict?.blame === "endpoint") endpointState.breaker.brokeOff(now, verdict.slow ?? false);
      releaseRequest?.();
      state.end(endpointState, provider, now, verdict?.notSent ? startedAt : undefined);
      record.durationMs = now - startedAt;
      record.outcome = verdict?.class ?? "ok";
      if (verdict) describe(record, verdict);
      if (verdict && releaseRequest) trail.breakOff();
      observer.attemptEnded?.(trail, record);
      return verdict;
    }

    return {
      endpoint,
      key: slot.key,
      attempt: record.index,
      cancellation: source,
      deadline: options.deadline,
      note: (facts) => void Object.assign(record, facts),
      noteLimit(resetMs) {
        limitResetMs = resetMs;
      },
      progressed() {
        endpointState.progressAt = clock.now();
      },
      settle(outcome) {
        end(outcome);
        lines.roomMade();
      },
      fail(error) {
        const verdict = end({ ok: false, error }) as Verdict; // a failure always has one
        // Whatever the attempt still holds closes itself, also when it failed by itself.
        source.cancel(error);
        return verdict;
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
    };
  }

  /**
   * How long an attempt may take. A stream's first content may have to leave time for another endpoint: when the caller's deadline
   * is nearer than the limit, half of it goes to the first one if the other is known to need no more than the other half.
   */
  function timeLimit<E extends Endpoint>(
    { limits }: E,
    plan: Plan<E>,
    remainingMs: number,
    mode: "run" | "open",
  ): { limitMs: number; shortened: boolean } {
    const limitMs = mode === "run" ? limits.totalMs : limits.firstContentMs;
    if (mode === "run" || remainingMs >= limitMs) return { limitMs, shortened: false };
    const other = plan.another();
    const needs = other && state.endpoint(other).firstContents.quantile(0.9);
    const half = remainingMs / 2;
    if (needs === undefined || half < needs || half < minAttemptMs) return { limitMs, shortened: false };
    return { limitMs: half, shortened: true };
  }

  return {
    run: (pool, attempt, options) => route(pool, attempt, options, "run"),
    open: (pool, attempt, options) => route(pool, attempt, options, "open"),
    explain: (pool, request) => explain(engine, pool, request),
    state,
  };
}

/** A lease as the router itself sees it. */
interface OwnedLease<E extends Endpoint> extends Lease<E> {
  readonly cancellation: CancellationSource;
  fail(error: unknown): Verdict;
  commit(release: () => void): void;
}

/** What an error means; a timeout may be nobody's fault, which only the engine knows. */
function verdictOf(error: unknown, { classify }: { classify(error: unknown): Verdict }): Verdict {
  const verdict = classify(error);
  return error instanceof AttemptTimeout && error.blameless ? { ...verdict, blame: "nobody" } : verdict;
}

function describe(record: AttemptRecord, verdict: Verdict): void {
  const { httpStatus, providerCode, retryAfterMs, hint, maybeBilled } = verdict;
  if (maybeBilled) record.maybeBilled = true;
  if (httpStatus !== undefined) record.httpStatus = httpStatus;
  if (providerCode !== undefined) record.providerCode = providerCode;
  if (retryAfterMs !== undefined) record.retryAfterMs = retryAfterMs;
  if (hint !== undefined) record.hint = hint;
}

/** The failure to tell of; the last one among the equally useful, and always one that stopped the request. */
function mostUseful(failures: readonly { error: unknown; verdict: Verdict }[]): {
  error: unknown;
  verdict: Verdict | undefined;
} {
  const last = failures.at(-1);
  if (!last) return { error: undefined, verdict: undefined };
  if (last.verdict.next === "stop") return last;
  const rank = ({ verdict }: { verdict: Verdict }) => {
    // What was refused because of us says nothing about the request.
    if (verdict.class === "request_refused" && verdict.blame !== "caller") return usefulness.length;
    const position = usefulness.indexOf(verdict.class);
    return position < 0 ? usefulness.length : position;
  };
  return failures.reduce((best, failure) => (rank(failure) <= rank(best) ? failure : best));
}

/** Waits for work, but no longer than somebody wants it. What the work brings afterwards is the work's own to close. */
function unlessCancelled<T>(work: Promise<T>, cancellation: Cancellation): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const stop = cancellation.onCancel(reject);
    work.then(resolve, reject).finally(stop);
  });
}
