import type { Endpoint } from "../routing/endpoint.ts";
import type { AttemptRecord, SkipRecord, Trail, WaitRecord } from "../routing/trail.ts";
import { childSpanId, hopSpanId, spanNumbers } from "../runtime/trace-context.ts";
import type { KeepReason } from "./keep.ts";
import { names } from "./names.ts";
import type { RequestRecord } from "./request-record.ts";
import { attributesOf, type FinishedSpan, type SpanEvent, type SpanLink } from "./span.ts";

/** What a span tells of an endpoint beside its trail. */
export interface EndpointFacts {
  readonly kind: string;
  readonly host: string;
  readonly port: number;
}

/** What those who render spans must be told. */
export interface Rendering {
  /** Undefined for an endpoint of which nothing more is known. */
  describe(endpoint: Endpoint): EndpointFacts | undefined;
}

/** A pool may have thousands of endpoints. */
const maxCandidates = 100;

/**
 * A request as spans: its own, one of its routing below it, and below that one for each hop and each wait. Made when all of it is over,
 * from the record and the trail, so that what is not kept costs nothing.
 */
export function requestSpans(record: RequestRecord, kept: KeepReason, rendering: Rendering): FinishedSpan[] {
  const { trail } = record;
  const spans = [serverSpan(record, kept)];
  if (!trail) return spans;
  spans.push(routeSpan(record, trail));
  const byId = new Map(trail.pool.tiers.flatMap(({ members }) => members.map((member) => [member.id, member])));
  for (const attempt of trail.attempts) {
    const endpoint = byId.get(attempt.endpoint);
    spans.push(hopSpan(record, trail, attempt, endpoint && rendering.describe(endpoint)));
  }
  for (const [index, wait] of trail.waits.entries()) spans.push(waitSpan(record, trail, wait, index + 1));
  return spans;
}

function serverSpan(record: RequestRecord, kept: KeepReason): FinishedSpan {
  const { head, operation, failure, httpStatus, trail } = record;
  const isRpc = head.wire !== "rest";
  const http = {
    [names.httpMethod]: head.method,
    [names.urlPath]: head.path,
    [names.urlScheme]: head.isEncrypted ? "https" : "http",
    [names.httpRoute]: isRpc ? undefined : operation,
    [names.httpStatus]: httpStatus || undefined,
  };
  const rpc = {
    // gRPC-Web is gRPC for whoever cannot speak it.
    [names.rpcSystem]: head.wire === "connect" ? "connectrpc" : "grpc",
    [names.rpcMethod]: operation ?? "_OTHER",
    [names.rpcStatus]: statusWord(head.wire, failure?.rpc),
  };
  return {
    ...spanOf(record, 0),
    parentSpanId: head.parent?.spanId,
    hasRemoteParent: head.parent !== undefined,
    name: isRpc ? (operation ?? head.wire) : [head.method, operation].filter(Boolean).join(" "),
    kind: "server",
    startedAt: record.startedAt,
    endedAt: record.endedAt,
    attributes: attributesOf({
      ...http,
      ...(isRpc && rpc),
      [names.protocolVersion]: head.httpVersion.replace(/\.0$/, ""),
      [names.clientAddress]: head.clientAddress,
      [names.userAgent]: head.userAgent,
      [names.requestId]: head.requestId,
      [names.caller]: record.caller,
      [names.hops]: trail?.attempts.length,
      [names.failover]: trail && trail.attempts.length > 1 ? true : undefined,
      [names.cost]: trail && costOf(trail),
      [names.partial]: trail?.partial || undefined,
      [names.kept]: kept,
      [names.errorType]: failure?.kind,
      [names.genAiInput]: record.content?.input,
      [names.genAiOutput]: record.content?.output,
    }),
    events: [],
    links: [],
    error: failure && isOurs(failure.rpc) ? failure.kind : undefined,
  };
}

/** What is not the caller's own doing: a server's span is not to be in error for what is. */
function isOurs(rpc: string): boolean {
  return ["unknown", "deadline_exceeded", "unimplemented", "internal", "unavailable", "data_loss"].includes(rpc);
}

/** gRPC and Connect write the same words in their own ways. */
function statusWord(wire: string, rpc: string | undefined): string | undefined {
  if (wire === "connect") return rpc;
  return rpc === undefined ? "OK" : rpc === "canceled" ? "CANCELLED" : rpc.toUpperCase();
}

function costOf({ attempts }: Trail): number | undefined {
  const costs = attempts.flatMap(({ costMicros }) => costMicros ?? []);
  return costs.length > 0 ? costs.reduce((sum, cost) => sum + cost, 0) : undefined;
}

function routeSpan(record: RequestRecord, trail: Trail): FinishedSpan {
  const { failure } = record;
  const candidates = trail.pool.tiers.flatMap(({ members }) => members);
  const ends = [
    ...trail.attempts.map(({ startedAt, durationMs = 0 }) => startedAt + durationMs),
    ...trail.waits.map(({ startedAt, durationMs }) => startedAt + durationMs),
    ...trail.skips.map(({ at }) => at),
  ];
  return {
    ...spanOf(record, spanNumbers.route),
    name: `route ${trail.model}`,
    startedAt: trail.startedAt,
    endedAt: Math.min(record.endedAt, Math.max(trail.startedAt, ...ends)),
    attributes: attributesOf({
      [names.model]: trail.model,
      [names.policy]: trail.policy,
      [names.hops]: trail.attempts.length,
      [names.candidates]: candidates.slice(0, maxCandidates).map((candidate) => candidateLine(candidate, trail)),
      [names.candidatesOmitted]: candidates.length > maxCandidates ? candidates.length - maxCandidates : undefined,
      [names.skips]: trail.skips.length + trail.omittedSkips,
      [names.skipsOmitted]: trail.omittedSkips || undefined,
      [names.partial]: trail.partial || undefined,
      [names.errorType]: failure?.kind,
    }),
    events: trail.skips.map((skip) => skipEvent(skip)),
    links: trail.skips.flatMap(({ endpoint, openedBy }): SpanLink[] =>
      openedBy ? [{ ...openedBy, attributes: { [names.link]: "breaker_opened_by", [names.endpoint]: endpoint } }] : [],
    ),
    error: failure && isOurs(failure.rpc) ? failure.kind : undefined,
  };
}

