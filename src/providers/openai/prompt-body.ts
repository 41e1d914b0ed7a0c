import { type Media, type Message, type Part, type Prompt, Role, ToolMode } from "../../chat/messages.ts";
import type { Target } from "../target.ts";
import { type JsonObject, objectOf } from "./json.ts";

/**
 * A prompt as the body of an OpenAI chat request; members that are undefined are not in it. Parts that the dialect has no place for, a model's own thinking, stay behind.
 * @param asksUsage whether a stream is asked what it cost: without that most servers do not say
 */
export function promptBody(prompt: Prompt, target: Target, mode: "unary" | "stream", asksUsage: boolean): JsonObject {
  const { sampling, toolChoice, logprobs } = prompt;
  const extensions: Record<string, unknown> = {};
  for (const name in prompt.extensionJson) extensions[name] = JSON.parse(prompt.extensionJson[name] ?? "null");
  return {
    // First, so that nothing of a provider's own can override what the contract says.
    ...extensions,
    model: target.upstreamModel,
    messages: prompt.messages.flatMap(messageBodies),
    tools: nonEmpty(
      prompt.tools.map(({ kind: { value } }) => ({
        type: "function",
        function: compact({
          name: value?.name,
          description: value?.description || undefined,
          parameters: parsedOrNothing(value?.parametersJson),
          strict: value?.strict,
        }),
      })),
    ),
    tool_choice: toolChoice && toolChoiceBody(toolChoice),
    parallel_tool_calls: toolChoice?.parallel,
    temperature: sampling?.temperature,
    top_p: sampling?.topP,
    top_k: sampling?.topK || undefined,
    presence_penalty: sampling?.presencePenalty,
    frequency_penalty: sampling?.frequencyPenalty,
    // Raw, because a seed may have more digits than a number holds.
    seed: sampling?.seed === undefined ? undefined : JSON.rawJSON(String(sampling.seed)),
    logit_bias: sampling && Object.keys(sampling.logitBias).length > 0 ? sampling.logitBias : undefined,
    // Two names of one limit: of which only one may go out.
    ...(prompt.maxOutputTokens > 0 && { max_tokens: undefined, max_completion_tokens: undefined }),
    [maxTokensName(target)]: prompt.maxOutputTokens || undefined,
    stop: nonEmpty(prompt.stopSequences),
    response_format: responseFormatBody(prompt),
    n: prompt.candidateCount || undefined,
    logprobs: logprobs ? true : undefined,
    top_logprobs: logprobs && logprobs.topCount > 0 ? logprobs.topCount : undefined,
    reasoning_effort: prompt.reasoning?.effort || undefined,
    stream: mode === "stream" ? true : undefined,
    stream_options: mode === "stream" ? streamOptions(prompt, asksUsage) : undefined,
  };
}

/** Options of a stream that a prompt brings among its extensions, which only an OpenAI caller would. */
export function ownStreamOptions({ extensionJson }: Prompt): unknown {
  const json = extensionJson["stream_options"];
  return json === undefined ? undefined : JSON.parse(json);
}

function streamOptions(prompt: Prompt, asksUsage: boolean): unknown {
  const own = ownStreamOptions(prompt);
  return asksUsage ? { ...objectOf(own), include_usage: true } : own;
}

/** OpenAI's own newer models refuse `max_tokens`; many compatible servers know nothing else. */
export function maxTokensName({ origin }: Pick<Target, "origin">): "max_completion_tokens" | "max_tokens" {
  return /^https:\/\/(api\.openai\.com|[^/]+\.openai\.azure\.com)$/.test(origin)
    ? "max_completion_tokens"
    : "max_tokens";
}

