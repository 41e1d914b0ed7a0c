import type { FaultRules } from "./fault-rule.ts";

/** The LiteLLM proxy: its own refusals by type, those of the providers behind it by the class at the message's beginning. */
export const litellm: FaultRules = {
  dialect: "litellm",
  words: {
    key_refused: ["token_not_found_in_db", "expired_key", "no_db_connection"],
    model_unavailable: [
      "key_model_access_denied",
      "team_model_access_denied",
      "user_model_access_denied",
      "org_model_access_denied",
      "project_model_access_denied",
    ],
    quota_exhausted: ["budget_exceeded"],
    rate_limited: ["throttling_error"],
  },
  messages: [
    {
      kind: "context_length_exceeded",
      says: /^litellm\.(badrequesterror: (litellm\.)?)?contextwindowexceedederror:/i,
    },
    {
      kind: "content_filtered",
      says: /^litellm\.(badrequesterror: (litellm\.)?)?contentpolicyviolationerror:/i,
    },
    {
      kind: "model_unavailable",
      says: /^(authentication error, )?(key|team|user|org|organization|project) not allowed to access model\b/i,
    },
    // It is a key of the proxy's own that is bad; ours has been taken.
    { kind: "server_error", says: /^litellm\.(authenticationerror|permissiondeniederror):/i },
    { kind: "model_unavailable", statuses: [400], says: /^(\/\S+: )?invalid model name passed in model=/i },
    { kind: "quota_exhausted", says: /^(authentication error, )?(budget has been exceeded|exceeded(token)?budget)\b/i },
    // What else it calls an error of authentication.
    { kind: "key_refused", word: "auth_error", says: /^/ },
  ],
};
