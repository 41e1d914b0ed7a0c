import { create, toBinary } from "@bufbuild/protobuf";
import { durationMs as msOfDuration } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  StreamRecovery as AskedRecovery,
  type ChatOptions,
  type ChatService,
  CompleteChatRequestSchema,
  CompleteChatResponseSchema,
  StreamChatRequestSchema,
  StreamChatResponseSchema,
} from "../../../gen/ts/everhop/v1/chat_service_pb.ts";
import { checkPrompt, maxFallbackProviders, outside, ranges } from "../../chat/check.ts";
import { FaultError, type Violation } from "../../chat/fault.ts";
import type { CompletionEvent, Prompt } from "../../chat/messages.ts";
import type { Call } from "../../gateway/call.ts";
import { complete } from "../../gateway/complete.ts";
import { type OpenStream, open } from "../../gateway/stream.ts";
import { promptCharacters } from "../../providers/openai/estimate.ts";
import { parseJson, textOf } from "../../providers/openai/json.ts";
import { promptContent } from "../../providers/openai/prompt-content.ts";
import { typedLane } from "../../providers/openai/typed-lane.ts";
import type { StreamRecovery } from "../../routing/endpoint.ts";
import { type Edge, maxTimeoutMs } from "../edge.ts";
import { routeHeaders } from "../trail-header.ts";
import { type RpcCall, startCall, unaryCall } from "./call.ts";
import { routeTrail } from "./route-trail.ts";
import { accountKey, countUnpacked } from "./visit.ts";

/** ChatService on the gateway. */
export function chatService(edge: Edge): ServiceImpl<typeof ChatService> {
  const { machine } = edge;
  return {
    completeChat: (request, context) =>
      unaryCall(edge, context, async (rpc) => {
        countUnpacked(context, () => toBinary(CompleteChatRequestSchema, request).length);
        const prompt = checked(request);
        const call = callOf(prompt, request.options, rpc, context);
        const { value, trail } = await complete(machine, call, typedLane(prompt));
        tell(context, routeHeaders(trail, rpc.caller.seesTrail));
        return create(CompleteChatResponseSchema, {
          completion: value,
          ...(rpc.caller.seesTrail && { trail: routeTrail(trail) }),
        });
      }),

    async *streamChat(request, context) {
      const rpc = startCall(edge, context);
      let stream: OpenStream<CompletionEvent> | undefined;
      try {
        const opened = await rpc.guard(async () => {
          countUnpacked(context, () => toBinary(StreamChatRequestSchema, request).length);
          const prompt = checked(request);
          return open(machine, callOf(prompt, request.options, rpc, context), typedLane(prompt));
        });
        stream = opened;
        tell(context, routeHeaders(opened.trail, rpc.caller.seesTrail));
        for (let last = false; !last; ) {
          const batch = await rpc.guard(() => opened.next());
          last = batch.last;
          for (const event of batch.items) {
            if (event.kind.case === "end" && rpc.caller.seesTrail) event.kind.value.trail = routeTrail(opened.trail);
            yield create(StreamChatResponseSchema, { event });
          }
        }
      } finally {
        stream?.close(rpc.gone);
        rpc.release();
      }
    },
  };
}

/** The prompt, if it may go. */
function checked({ prompt, options }: { prompt?: Prompt | undefined; options?: ChatOptions | undefined }): Prompt {
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

function callOf(prompt: Prompt, options: ChatOptions | undefined, rpc: RpcCall, context: HandlerContext): Call {
  const limits = [context.timeoutMs(), options?.timeout && msOfDuration(options.timeout)].filter(
    (ms) => ms !== undefined,
  );
  return {
    caller: rpc.caller,
    destination: {
      model: prompt.model,
      provider: options?.provider ?? "",
      fallbackProviders: options?.fallbackProviders ?? [],
      task: options?.task,
      content: () => promptContent(prompt),
      fieldPrefix: { routing: "options.", model: "prompt." },
    },
    traceId: rpc.traceId,
    account: context.values.get(accountKey),
    cancellation: rpc.cancellation,
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

function tell(context: HandlerContext, headers: Record<string, string>): void {
  for (const [name, value] of Object.entries(headers)) context.responseHeader.set(name, value);
}
