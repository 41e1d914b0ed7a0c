import type { FaultRules } from "./fault-rule.ts";

/** `transformers serve`: a web framework's `detail`, in words alone. */
export const transformers: FaultRules = {
  dialect: "transformers",
  messages: [{ kind: "model_unavailable", statuses: [400], says: /^server is pinned to '/i }],
};
