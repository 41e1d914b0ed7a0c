import type { Endpoint } from "../routing/endpoint.ts";
import type { AttemptRecord, SkipRecord, Trail, WaitRecord } from "../routing/trail.ts";
import { childSpanId, hopSpanId, spanNumbers } from "../runtime/trace-context.ts";
import type { KeepReason } from "./keep.ts";
import { codeWord } from "./log/request-fields.ts";
import { names } from "./names.ts";
import type { RequestRecord } from "./request-record.ts";
import { AttributeList, type FinishedSpan, type SpanEvent, type SpanLink } from "./span.ts";

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

/** Of what a sender may make as long as it likes. */
const maxLength = 1024;
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
  for (const attempt of trail.attempts) {
    const endpoint = endpointOf(trail, attempt);
    spans.push(hopSpan(record, trail, attempt, endpoint && rendering.describe(endpoint)));
  }
  for (const [index, wait] of trail.waits.entries()) spans.push(waitSpan(record, trail, wait, index + 1));
  return spans;
}

function endpointOf({ pool }: Trail, { endpoint: id }: AttemptRecord): Endpoint | undefined {
  for (const { members } of pool.tiers) for (const member of members) if (member.id === id) return member;
  return undefined;
}

function serverSpan(record: RequestRecord, kept: KeepReason): FinishedSpan {
  const { head, operation, failure, httpStatus, trail } = record;
  const isRpc = head.wire !== "rest";
  const isKnownMethod = httpMethods.has(head.method);
  const attributes = new AttributeList()
    .set(names.httpMethod, isKnownMethod ? head.method : "_OTHER")
    .set(names.httpMethodOriginal, isKnownMethod ? undefined : head.method.slice(0, maxLength))
    .set(names.urlPath, pathOf(head.path).slice(0, maxLength))
    .set(names.urlScheme, head.isEncrypted ? "https" : "http")
    .set(names.serverAddress, hostOf(head.host))
    .set(names.serverPort, portOf(head.host, head.isEncrypted))
    .set(names.httpStatus, httpStatus || undefined);
  if (isRpc) {
    attributes
      // gRPC-Web is gRPC for whoever cannot speak it.
      .set(names.rpcSystem, head.wire === "connect" ? "connectrpc" : "grpc")
      .set(names.rpcMethod, operation ?? "_OTHER")
      .set(names.rpcStatus, statusWord(head.wire, failure?.rpc));
  } else attributes.set(names.httpRoute, operation);
  return {
    ...spanOf(record, 0),
    parentSpanId: head.parent?.spanId,
    hasRemoteParent: head.parent !== undefined,
    name: isRpc
      ? (operation ?? head.wire)
      : [isKnownMethod ? head.method : "HTTP", operation].filter(Boolean).join(" "),
    kind: "server",
    startedAt: record.startedAt,
    endedAt: record.endedAt,
    attributes: attributes
      .set(names.protocolVersion, head.httpVersion.replace(/\.0$/, ""))
      .set(names.clientAddress, head.clientAddress)
      .set(names.userAgent, head.userAgent?.slice(0, maxLength))
      .set(names.requestId, head.requestId)
      .set(names.caller, record.caller)
      .set(names.hops, trail?.attempts.length)
      .set(names.failover, trail && trail.attempts.length > 1 ? true : undefined)
      .set(names.cost, trail && costOf(trail))
      .set(names.partial, trail?.partial || undefined)
      .set(names.kept, kept)
      .set(names.errorType, failure?.kind)
      .set(names.genAiInput, record.content?.input)
      .set(names.genAiOutput, record.content?.output).all,
    events: [],
    links: [],
    error: errorOf(record),
  };
}

/** What went wrong and is not the caller's own doing: a server's span is not to be in error for what is. */
function errorOf({ head, failure }: RequestRecord): string | undefined {
  if (!failure) return undefined;
  const isOurs = head.wire === "rest" ? failure.http >= 500 : rpcErrors.has(failure.rpc);
  return isOurs ? failure.kind : undefined;
}

/** Among the statuses of RPC those that the conventions blame the server for. */
const rpcErrors = new Set(["unknown", "deadline_exceeded", "unimplemented", "internal", "unavailable", "data_loss"]);

/** Any word may be a method in HTTP/2; these are known. */
const httpMethods = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"]);

/** Whoever takes us for a proxy names more than a path, and may say who they are. */
function pathOf(target: string): string {
  return target.startsWith("/") ? target : target.replace(/^\w+:\/\/[^/]*/, "") || "/";
}

