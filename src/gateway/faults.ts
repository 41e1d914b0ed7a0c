import { type Fault, FaultError, type UpstreamWords } from "../chat/fault.ts";
import type { SkipReason } from "../routing/endpoint.ts";
import { AttemptTimeout } from "../routing/lease.ts";
import type { RouteError } from "../routing/router.ts";
import type { AttemptRecord, SkipRecord, Trail } from "../routing/trail.ts";
import type { FaultClass, Verdict } from "../routing/verdict.ts";
import { CallerGone, DeadlineExceeded, ShuttingDown } from "../runtime/cancellation.ts";
import type { RequestFailure, RequestRecord } from "../telemetry/request-record.ts";
import { hintOf } from "./hints.ts";

/** Status words of gRPC, which Connect shares. */
export type RpcStatus =
  | "canceled"
  | "invalid_argument"
  | "deadline_exceeded"
  | "not_found"
  | "resource_exhausted"
  | "failed_precondition"
  | "unimplemented"
  | "internal"
  | "unavailable"
  | "unauthenticated"
  | "permission_denied";

/** How a fault is told to a caller, on whatever surface. */
export interface Failure {
  readonly rpc: RpcStatus;
  readonly http: number;
  /** OpenAI's `error.type`. */
  readonly type: "invalid_request_error" | "authentication_error" | "rate_limit_error" | "server_error";
  /** OpenAI's `error.code`. */
  readonly code: string;
  /** Reason of the ErrorInfo. */
  readonly reason: string;
}

/** What an attempt's fault means for the request, and for whoever runs the gateway. */
type Meaning = Pick<Verdict, "next" | "blame" | "class" | "repeat" | "slow" | "notSent" | "maybeBilled">;

interface Row extends Failure {
  /** Only for what can happen to an attempt. */
  readonly meaning?: Meaning;
}

const badRequest = {
  rpc: "invalid_argument",
  http: 400,
  type: "invalid_request_error",
  code: "invalid_request",
  reason: "INVALID_REQUEST",
} as const;
/** Told when a stream breaks after its first content; before it the request hops on and ends as `all_failed` at worst. */
const interrupted = {
  rpc: "unavailable",
  http: 502,
  type: "server_error",
  code: "stream_interrupted",
  reason: "STREAM_INTERRUPTED",
} as const;
const limited = {
  rpc: "resource_exhausted",
  http: 429,
  type: "rate_limit_error",
  code: "rate_limit_exceeded",
  reason: "RATE_LIMIT_EXCEEDED",
} as const;
const unavailable = {
  rpc: "unavailable",
  http: 503,
  type: "server_error",
  code: "service_unavailable",
  reason: "SERVICE_UNAVAILABLE",
} as const;

/** The endpoint failed: another may do better, and this one when nothing else is left. */
function fails(more: Partial<Meaning> = {}): Meaning {
  return { next: "other", blame: "endpoint", class: "transient_fault", repeat: "last", ...more };
}

/** A key is at fault: the next one may do better. */
function keyFails(faultClass: FaultClass, more: Partial<Meaning> = {}): Meaning {
  return { next: "key", blame: "key", class: faultClass, ...more };
}

const stops: Meaning = { next: "stop", blame: "caller", class: "request_refused" };
const bug: Meaning = { next: "stop", blame: "nobody", class: "internal" };
const gone: Meaning = { next: "stop", blame: "nobody", class: "caller_gone" };

