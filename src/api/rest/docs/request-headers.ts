import type { ParameterDocs } from "./route-docs.ts";

/** What a chat request may say in its headers. */
export const chatRequestHeaders: readonly ParameterDocs[] = [
  {
    name: "x-everhop-include-trail",
    in: "header",
    description:
      "`true`: the answer tells the way it took, as a member `trail`; of a stream in a last chunk before `[DONE]`.",
    schema: { type: "string", enum: ["true", "false"] },
  },
  {
    name: "x-everhop-stream-recovery",
    in: "header",
    description:
      "What becomes of a stream that breaks after its first content. `fail`: it ends visibly. `continue`: it goes on at another endpoint, each word exactly once, or else ends visibly. Default: as the model is configured.",
    schema: { type: "string", enum: ["fail", "continue"] },
  },
  {
    name: "x-request-id",
    in: "header",
    description: "An id of the caller's own for this request, which the answer and the log repeat.",
    schema: { type: "string", pattern: "^[A-Za-z0-9_.:-]{1,128}$" },
  },
  {
    name: "traceparent",
    in: "header",
    description: "W3C trace context: the request becomes part of the caller's trace.",
    schema: { type: "string" },
  },
];
