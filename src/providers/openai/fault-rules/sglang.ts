import type { FaultRules } from "./fault-rule.ts";

/** SGLang: errors without an `error` around them, `{"object":"error",…}`; in streams with it. */
export const sglang: FaultRules = {
  dialect: "sglang",
  messages: [
    { kind: "context_length_exceeded", says: /^the input \(\d+ tokens\) is longer than the model's context length/i },
    {
      kind: "context_length_exceeded",
      says: /^requested token count exceeds the model's maximum context length/i,
    },
    { kind: "context_length_exceeded", says: /^input length \(\d+ tokens\) exceeds the maximum allowed length/i },
    // In the first event of a stream it comes without a status.
    { kind: "overloaded", says: /^the request queue is full\b/i },
  ],
};
