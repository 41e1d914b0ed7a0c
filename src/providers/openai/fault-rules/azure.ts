import type { FaultRules } from "./fault-rule.ts";

/** Azure OpenAI: codes in one word or the status as a text; why the content was refused lies inside of `innererror`. */
export const azure: FaultRules = {
  dialect: "azure",
  words: {
    content_filtered: ["responsibleaipolicyviolation"],
    model_unavailable: ["deploymentnotfound", "operationnotsupported"],
  },
  messages: [
    // Said by the gateway in front, without an `error` around it.
    { kind: "quota_exhausted", statuses: [403], says: /^out of call volume quota\b/i },
    {
      kind: "content_filtered",
      says: /^the response was filtered due to the prompt triggering azure openai's content management policy/i,
    },
  ],
};
