import type { AttemptRecord, SkipRecord } from "../../../routing/trail.ts";
import type { Schema } from "./schema.ts";

/** How attempts end. */
const outcomes: Readonly<Record<NonNullable<AttemptRecord["outcome"]> | "running", string>> = {
  ok: "answered",
  request_refused: "the request itself was refused",
  model_unavailable: "the model is not served there",
  key_refused: "the key was refused",
  quota_exhausted: "the account's balance or quota is spent",
  rate_limited: "too many requests",
  overloaded: "the provider says that it is overloaded",
  transient_fault: "a fault that may pass: an error, a reset, silence, nonsense",
  not_sent: "a kept connection turned out closed; the provider has not seen the request",
  caller_gone: "the caller left, or its deadline passed",
  superseded: "another attempt of the same request was quicker",
  misconfigured: "the endpoint seems wrongly configured",
  local: "the gateway itself ended it",
  internal: "a bug of the gateway ended it",
  running: "it still ran when this was written",
};

/** Why endpoints are passed over. */
const reasons: Readonly<Record<SkipRecord["reason"], string>> = {
  breaker_open: "it failed too often lately",
  returning: "it failed until a moment ago and takes a part of its share",
  rate_limited: "a limit is used up, or its provider has asked to be left alone",
  concurrency: "as many calls are in flight as it may have",
  overflow: "as many calls are in flight as the gateway takes on",
  quota_exhausted: "the balance behind all of its keys is spent",
  no_key: "all of its keys are refused",
  model_off: "the provider refused the model not long ago",
  unhealthy: "there is no such API at its base URL",
  model_not_served: "it does not serve the model",
  context_window: "the prompt is longer than its context window",
  disabled: "switched off by configuration",
  draining: "an operator lets it run dry",
  forced_open: "an operator keeps it out",
  deadline: "no time was left for it",
  attempt_cap: "no attempt was left for it",
};

const text: Schema = { type: "string" };
const milliseconds = (description: string): Schema => ({ type: "number", minimum: 0, description });
const tokens: Schema = { type: "integer", minimum: 0 };

const attempt: Schema = {
  type: "object",
  required: ["index", "provider", "endpoint", "upstream_model", "tier", "start_time", "outcome"],
  properties: {
    index: { type: "integer", minimum: 1, description: "Position among the attempts, from 1." },
    provider: { ...text, description: "The provider's name." },
    endpoint: { ...text, description: "`provider/model`, the model in the provider's own words." },
    upstream_model: { ...text, description: "The model asked of the provider." },
    key_name: { ...text, description: "Name of the key used, never its value." },
    tier: { type: "integer", description: "Priority of the endpoint, lower first." },
    start_time: { ...text, format: "date-time" },
    wait_ms: milliseconds("How long the request waited just before it."),
    wait_reason: { ...text, enum: ["backoff", "retry_after", "queue"], description: "Why it waited." },
    purpose: {
      ...text,
      enum: ["hedge", "recovery"],
      description:
        "`hedge`: beside an attempt that was slow. `recovery`: to go on with a stream that broke. Else absent.",
    },
    duration_ms: milliseconds("From its beginning to its end."),
    time_to_first_token_ms: milliseconds("From its beginning to the first content of a stream."),
    outcome: { ...text, enum: Object.keys(outcomes), description: meanings(outcomes) },
    http_status: { type: "integer", description: "Of the provider's answer. Absent: none came." },
    provider_code: { ...text, description: "The provider's own error code." },
    upstream_request_id: { ...text, description: "Its id in the provider's logs." },
    usage: {
      type: "object",
      required: ["input_tokens", "output_tokens"],
      properties: {
        input_tokens: tokens,
        output_tokens: tokens,
        cached_input_tokens: tokens,
        reasoning_tokens: tokens,
        estimated: { type: "boolean", description: "The provider did not count; these are a guess." },
      },
    },
    maybe_billed: { type: "boolean", description: "It failed after the request had been sent: it may be charged." },
    hint: { ...text, description: "What an operator might do about it." },
  },
};

const skip: Schema = {
  type: "object",
  required: ["endpoint", "reason", "before_attempt"],
  properties: {
    endpoint: { ...text, description: "The endpoint that was passed over." },
    reason: { ...text, enum: Object.keys(reasons), description: meanings(reasons) },
    until_time: { ...text, format: "date-time", description: "Until when that holds, if it is known." },
    detail: { ...text, description: "More about the reason, for people." },
    before_attempt: { type: "integer", minimum: 1, description: "The attempt that was made past it." },
  },
};

/** The way of a request. */
export const trailSchema: Schema = {
  type: "object",
  description:
    "The way that a request took: every upstream call and every endpoint that was passed over, in order. The same object stands in answers, in errors and in logs.",
  required: ["model", "policy", "trace_id", "attempts", "skips"],
  properties: {
    model: { ...text, description: "The model that was asked for, by its public name." },
    policy: { ...text, description: "What ordered the endpoints: the model's strategy, `pinned` or `direct`." },
    trace_id: { ...text, pattern: "^[0-9a-f]{32}$", description: "W3C trace id." },
    partial: { type: "boolean", description: "Content had reached the caller when the request failed. Else absent." },
    attempts: { type: "array", items: attempt },
    skips: { type: "array", items: skip },
    omitted_skips: { type: "integer", minimum: 1, description: "How many more were passed over." },
  },
};

function meanings(words: Readonly<Record<string, string>>): string {
  return Object.entries(words)
    .map(([word, meaning]) => `- \`${word}\`: ${meaning}`)
    .join("\n");
}
