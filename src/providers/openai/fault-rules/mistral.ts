import type { FaultRules } from "./fault-rule.ts";

/**
 * Mistral: errors without an `error` around them, the code a number in a text that says less than the type. The message may be a
 * list of complaints.
 */
export const mistral: FaultRules = {
  dialect: "mistral",
  words: {
    model_unavailable: ["invalid_model", "unknown_model"],
    rate_limited: ["rate_limited"],
    overloaded: ["service_tier_capacity_exceeded"],
  },
  messages: [
    {
      kind: "context_length_exceeded",
      says: /^prompt contains \d+ tokens\b.*\btoo large for model with \d+ maximum context length/i,
    },
    // A 429, but it is the model that has no room, not the key that has asked too often.
    { kind: "overloaded", says: /^service tier capacity exceeded\b/i },
  ],
};