/** `steady/gpt-4o tier 1 weight 100: hop 2 ok`. */
function candidateLine({ id, tier, weight }: Endpoint, { attempts, skips }: Trail): string {
  const became = [
    ...attempts
      .filter(({ endpoint }) => endpoint === id)
      .map(({ index, outcome }) => `hop ${index} ${outcome ?? "open"}`),
    ...skips.filter(({ endpoint }) => endpoint === id).map(({ reason }) => `skipped, ${reason}`),
  ];
  return `${id} tier ${tier} weight ${weight}: ${became.join("; ") || "not needed"}`;
}

function skipEvent(skip: SkipRecord): SpanEvent {
  const { endpoint, reason, untilTimeMs, detail, beforeAttempt, at } = skip;
  return {
    name: "skipped",
    at,
    attributes: attributesOf({
      [names.endpoint]: endpoint,
      [names.reason]: reason,
      [names.until]: untilTimeMs === undefined ? undefined : new Date(untilTimeMs).toISOString(),
      [names.detail]: detail,
      [names.beforeAttempt]: beforeAttempt,
    }),
  };
}

const breakerStates = { normal: "closed", probe: "half_open", last_resort: "last_resort" } as const;

function hopSpan(
  record: RequestRecord,
  trail: Trail,
  attempt: AttemptRecord,
  facts: EndpointFacts | undefined,
): FinishedSpan {
  const { outcome = "ok", usage, firstContentMs, retryAfterMs, purpose, durationMs = 0, verdict } = attempt;
  const isGood = outcome === "ok" || outcome === "superseded";
  return {
    ...spanOf(record, spanNumbers.hop + attempt.index),
    parentSpanId: childSpanId(record.head.spanId, spanNumbers.route),
    spanId: hopSpanId(record.head.spanId, attempt.index),
    name: `chat ${attempt.upstreamModel}`,
    kind: "client",
    startedAt: attempt.startedAt,
    endedAt: attempt.startedAt + durationMs,
    attributes: attributesOf({
      [names.genAiOperation]: "chat",
      [names.genAiProvider]: facts?.kind ?? attempt.provider,
      [names.genAiRequestModel]: attempt.upstreamModel,
      [names.genAiRequestStream]: record.streams,
      [names.genAiResponseModel]: attempt.responseModel,
      [names.genAiFinishReasons]: attempt.finishReasons,
      [names.genAiTimeToFirstChunk]: firstContentMs === undefined ? undefined : Math.round(firstContentMs * 1000) / 1e6,
      [names.genAiInputTokens]: usage?.inputTokens,
      [names.genAiOutputTokens]: usage?.outputTokens,
      [names.genAiCachedTokens]: usage?.cachedInputTokens,
      [names.genAiReasoningTokens]: usage?.reasoningTokens,
      [names.usageEstimated]: usage?.estimated,
      [names.serverAddress]: facts?.host,
      [names.serverPort]: facts?.port,
      [names.httpStatus]: attempt.httpStatus,
      [names.errorType]: isGood ? undefined : outcome,
      [names.model]: trail.model,
      [names.attempt]: attempt.index,
      [names.provider]: attempt.provider,
      [names.endpoint]: attempt.endpoint,
      [names.key]: attempt.keyName || undefined,
      [names.tier]: attempt.tier,
      [names.outcome]: outcome,
      [names.verdict]: verdict?.next,
      [names.blame]: verdict?.blame,
      [names.breaker]: breakerStates[attempt.permit],
      [names.hedge]: purpose === "hedge" || undefined,
      [names.recovery]: purpose === "recovery" || undefined,
      [names.hint]: isGood ? undefined : attempt.hint,
      [names.providerCode]: attempt.providerCode,
      [names.retryAfter]: retryAfterMs === undefined ? undefined : retryAfterMs / 1000,
      [names.upstreamRequestId]: attempt.upstreamRequestId,
      [names.maybeBilled]: attempt.maybeBilled,
      [names.cost]: attempt.costMicros,
    }),
    events:
      firstContentMs === undefined
        ? []
        : [{ name: "first content", at: attempt.startedAt + firstContentMs, attributes: {} }],
    links: [],
    error: isGood || outcome === "caller_gone" ? undefined : (attempt.hint ?? outcome),
  };
}

function waitSpan(record: RequestRecord, trail: Trail, wait: WaitRecord, position: number): FinishedSpan {
  const { reason, startedAt, durationMs, beforeAttempt } = wait;
  return {
    ...spanOf(record, spanNumbers.wait + position),
    parentSpanId: childSpanId(record.head.spanId, spanNumbers.route),
    name: `wait ${reason}`,
    startedAt,
    endedAt: startedAt + durationMs,
    attributes: {
      [names.waitReason]: reason,
      [names.beforeAttempt]: beforeAttempt,
      [names.model]: trail.model,
    },
    events: [],
    links: [],
    error: undefined,
  };
}

function spanOf({ head }: RequestRecord, number: number) {
  return {
    traceId: head.traceId,
    spanId: number === 0 ? head.spanId : childSpanId(head.spanId, number),
    parentSpanId: head.spanId,
    hasRemoteParent: false,
    traceState: head.traceState,
    kind: "internal" as const,
  };
}
