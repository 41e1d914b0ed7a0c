import {
  type Cancellation,
  type CancellationSource,
  DeadlineExceeded,
  linkedCancellation,
} from "../runtime/cancellation.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Rng } from "../runtime/rng.ts";
import type { Endpoint, Key, Pool } from "./endpoint.ts";
import { AttemptTimeout, type Lease, type Outcome } from "./lease.ts";
import type { RouteObserver } from "./observer.ts";
import { orderedPlan } from "./plan.ts";
import { type AttemptRecord, createTrail, type Trail, type TrailWriter } from "./trail.ts";
import type { FaultClass, Verdict } from "./verdict.ts";

/** How one request is routed. */
export interface RunOptions {
  /** Says what a failed attempt means; the engine itself never looks into an error. */
  classify(error: unknown): Verdict;
  /** Of the request: the caller, its own deadline, shutdown. */
  readonly cancellation: Cancellation;
  /** Monotonic milliseconds: over all attempts and waits, until commit. */
  readonly deadline: number;
  /** Most attempts. */
  readonly maxAttempts: number;
  /** W3C trace id, for the trail. */
  readonly traceId: string;
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

  constructor(trail: Trail, cause: unknown, verdict: Verdict | undefined) {
    super("no attempt succeeded", { cause });
    this.verdict = verdict;
    this.trail = trail;
  }
}

/** The attempt loop. It knows no payload: an attempt is a function that takes a lease and brings something. */
export interface Router {
  /** Unary: resolves when an attempt has brought its whole answer. @throws RouteError */
  run<T, E extends Endpoint>(
    pool: Pool<E>,
    attempt: (lease: Lease<E>) => Promise<T>,
    options: RunOptions,
  ): Promise<Routed<T, E>>;
  /**
   * Stream: resolves at the commit point, when an attempt has its first content in hand. From then on nothing hops, the time
   * limits of the router are off, and the owner settles the lease. @throws RouteError
   */
  open<T, E extends Endpoint>(
    pool: Pool<E>,
    attempt: (lease: Lease<E>) => Promise<T>,
    options: RunOptions,
  ): Promise<Routed<T, E>>;
}

/** Which failure tells the caller most when all have failed: a limit says when to come back, a bad key says nothing to a caller. */
const usefulness: readonly FaultClass[] = [
  "rate_limited",
  "quota_exhausted",
  "overloaded",
  "transient_fault",
  "model_unavailable",
  "key_refused",
  "misconfigured",
];

