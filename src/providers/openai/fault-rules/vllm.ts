import type { FaultRules } from "./fault-rule.ts";

/** vLLM: types are names of Python's exceptions, codes are statuses. A prompt that is too long it tells in words alone. */
export const vllm: FaultRules = {
  dialect: "vllm",
  messages: [
    {
      kind: "context_length_exceeded",
      says: /^the (decoder|encoder) prompt \(length \d+\) is longer than the maximum/i,
    },
    { kind: "context_length_exceeded", says: /^input length \(\d+\) exceeds model's maximum context length/i },
  ],
};
