import type { FaultRules } from "./fault-rule.ts";

/** OpenRouter: the status as the code, the rest in `metadata`, and what the provider behind it said in `metadata.raw`. */
export const openrouter: FaultRules = {
  dialect: "openrouter",
  words: {
    content_filtered: ["flagged_input"],
    key_refused: ["authentication"],
    quota_exhausted: ["openrouter_key_limit", "openrouter_guardrail_budget", "openrouter_workspace_budget"],
    // A 402, but of what is running just now: it passes.
    rate_limited: [
      "in_flight_budget_exhausted",
      "openrouter_in_flight_budget",
      // A 402 of this one request, too dear for what is left: the account is not empty, and others may go on.
      "weight_exceeds_budget",
    ],
    overloaded: ["provider_overloaded"],
    server_error: ["provider_unavailable"],
  },
  messages: [
    // Moderation is a 403, and no other key or provider should be asked to get around it.
    {
      kind: "content_filtered",
      statuses: [403],
      says: /^\S+ requires moderation\b|^(your )?input was flagged\b|^blocked by (a )?guardrail\b/i,
    },
    { kind: "rate_limited", statuses: [402], says: /^this request requires more credits, or fewer max_tokens\b/i },
    { kind: "quota_exhausted", statuses: [403], says: /^key limit exceeded\b/i },
    { kind: "refused_request", statuses: [404], says: /^no endpoints found that support\b/i },
    {
      kind: "model_unavailable",
      statuses: [404],
      says: /^(no endpoints found\b|no allowed providers are available\b)/i,
    },
    { kind: "model_unavailable", statuses: [400], says: /^\S+ is not a valid model id\b/i },
    { kind: "context_length_exceeded", says: /^this endpoint's maximum context length is \d/i },
  ],
};
