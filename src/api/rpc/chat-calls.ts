import { durationMs as msOfDuration } from "@bufbuild/protobuf/wkt";
import {
  StreamRecovery as AskedRecovery,
  type ChatOptions,
  type CompleteChatRequest,
  type CompleteChatResponse,
  CompleteChatResponseSchema,
  type StreamChatRequest,
  type StreamChatResponse,
  StreamChatResponseSchema,
} from "../../../gen/ts/everhop/v1/chat_service_pb.ts";
import { checkPrompt, maxFallbackProviders, outside, ranges } from "../../chat/check.ts";
import { FaultError, type Violation } from "../../chat/fault.ts";
import { messageMaker } from "../../chat/message-maker.ts";
import type { Prompt } from "../../chat/messages.ts";
import type { ByteAccount } from "../../gateway/byte-budget.ts";
import type { Call, Machine } from "../../gateway/call.ts";
import type { Caller } from "../../gateway/caller.ts";
import { complete } from "../../gateway/complete.ts";
import { type OpenStream, open } from "../../gateway/stream.ts";
import { promptCharacters } from "../../providers/openai/estimate.ts";
import { parseJson, textOf } from "../../providers/openai/json.ts";
import { promptContent } from "../../providers/openai/prompt-content.ts";
import { typedLane } from "../../providers/openai/typed-lane.ts";
import type { StreamRecovery } from "../../routing/endpoint.ts";
import type { Cancellation } from "../../runtime/cancellation.ts";
import type { RequestRecord } from "../../telemetry/request-record.ts";
import { maxTimeoutMs } from "../edge.ts";
import { routeHeaders } from "../trail-header.ts";
import { routeTrail } from "./route-trail.ts";

const makeAnswer = messageMaker(CompleteChatResponseSchema);
const makeStreamed = messageMaker(StreamChatResponseSchema);

/** A call of ChatService but for its message, whatever has carried it. */
export interface ChatContext {
  readonly caller: Caller;
  readonly record: RequestRecord;
  /** What it may hold of the process's memory. */
  readonly account: ByteAccount;
  /** The caller's presence, its deadline, and shutdown. */
  readonly cancellation: Cancellation;
  /** What is left until the caller's deadline, ms; undefined: it has none. */
  readonly timeoutMs: number | undefined;
  /** Sets headers of the answer. */
  tell(headers: Readonly<Record<string, string>>): void;
}

/**
 * Answers CompleteChat.
 * @throws CallError, or FaultError for what may not go (rejects, or at once)
 */
export function completeChat(
  machine: Machine,
  { prompt: asked, options }: CompleteChatRequest,
  context: ChatContext,
): Promise<CompleteChatResponse> {
  const { seesTrail } = context.caller;
  const prompt = checked(asked, options);
  return complete(machine, callOf(prompt, options, context), typedLane(prompt, context.record.content)).then(
    ({ value, trail }) => {
      context.tell(routeHeaders(trail, seesTrail));
      const answer = seesTrail ? { completion: value, trail: routeTrail(trail) } : { completion: value };
      return makeAnswer(answer);
    },
  );
}

/**
 * Opens StreamChat: its messages, a read's worth at a time.
 * @throws CallError, or FaultError for what may not go
 */
export async function openChat(
  machine: Machine,
  { prompt: asked, options }: StreamChatRequest,
  context: ChatContext,
): Promise<OpenStream<StreamChatResponse>> {
  const { caller } = context;
  const prompt = checked(asked, options);
  const opened = await open(machine, callOf(prompt, options, context), typedLane(prompt, context.record.content));
  const { provider, trail } = opened;
  context.tell(routeHeaders(trail, caller.seesTrail));
  return {
    provider,
    trail,
    async next() {
      const { items, last } = await opened.next();
      const messages = items.map((event) => {
        if (event.kind.case === "end" && caller.seesTrail) event.kind.value.trail = routeTrail(trail);
        return makeStreamed({ event });
      });
      return { items: messages, last };
    },
    close: (reason) => opened.close(reason),
  };
}

/** The prompt, if it may go. */
function checked(prompt: Prompt | undefined, options: ChatOptions | undefined): Prompt {
  const violations: Violation[] = prompt
    ? checkPrompt(prompt)
    : [{ field: "prompt", description: "expected a prompt, got none" }];
  if (options) violations.push(...checkOptions(options));
  if (!prompt || violations.length > 0) throw new FaultError({ kind: "invalid_request", violations });
  return prompt;
}

/** What each value asks for; undefined: what the model's pool says. */
const recoveries: ReadonlyMap<AskedRecovery, StreamRecovery | undefined> = new Map([
  [AskedRecovery.UNSPECIFIED, undefined],
  [AskedRecovery.FAIL, "fail"],
  [AskedRecovery.RESTART, "restart"],
  [AskedRecovery.CONTINUE, "continue"],
]);

function checkOptions({ timeout, retryCount, fallbackProviders, streamRecovery }: ChatOptions): Violation[] {
  const violations: Violation[] = [];
  if (!recoveries.has(streamRecovery)) {
    const description = `expected FAIL, RESTART or CONTINUE, got ${streamRecovery}`;
    violations.push({ field: "options.stream_recovery", description });
  }
  if (timeout && msOfDuration(timeout) <= 0) {
    violations.push({ field: "options.timeout", description: "expected more than 0 seconds" });
  }
  const problem = retryCount === undefined ? undefined : outside(retryCount, ranges.retryCount);
  if (problem) violations.push({ field: "options.retry_count", description: problem });
  if (fallbackProviders.length > maxFallbackProviders) {
    const description = `expected at most ${maxFallbackProviders} names, got ${fallbackProviders.length}`;
    violations.push({ field: "options.fallback_providers", description });
  }
  return violations;
}

function callOf(
  prompt: Prompt,
  options: ChatOptions | undefined,
  { caller, record, account, cancellation, timeoutMs }: ChatContext,
): Call {
  const limits = [timeoutMs, options?.timeout && msOfDuration(options.timeout)].filter((ms) => ms !== undefined);
  return {
    caller,
    destination: {
      model: prompt.model,
      provider: options?.provider ?? "",
      fallbackProviders: options?.fallbackProviders ?? [],
      task: options?.task,
      content: () => promptContent(prompt),
      fieldPrefix: { routing: "options.", model: "prompt." },
    },
    record,
    account,
    cancellation,
    timeoutMs: limits.length > 0 ? Math.min(...limits, maxTimeoutMs) : undefined,
    patienceMs: undefined,
    retryCount: options?.retryCount,
    streamRecovery: recoveries.get(options?.streamRecovery ?? AskedRecovery.UNSPECIFIED),
    size: () => ({ promptCharacters: promptCharacters(prompt), maxOutputTokens: prompt.maxOutputTokens }),
    affinityKey: (by) => (by === "prompt_cache_key" ? cacheKey(prompt) : promptPrefix(prompt)),
  };
}

/** Set as an extension, under the name that OpenAI gives it. */
function cacheKey({ extensionJson }: Prompt): string | undefined {
  const json = extensionJson["prompt_cache_key"];
  return json === undefined ? undefined : textOf(parseJson(json));
}

/** What requests with one beginning have in common: the system prompt, or what a conversation began with, as far as it matters. */
function promptPrefix({ messages }: Prompt): string | undefined {
  const texts = messages[0]?.parts.map(({ kind }) => (kind.case === "text" ? kind.value : ""));
  return texts?.join("").slice(0, 4096);
}
