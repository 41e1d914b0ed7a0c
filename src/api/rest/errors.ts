import type { ServerResponse } from "node:http";
import type { Fault } from "../../chat/fault.ts";
import type { CallError } from "../../gateway/call.ts";
import { failureOf, isFinal, messageOf, retryDelayMs } from "../../gateway/faults.ts";
import type { RequestIdentity } from "../edge.ts";
import { isGone } from "../pace.ts";
import { routeHeaders } from "../trail-header.ts";
import { sendJson } from "./exchange.ts";
import { trailJson } from "./trail.ts";

/** What of a failure is shown, and to whom. */
export interface Shown extends RequestIdentity {
  readonly seesTrail: boolean;
  /** Where the request can be looked at; undefined: nowhere that it is to know of. */
  readonly traceUrl?: string | undefined;
  /** For the stamp. */
  readonly wallTimeMs: number;
  /** What else the caller is told of its limits. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** A failure as the body of an answer, or as the last event of a stream that has begun. */
export function errorBody(error: CallError, { requestId, seesTrail, wallTimeMs }: Shown, partial = false) {
  const { fault, trail } = error;
  const { type, code } = failureOf(fault);
  const said = "providerCode" in fault ? fault.providerCode : undefined;
  return {
    error: {
      message: messageOf(fault, seesTrail),
      type,
      param: paramOf(fault),
      code,
      ...(partial && { partial }),
      details: {
        request_id: requestId,
        ...(said && { provider_code: said }),
        ...(fault.kind === "invalid_request" && { violations: fault.violations }),
        ...(trail && seesTrail && { trail: trailJson(trail) }),
      },
    },
    timestamp: new Date(wallTimeMs).toISOString(),
    request_id: requestId,
  };
}

/** Answers with a failure, if nothing has been sent yet. */
export function sendError(response: ServerResponse, error: CallError, shown: Shown): void {
  if (response.headersSent || isGone(response)) return;
  const { fault, trail } = error;
  const delayMs = retryDelayMs(fault);
  sendJson(response, failureOf(fault).http, errorBody(error, shown), {
    "x-request-id": shown.requestId,
    "x-everhop-trace-id": shown.traceId,
    "x-everhop-cache": "off",
    ...(shown.traceUrl !== undefined && { "x-everhop-trace-url": shown.traceUrl }),
    ...routeHeaders(trail, shown.seesTrail),
    ...shown.headers,
    ...(fault.kind === "method_not_allowed" && { allow: fault.allowed }),
    ...(fault.kind === "unauthorized" && { "www-authenticate": "Bearer" }),
    // Whole seconds, rounded up: a client must not come back too early.
    ...(delayMs !== undefined && {
      "retry-after": String(Math.ceil(delayMs / 1000)),
      "retry-after-ms": String(Math.ceil(delayMs)),
    }),
    ...(isFinal(fault) && { "x-should-retry": "false" }),
  });
}

function paramOf(fault: Fault): string | null {
  if (fault.kind === "invalid_request") return fault.violations[0]?.field ?? null;
  if (fault.kind === "unknown_model") return "model";
  return "param" in fault ? (fault.param ?? null) : null;
}
