import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { CallError } from "../../gateway/call.ts";
import type { Caller } from "../../gateway/caller.ts";
import { CallerGone, type Cancellation, createCancellation, DeadlineExceeded } from "../../runtime/cancellation.ts";
import { callerOf, type Edge, identityOf, type RequestIdentity } from "../edge.ts";
import { routeHeaders } from "../trail-header.ts";
import { connectError } from "./errors.ts";

/** A call as its handler sees it. */
export interface RpcCall extends RequestIdentity {
  readonly caller: Caller;
  /** Called off when the caller leaves, its deadline passes, or the process stops. */
  readonly cancellation: Cancellation;
  /** Runs a step of the handler; whatever it throws becomes a status that a program can act on. @throws ConnectError */
  guard<T>(step: () => Promise<T>): Promise<T>;
  /** Why the call is over, for whoever still works for it. */
  gone(): unknown;
  /** Lets go of the signals. */
  release(): void;
}

/**
 * Lets a call in: its ids, its caller, its signals.
 * @throws ConnectError when the caller may not come in, or the process is draining
 */
export function startCall(edge: Edge, context: HandlerContext): RpcCall {
  const header = (name: string) => context.requestHeader.get(name);
  const { requestId, traceId } = identityOf(header, edge.rng);
  const headers = { "x-request-id": requestId, "x-everhop-trace-id": traceId };
  for (const [name, value] of Object.entries(headers)) context.responseHeader.set(name, value);
  const caller = callerOf(header, edge.callers);
  const seesTrail = caller?.seesTrail ?? false;

  function statusOf(error: unknown): ConnectError {
    const failed = CallError.from(error);
    if (failed.fault.kind === "internal") edge.reportBug(failed.cause, requestId);
    return connectError(failed, { requestId, seesTrail, headers: routeHeaders(failed.trail, seesTrail) });
  }

  if (edge.stage() === "closing") throw statusOf(new CallError({ kind: "shutting_down" }, undefined));
  if (!caller) throw statusOf(new CallError({ kind: "unauthorized" }, undefined));
  return {
    requestId,
    traceId,
    caller,
    ...presence(edge, context.signal),
    async guard(step) {
      try {
        return await step();
      } catch (error) {
        throw statusOf(error);
      }
    },
  };
}

/** Answers a unary call. @throws ConnectError */
export async function unaryCall<T>(
  edge: Edge,
  context: HandlerContext,
  handle: (call: RpcCall) => Promise<T>,
): Promise<T> {
  const call = startCall(edge, context);
  try {
    return await call.guard(() => handle(call));
  } finally {
    call.release();
  }
}

/** Adapts Connect's signal, which is dear, to the house's own at the edge. */
function presence(edge: Edge, signal: AbortSignal) {
  const source = createCancellation();
  const gone = () =>
    signal.reason instanceof ConnectError && signal.reason.code === Code.DeadlineExceeded
      ? new DeadlineExceeded()
      : new CallerGone();
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
