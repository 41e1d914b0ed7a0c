import type { FaultRules } from "./fault-rule.ts";

/** DeepSeek: OpenAI's shape with one code for nearly everything, so the words must tell. */
export const deepseek: FaultRules = {
  dialect: "deepseek",
  messages: [
    { kind: "content_filtered", statuses: [400], says: /^content exists risk\b/i },
    { kind: "model_unavailable", statuses: [400, 404], says: /^model not exist\b/i },
  ],
};
