import { create, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { codeToHttpStatus } from "@connectrpc/connect/protocol-connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  QuotaFailureSchema,
  RetryInfoSchema,
} from "../../../gen/ts/google/rpc/error_details_pb.ts";
import type { Fault, Violation } from "../../chat/fault.ts";
import { RouteTrailSchema } from "../../chat/messages.ts";
import type { CallError } from "../../gateway/call.ts";
import { failureOf, isFinal, messageOf, type RpcStatus, retryDelayMs } from "../../gateway/faults.ts";
import type { RequestRecord } from "../../telemetry/request-record.ts";
import { boundedRouteTrail } from "./route-trail.ts";

const codes: Readonly<Record<RpcStatus, Code>> = {
  canceled: Code.Canceled,
  invalid_argument: Code.InvalidArgument,
  deadline_exceeded: Code.DeadlineExceeded,
  not_found: Code.NotFound,
  resource_exhausted: Code.ResourceExhausted,
  failed_precondition: Code.FailedPrecondition,
  unimplemented: Code.Unimplemented,
  internal: Code.Internal,
  unavailable: Code.Unavailable,
  unauthenticated: Code.Unauthenticated,
  permission_denied: Code.PermissionDenied,
};

const rpcOfCode = new Map(Object.entries(codes).map(([rpc, code]) => [code, rpc as RpcStatus]));

/** Writes down that a call is answered by a status, if nothing is known of it that says more. */
export function recordStatus(record: RequestRecord, code: Code): void {
  const rpc = rpcOfCode.get(code) ?? Code[code].replace(/(?<!^)[A-Z]/g, (letter) => `_${letter}`).toLowerCase();
  record.fail({ kind: rpc, rpc, http: codeToHttpStatus(code) });
}

/**
 * A call's failure as a status: always with an ErrorInfo, with the wrong fields and the wait where there are any, and with the
 * trail once routing has begun.
 */
export function connectError(
  error: CallError,
  shown: { requestId: string; seesTrail: boolean; headers: Record<string, string> },
): ConnectError {
  const { fault, trail } = error;
  const { rpc, reason } = failureOf(fault);
  const delayMs = retryDelayMs(fault);
  const providerCode = "providerCode" in fault ? fault.providerCode : undefined;
  const metadata = {
    ...(shown.requestId && { request_id: shown.requestId }),
    ...(providerCode && { provider_code: providerCode.toWellFormed() }),
  };
  const details: NonNullable<ConstructorParameters<typeof ConnectError>[3]> = [];
  details.push(detail(ErrorInfoSchema, { reason, domain: "everhop", metadata }));
  const fieldViolations = violationsOf(fault);
  if (fieldViolations.length > 0) details.push(detail(BadRequestSchema, { fieldViolations }));
  if (fault.kind === "caller_limited") {
    const violations = [{ subject: `caller:${fault.caller}`, description: `${fault.limit} ${fault.most}` }];
    details.push(detail(QuotaFailureSchema, { violations }));
  }
  if (delayMs !== undefined) details.push(detail(RetryInfoSchema, { retryDelay: durationFromMs(Math.ceil(delayMs)) }));
  if (trail && shown.seesTrail) details.push({ desc: RouteTrailSchema, value: boundedRouteTrail(trail) });
  const pushback = delayMs ?? (isFinal(fault) ? -1 : undefined);
  const headers = {
    ...shown.headers,
    ...(pushback !== undefined && { "grpc-retry-pushback-ms": String(Math.ceil(pushback)) }),
  };
  return new ConnectError(messageOf(fault, shown.seesTrail).toWellFormed(), codes[rpc], headers, details, error);
}

/** What Connect's own errors amount to; what it cannot read is the client's mistake. */
const foreignReasons: Readonly<Partial<Record<Code, string>>> = {
  [Code.InvalidArgument]: "INVALID_REQUEST",
  [Code.ResourceExhausted]: "REQUEST_TOO_LARGE",
  [Code.Unimplemented]: "UNSUPPORTED",
  [Code.DeadlineExceeded]: "DEADLINE_EXCEEDED",
  [Code.Canceled]: "CANCELED",
};

/** How Connect puts it that a message cannot be read, for which it blames itself. */
const unreadable = /^(parse binary|decompression failed)/;

/** An error that Connect has raised, as one of ours: with an ErrorInfo, and the client blamed for what cannot be read. */
export function ownError(error: ConnectError, headers: Headers): ConnectError {
  const { code: said, rawMessage } = error;
  const code = said === Code.Internal && unreadable.test(rawMessage) ? Code.InvalidArgument : said;
  const requestId = headers.get("x-request-id");
  const info = {
    reason: foreignReasons[code] ?? "INTERNAL",
    domain: "everhop",
    metadata: requestId ? { request_id: requestId } : {},
  };
  // What it carries of headers and trailers stands in the answer already.
  return new ConnectError(rawMessage, code, undefined, [detail(ErrorInfoSchema, info)]);
}

/** As many violations as fit beside the rest of a status, and as text that UTF-8 can hold. */
const maxViolations = 10;

function violationsOf(fault: Fault): Violation[] {
  return allViolations(fault)
    .slice(0, maxViolations)
    .map(({ field, description }) => ({
      field: field.slice(0, 100).toWellFormed(),
      description: description.slice(0, 200).toWellFormed(),
    }));
}

function allViolations(fault: Fault): readonly Violation[] {
  if (fault.kind === "invalid_request") return fault.violations;
  if (fault.kind === "refused_request" && fault.param) {
    return [{ field: fault.param, description: fault.message ?? "refused by the provider" }];
  }
  return [];
}

function detail<Desc extends DescMessage>(desc: Desc, value: MessageInitShape<Desc>) {
  return { desc, value: create(desc, value) };
}