/** The one table of failure: every surface, log and trail reads its words here. */
const table: Readonly<Record<Fault["kind"], Row>> = {
  // The request itself.
  invalid_request: badRequest,
  unknown_model: { ...badRequest, rpc: "not_found", http: 404, code: "not_found", reason: "MODEL_NOT_FOUND" },
  unknown_route: { ...badRequest, rpc: "unimplemented", http: 404, code: "not_found", reason: "ROUTE_NOT_FOUND" },
  method_not_allowed: {
    ...badRequest,
    rpc: "unimplemented",
    http: 405,
    code: "method_not_allowed",
    reason: "METHOD_NOT_ALLOWED",
  },
  unsupported_media_type: {
    ...badRequest,
    http: 415,
    code: "unsupported_media_type",
    reason: "UNSUPPORTED_MEDIA_TYPE",
  },
  http2_needed: {
    ...badRequest,
    rpc: "unimplemented",
    http: 505,
    code: "http2_needed",
    reason: "HTTP2_NEEDED",
  },
  request_too_large: {
    ...badRequest,
    rpc: "resource_exhausted",
    http: 413,
    code: "request_too_large",
    reason: "REQUEST_TOO_LARGE",
  },
  unauthorized: {
    rpc: "unauthenticated",
    http: 401,
    type: "authentication_error",
    code: "unauthorized",
    reason: "UNAUTHORIZED",
  },
  forbidden: {
    rpc: "permission_denied",
    http: 403,
    type: "authentication_error",
    code: "forbidden",
    reason: "FORBIDDEN",
  },
  too_many_failures: { ...limited, reason: "TOO_MANY_FAILURES" },
  // What a provider refuses for the request's own sake: nobody else would take it either.
  refused_request: { ...badRequest, reason: "REFUSED_BY_PROVIDER", meaning: stops },
  context_length_exceeded: {
    ...badRequest,
    code: "context_length_exceeded",
    reason: "CONTEXT_LENGTH_EXCEEDED",
    meaning: { ...stops, next: "larger" },
  },
  // Refused as long as it holds what we put in: then without it, once.
  addition_refused: {
    ...badRequest,
    reason: "REFUSED_BY_PROVIDER",
    meaning: { next: "same", blame: "nobody", class: "request_refused" },
  },
  content_filtered: {
    ...badRequest,
    rpc: "failed_precondition",
    code: "content_filter",
    reason: "CONTENT_FILTERED",
    meaning: stops,
  },
  // What another key or provider may do better.
  model_unavailable: {
    ...interrupted,
    meaning: { next: "other", blame: "model", class: "model_unavailable" },
  },
  key_refused: { ...interrupted, meaning: keyFails("key_refused") },
  quota_exhausted: { ...interrupted, meaning: keyFails("quota_exhausted") },
  rate_limited: { ...interrupted, meaning: keyFails("rate_limited", { repeat: "last" }) },
  overloaded: { ...interrupted, meaning: fails({ class: "overloaded", repeat: "soon" }) },
  server_error: { ...interrupted, meaning: fails({ repeat: "soon" }) },
  unreachable: { ...interrupted, meaning: fails({ notSent: true }) },
  not_sent: {
    ...interrupted,
    meaning: fails({ next: "same", blame: "nobody", class: "not_sent", notSent: true }),
  },
  connection_lost: { ...interrupted, meaning: fails({ maybeBilled: true }) },
  timed_out: { ...interrupted, meaning: fails({ slow: true, maybeBilled: true }) },
  truncated: { ...interrupted, meaning: fails({ maybeBilled: true }) },
  malformed: { ...interrupted, meaning: fails({ maybeBilled: true }) },
  too_large: { ...interrupted, meaning: fails({ maybeBilled: true, repeat: "never" }) },
  misconfigured: { ...interrupted, meaning: { next: "other", blame: "endpoint", class: "misconfigured" } },
  // Nobody's fault: two answers need not be alike.
  diverged: { ...interrupted, meaning: { next: "stop", blame: "nobody", class: "local" } },
  // Nobody's fault but time's.
  caller_gone: { ...unavailable, rpc: "canceled", http: 499, code: "canceled", reason: "CANCELED", meaning: gone },
  deadline_exceeded: {
    ...unavailable,
    rpc: "deadline_exceeded",
    http: 504,
    code: "deadline_exceeded",
    reason: "DEADLINE_EXCEEDED",
    meaning: gone,
  },
  client_stalled: {
    ...unavailable,
    rpc: "canceled",
    http: 499,
    code: "client_stalled",
    reason: "CLIENT_STALLED",
    meaning: gone,
  },
  out_of_memory: {
    ...unavailable,
    reason: "OUT_OF_MEMORY",
    meaning: { next: "stop", blame: "nobody", class: "local" },
  },
  stream_limit: {
    ...interrupted,
    reason: "STREAM_LIMIT",
    meaning: { next: "stop", blame: "nobody", class: "local" },
  },
  shutting_down: {
    ...unavailable,
    reason: "SHUTTING_DOWN",
    meaning: { next: "stop", blame: "nobody", class: "local" },
  },
  // What the caller itself may do.
  caller_limited: limited,
  // What the whole request came to.
  all_failed: { ...unavailable, http: 502, code: "all_providers_failed", reason: "ALL_PROVIDERS_FAILED" },
  all_limited: limited,
  nothing_to_try: unavailable,
  internal: {
    rpc: "internal",
    http: 500,
    type: "server_error",
    code: "internal_error",
    reason: "INTERNAL",
    meaning: bug,
  },
};