/** Makes a router; all its time and chance come from outside. */
export function createRouter(machine: { clock: Clock; rng: Rng; observer?: RouteObserver }): Router {
  const { clock, rng, observer = {} } = machine;
  const nextKey = keyRotation(rng);

  async function route<T, E extends Endpoint>(
    pool: Pool<E>,
    attempt: (lease: Lease<E>) => Promise<T>,
    options: RunOptions,
    mode: "run" | "open",
  ): Promise<Routed<T, E>> {
    const trail = createTrail(pool.model, pool.policy, options.traceId);
    const remainingMs = () => options.deadline - clock.now();
    const { source: request, unlink } = linkedCancellation(options.cancellation);
    const disarm = clock.schedule(remainingMs(), () => request.cancel(new DeadlineExceeded()));
    const plan = orderedPlan(pool, trail, { maxAttempts: options.maxAttempts, remainingMs });
    const failures: { error: unknown; verdict: Verdict }[] = [];
    let skipsTold = 0;
    /** Whether a committed stream goes on hearing the request's cancellation; its lease lets go of it. */
    let handedOver = false;
    try {
      while (!request.cancelled) {
        const endpoint = plan.next();
        for (; skipsTold < trail.skips.length; skipsTold++) {
          const skip = trail.skips[skipsTold];
          if (skip) observer.skipped?.(trail, skip);
        }
        if (!endpoint) break;
        const lease = grant(endpoint, nextKey(endpoint), trail, options, request, mode);
        try {
          const value = await unlessCancelled(attempt(lease), lease.cancellation);
          if (mode === "run") lease.settle({ ok: true });
          else lease.commit(unlink);
          handedOver = mode === "open";
          return { value, lease, trail };
        } catch (error) {
          failures.push({ error, verdict: lease.fail(error) });
          if (failures.at(-1)?.verdict.next === "stop") break;
        }
      }
      if (request.cancelled && failures.at(-1)?.error !== request.reason) {
        failures.push({ error: request.reason, verdict: options.classify(request.reason) });
      }
      const { error, verdict } = mostUseful(failures);
      throw new RouteError(trail, error, verdict);
    } finally {
      disarm();
      if (!handedOver) unlink();
    }
  }

  /** Opens an attempt: its record, its time limit, its cancellation. */
  function grant<E extends Endpoint>(
    endpoint: E,
    key: Key | undefined,
    trail: TrailWriter,
    options: RunOptions,
    request: Cancellation,
    mode: "run" | "open",
  ): OwnedLease<E> {
    const startedAt = clock.now();
    const record = trail.attempt(endpoint, key, clock.wallTime());
    const { source, unlink } = linkedCancellation(request);
    const limitMs = mode === "run" ? endpoint.limits.totalMs : endpoint.limits.firstContentMs;
    const phase = mode === "run" ? "total" : "first_content";
    const disarm = clock.schedule(limitMs, () => source.cancel(new AttemptTimeout(phase)));
    observer.attemptStarted?.(trail, record);
    let settled = false;
    /** Set by commit: lets go of the request, whose cancellation a committed stream still hears. */
    let releaseRequest: (() => void) | undefined;

    function end(outcome: Outcome): Verdict | undefined {
      if (settled) throw new Error(`attempt ${record.index} at ${endpoint.id} was settled twice`);
      settled = true;
      disarm();
      unlink();
      releaseRequest?.();
      record.durationMs = clock.now() - startedAt;
      const verdict = outcome.ok ? undefined : options.classify(outcome.error);
      record.outcome = verdict?.class ?? "ok";
      if (verdict) describe(record, verdict);
      if (verdict && releaseRequest) trail.breakOff();
      observer.attemptEnded?.(trail, record);
      return verdict;
    }

    return {
      endpoint,
      key,
      attempt: record.index,
      cancellation: source,
      deadline: options.deadline,
      note: (facts) => void Object.assign(record, facts),
      settle: (outcome) => void end(outcome),
      fail(error) {
        const verdict = end({ ok: false, error }) as Verdict; // a failure always has one
        // Whatever the attempt still holds closes itself, also when it failed by itself.
        source.cancel(error);
        return verdict;
      },
      commit(release) {
        releaseRequest = release;
        disarm();
        record.firstContentMs = clock.now() - startedAt;
        observer.committed?.(trail, record);
      },
    };
  }

  return {
    run: (pool, attempt, options) => route(pool, attempt, options, "run"),
    open: (pool, attempt, options) => route(pool, attempt, options, "open"),
  };
}

/** A lease as the router itself sees it. */
interface OwnedLease<E extends Endpoint> extends Lease<E> {
  readonly cancellation: CancellationSource;
  fail(error: unknown): Verdict;
  commit(release: () => void): void;
}

function describe(record: AttemptRecord, { httpStatus, providerCode, retryAfterMs, hint }: Verdict): void {
  if (httpStatus !== undefined) record.httpStatus = httpStatus;
  if (providerCode !== undefined) record.providerCode = providerCode;
  if (retryAfterMs !== undefined) record.retryAfterMs = retryAfterMs;
  if (hint !== undefined) record.hint = hint;
}

/** Takes each provider's keys in turn, from a random start so that several gateways do not walk in step. */
function keyRotation(rng: Rng): (endpoint: Endpoint) => Key | undefined {
  const cursors = new WeakMap<readonly Key[], number>();
  return ({ keys }) => {
    if (keys.length === 0) return undefined;
    const cursor = cursors.get(keys) ?? Math.floor(rng.next() * keys.length);
    cursors.set(keys, (cursor + 1) % keys.length);
    return keys[cursor];
  };
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
