import type { Fault } from "../../src/providers/simulated/fault.ts";
import type { ProviderConfig } from "../support/gateway.ts";
import type { Mode } from "../support/wires.ts";

/** An answer with an error status. */
export const status = (code: number, words: Partial<Extract<Fault, { kind: "status" }>> = {}): Fault => ({
  ...words,
  kind: "status",
  status: code,
});

/** One way in which a first attempt may fail unseen, and what its trail says. */
export interface MovesOn {
  readonly title: string;
  readonly fault: Fault;
  readonly outcome: string;
  /** What came of an answer: 0 is nothing. */
  readonly status: number;
  readonly hint: RegExp;
  readonly first?: ProviderConfig;
  readonly only?: Mode;
  /** Worth asking once more before a worse tier: it has answered, or had begun to. */
  readonly again?: true;
}
const short = { timeouts: { first_token: "150ms", total: "150ms" } };
const base = /base URL/;
/** Everything that can go wrong before the first content and is no matter of the request itself. */
export const movesOn: readonly MovesOn[] = [
  { title: "429", fault: status(429), outcome: "rate_limited", status: 429, hint: /rate/ },
  { title: "500", fault: status(500), outcome: "transient_fault", status: 500, hint: /failed/, again: true },
  {
    title: "500 as a page",
    fault: status(500, { shape: "html" }),
    outcome: "transient_fault",
    status: 500,
    hint: /failed/,
    again: true,
  },
  {
    title: "502 in plain text",
    fault: status(502, { shape: "text" }),
    outcome: "transient_fault",
    status: 502,
    hint: /failed/,
    again: true,
  },
  { title: "503", fault: status(503), outcome: "overloaded", status: 503, hint: /overloaded/, again: true },
  { title: "529", fault: status(529), outcome: "overloaded", status: 529, hint: /overloaded/, again: true },
  { title: "408", fault: status(408), outcome: "transient_fault", status: 408, hint: /failed/, again: true },
  { title: "401", fault: status(401), outcome: "key_refused", status: 401, hint: /key/ },
  {
    title: "401 with a bare string",
    fault: status(401, { shape: "bare_string" }),
    outcome: "key_refused",
    status: 401,
    hint: /key/,
  },
  {
    title: "a bad key told by 400",
    fault: status(400, { code: "invalid_api_key" }),
    outcome: "key_refused",
    status: 400,
    hint: /key/,
  },
  { title: "403", fault: status(403), outcome: "key_refused", status: 403, hint: /key/ },
  { title: "402", fault: status(402), outcome: "quota_exhausted", status: 402, hint: /balance|quota/ },
  {
    title: "429 without quota",
    fault: status(429, { code: "insufficient_quota" }),
    outcome: "quota_exhausted",
    status: 429,
    hint: /balance|quota/,
  },
  {
    title: "404 model_not_found",
    fault: status(404, { code: "model_not_found" }),
    outcome: "model_unavailable",
    status: 404,
    hint: /model/,
  },
  { title: "404 of a wrong path", fault: { kind: "wrong_path" }, outcome: "misconfigured", status: 404, hint: base },
  {
    title: "404 with a detail",
    fault: status(404, { shape: "detail", message: "Not Found" }),
    outcome: "misconfigured",
    status: 404,
    hint: base,
  },
  {
    title: "a reset before the headers",
    fault: { kind: "reset_before_headers" },
    outcome: "transient_fault",
    status: 0,
    hint: /connection/,
  },
  {
    title: "a close before the headers",
    fault: { kind: "close_before_headers" },
    outcome: "transient_fault",
    status: 0,
    hint: /connection/,
  },
  { title: "a page", fault: { kind: "html" }, outcome: "transient_fault", status: 200, hint: base },
  {
    title: "a body that is not JSON",
    fault: { kind: "not_json" },
    outcome: "transient_fault",
    status: 200,
    hint: base,
  },
  { title: "an empty body", fault: { kind: "empty" }, outcome: "transient_fault", status: 200, hint: base },
  { title: "an empty stream", fault: { kind: "empty_stream" }, outcome: "transient_fault", status: 200, hint: /\S/ },
  {
    title: "a JSON error in 200",
    fault: { kind: "json_error_in_200" },
    outcome: "transient_fault",
    status: 200,
    hint: /failed/,
    again: true,
  },
  {
    title: "a rate limit in 200",
    fault: { kind: "json_error_in_200", code: 429 },
    outcome: "rate_limited",
    status: 200,
    hint: /rate/,
  },
  {
    title: "an error event first",
    fault: { kind: "error_event_first" },
    outcome: "transient_fault",
    status: 200,
    hint: /failed/,
    again: true,
  },
  {
    title: "an overload event first",
    fault: { kind: "error_event_first", type: "overloaded_error", code: "overloaded" },
    outcome: "overloaded",
    status: 200,
    hint: /overloaded/,
    again: true,
  },
  { title: "a redirect", fault: { kind: "redirect" }, outcome: "transient_fault", status: 302, hint: base },
  {
    title: "silence",
    fault: { kind: "silence" },
    outcome: "transient_fault",
    status: 0,
    hint: /silent/,
    first: short,
  },
  {
    title: "headers and then silence",
    fault: { kind: "headers_then_silence" },
    outcome: "transient_fault",
    status: 200,
    hint: /silent/,
    first: short,
  },
  {
    title: "a stream that is cut after the role",
    fault: { kind: "cut_after", events: 1 },
    outcome: "transient_fault",
    status: 200,
    hint: /connection|ended/,
    only: "stream",
    again: true,
  },
  {
    title: "a stream that ends after the role",
    fault: { kind: "end_after", events: 1 },
    outcome: "transient_fault",
    status: 200,
    hint: /ended/,
    only: "stream",
  },
  {
    title: "a stream that stalls after the role",
    fault: { kind: "stall_after", events: 1 },
    outcome: "transient_fault",
    status: 200,
    hint: /silent/,
    first: short,
    only: "stream",
  },
  {
    title: "nonsense after the role",
    fault: { kind: "malformed_after", events: 1 },
    outcome: "transient_fault",
    status: 200,
    hint: base,
    only: "stream",
  },
  {
    title: "a first event that is cut in half",
    fault: { kind: "half_event_then_cut", events: 0 },
    outcome: "transient_fault",
    status: 200,
    hint: /connection|ended/,
    only: "stream",
    again: true,
  },
  {
    title: "an error after the role",
    fault: { kind: "error_event_after", events: 1 },
    outcome: "transient_fault",
    status: 200,
    hint: /failed/,
    only: "stream",
    again: true,
  },
  {
    title: "a first event of more than 1 MiB",
    fault: { kind: "long_line" },
    outcome: "transient_fault",
    status: 200,
    hint: /\S/,
    only: "stream",
  },
  {
    title: "half a body, then a close",
    fault: { kind: "cut_after" },
    outcome: "transient_fault",
    status: 200,
    hint: /connection|ended/,
    only: "unary",
    again: true,
  },
  {
    title: "half a body, then a reset",
    fault: { kind: "reset_after" },
    outcome: "transient_fault",
    status: 200,
    hint: /connection|ended/,
    only: "unary",
    again: true,
  },
  {
    title: "half a body as the whole",
    fault: { kind: "end_after" },
    outcome: "transient_fault",
    status: 200,
    hint: base,
    only: "unary",
  },
  {
    title: "half a body, then silence",
    fault: { kind: "stall_after" },
    outcome: "transient_fault",
    status: 200,
    hint: /silent/,
    first: short,
    only: "unary",
  },
  {
    title: "nonsense inside of a body",
    fault: { kind: "malformed_after" },
    outcome: "transient_fault",
    status: 200,
    hint: base,
    only: "unary",
  },
  {
    title: "a body shorter than promised",
    fault: { kind: "short_content_length" },
    outcome: "transient_fault",
    status: 200,
    hint: /connection|ended/,
    only: "unary",
    again: true,
  },
];

