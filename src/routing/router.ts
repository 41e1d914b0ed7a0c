import { type Cancellation, DeadlineExceeded, linkedCancellation } from "../runtime/cancellation.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Rng } from "../runtime/rng.ts";
import { beginAttempt, type OwnedLease } from "./attempt.ts";
import type { Endpoint, Pool } from "./endpoint.ts";
import { type Candidate, explain } from "./explain.ts";
import { Hedging, isPushback } from "./hedging.ts";
import type { Lease } from "./lease.ts";
import type { RouteObserver } from "./observer.ts";
import { createPickers } from "./pickers.ts";
import { type Engine, type Grant, type Move, Plan } from "./plan.ts";
import { minAttemptMs, type RoutingSettings, routingDefaults } from "./settings.ts";
import { EngineState } from "./state.ts";
import type { PickRequest } from "./strategy/picker.ts";
import { createTrail, type Purpose, type Trail, type TrailWriter, type Waited } from "./trail.ts";
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
  /** Id of the request's own span; undefined where nobody reads it. */
  readonly spanId?: string;
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

/** A stream whose first content is in hand. */
export interface Opened<T, E extends Endpoint> extends Routed<T, E> {
  /**
   * Goes on after the stream has broken, if the request may still make an attempt: settles the lease with the error, and makes one
   * more, at the next endpoint. What it brings is what comes next; its owner settles its lease. Called at most once, instead of
   * `settle`.
   * @param attempt what is to be done there, which knows what the caller already has
   * @param deadline of the new attempt's first content, monotonic ms
   * @returns undefined when it comes to nothing: then the request is broken, and the trail says so
   */
  recover(error: unknown, attempt: Attempt<T, E>, deadline: number): Promise<Routed<T, E> | undefined>;
}

/** One upstream call. It closes what it holds when its lease's cancellation says so, also after it has brought something. */
export type Attempt<T, E extends Endpoint> = (lease: Lease<E>) => Promise<T>;

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
  run<T, E extends Endpoint>(pool: Pool<E>, attempt: Attempt<T, E>, options: RunOptions<E>): Promise<Routed<T, E>>;
  /**
   * Stream: resolves at the commit point, when an attempt has its first content in hand. From then on nothing hops by itself, the
   * time limits of the router are off, and the owner settles the lease. @throws RouteError
   */
  open<T, E extends Endpoint>(pool: Pool<E>, attempt: Attempt<T, E>, options: RunOptions<E>): Promise<Opened<T, E>>;
  /** The order in which a pool would be tried now, and why some of it would not be. Changes nothing. */
  explain<E extends Endpoint>(pool: Pool<E>, request?: PickRequest<E>): readonly Candidate<E>[];
  /** Goes on with other settings, from the next decision on. What has been learnt stays. */
  adopt(settings: RoutingSettings): void;
  /** What has been learnt, for whoever looks after it: health checks, operators, statistics. */
  readonly state: EngineState;
  /** How many requests wait in line for each model where any does. Live. */
  queueLengths(): ReadonlyMap<string, number>;
  /** How many second attempts beside slow ones may be made now. */
  hedgesLeft(): number;
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

/** What one request has on its way. */
interface Journey<E extends Endpoint> {
  readonly pool: Pool<E>;
  readonly plan: Plan<E>;
  readonly trail: TrailWriter;
  readonly mode: "run" | "open";
  readonly failures: { readonly error: unknown; readonly verdict: Verdict }[];
  /** Whether a slow attempt of it may have a second one beside it. */
  hedgeable: boolean;
}

/** An attempt that brought something. */
interface Landed<T, E extends Endpoint> {
  readonly value: T;
  readonly lease: OwnedLease<E>;
  readonly grant: Grant<E>;
}

