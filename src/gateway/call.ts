import type { Fault } from "../chat/fault.ts";
import type { Upstream } from "../providers/upstream.ts";
import type { RouteError, Router, RunOptions } from "../routing/router.ts";
import type { Trail } from "../routing/trail.ts";
import { type Cancellation, DeadlineExceeded, linkedCancellation } from "../runtime/cancellation.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Caller } from "./caller.ts";
import type { Catalog, Destination } from "./catalog.ts";
import { faultFrom, messageOf, requestFault, verdictOf } from "./faults.ts";

/** One request of a caller, but for its payload. */
export interface Call {
  readonly caller: Caller;
  readonly destination: Destination;
  /** W3C trace id, 32 hexadecimal digits. */
  readonly traceId: string;
  /** The caller's presence, and shutdown. */
  readonly cancellation: Cancellation;
  /** The caller's own deadline from arrival, for the whole call; undefined: none. */
  readonly timeoutMs: number | undefined;
  /** How long the caller's client will wait for a first sign, as far as it says so; binds until the first content. */
  readonly patienceMs: number | undefined;
  /** At most this many attempts after the first; undefined: the gateway's own cap. */
  readonly retryCount: number | undefined;
}

/** What serving a call takes. */
export interface Machine {
  readonly clock: Clock;
  readonly router: Router;
  readonly upstream: Upstream;
  /** The snapshot of now. */
  catalog(): Catalog;
  /** Most attempts of one request. */
  readonly maxAttempts: number;
  /** Longest time until the first content of a stream or the end of a unary call. */
  readonly maxDurationMs: number;
}

/** How a call fails: with a fault that the table of failure knows, and the way it took if routing had begun. */
export class CallError extends Error {
  override name = "CallError";
  readonly fault: Fault;
  readonly trail: Trail | undefined;

  constructor(fault: Fault, trail: Trail | undefined, cause?: unknown) {
    super(messageOf(fault, true), { cause });
    this.fault = fault;
    this.trail = trail;
  }

  /** The failure of a call that was routed in vain. */
  static ofRoute(error: RouteError): CallError {
    return new CallError(requestFault(error), error.trail, error.cause);
  }

  /** Any error as a call's failure. */
  static from(error: unknown, trail?: Trail): CallError {
    return error instanceof CallError ? error : new CallError(faultFrom(error), trail, error);
  }
}

/**
 * What the router is told of a call. The caller's own deadline cancels the call for as long as it lives; the router's deadline
 * binds until commit. `release` lets go of both.
 */
export function runOptions(machine: Machine, call: Call): { options: RunOptions; release: () => void } {
  const { clock, maxAttempts, maxDurationMs } = machine;
  const { timeoutMs = Number.POSITIVE_INFINITY, patienceMs = Number.POSITIVE_INFINITY } = call;
  const { source, unlink } = linkedCancellation(call.cancellation);
  const disarm =
    call.timeoutMs === undefined ? () => {} : clock.schedule(timeoutMs, () => source.cancel(new DeadlineExceeded()));
  const retries = call.retryCount ?? Number.POSITIVE_INFINITY;
  return {
    options: {
      classify: verdictOf,
      cancellation: source,
      deadline: clock.now() + Math.min(timeoutMs, patienceMs, maxDurationMs),
      maxAttempts: Math.min(maxAttempts, 1 + retries),
      traceId: call.traceId,
    },
    release() {
      disarm();
      unlink();
    },
  };
}
