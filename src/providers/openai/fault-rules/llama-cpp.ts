import type { FaultRules } from "./fault-rule.ts";

/** llama.cpp's server: the type says it all, but in older builds, and but for media that the model cannot take. */
export const llamaCpp: FaultRules = {
  dialect: "llama.cpp",
  words: {
    context_length_exceeded: ["exceed_context_size_error"],
    overloaded: ["unavailable_error"],
    refused_request: ["not_supported_error"], // a 501, but it is what was asked for that is not there
  },
  messages: [
    {
      kind: "context_length_exceeded",
      says: /^(the )?request (\(\d+ tokens\) )?exceeds the available context size/i,
    },
    { kind: "context_length_exceeded", says: /^input \(\d+ tokens\) is larger than the max context size/i },
    // A 500, but the server is well: callers must not be able to make it look ill.
    { kind: "refused_request", statuses: [500], says: /^(image|audio|video) input is not supported/i },
  ],
};