/** What an attempt begins with. */
interface Start<E extends Endpoint> {
  readonly grant: Grant<E>;
  readonly waited: Waited | undefined;
  readonly purpose: Purpose | undefined;
}

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
  const poolNumbers = new WeakMap<object, number>();
  let pools = 0;
  const numberOf = (pool: object) => {
    const number = poolNumbers.get(pool) ?? ++pools;
    poolNumbers.set(pool, number);
    return number;
  };
  const engine: Engine = { clock, rng, settings, state, pickerOf, numberOf };
  const lines = new WaitingLines<Grant<Endpoint>>(clock, settings.queue.bound);
  const hedging = new Hedging(settings.hedge);
  const surroundings = { clock, state, observer, roomMade: () => lines.roomMade() };

  function route<T, E extends Endpoint>(
    pool: Pool<E>,
    attempt: Attempt<T, E>,
    options: RunOptions<E>,
    mode: "run" | "open",
  ): Promise<Opened<T, E>> {
    const { traceId, spanId = "" } = options;
    const trail = createTrail(pool, { traceId, spanId, startedAt: clock.now() });
    const { deadline, maxAttempts, request: wishes = {} } = options;
    const plan = new Plan<E>(engine, pool, { maxAttempts, deadline, mode, request: wishes }, trail, (skip) =>
      observer.skipped?.(trail, skip),
    );
    if (mode === "open") hedging.request();
    const journey: Journey<E> = { pool, plan, trail, mode, failures: [], hedgeable: mode === "open" };
    // No async function, here and where a request passes but once: each costs as much as a kilobyte of garbage.
    return travel(journey, attempt, options).then((landed) => {
      if (!landed) throw failureOf(journey);
      const recover = mode === "open" ? recovery(journey, landed, options) : nothingToRecover;
      return { value: landed.value, lease: landed.lease, trail, recover };
    });
  }

  function failureOf<E extends Endpoint>({ plan, trail, failures }: Journey<E>): RouteError {
    const { error, verdict } = mostUseful(failures);
    const soonest = plan.soonest();
    const retryAfterMs = soonest === undefined ? undefined : Math.max(0, soonest - clock.now());
    observer.failed?.(trail);
    return new RouteError(trail, error, verdict, { retryAfterMs, capped: plan.capped });
  }

  /** Goes on until an attempt lands, or nothing is left: the failures then say why. */
  async function travel<T, E extends Endpoint>(
    journey: Journey<E>,
    attempt: Attempt<T, E>,
    options: RunOptions<E>,
    purpose?: Purpose,
  ): Promise<Landed<T, E> | undefined> {
    const { plan, mode, failures } = journey;
    const { deadline } = options;
    const { source: request, unlink } = linkedCancellation(options.cancellation);
    if (deadline <= clock.now()) request.cancel(new DeadlineExceeded());
    const disarm = clock.schedule(deadline - clock.now(), () => request.cancel(new DeadlineExceeded()));
    /** Whether a committed stream goes on hearing the request's cancellation; its lease lets go of it. */
    let handedOver = false;
    try {
      while (!request.cancelled) {
        const move = nextMove(plan);
        const next =
          move.kind === "attempt"
            ? { grant: move.grant, waited: undefined }
            : await waitFor(move, journey, options, request);
        if (!next) break;
        if (request.cancelled) {
          giveBack(next.grant);
          break;
        }
        const { landed, stop } = await tryOnce(journey, attempt, options, request, {
          grant: next.grant,
          waited: next.waited,
          purpose,
        });
        if (landed) {
          if (mode === "run") landed.lease.settle({ ok: true });
          else landed.lease.commit(unlink);
          handedOver = mode === "open";
          return landed;
        }
        if (stop) break;
      }
      if (request.cancelled && failures.at(-1)?.error !== request.reason) {
        failures.push({ error: request.reason, verdict: options.classify(request.reason) });
      }
      return undefined;
    } finally {
      disarm();
      if (!handedOver) {
        unlink();
        lines.roomMade();
      }
    }
  }

  /** One attempt, and when it is slow perhaps a second one beside it. Which brings something first has landed, and the other is given up. */
  function tryOnce<T, E extends Endpoint>(
    journey: Journey<E>,
    attempt: Attempt<T, E>,
    options: RunOptions<E>,
    request: Cancellation,
    first: Start<E>,
  ): Promise<{ landed?: Landed<T, E>; stop?: boolean }> {
    const { pool, plan } = journey;
    return new Promise((resolve, reject) => {
      /** Two at most. */
      const running: OwnedLease<E>[] = [];
      let stopTimer: (() => void) | undefined;

      function over(result: { landed?: Landed<T, E>; stop?: boolean }): void {
        stopTimer?.();
        for (const loser of running.splice(0)) {
          // Nobody was quicker than an attempt whose caller has left.
          if (request.cancelled) loser.fail(request.reason);
          else loser.supersede();
        }
        resolve(result);
      }

      /** @returns whether it was running */
      function ended(lease: OwnedLease<E>): boolean {
        const at = running.indexOf(lease);
        if (at >= 0) running.splice(at, 1);
        return at >= 0;
      }

      function start(grant: Grant<E>, waited: Waited | undefined, purpose: Purpose | undefined): void {
        const lease = begin(journey, options, request, { grant, waited, purpose });
        running.push(lease);
        const onFailure = (error: unknown) => {
          if (ended(lease)) failed(lease, grant, purpose, error);
        };
        // Nobody waits for work that is called off; what it brings afterwards is the work's own to close.
        const stop = lease.cancellation.onCancel((reason) => Promise.reject(reason).catch(onFailure).catch(reject));
        begun(attempt, lease)
          .then(
            (value) => {
              stop();
              if (ended(lease)) over({ landed: { value, lease, grant } });
            },
            (error) => {
              stop();
              onFailure(error);
            },
          )
          .catch(reject);
      }

      function failed(lease: OwnedLease<E>, grant: Grant<E>, purpose: Purpose | undefined, error: unknown): void {
        const verdict = lease.fail(error);
        journey.failures.push({ error, verdict });
        if (isPushback(verdict)) journey.hedgeable = false;
        if (purpose === "hedge") hedging.failed(verdict, clock.now());
        const stop = verdict.next === "stop" || (verdict.next === "larger" && pool.onContextOverflow === "stop");
        if (!stop) plan.failed(grant, verdict);
        if (stop || running.length === 0) over({ stop });
      }

      start(first.grant, first.waited, first.purpose);
      const delayMs = journey.hedgeable ? hedging.delayMs(first.grant.state.firstContents) : undefined;
      if (delayMs === undefined || running.length === 0) return;
      stopTimer = clock.schedule(delayMs, () => {
        if (!journey.hedgeable || running.length === 0 || request.cancelled || !hedging.allows(clock.now())) return;
        lines.roomMade();
        const grant = plan.hedge();
        if (!grant) return;
        hedging.spend();
        journey.hedgeable = false;
        start(grant, undefined, "hedge");
      });
    });
  }

  /** How the stream of a landed attempt goes on after it has broken. */
  function recovery<T, E extends Endpoint>(
    journey: Journey<E>,
    { lease, grant }: Landed<T, E>,
    options: RunOptions<E>,
  ): Opened<T, E>["recover"] {
    const { plan, trail } = journey;
    return async (error, attempt, deadline) => {
      const verdict = lease.breakOff(error);
      // What the caller, or the provider of the caller, has ended is not to be gone on with.
      if (verdict.next === "stop" || verdict.next === "larger" || options.cancellation.cancelled) {
        trail.breakOff();
        if (verdict.class !== "caller_gone") observer.failed?.(trail);
        lines.roomMade();
        return undefined;
      }
      plan.goOn(grant, verdict, deadline);
      const landed = await travel(journey, attempt, { ...options, deadline }, "recovery");
      if (landed) return { ...landed, trail };
      trail.breakOff();
      if (!options.cancellation.cancelled) observer.failed?.(trail);
      return undefined;
    };
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
    { pool: { model }, plan, trail }: Journey<E>,
    { deadline, caller = "", queueMaxWaitMs = engine.settings.queue.maxWaitMs }: RunOptions<E>,
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
        const asleepSince = clock.now();
        await sleep(move.ms, request);
        waited(trail, reason, asleepSince);
        if (request.cancelled) return undefined;
        move = move.again ? plan.resume(move.again) : nextMove(plan);
        continue;
      }
      reason ??= "queue";
      const patience = move.brief ? Math.min(queueMaxWaitMs, engine.settings.queue.maxWaitMs) : queueMaxWaitMs;
      const maxWaitMs = Math.min(patience, deadline - clock.now() - minAttemptMs);
      const where = { pool: model, line: move.name, caller };
      const inLineSince = clock.now();
      const grant = (await lines.wait(where, move.take, maxWaitMs, request)) as Grant<E> | undefined; // its own plan's
      waited(trail, "queue", inLineSince);
      if (grant) return granted(grant);
      if (request.cancelled) return undefined;
      plan.leaveQueue();
      move = nextMove(plan);
    }
  }

  /** What took no time was no wait: the line was full, or had what was wanted. */
  function waited(trail: TrailWriter, reason: Waited["reason"], since: number): void {
    const now = clock.now();
    const wait = now > since ? trail.wait(reason, since, now) : undefined;
    if (wait) observer.waited?.(trail, wait);
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

  function begin<E extends Endpoint>(
    { plan, trail, mode }: Journey<E>,
    { deadline, classify }: RunOptions<E>,
    cancellation: Cancellation,
    start: Start<E>,
  ): OwnedLease<E> {
    const limit = timeLimit(start.grant.endpoint, plan, deadline - clock.now(), mode);
    const { grant, waited, purpose } = start;
    const of = { grant, waited, purpose, trail, mode, cancellation, deadline, limit, classify };
    return beginAttempt(surroundings, of);
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
  ): { ms: number; shortened: boolean } {
    const limitMs = mode === "run" ? limits.totalMs : limits.firstContentMs;
    if (mode === "run" || remainingMs >= limitMs) return { ms: limitMs, shortened: false };
    const other = plan.another();
    const needs = other && state.endpoint(other).firstContents.quantile(0.9);
    const half = remainingMs / 2;
    if (needs === undefined || half < needs || half < minAttemptMs) return { ms: limitMs, shortened: false };
    return { ms: half, shortened: true };
  }

  return {
    run: (pool, attempt, options) => route(pool, attempt, options, "run"),
    open: (pool, attempt, options) => route(pool, attempt, options, "open"),
    explain: (pool, request) => explain(engine, pool, request),
    adopt(next) {
      engine.settings = next;
      state.adopt(next);
      lines.adopt(next.queue.bound);
      hedging.adopt(next.hedge);
    },
    state,
    queueLengths: () => lines.lengths,
    hedgesLeft: () => hedging.left(clock.now()),
  };
}

/** An attempt that fails at once has failed as any other. */
function begun<T, E extends Endpoint>(attempt: Attempt<T, E>, lease: Lease<E>): Promise<T> {
  try {
    return attempt(lease);
  } catch (error) {
    return Promise.reject(error);
  }
}

async function nothingToRecover(): Promise<undefined> {}

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
