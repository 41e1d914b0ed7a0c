import type { FaultRules } from "./fault-rule.ts";

/** xAI: flat `{"code":"…","error":"…"}`, where the code is gRPC's status in a sentence, or in newer answers in words with a colon. */
export const xai: FaultRules = {
  dialect: "xai",
  words: {
    key_refused: ["unauthenticated:bad-credentials"],
    quota_exhausted: ["personal-team-blocked:spending-limit"],
  },
  messages: [
    // A 403 or a 429.
    { kind: "quota_exhausted", says: /^your team (\S+ )?has either used all available credits\b/i },
    { kind: "quota_exhausted", says: /^you have run out of credits\b/i },
    { kind: "content_filtered", statuses: [400, 403], says: /^content violates usage guidelines\b/i },
    {
      kind: "context_length_exceeded",
      says: /^this model's maximum prompt length is \d+ but the request contains/i,
    },
  ],
};
