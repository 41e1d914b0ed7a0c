import { ref, type Schema } from "./schema.ts";

const text: Schema = { type: "string" };
const maybeText: Schema = { type: ["string", "null"] };
const count: Schema = { type: "integer", minimum: 0 };

const finishReason: Schema = {
  type: ["string", "null"],
  description: "Why it ended: `stop`, `length`, `tool_calls`, `content_filter`, or a word of the provider's own.",
};

/** What a message of the assistant may hold, whole or piece by piece. */
const said: Readonly<Record<string, Schema>> = {
  role: { ...maybeText, description: "`assistant`." },
  content: { ...maybeText, description: "The text." },
  refusal: { ...maybeText, description: "Why the model would not answer." },
  reasoning_content: { ...maybeText, description: "What it thought, where the provider tells." },
  tool_calls: { type: ["array", "null"], items: { type: "object", additionalProperties: true } },
};

const usage: Schema = {
  type: ["object", "null"],
  description: "What it consumed, as the provider counted.",
  properties: { prompt_tokens: count, completion_tokens: count, total_tokens: count },
  additionalProperties: true,
};

const trail: Schema = {
  ...ref("RouteTrail"),
  description: "The way of the request, with `x-everhop-include-trail: true`.",
};

const logprobs: Schema = { type: ["object", "null"], additionalProperties: true };

/** A whole answer. */
export const chatCompletionSchema: Schema = {
  type: "object",
  description:
    "The provider's answer as it came, every member that it has included, and who gave it. A member `provider` of the upstream's own moves to `upstream_provider`.",
  required: ["choices", "provider", "latency_ms"],
  properties: {
    id: { ...text, description: "The provider's id of the answer." },
    object: { ...text, const: "chat.completion" },
    created: { type: "integer", description: "When it was made, in epoch seconds." },
    model: { ...text, description: "The model that answered, in the provider's words." },
    choices: {
      type: "array",
      minItems: 1,
      items: {
        type: "object",
        required: ["message"],
        properties: {
          index: count,
          message: { type: "object", properties: said, additionalProperties: true },
          finish_reason: finishReason,
          logprobs,
        },
        additionalProperties: true,
      },
    },
    usage,
    provider: { ...text, description: "Name of the provider that served.", "x-everhop": true },
    latency_ms: {
      ...count,
      description: "From the request's arrival to the answer, hops and waits included.",
      "x-everhop": true,
    },
    trail: { ...trail, "x-everhop": true },
  },
  additionalProperties: true,
};

/** One event of a streamed answer. */
export const chatChunkSchema: Schema = {
  type: "object",
  description: "One event of a stream: the next piece of the answer, as the provider sent it.",
  required: ["choices"],
  properties: {
    id: { ...text, description: "The provider's id of the answer." },
    object: { ...text, const: "chat.completion.chunk" },
    created: { type: "integer" },
    model: text,
    choices: {
      type: "array",
      description: "Empty in chunks that tell something about the answer.",
      items: {
        type: "object",
        required: ["delta"],
        properties: {
          index: count,
          delta: { type: "object", properties: said, additionalProperties: true },
          finish_reason: finishReason,
          logprobs,
        },
        additionalProperties: true,
      },
    },
    usage,
    resumed: {
      type: "object",
      description: "The stream broke on its way and went on elsewhere; with the finish reason.",
      required: ["provider"],
      properties: { provider: text, attempt_index: count },
      "x-everhop": true,
    },
    trail: { ...trail, "x-everhop": true },
  },
  additionalProperties: true,
};
