import type { Fault } from "../chat/fault.ts";
import { estimatedCounts } from "../providers/openai/estimate.ts";
import type { Target } from "../providers/target.ts";
import type { Upstream } from "../providers/upstream.ts";
import type { StreamRecovery } from "../routing/endpoint.ts";
import type { RouteError, Router, RunOptions } from "../routing/router.ts";
import type { RoutingSettings } from "../routing/settings.ts";
import type { Trail } from "../routing/trail.ts";
import { type Cancellation, DeadlineExceeded, linkedCancellation } from "../runtime/cancellation.ts";
import type { Clock } from "../runtime/clock.ts";
import type { RequestRecord } from "../telemetry/request-record.ts";
import type { AdditionMemory } from "./additions.ts";
import type { Admission } from "./admission.ts";
import type { ByteAccount } from "./byte-budget.ts";
import type { Caller } from "./caller.ts";
import type { Catalog, Destination } from "./catalog.ts";
import { faultFrom, messageOf, requestFault, verdictOf } from "./faults.ts";

/** What the price of a call hangs on. */
export interface PromptSize {
  readonly promptCharacters: number;
  /** 0: the caller sets no limit. */
  readonly maxOutputTokens: number;
}

/** One request of a caller, but for its payload. */
export interface Call {
  readonly caller: Caller;
  readonly destination: Destination;
  readonly record: RequestRecord;
  /** The caller's presence, and shutdown. */
  readonly cancellation: Cancellation;
  /** The caller's own deadline from arrival, for the whole call; undefined: none. */
  readonly timeoutMs: number | undefined;
  /** How long the caller's client will wait for a first sign, as far as it says so; binds until the first content. */
  readonly patienceMs: number | undefined;
  /** At most this many attempts after the first; undefined: the gateway's own cap. */
  readonly retryCount: number | undefined;
  /** What is to become of its stream if that breaks after its first content; undefined: what the model's pool says. */
  readonly streamRecovery: StreamRecovery | undefined;
  /** What it may hold of the process's memory, until its answer is delivered. */
  readonly account: ByteAccount;
  /** How large it is; only asked for where the price decides. */
  size(): PromptSize;
  /** What tells requests apart that share a prompt cache; undefined: nothing. */
  affinityKey(by: "prompt_cache_key" | "prefix"): string | undefined;
}

/** What serving a call takes. */
export interface Machine {
  readonly clock: Clock;
  readonly router: Router;
  readonly upstream: Upstream;
  /** The snapshot of now. */
  catalog(): Catalog;
  readonly admission: Admission;
  readonly additions: AdditionMemory;
  /** What keeps requests with one prompt prefix at one endpoint. */
  readonly affinity: RoutingSettings["affinity"];
  /** What a stream may come to after its first content. */
  readonly streamLimits: { readonly durationMs: number; readonly bytes: number };
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
 * Lets a call in and says what the router is told of it. The caller's own deadline cancels the call for as long as it lives; the
 * router's deadline binds until commit. `release` lets go of everything.
 * @throws FaultError when the caller is at a limit of its own
 */
export function enter(
  machine: Machine,
  call: Call,
): {
  options: RunOptions<Target>;
  /** The caller's own deadline, monotonic ms; infinite when it has none. */
  callerDeadline: number;
  release: () => void;
} {
  const { clock, maxDurationMs } = machine;
  const { caller, timeoutMs = Number.POSITIVE_INFINITY, patienceMs = Number.POSITIVE_INFINITY } = call;
  const leave = machine.admission.admit(caller);
  call.record.hold();
  const { cancellation, letGo } = bounded(clock, call);
  const affinityKey = affinityOf(machine, call);
  const now = clock.now();
  call.record.deadline = now + timeoutMs;
  let size: PromptSize | undefined;
  const cost = (target: Target) => {
    size ??= call.size();
    return costAt(target, size);
  };
  return {
    options: {
      classify: verdictOf,
      cancellation,
      deadline: now + Math.min(timeoutMs, patienceMs, maxDurationMs),
      maxAttempts: 1 + (call.retryCount ?? Number.POSITIVE_INFINITY),
      traceId: call.record.traceId,
      spanId: call.record.head.spanId,
      caller: caller.name,
      queueMaxWaitMs: caller.queueMaxWaitMs,
      request: { cost, ...(affinityKey !== undefined && { affinityKey }) },
    },
    callerDeadline: now + timeoutMs,
    release() {
      letGo();
      leave();
      call.record.release();
    },
  };
}

/** A call's cancellation, which its own deadline calls off as well, if it has one. */
function bounded(
  clock: Clock,
  { cancellation, timeoutMs }: Call,
): { readonly cancellation: Cancellation; letGo(): void } {
  if (timeoutMs === undefined) return { cancellation, letGo: nothing };
  const { source, unlink } = linkedCancellation(cancellation);
  const disarm = clock.schedule(timeoutMs, () => source.cancel(new DeadlineExceeded()));
  return {
    cancellation: source,
    letGo() {
      disarm();
      unlink();
    },
  };
}

function nothing(): void {}

/** An answer's length when nobody says. */
const typicalAnswerTokens = 500;

/** What a call would cost at a target, in US dollars, as far as that can be told beforehand. */
export function costAt({ prices }: Target, { promptCharacters, maxOutputTokens }: PromptSize): number {
  if (!prices) return Number.POSITIVE_INFINITY;
  const { inputTokens } = estimatedCounts(promptCharacters, 0);
  return (inputTokens * prices.inputPer1k + (maxOutputTokens || typicalAnswerTokens) * prices.outputPer1k) / 1000;
}

function affinityOf({ affinity }: Machine, call: Call): string | undefined {
  if (affinity === "none") return undefined;
  return affinity === "caller" ? call.caller.name : call.affinityKey(affinity);
}
