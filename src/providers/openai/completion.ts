import { messageMaker } from "../../chat/message-maker.ts";
import {
  type Candidate,
  CandidateSchema,
  type Completion,
  CompletionSchema,
  create,
  FinishReason,
  MessageSchema,
  type Part,
  PartSchema,
  Role,
  TokenAlternativeSchema,
  type TokenLogprob,
  TokenLogprobSchema,
  type Usage,
  UsageSchema,
} from "../../chat/messages.ts";
import { timestampFromMs } from "../../chat/times.ts";
import type { TokenCounts } from "../../routing/trail.ts";
import type { Target } from "../target.ts";
import { arrayOf, countOf, extensionsOf, type JsonObject, objectOf, textOf } from "./json.ts";

const makeCompletion = messageMaker(CompletionSchema);
const makeCandidate = messageMaker(CandidateSchema);
const makeMessage = messageMaker(MessageSchema);
const makePart = messageMaker(PartSchema);
const makeUsage = messageMaker(UsageSchema);

/** Members of an answer, a choice and a message that the contract has fields for; all others are extensions. */
export const knownMembers = {
  answer: new Set(["id", "object", "created", "model", "choices", "usage"]),
  choice: new Set(["index", "message", "delta", "finish_reason", "logprobs"]),
  message: new Set(["role", "content", "refusal", "reasoning", "reasoning_content", "tool_calls"]),
} as const;

/** A whole answer in the contract's words. */
export function completionOf(json: JsonObject, target: Target): Completion {
  const choices = arrayOf(json["choices"]);
  return makeCompletion({
    ...headOf(json, target),
    candidates: choices.map((choice, position) => candidateOf(objectOf(choice) ?? {}, position, target)),
    ...usageField(json["usage"]),
    extensionJson: extensionsOf(json, knownMembers.answer),
  });
}

/** Whether a whole answer answers anything: some candidate has content, or at least a reason why it ended. */
export function holdsAnswer(json: JsonObject): boolean {
  return arrayOf(json["choices"]).some((each) => {
    const choice = objectOf(each);
    return choice && (textOf(choice["finish_reason"]) || holdsContent(objectOf(choice["message"]) ?? {}));
  });
}

/** Whether a message or delta has content: text, thinking, a refusal, a tool call, sound or pictures. A role alone is none. */
export function holdsContent(message: JsonObject): boolean {
  return Boolean(
    contentText(message["content"]) ||
      reasoningText(message) ||
      message["refusal"] ||
      arrayOf(message["tool_calls"]).length > 0 ||
      message["audio"] ||
      arrayOf(message["images"]).length > 0 ||
      message["function_call"],
  );
}

/** What an answer and each chunk of a stream begin with. */
export function headOf(json: JsonObject, target: Target) {
  const created = countOf(json["created"]);
  return {
    id: textOf(json["id"]) ?? "",
    model: textOf(json["model"]) || target.upstreamModel,
    provider: target.provider,
    ...(created > 0 && { createTime: timestampFromMs(created * 1000) }),
  };
}

function candidateOf(choice: JsonObject, position: number, target: Target): Candidate {
  const message = objectOf(choice["message"]) ?? {};
  return makeCandidate({
    index: typeof choice["index"] === "number" ? countOf(choice["index"]) : position,
    message: makeMessage({ role: Role.ASSISTANT, parts: partsOf(message, target) }),
    ...finishOf(choice["finish_reason"]),
    logprobs: logprobsOf(choice["logprobs"]),
    extensionJson: {
      ...extensionsOf(message, knownMembers.message),
      ...extensionsOf(choice, knownMembers.choice),
    },
  });
}

function partsOf(message: JsonObject, target: Target): Part[] {
  const reasoning = reasoningText(message);
  const text = contentText(message["content"]);
  const refusal = textOf(message["refusal"]);
  const parts: Part[] = [];
  if (reasoning) parts.push(reasoningPart(reasoning, target));
  if (text) parts.push(makePart({ kind: { case: "text", value: text } }));
  if (refusal) parts.push(makePart({ kind: { case: "refusal", value: refusal } }));
  for (const call of arrayOf(message["tool_calls"])) parts.push(toolCallPart(objectOf(call) ?? {}));
  return parts;
}

