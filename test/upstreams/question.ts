import type { MessageInitShape } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import OpenAI from "openai";
import { ChatService } from "../../gen/ts/everhop/v1/chat_service_pb.ts";
import { type Completion, FinishReasonSchema } from "../../gen/ts/everhop/v1/completion_pb.ts";
import { type PromptSchema, Role } from "../../gen/ts/everhop/v1/prompt_pb.ts";
import { createFold } from "../../src/chat/fold.ts";
import { type Mode, openTransport, type WireName } from "../support/wires.ts";

/** A question with more to it than its text, in words that every wire has. */
export interface Question {
  readonly text: string;
  readonly maxTokens?: number;
  readonly stops?: readonly string[];
  readonly candidates?: number;
  /** A function that the model may call, once. */
  readonly tool?: { readonly name: string; readonly parameters: object };
  /** What the tool returned, when it was called with these arguments before. */
  readonly toolResult?: { readonly argumentsJson: string; readonly text: string };
  /** The JSON schema of the answer. */
  readonly schema?: object;
  /** Members of the body that only this server knows. */
  readonly extension?: Readonly<Record<string, unknown>>;
}

/** What every wire tells of an answer. */
export interface Answer {
  readonly candidates: readonly {
    readonly text: string;
    readonly calls: readonly { readonly id: string; readonly name: string; readonly argumentsJson: string }[];
    /** `stop`, `length`, `tool_calls` */
    readonly finish: string;
  }[];
  readonly usage: { readonly input: number; readonly output: number } | undefined;
  /** What only this server tells. */
  readonly extension: Readonly<Record<string, unknown>>;
}

/** Asks the model `think` over a wire: by the official OpenAI client over REST, else by the wire's own. Streams are put together. */
export function ask(wire: WireName, mode: Mode, address: string, question: Question): Promise<Answer> {
  return wire === "REST" ? askRest(mode, address, question) : askRpc(wire, mode, address, question);
}

async function askRpc(
  wire: Exclude<WireName, "REST">,
  mode: Mode,
  address: string,
  question: Question,
): Promise<Answer> {
  const client = createClient(ChatService, openTransport(wire, address));
  const prompt = promptOf(question);
  if (mode === "unary") return answerOfCompletion((await client.completeChat({ prompt })).completion);
  const fold = createFold();
  for await (const { event } of client.streamChat({ prompt })) if (event) fold.push(event);
  if (!fold.ended) throw new Error("the stream ended well without its end event");
  return answerOfCompletion(fold.completion);
}

const callId = "call_7";

function promptOf(question: Question): MessageInitShape<typeof PromptSchema> {
  const { text, tool, toolResult, schema } = question;
  const says = (role: Role, value: string) => ({ role, parts: [{ kind: { case: "text" as const, value } }] });
  return {
    model: "think",
    messages: [
      says(Role.USER, text),
      ...(tool && toolResult
        ? [
            {
              role: Role.ASSISTANT,
              parts: [
                {
                  kind: {
                    case: "toolCall" as const,
                    value: { id: callId, name: tool.name, argumentsJson: toolResult.argumentsJson },
                  },
                },
              ],
            },
            {
              role: Role.TOOL,
              parts: [
                {
                  kind: {
                    case: "toolResult" as const,
                    value: { toolCallId: callId, parts: says(Role.TOOL, toolResult.text).parts },
                  },
                },
              ],
            },
          ]
        : []),
    ],
    ...(tool && {
      tools: [
        { kind: { case: "function", value: { name: tool.name, parametersJson: JSON.stringify(tool.parameters) } } },
      ],
      toolChoice: { parallel: false },
    }),
    ...(question.maxTokens !== undefined && { maxOutputTokens: question.maxTokens }),
    ...(question.candidates !== undefined && { candidateCount: question.candidates }),
    ...(question.stops && { stopSequences: [...question.stops] }),
    ...(schema && {
      responseFormat: { case: "jsonSchema", value: { name: "shape", schemaJson: JSON.stringify(schema) } },
    }),
    ...(question.extension && {
      extensionJson: Object.fromEntries(
        Object.entries(question.extension).map(([name, value]) => [name, JSON.stringify(value)]),
      ),
    }),
  };
}

function answerOfCompletion(completion: Completion | undefined): Answer {
  if (!completion) throw new Error("an answer without a completion");
  const { usage, extensionJson } = completion;
  return {
    candidates: completion.candidates.map(({ message, finishReason }) => {
      const kinds = (message?.parts ?? []).map(({ kind }) => kind);
      return {
        text: kinds.map((kind) => (kind.case === "text" ? kind.value : "")).join(""),
        calls: kinds.flatMap((kind) =>
          kind.case === "toolCall"
            ? [{ id: kind.value.id, name: kind.value.name, argumentsJson: kind.value.argumentsJson }]
            : [],
        ),
        finish: FinishReasonSchema.value[finishReason]?.localName.toLowerCase() ?? String(finishReason),
      };
    }),
    usage: usage && { input: usage.inputTokens, output: usage.outputTokens },
    extension: Object.fromEntries(Object.entries(extensionJson).map(([name, json]) => [name, JSON.parse(json)])),
  };
}

async function askRest(mode: Mode, address: string, question: Question): Promise<Answer> {
  const client = new OpenAI({ baseURL: `${address}/v1`, apiKey: "anything", maxRetries: 0 });
  const body = bodyOf(question);
  const completion =
    mode === "unary"
      ? await client.chat.completions.create(body)
      : await client.chat.completions
          .stream({ ...body, stream: true, stream_options: { include_usage: true } })
          .finalChatCompletion();
  const { id: _, object: __, created: ___, model: ____, choices, usage, ...extension } = completion;
  return {
    candidates: choices.map(({ message, finish_reason: finish }) => ({
      text: message.content ?? "",
      calls: (message.tool_calls ?? []).flatMap((call) =>
        call.type === "function"
          ? [{ id: call.id, name: call.function.name, argumentsJson: call.function.arguments }]
          : [],
      ),
      finish,
    })),
    usage: usage ? { input: usage.prompt_tokens, output: usage.completion_tokens } : undefined,
    extension: { ...extension },
  };
}

function bodyOf({ text, tool, toolResult, schema, ...question }: Question) {
  const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: "user", content: text }];
  if (tool && toolResult) {
    const call = { name: tool.name, arguments: toolResult.argumentsJson };
    messages.push(
      { role: "assistant", content: null, tool_calls: [{ id: callId, type: "function", function: call }] },
      { role: "tool", tool_call_id: callId, content: toolResult.text },
    );
  }
  return {
    model: "think",
    messages,
    ...(tool && {
      tools: [{ type: "function" as const, function: { name: tool.name, parameters: { ...tool.parameters } } }],
      parallel_tool_calls: false,
    }),
    ...(question.maxTokens !== undefined && { max_tokens: question.maxTokens }),
    ...(question.candidates !== undefined && { n: question.candidates }),
    ...(question.stops && { stop: [...question.stops] }),
    ...(schema && {
      response_format: {
        type: "json_schema" as const,
        json_schema: { name: "shape", schema: { ...schema } },
      },
    }),
    ...question.extension,
  };
}
