import { maxFallbackProviders, maxModelLength, maxStopSequences, type Range, ranges } from "../../../chat/check.ts";
import type { Schema, TypeName } from "./schema.ts";

/** A null counts as absent, as it does in OpenAI's API. */
function optional(type: TypeName, description: string, more: Omit<Schema, "type" | "description"> = {}): Schema {
  return { type: [type, "null"], description, ...more };
}

function within({ min, max, whole }: Range, description: string, more: Schema = {}): Schema {
  return optional(whole ? "integer" : "number", description, { minimum: min, maximum: max, ...more });
}

const text: Schema = { type: "string" };
const open: Schema = { type: "object", additionalProperties: true };

const content: Schema = {
  description:
    'A text, or a list of parts such as `{"type": "text", "text": …}` and `{"type": "image_url", "image_url": {"url": …}}`.',
  anyOf: [text, { type: "array", items: open }, { type: "null" }],
};

const message: Schema = {
  type: "object",
  description: "Roles and parts are the provider's to judge: vendors extend them, and what they add passes through.",
  properties: {
    role: { ...text, description: "`system`, `developer`, `user`, `assistant` or `tool`." },
    content,
    name: optional("string", "Who speaks, where several have one role."),
    tool_calls: optional("array", "Calls that the assistant made.", { items: open }),
    tool_call_id: optional("string", "Which call a tool's message answers."),
  },
  additionalProperties: true,
};

/** What is the gateway's own. */
const extras: Readonly<Record<string, Schema>> = {
  provider: {
    description:
      "Who is to answer: a provider's name, or else its kind. Nobody else is asked then, but for `fallback_providers`. An object is OpenRouter's and passes through.",
    anyOf: [text, open, { type: "null" }],
    "x-everhop": true,
  },
  fallback_providers: optional("array", "Providers that are asked after it, in this order.", {
    items: text,
    maxItems: maxFallbackProviders,
    "x-everhop": true,
  }),
  timeout: optional(
    "number",
    "Seconds for the whole call, hops and waits included. An hour at most; more counts as an hour.",
    {
      exclusiveMinimum: 0,
      "x-everhop": true,
    },
  ),
  retry_count: within(ranges.retryCount, "Most attempts after the first. It can only lower the gateway's own cap.", {
    "x-everhop": true,
  }),
  task: {
    description:
      "Name of a configured task, such as `code`, `vision`, `audio` or `long`: it chooses the model, and counts more than `model`. An object is a vendor's own and passes through.",
    anyOf: [{ ...text, maxLength: 64 }, open, { type: "null" }],
    "x-everhop": true,
  },
};

/** The body of a chat request: OpenAI's parameters, the gateway's, and whatever else a provider may know. */
export const chatRequestSchema: Schema = {
  type: "object",
  description:
    "OpenAI's body, and a few members of the gateway's own. Members that stand nowhere here pass through to the provider as they are.",
  required: ["messages"],
  properties: {
    messages: {
      type: "array",
      description: "The conversation so far.",
      items: message,
      minItems: 1,
      maxItems: 10_000,
    },
    model: optional(
      "string",
      "A public model, or `provider:model` for a model of one provider. Absent or empty: that of a configured task that the prompt is one for, else the configured default.",
      { maxLength: maxModelLength },
    ),
    stream: optional("boolean", "Answer event by event. Default: `false`."),
    ...extras,
    temperature: within(ranges.temperature, "How freely the next token is drawn; 0 is as good as not at all."),
    top_p: within(ranges.topP, "Draw among the most probable tokens that make up this share."),
    n: within(ranges.candidateCount, "How many answers to give."),
    max_tokens: within(ranges.maxOutputTokens, "Most tokens of an answer."),
    max_completion_tokens: within(ranges.maxOutputTokens, "Most tokens of an answer, thinking included."),
    stop: {
      description: `Where to stop: a text, or at most ${maxStopSequences}.`,
      anyOf: [text, { type: "array", items: text, maxItems: maxStopSequences }, { type: "null" }],
    },
    presence_penalty: within(ranges.penalty, "Above 0: rather something new."),
    frequency_penalty: within(ranges.penalty, "Above 0: rather not the same words again."),
    seed: optional("integer", "The same seed, as far as the provider can, gives the same answer."),
    logit_bias: optional("object", "By token: how much more or less probable it is to be.", {
      additionalProperties: { type: "number", minimum: ranges.logitBias.min, maximum: ranges.logitBias.max },
    }),
    logprobs: optional("boolean", "Tell how probable the tokens were."),
    top_logprobs: within(ranges.topLogprobs, "And for each so many others that might have stood there."),
    tools: optional("array", "Functions that the model may call.", { items: open, maxItems: 10_000 }),
    tool_choice: {
      description: "`none`, `auto`, `required`, or the one function that must be called.",
      anyOf: [text, open, { type: "null" }],
    },
    parallel_tool_calls: optional("boolean", "Whether several may be called in one turn."),
    response_format: optional("object", '`{"type": "json_object"}`, or `json_schema` with a schema.', {
      additionalProperties: true,
    }),
    stream_options: optional("object", "With `include_usage: true` a stream ends with what it consumed.", {
      additionalProperties: true,
      properties: { include_usage: optional("boolean", "Tell the usage in a last chunk.") },
    }),
    reasoning_effort: optional("string", "How long to think: `minimal`, `low`, `medium`, `high`."),
    verbosity: optional("string", "How much to say: `low`, `medium`, `high`."),
    modalities: optional("array", "What the answer may be made of: `text`, `audio`.", { items: text }),
    audio: optional("object", "Voice and format of a spoken answer.", { additionalProperties: true }),
    prediction: optional("object", "What most of the answer will be, if that is known.", {
      additionalProperties: true,
    }),
    web_search_options: optional("object", "For models that search the web.", { additionalProperties: true }),
    metadata: optional("object", "Marks of the caller's own.", { additionalProperties: true }),
    store: optional("boolean", "Whether the provider may keep the answer."),
    service_tier: optional("string", "The provider's class of service."),
    user: optional("string", "Whose request it is, in the caller's words."),
    safety_identifier: optional("string", "The same, hashed, for the provider's abuse control."),
    prompt_cache_key: optional(
      "string",
      "Requests with one key share a prompt cache. The gateway can keep them together, too.",
    ),
    functions: optional("array", "The old name of `tools`.", { items: open, deprecated: true }),
    function_call: {
      description: "The old name of `tool_choice`.",
      anyOf: [text, open, { type: "null" }],
      deprecated: true,
    },
    top_k: within(
      { ...ranges.topK, min: -1 },
      "Draw among so many tokens. Not OpenAI's, but known to many servers; -1 is all.",
    ),
  },
  additionalProperties: true,
};
