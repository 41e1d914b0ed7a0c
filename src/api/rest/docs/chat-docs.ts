import { routedHeaders } from "./answer-headers.ts";
import { documentedFault } from "./documented-faults.ts";
import { chatRequestHeaders } from "./request-headers.ts";
import type { AnswerExample, RouteDocs } from "./route-docs.ts";
import { ref } from "./schema.ts";

interface Served {
  readonly model: string;
  readonly content: string;
  readonly provider: string;
  readonly tokens: readonly [prompt: number, completion: number];
}

function completion({ model, content, provider, tokens: [prompt, answered] }: Served) {
  return {
    id: "chatcmpl-123",
    object: "chat.completion",
    created: 1677652288,
    model,
    choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }],
    usage: { prompt_tokens: prompt, completion_tokens: answered, total_tokens: prompt + answered },
    provider,
    latency_ms: 1234,
  };
}

function whole(served: Served, more: Readonly<Record<string, unknown>> = {}): AnswerExample {
  return { status: 200, media: "application/json", value: { ...completion(served), ...more } };
}

const greeting: Served = {
  model: "gpt-3.5-turbo",
  content: "Hello! How can I help you today?",
  provider: "openai-primary",
  tokens: [10, 9],
};

function chunk(delta: object, finishReason: string | null): string {
  const choices = [{ index: 0, delta, finish_reason: finishReason }];
  const event = {
    id: "chatcmpl-123",
    object: "chat.completion.chunk",
    created: 1677652288,
    model: "gpt-3.5-turbo",
    choices,
  };
  return `data: ${JSON.stringify(event)}\n\n`;
}

const counted = chunk({ role: "assistant", content: "1, 2, " }, null) + chunk({ content: "3, 4, " }, null);

const trail = {
  model: "gpt-3.5-turbo",
  policy: "weighted",
  trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
  attempts: [
    {
      index: 1,
      provider: "openai-primary",
      endpoint: "openai-primary/gpt-3.5-turbo",
      upstream_model: "gpt-3.5-turbo",
      key_name: "k1",
      tier: 1,
      start_time: "2025-01-01T00:00:00.000Z",
      duration_ms: 210.4,
      outcome: "rate_limited",
      http_status: 429,
      hint: "add keys or providers, or raise the rate limit",
    },
    {
      index: 2,
      provider: "openai-backup",
      endpoint: "openai-backup/gpt-3.5-turbo",
      upstream_model: "gpt-3.5-turbo",
      key_name: "k1",
      tier: 2,
      start_time: "2025-01-01T00:00:00.211Z",
      duration_ms: 1022.9,
      outcome: "ok",
      http_status: 200,
      usage: { input_tokens: 10, output_tokens: 9 },
    },
  ],
  skips: [],
};

/** `POST /v1/chat/completions` */
export const chatDocs: RouteDocs = {
  operationId: "createChatCompletion",
  group: "Chat",
  summary: "Answer a conversation",
  description: `OpenAI's chat completions, served by whichever provider can: until the first content a failure of one is answered by asking the next, and the caller sees nothing of it but a longer trail.

The body may hold whatever OpenAI's API and the provider behind the model know; what the gateway does not know passes through, and the answer comes back as the provider gave it, with \`provider\` and \`latency_ms\` added.

With \`stream: true\` the answer is an event stream of chunks that ends with \`data: [DONE]\`. Lines that begin with a colon say that it is alive. A stream that breaks ends with an error event and **without** \`[DONE]\`. A request is judged by its body, never by \`accept\`.`,
  parameters: chatRequestHeaders,
  body: ref("ChatCompletionRequest"),
  examples: [
    {
      name: "default-model",
      summary: "Default model",
      body: { messages: [{ role: "user", content: "Who are you?" }] },
      answer: whole({ ...greeting, model: "openai-gpt-oss-120b", content: "A model behind a gateway." }),
    },
    {
      name: "hello",
      summary: "Named model",
      body: { model: "gpt-3.5-turbo", messages: [{ role: "user", content: "Hello!" }] },
      answer: whole(greeting),
    },
    {
      name: "system",
      summary: "System prompt",
      body: {
        model: "gpt-4",
        messages: [
          { role: "system", content: "You are a helpful assistant." },
          { role: "user", content: "What is the capital of France?" },
        ],
      },
      answer: whole({ ...greeting, model: "gpt-4", content: "The capital of France is Paris.", tokens: [24, 8] }),
    },
    {
      name: "stream",
      summary: "Stream",
      body: { model: "gpt-3.5-turbo", messages: [{ role: "user", content: "Count to 10" }], stream: true },
      answer: {
        status: 200,
        media: "text/event-stream",
        value: `${counted}${chunk({}, "stop")}data: [DONE]\n\n`,
      },
    },
    {
      name: "pinned",
      summary: "Pinned provider",
      body: {
        model: "gpt-3.5-turbo",
        messages: [{ role: "user", content: "Hello" }],
        provider: "openai-primary",
        fallback_providers: ["openai-backup"],
      },
      answer: whole(greeting),
    },
    {
      name: "task",
      summary: "By task",
      body: { task: "code", messages: [{ role: "user", content: "Reverse a linked list in C." }] },
      answer: whole({ ...greeting, model: "qwen-coder", content: "…", tokens: [14, 180] }),
    },
    {
      name: "every-option",
      summary: "All options",
      body: {
        model: "gpt-3.5-turbo",
        messages: [{ role: "user", content: "Hello!" }],
        temperature: 1.0,
        top_p: 1.0,
        n: 1,
        stream: false,
        max_tokens: null,
        presence_penalty: 0,
        frequency_penalty: 0,
        provider: "openai",
        fallback_providers: ["anthropic"],
        timeout: 60,
        retry_count: 3,
      },
      answer: whole(greeting),
    },
    {
      name: "with-trail",
      summary: "With the trail",
      headers: { "x-everhop-include-trail": "true" },
      body: { model: "gpt-3.5-turbo", messages: [{ role: "user", content: "Hello!" }] },
      answer: whole({ ...greeting, provider: "openai-backup" }, { trail }),
    },
  ],
  answers: [
    {
      status: 200,
      description: "The whole answer.",
      media: "application/json",
      schema: ref("ChatCompletion"),
      headers: routedHeaders,
    },
    {
      status: 200,
      description:
        "With `stream: true`: events, each `data: ` and a `ChatCompletionChunk`, then `data: [DONE]`; or, when the stream broke, an `Error` and no `[DONE]`.",
      media: "text/event-stream",
      schema: {
        type: "string",
        description: "Events; what `data:` holds is a ChatCompletionChunk, an Error or `[DONE]`.",
      },
      headers: routedHeaders,
      more: {
        broken: {
          summary: "A stream that broke",
          value: `${counted}data: ${JSON.stringify(documentedFault("truncated").body)}\n\n`,
        },
      },
    },
  ],
  faults: [
    "invalid_request",
    "refused_request",
    "content_filtered",
    "context_length_exceeded",
    "unknown_model",
    "request_too_large",
    "unsupported_media_type",
    "caller_limited",
    "all_limited",
    "all_failed",
    "nothing_to_try",
    "out_of_memory",
    "shutting_down",
    "deadline_exceeded",
    "internal",
  ],
};