const unanswered = { left: failureRecord("caller_gone"), late: failureRecord("deadline_exceeded") };

function failureRecord(kind: Fault["kind"]): RequestFailure {
  const { rpc, http } = table[kind];
  return { kind, rpc, http };
}

/** How a fault is told to a caller. */
export function failureOf(fault: Fault): Failure {
  const tooLarge = fault.kind === "refused_request" && fault.status === 413;
  return table[tooLarge ? "request_too_large" : fault.kind];
}

/** Writes down how a request fails. */
export function recordFault(record: RequestRecord, fault: Fault): void {
  const { rpc, http } = failureOf(fault);
  record.fail({ kind: fault.kind, rpc, http });
}

/**
 * Writes down that a request's answer is over.
 * @param isWhole whether all of it has been sent; else whoever asked has left, if nothing else is known
 */
export function recordEnd(record: RequestRecord, httpStatus: number, isWhole: boolean): void {
  record.close(httpStatus, isWhole ? undefined : unanswered);
}

/** The fault behind an error, whoever raised it; what nobody foresaw is a bug of ours. */
export function faultFrom(error: unknown): Fault {
  if (error instanceof FaultError) return error.fault;
  if (error instanceof AttemptTimeout) return { kind: "timed_out", phase: error.phase };
  if (error instanceof CallerGone) return { kind: "caller_gone" };
  if (error instanceof DeadlineExceeded) return { kind: "deadline_exceeded" };
  if (error instanceof ShuttingDown) return { kind: "shutting_down" };
  return { kind: "internal" };
}