/** A part of thinking; who issued it stands with it, for it goes back to nobody else. */
export function reasoningPart(text: string, target: Target): Part {
  return create(PartSchema, { kind: { case: "reasoning", value: text }, issuer: target.kind });
}

/** A tool call as it stands in an answer, or as a stream first names it. */
export function toolCallPart(call: JsonObject): Part {
  const { name, arguments: argumentsJson } = objectOf(call["function"]) ?? {};
  const value = {
    id: textOf(call["id"]) ?? "",
    name: textOf(name) ?? "",
    argumentsJson: argumentsText(argumentsJson),
  };
  return create(PartSchema, { kind: { case: "toolCall", value } });
}

/** Arguments are text even where a server sends an object, and need not be an object even where they are JSON. */
export function argumentsText(value: unknown): string {
  if (value === undefined || value === null) return "";
  return textOf(value) ?? JSON.stringify(value);
}

/** The thinking of a message or delta: `reasoning_content` or `reasoning`, by server. */
export function reasoningText(message: JsonObject): string | undefined {
  return textOf(message["reasoning_content"]) || textOf(message["reasoning"]);
}

/** The text of a message or delta; some servers send a list of text parts. */
export function contentText(content: unknown): string | undefined {
  if (typeof content === "string") return content;
  const texts = arrayOf(content).map((part) => textOf(objectOf(part)?.["text"]) ?? "");
  return texts.length > 0 ? texts.join("") : undefined;
}

const finishReasons: ReadonlyMap<string, FinishReason> = new Map([
  ["stop", FinishReason.STOP],
  ["length", FinishReason.LENGTH],
  ["tool_calls", FinishReason.TOOL_CALLS],
  ["function_call", FinishReason.TOOL_CALLS],
  ["content_filter", FinishReason.CONTENT_FILTER],
]);

/** Why a candidate ended, in our word and in the provider's. */
export function finishOf(value: unknown): { finishReason: FinishReason; nativeFinishReason: string } {
  const native = textOf(value) ?? "";
  return { finishReason: finishReasons.get(native) ?? FinishReason.UNSPECIFIED, nativeFinishReason: native };
}

/** Log probabilities of a choice or of a chunk's choice. */
export function logprobsOf(value: unknown): TokenLogprob[] {
  const { content, refusal } = objectOf(value) ?? {};
  return [...arrayOf(content), ...arrayOf(refusal)].map((entry) => {
    const token = objectOf(entry) ?? {};
    const alternatives = arrayOf(token["top_logprobs"]).map((alternative) =>
      create(TokenAlternativeSchema, tokenFields(objectOf(alternative) ?? {})),
    );
    return create(TokenLogprobSchema, { ...tokenFields(token), alternatives });
  });
}

function tokenFields(json: JsonObject) {
  const token = textOf(json["token"]) ?? "";
  const bytes = json["bytes"];
  return {
    token,
    tokenBytes: Array.isArray(bytes) ? Uint8Array.from(bytes as number[]) : new TextEncoder().encode(token),
    logprob: typeof json["logprob"] === "number" ? json["logprob"] : 0,
  };
}

/** Token counts of an answer or chunk; undefined when it says nothing. */
export function tokenCountsOf(value: unknown): TokenCounts | undefined {
  const usage = objectOf(value);
  if (typeof usage?.["prompt_tokens"] !== "number" && typeof usage?.["completion_tokens"] !== "number")
    return undefined;
  const cached = objectOf(usage["prompt_tokens_details"])?.["cached_tokens"];
  const reasoning = objectOf(usage["completion_tokens_details"])?.["reasoning_tokens"];
  return {
    inputTokens: countOf(usage["prompt_tokens"]),
    outputTokens: countOf(usage["completion_tokens"]),
    ...(typeof cached === "number" && { cachedInputTokens: countOf(cached) }),
    ...(typeof reasoning === "number" && { reasoningTokens: countOf(reasoning) }),
  };
}

/** The `usage` field of a message, left out when nothing is known. */
export function usageField(value: unknown): { usage?: Usage } {
  const counts = tokenCountsOf(value);
  return counts ? { usage: makeUsage(counts) } : {};
}