/** One way in which a provider may refuse a request for its own sake, and what the caller is told. */
export interface Refusal {
  readonly title: string;
  readonly fault: Fault;
  /** It may be for what the gateway itself has put into a stream's request: then it counts when it is refused without that, too. */
  readonly mayBeOurs?: true;
  /** Over RPC and over REST. */
  readonly status: readonly [string, number];
  readonly reason: readonly [string, string];
}
/** Everything that nobody else would take either. */
export const refusals: readonly Refusal[] = [
  {
    title: "400",
    fault: { kind: "status", status: 400, message: "temperature is odd" },
    status: ["InvalidArgument", 400],
    reason: ["REFUSED_BY_PROVIDER", "invalid_request"],
    mayBeOurs: true,
  },
  {
    title: "422 with a detail",
    fault: { kind: "status", status: 422, shape: "detail" },
    status: ["InvalidArgument", 400],
    reason: ["REFUSED_BY_PROVIDER", "invalid_request"],
    mayBeOurs: true,
  },
  {
    title: "400 context_length_exceeded",
    fault: { kind: "status", status: 400, code: "context_length_exceeded" },
    status: ["InvalidArgument", 400],
    reason: ["CONTEXT_LENGTH_EXCEEDED", "context_length_exceeded"],
  },
  {
    title: "400 exceed_context_size_error with an integer code",
    fault: { kind: "status", status: 400, shape: "integer_code", type: "exceed_context_size_error" },
    status: ["InvalidArgument", 400],
    reason: ["CONTEXT_LENGTH_EXCEEDED", "context_length_exceeded"],
  },
  {
    title: "400 that says so in words alone",
    fault: { kind: "status", status: 400, message: "This model's maximum context length is 4096 tokens." },
    status: ["InvalidArgument", 400],
    reason: ["CONTEXT_LENGTH_EXCEEDED", "context_length_exceeded"],
  },
  {
    title: "400 content_filter",
    fault: { kind: "status", status: 400, code: "content_filter" },
    status: ["FailedPrecondition", 400],
    reason: ["CONTENT_FILTERED", "content_filter"],
  },
  {
    title: "400 content_policy_violation",
    fault: { kind: "status", status: 400, code: "content_policy_violation" },
    status: ["FailedPrecondition", 400],
    reason: ["CONTENT_FILTERED", "content_filter"],
  },
  {
    title: "an error event of an invalid request",
    fault: { kind: "error_event_first", type: "invalid_request_error", code: 400 },
    status: ["InvalidArgument", 400],
    reason: ["REFUSED_BY_PROVIDER", "invalid_request"],
    mayBeOurs: true,
  },
];
