import type { FaultRules } from "./fault-rule.ts";

/** Groq: OpenAI's codes and some of its own. Its 413 may be a limit of tokens in a minute, by the code of any limit. */
export const groq: FaultRules = {
  dialect: "groq",
  words: {
    model_unavailable: [
      "model_decommissioned",
      "model_permission_blocked_org",
      "model_permission_blocked_project",
      "model_terms_required",
    ],
    overloaded: ["capacity_exceeded"], // with a status of its own, 498
    quota_exhausted: ["blocked_api_access"], // the organization has reached its spend limit
    key_refused: ["organization_restricted"],
  },
};
