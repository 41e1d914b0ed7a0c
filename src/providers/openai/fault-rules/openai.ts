import type { FaultRules } from "./fault-rule.ts";

/** OpenAI's own codes and types, which most others share, and words that several servers have in common. */
export const openai: FaultRules = {
  dialect: "openai",
  words: {
    content_filtered: ["content_filter", "content_policy_violation", "moderation_blocked"],
    context_length_exceeded: ["context_length_exceeded"],
    model_unavailable: ["model_not_found", "model_not_available"],
    key_refused: [
      "invalid_api_key",
      "authentication_error",
      "account_deactivated",
      "access_terminated",
      "invalid_organization",
      "mismatched_organization",
      "ip_not_authorized",
      // Not the key's fault, but all that can be done is to use another one from elsewhere.
      "unsupported_country_region_territory",
    ],
    quota_exhausted: [
      "insufficient_quota", // a 429, but waiting does not help
      "credit_balance_exhausted",
      "billing_hard_limit_reached",
      "billing_not_active",
      "billing_error",
      "insufficient_balance",
      "insufficient_credits",
      "insufficient_funds",
      "quota_exceeded",
      "organization_spend_limit_exceeded",
      "project_spend_limit_exceeded",
      "organization_usage_limit_exceeded",
    ],
    rate_limited: ["rate_limit_exceeded", "rate_limit_error", "too_many_requests"],
    overloaded: [
      "overloaded",
      "overloaded_error",
      "engine_overloaded",
      "engine_overloaded_error",
      "server_is_overloaded",
      "slow_down",
      "resource_unavailable", // the cheap tier has no room
    ],
  },
  messages: [
    { kind: "content_filtered", word: "invalid_prompt", says: /^invalid prompt: .*flagged/i },
    { kind: "context_length_exceeded", says: /^this model's maximum context length is \d/i },
    {
      kind: "context_length_exceeded",
      says: /^max_(completion_)?tokens is too large: \d+\. this model's maximum context length/i,
    },
    { kind: "context_length_exceeded", says: /^prompt is too long: \d+ tokens > \d+ maximum/i },
    { kind: "context_length_exceeded", says: /^input validation error: `inputs` tokens \+ `max_new_tokens` must be/i },
    // Whoever else says it in words of its own, as long as it does not quote anybody before.
    {
      kind: "context_length_exceeded",
      statuses: [400, 413, 422],
      says: /^(?:(?!\s["'`]).)*?\b(exceed(s|ed)?|longer than|larger than|too (long|large) for)\b(?:(?!\s["'`]).){0,60}\bcontext (length|window|size)\b/i,
    },
    { kind: "quota_exhausted", says: /^(your )?(credit balance is too low|prepayment credits are depleted)/i },
    { kind: "quota_exhausted", says: /^insufficient (account )?(balance|credits?|funds)\b/i },
    { kind: "key_refused", says: /^(incorrect|invalid) api key\b/i },
  ],
};