/** What a failed attempt means: the engine's `classify`. */
export function verdictOf(error: unknown): Verdict {
  const fault = faultFrom(error);
  // What has no meaning for an attempt cannot happen to one: then it is a bug, and the attempt must end all the same.
  const { meaning = bug } = table[fault.kind];
  const { status, providerCode, retryAfterMs, shouldRetry } = fault as UpstreamWords; // a fault that is not an upstream's has none
  const hint = hintOf(fault);
  return {
    ...meaning,
    ...detailsOf(fault),
    ...(shouldRetry !== undefined && meaning.class !== "internal" && asTheProviderSays(shouldRetry, fault, meaning)),
    ...(status !== undefined && { httpStatus: status }),
    ...(providerCode !== undefined && { providerCode }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(hint !== undefined && { hint }),
  };
}

/** What of a fault's meaning its kind alone does not tell. */
function detailsOf(fault: Fault): Partial<Meaning> {
  if (fault.kind === "unreachable" && fault.cause === "connect_timeout") return { slow: true };
  // Cut off in the middle of answering, it was at work; cut off before, it may be gone.
  if (fault.kind === "connection_lost" && fault.afterBytes) return { repeat: "soon" };
  // It may be the configuration's doing, and another endpoint's is another.
  if (fault.kind === "refused_request" && fault.configured) return { next: "other", blame: "nobody" };
  return {};
}

/** A provider knows best whether it is of use to ask it again. Another provider is another matter. */
function asTheProviderSays(shouldRetry: boolean, fault: Fault, { next }: Meaning): Partial<Meaning> {
  if (!shouldRetry) return { repeat: "never", ...(next === "same" && { next: "other" }) };
  return fault.kind === "refused_request" ? { next: "other", repeat: "last" } : { repeat: "soon" };
}

/**
 * Clients wait as long as they are told, to the second. A refused key is tried again after a quarter of an hour, but an operator may
 * have mended it long before.
 */
const longestUnavailableMs = 60_000;

/** What a request that was routed in vain is told: the refusal that stopped it, or what its attempts amount to. */
export function requestFault({ cause, verdict, trail, retryAfterMs, capped }: RouteError): Fault {
  const fault = faultFrom(cause);
  const mayBeOurs = fault.kind === "refused_request" && verdict?.blame !== "caller";
  // Whoever could not be asked just now might not have refused it.
  const isRefused = mayBeOurs ? !trail.skips.some(isPassing) : verdict?.blame === "caller";
  if (verdict?.next === "stop" || (verdict?.class === "request_refused" && isRefused)) return fault;
  const summary = summaryOf(trail);
  const wait = retryAfterMs !== undefined && { retryAfterMs };
  const { attempts, skips } = trail;
  // Whoever is never asked says nothing, nor does what was left out for want of attempts where every attempt was limited.
  const others = skips.filter(
    ({ reason }) => !isLasting(reason) && (reason !== "attempt_cap" || attempts.length === 0),
  );
  const limited = attempts.every(({ outcome }) => isLimit(outcome)) && others.every(({ reason }) => isLimit(reason));
  if (limited && attempts.length + others.length > 0) return { kind: "all_limited", summary, ...wait };
  if (attempts.length === 0) {
    const lasting = skips.every(({ reason }) => isLasting(reason)) ? longestUnavailableMs : undefined;
    const knownMs = retryAfterMs ?? lasting;
    const soon = knownMs !== undefined && { retryAfterMs: Math.min(knownMs, longestUnavailableMs) };
    return { kind: "nothing_to_try", summary, ...soon };
  }
  // What was left untried was left for lack of the caller's time.
  if (skips.some(({ reason }) => reason === "deadline")) return { kind: "deadline_exceeded" };
  // Whoever asks one provider for a model by name learns that it has none.
  const onlyMissing = attempts.every(({ outcome }) => outcome === "model_unavailable");
  if (trail.policy === "direct" && onlyMissing) return { kind: "unknown_model", model: trail.model };
  return { kind: "all_failed", summary, capped };
}

/** Whether a skip is as somebody has configured it, so that waiting does not help. */
function isLasting(reason: SkipReason): boolean {
  return reason === "disabled" || reason === "model_not_served";
}

/** Whether an endpoint was left out that may well serve such a request at another time. */
function isPassing({ reason }: SkipRecord): boolean {
  return !isLasting(reason) && reason !== "context_window";
}

/** Whether an attempt or a skip was a matter of rates, quotas or limits: then coming back later helps. */
function isLimit(word: AttemptRecord["outcome"] | SkipReason): boolean {
  return word === "rate_limited" || word === "quota_exhausted" || word === "concurrency";
}

/** `a/m 429 rate_limited, b/m transient_fault; c/m skipped: disabled`: what was tried, for a message. Cut to ten of each. */
function summaryOf({ attempts, skips }: Trail): string {
  const tried = attempts
    .slice(0, 10)
    .map(({ endpoint, httpStatus, outcome }) => [endpoint, httpStatus, outcome].filter(Boolean).join(" "));
  const skipped = skips
    .slice(0, 10)
    .map(({ endpoint, reason, detail }) => `${endpoint} ${reason}${detail ? ` (keys: ${detail})` : ""}`);
  return [tried.join(", "), skipped.length > 0 ? `skipped: ${skipped.join(", ")}` : ""].filter(Boolean).join("; ");
}

/**
 * A fault in one sentence for whoever called. It names no host, key or path.
 * @param seesTrail whether it may say what was tried
 */
export function messageOf(fault: Fault, seesTrail: boolean): string {
  const summary = "summary" in fault && fault.summary && seesTrail ? `: ${fault.summary}` : "";
  switch (fault.kind) {
    case "invalid_request":
      return listed(fault.violations.map(({ field, description }) => `${field}: ${description}`));
    case "unknown_model":
      return `There is no model ${JSON.stringify(fault.model.slice(0, 200))} for this caller; ListModels or GET /v1/models tells which there are.`;
    case "unknown_route":
      return `There is no ${fault.route.slice(0, 200)} here.`;
    case "method_not_allowed":
      return `This route takes ${fault.allowed}.`;
    case "unsupported_media_type":
      return `Expected ${fault.expected}.`;
    case "http2_needed":
      return "Both sides of this method stream at once, which takes HTTP/2.";
    case "request_too_large":
      return `The request is larger than ${fault.limitBytes} bytes.`;
    case "unauthorized":
      return fault.admin
        ? "An admin key is needed: send it as `Authorization: Bearer KEY` or `X-Admin-Key: KEY`."
        : "A valid key is needed: send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`.";
    case "caller_limited":
      return fault.limit === "rpm"
        ? `This key may make ${fault.most} requests a minute; come back in ${Math.ceil(fault.retryAfterMs / 1000)} s.`
        : `This key may have ${fault.most} calls under way at once; come back when one has ended.`;
    case "forbidden":
      return fault.admin
        ? "This key may not do that: an admin key is needed, as `Authorization: Bearer KEY` or `X-Admin-Key: KEY`."
        : "This key may not do that.";
    case "too_many_failures":
      return "Too many wrong keys came from this address; come back later.";
    case "out_of_memory":
      return "The gateway holds as many requests as its memory allows; come back soon.";
    case "client_stalled":
      return "The caller did not take its answer.";
    case "stream_limit":
      return `The stream was cut: its ${fault.limit} is larger than a stream's may be.`;
    case "refused_request":
    case "addition_refused":
      return `The provider refused the request: ${fault.message ?? "it did not say why"}`;
    case "context_length_exceeded":
      return `The prompt is too long for the model: ${fault.message ?? "its context window is smaller"}`;
    case "content_filtered":
      return `The provider refused the content: ${fault.message ?? "it did not say why"}`;
    case "caller_gone":
      return "The caller left.";
    case "deadline_exceeded":
      return "The caller's deadline passed before an answer was there.";
    case "shutting_down":
      return "The gateway is shutting down.";
    case "all_failed":
      return `Every attempt failed${summary}.`;
    case "all_limited":
      return `Every provider is out of rate or quota${summary}.`;
    case "nothing_to_try":
      return `No provider can be tried now${summary}.`;
    case "internal":
      return "Something in the gateway itself went wrong; the request id finds it in the log.";
    default:
      return `The answer broke off: ${phraseOf(fault.kind)}.`;
  }
}

/** The first few of a list, short enough for a header. */
function listed(sentences: readonly string[]): string {
  const told = sentences
    .slice(0, 3)
    .map((sentence) => (sentence.length > 300 ? `${sentence.slice(0, 300)}…` : sentence));
  const more = sentences.length - told.length;
  return told.join("; ") + (more > 0 ? `; and ${more} more` : "");
}

/** What a caller is told of a stream that broke; remedies are the operator's. */
function phraseOf(kind: Fault["kind"]): string {
  if (kind === "timed_out") return "the provider fell silent";
  if (kind === "connection_lost") return "the provider closed the connection before its answer was whole";
  if (kind === "truncated") return "the provider's answer ended before it was whole";
  if (kind === "diverged") return "no other provider went on with the same text";
  if (kind === "malformed") return "the provider sent something that cannot be read";
  return "the provider failed";
}

/** How long a caller should wait before it tries again; undefined when nobody knows or waiting does not help. */
export function retryDelayMs(fault: Fault): number | undefined {
  switch (fault.kind) {
    case "all_limited":
    case "nothing_to_try":
      return fault.retryAfterMs ?? 1000;
    case "caller_limited":
    case "too_many_failures":
    case "out_of_memory":
      return fault.retryAfterMs;
    case "shutting_down":
      return 1000;
    default:
      return undefined;
  }
}

/**
 * Whether trying again cannot help: the caller's own time is up, or as many attempts were made as may be, which a client's own
 * retries would only multiply. Refusals are not repeated by anybody's client anyway.
 */
export function isFinal(fault: Fault): boolean {
  switch (fault.kind) {
    case "deadline_exceeded":
    case "content_filtered":
    case "context_length_exceeded":
      return true;
    case "all_failed":
      return fault.capped;
    default:
      return false;
  }
}
