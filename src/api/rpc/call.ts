import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { FaultError } from "../../chat/fault.ts";
import { CallError } from "../../gateway/call.ts";
import type { Caller } from "../../gateway/caller.ts";
import { recordFault } from "../../gateway/faults.ts";
import { CallerGone, type Cancellation, createCancellation, DeadlineExceeded } from "../../runtime/cancellation.ts";
import type { RequestRecord } from "../../telemetry/request-record.ts";
import type { Edge, Visitor } from "../edge.ts";
import { routeHeaders } from "../trail-header.ts";
import { connectError } from "./errors.ts";
import { visitorIn } from "./visit.ts";

/** A call as its handler sees it. */
export interface RpcVisit extends Visitor {
  /** Called off when the caller leaves, its deadline passes, or the process stops. */
  readonly cancellation: Cancellation;
  /** Runs a step of the handler; whatever it throws becomes a status that a program can act on. @throws ConnectError */
  guard<T>(step: () => Promise<T>): Promise<T>;
  /** Why the call is over, for whoever still works for it. */
  gone(): unknown;
  /** Lets go of the signals. */
  release(): void;
}

/** A caller's call. */
export interface RpcCall extends RpcVisit {
  readonly caller: Caller;
}

/** Begins a call of whoever was let in. */
function startVisit(edge: Edge, context: HandlerContext): RpcVisit {
  const visitor = visitorIn(context);
  const { record, caller } = visitor;
  const seesTrail = caller?.seesTrail ?? false;
  return {
    ...visitor,
    ...presence(edge, context.signal),
    async guard(step) {
      try {
        return await step();
      } catch (error) {
        throw statusOf(edge, error, { record, seesTrail });
      }
    },
  };
}

/** Any error of a call as a status that a program can act on; a bug of ours is reported. */
export function statusOf(
  edge: Edge,
  error: unknown,
  { record, seesTrail }: { readonly record: RequestRecord; readonly seesTrail: boolean },
): ConnectError {
  const failed = CallError.from(error);
  const { requestId } = record;
  recordFault(record, failed.fault);
  if (failed.fault.kind === "internal") edge.reportBug(failed.cause, requestId);
  return connectError(failed, { requestId, seesTrail, headers: routeHeaders(failed.trail, seesTrail) });
}

/** Begins a call of a caller's. */
export function startCall(edge: Edge, context: HandlerContext): RpcCall {
  const visit = startVisit(edge, context);
  const { caller } = visit;
  // The gate has seen to it.
  if (!caller) throw new Error("a call was served that no caller makes");
  return { ...visit, caller };
}

/** Answers a caller's unary call. @throws ConnectError */
export function unaryCall<T>(edge: Edge, context: HandlerContext, handle: (call: RpcCall) => Promise<T>): Promise<T> {
  return answered(startCall(edge, context), handle);
}

/** Answers a unary call of whoever was let in. @throws ConnectError */
export function unaryVisit<T>(
  edge: Edge,
  context: HandlerContext,
  handle: (visit: RpcVisit) => Promise<T>,
): Promise<T> {
  return answered(startVisit(edge, context), handle);
}

async function answered<T, Visit extends RpcVisit>(visit: Visit, handle: (visit: Visit) => Promise<T>): Promise<T> {
  try {
    return await visit.guard(() => handle(visit));
  } finally {
    visit.release();
  }
}

/** Adapts Connect's signal, which is dear, to the house's own at the edge. */
function presence(edge: Edge, signal: AbortSignal) {
  const source = createCancellation();
  const gone = () => {
    // Whoever writes the answer has found out why.
    if (signal.reason instanceof FaultError) return signal.reason;
    return signal.reason instanceof ConnectError && signal.reason.code === Code.DeadlineExceeded
      ? new DeadlineExceeded()
      : new CallerGone();
  };
  const onAbort = () => source.cancel(gone());
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  const unlink = edge.shutdown.onCancel((reason) => source.cancel(reason));
  return {
    cancellation: source as Cancellation,
    gone,
    release() {
      signal.removeEventListener("abort", onAbort);
      unlink();
    },
  };
}