/** Of `host:port` the host; of IPv6 without its brackets. */
function hostOf(host: string | undefined): string | undefined {
  return (
    host
      ?.replace(/:\d+$/, "")
      .replace(/^\[(.*)\]$/, "$1")
      .slice(0, maxLength) || undefined
  );
}

function portOf(host: string | undefined, isEncrypted: boolean): number | undefined {
  if (host === undefined) return undefined;
  return Number(/:(\d{1,5})$/.exec(host)?.[1]) || (isEncrypted ? 443 : 80);
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
    attributes: new AttributeList()
      .set(names.model, trail.model)
      .set(names.policy, trail.policy)
      .set(names.hops, trail.attempts.length)
      .set(
        names.candidates,
        candidates.slice(0, maxCandidates).map((candidate) => candidateLine(candidate, trail)),
      )
      .set(names.candidatesOmitted, candidates.length > maxCandidates ? candidates.length - maxCandidates : undefined)
      .set(names.skips, trail.skips.length + trail.omittedSkips)
      .set(names.skipsOmitted, trail.omittedSkips || undefined)
      .set(names.partial, trail.partial || undefined)
      .set(names.errorType, failure?.kind).all,
    events: trail.skips.map((skip) => skipEvent(skip)),
    links: trail.skips.flatMap(({ endpoint, openedBy }): SpanLink[] =>
      openedBy ? [{ ...openedBy, attributes: [names.link, "breaker_opened_by", names.endpoint, endpoint] }] : [],
    ),
    error: errorOf(record),
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
  const { endpoint, reason, untilTimeMs, detail, beforeAttempt, at, openedBy } = skip;
  return {
    name: "skipped",
    at,
    attributes: new AttributeList()
      .set(names.endpoint, endpoint)
      .set(names.reason, reason)
      .set(names.until, untilTimeMs === undefined ? undefined : new Date(untilTimeMs).toISOString())
      .set(names.detail, detail)
      .set(names.openedBy, openedBy?.traceId)
      .set(names.beforeAttempt, beforeAttempt).all,
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
    attributes: new AttributeList()
      .set(names.genAiOperation, "chat")
      .set(names.genAiProvider, facts?.kind ?? attempt.provider)
      .set(names.genAiRequestModel, attempt.upstreamModel)
      .set(names.genAiRequestStream, record.streams)
      .set(names.genAiResponseModel, attempt.responseModel)
      .set(names.genAiFinishReasons, attempt.finishReasons)
      .set(
        names.genAiTimeToFirstChunk,
        firstContentMs === undefined ? undefined : Math.round(firstContentMs * 1000) / 1e6,
      )
      .set(names.genAiInputTokens, usage?.inputTokens)
      .set(names.genAiOutputTokens, usage?.outputTokens)
      .set(names.genAiCachedTokens, usage?.cachedInputTokens)
      .set(names.genAiReasoningTokens, usage?.reasoningTokens)
      .set(names.usageEstimated, usage?.estimated)
      .set(names.serverAddress, facts?.host)
      .set(names.serverPort, facts?.port)
      .set(names.httpStatus, attempt.httpStatus)
      .set(names.errorType, isGood ? undefined : outcome)
      .set(names.model, trail.model)
      .set(names.attempt, attempt.index)
      .set(names.provider, attempt.provider)
      .set(names.endpoint, attempt.endpoint)
      .set(names.key, attempt.keyName || undefined)
      .set(names.tier, attempt.tier)
      .set(names.outcome, outcome)
      .set(names.verdict, isGood ? undefined : verdict?.next)
      .set(names.blame, isGood ? undefined : verdict?.blame)
      .set(names.breaker, breakerStates[attempt.permit])
      .set(names.hedge, purpose === "hedge" || undefined)
      .set(names.recovery, purpose === "recovery" || undefined)
      .set(names.hint, isGood ? undefined : attempt.hint)
      .set(names.providerCode, codeWord(attempt.providerCode))
      .set(names.retryAfter, retryAfterMs === undefined ? undefined : retryAfterMs / 1000)
      .set(names.upstreamRequestId, attempt.upstreamRequestId)
      .set(names.maybeBilled, attempt.maybeBilled)
      .set(names.cost, attempt.costMicros).all,
    events:
      firstContentMs === undefined
        ? []
        : [{ name: "first content", at: attempt.startedAt + firstContentMs, attributes: [] }],
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
    attributes: [names.waitReason, reason, names.beforeAttempt, beforeAttempt, names.model, trail.model],
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