function messageBodies(message: Message): JsonObject[] {
  const name = message.name || undefined;
  switch (message.role) {
    case Role.TOOL:
      return message.parts.flatMap(({ kind }) =>
        kind.case === "toolResult"
          ? [{ role: "tool", tool_call_id: kind.value.toolCallId, content: contentBody(kind.value.parts) }]
          : [],
      );
    case Role.ASSISTANT: {
      const calls = message.parts.flatMap(({ kind }) => (kind.case === "toolCall" ? [kind.value] : []));
      const refusal = joined(message.parts, "refusal");
      return [
        compact({
          role: "assistant",
          name,
          content: joined(message.parts, "text") ?? null,
          refusal,
          tool_calls: nonEmpty(
            calls.map((call) => ({
              id: call.id,
              type: "function",
              function: { name: call.name, arguments: call.argumentsJson },
            })),
          ),
        }),
      ];
    }
    default:
      return [
        compact({ role: message.role === Role.SYSTEM ? "system" : "user", name, content: contentBody(message.parts) }),
      ];
  }
}

/** A single text goes as a plain one, which every server reads; anything else as a list of parts. */
function contentBody(parts: readonly Part[]): string | JsonObject[] {
  const [first] = parts;
  if (parts.length === 1 && first?.kind.case === "text") return first.kind.value;
  return parts.flatMap(({ kind }) => {
    if (kind.case === "text") return [{ type: "text", text: kind.value }];
    if (kind.case === "media") return [mediaBody(kind.value)];
    return [];
  });
}

function mediaBody({ source, mediaType, detail, filename }: Media): JsonObject {
  const [family, subtype = ""] = mediaType.toLowerCase().split("/");
  const url = source.case === "url" ? source.value : undefined;
  const base64 = source.case === "data" ? Buffer.from(source.value).toString("base64") : undefined;
  const dataUrl = base64 === undefined ? undefined : `data:${mediaType};base64,${base64}`;
  const address = url ?? dataUrl;
  if (family === "image" && address !== undefined) {
    return { type: "image_url", image_url: compact({ url: address, detail: detail || undefined }) };
  }
  if (family === "audio" && base64 !== undefined) {
    return { type: "input_audio", input_audio: { data: base64, format: audioFormat(subtype) } };
  }
  // Not in OpenAI's own API; vLLM and others read them.
  if (family === "audio" && address !== undefined) return { type: "audio_url", audio_url: { url: address } };
  if (family === "video" && address !== undefined) return { type: "video_url", video_url: { url: address } };
  return {
    type: "file",
    file: compact({
      file_id: source.case === "fileId" ? source.value : undefined,
      file_data: address,
      filename: filename || undefined,
    }),
  };
}

function audioFormat(subtype: string): string {
  if (subtype === "mpeg") return "mp3";
  return subtype.replace(/^(x-|vnd\.)/, "").replace(/^wave$/, "wav");
}

function toolChoiceBody({ mode, functionName }: { mode: ToolMode; functionName: string }): unknown {
  if (functionName) return { type: "function", function: { name: functionName } };
  switch (mode) {
    case ToolMode.NONE:
      return "none";
    case ToolMode.REQUIRED:
      return "required";
    case ToolMode.AUTO:
      return "auto";
    default:
      return undefined;
  }
}

function responseFormatBody({ responseFormat }: Prompt): JsonObject | undefined {
  switch (responseFormat.case) {
    case "jsonObject":
      return { type: "json_object" };
    case "jsonSchema": {
      const { name, description, schemaJson, strict } = responseFormat.value;
      return {
        type: "json_schema",
        json_schema: compact({
          name,
          description: description || undefined,
          schema: JSON.parse(schemaJson) as unknown,
          strict,
        }),
      };
    }
    default:
      return undefined;
  }
}

function joined(parts: readonly Part[], kind: "text" | "refusal"): string | undefined {
  const texts = parts.flatMap((part) => (part.kind.case === kind ? [part.kind.value] : []));
  return texts.length > 0 ? texts.join("") : undefined;
}

function parsedOrNothing(json: string | undefined): unknown {
  return json ? JSON.parse(json) : undefined;
}

function nonEmpty<T>(list: readonly T[]): readonly T[] | undefined {
  return list.length > 0 ? list : undefined;
}

/** Without the members that are undefined: unset is not the same as null. */
export function compact(object: JsonObject): JsonObject {
  const kept: Record<string, unknown> = {};
  for (const name in object) if (object[name] !== undefined) kept[name] = object[name];
  return kept;
}
