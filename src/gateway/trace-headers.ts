import type { HttpRequest } from "../providers/lane.ts";
import type { Target } from "../providers/target.ts";
import type { Lease } from "../routing/lease.ts";
import { hopSpanId, traceParentOf } from "../runtime/trace-context.ts";
import type { RequestRecord } from "../telemetry/request-record.ts";

/** A request that tells its endpoint which trace it belongs to, and the hop in it, where the endpoint is to know. */
export function withTrace<Request extends HttpRequest>(
  request: Request,
  { endpoint, attempt }: Lease<Target>,
  record: RequestRecord,
): Request {
  if (!endpoint.traceContext) return request;
  const { traceId, spanId, traceState, parent } = record.head;
  const hop = { traceId, spanId: hopSpanId(spanId, attempt), sampled: record.sampled };
  // A hop that nobody will ever see is nobody's parent.
  const traceparent = traceParentOf(record.traced ? hop : (parent ?? hop));
  const headers = { ...request.headers, traceparent, ...(traceState !== undefined && { tracestate: traceState }) };
  return { ...request, headers };
}
