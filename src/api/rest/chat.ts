import type { IncomingMessage, ServerResponse } from "node:http";
import { FaultError, type Violation } from "../../chat/fault.ts";
import { type Call, CallError } from "../../gateway/call.ts";
import type { Caller } from "../../gateway/caller.ts";
import { complete } from "../../gateway/complete.ts";
import { type OpenStream, open } from "../../gateway/stream.ts";
import { checkBody } from "../../providers/openai/check-body.ts";
import { bodyCharacters } from "../../providers/openai/estimate.ts";
import { arrayOf, countOf, type JsonObject, objectOf, textOf } from "../../providers/openai/json.ts";
import { editMembers } from "../../providers/openai/json-members.ts";
import { type NativeRequest, nativeLane } from "../../providers/openai/native-lane.ts";
import type { StreamRecovery } from "../../routing/endpoint.ts";
import type { Trail } from "../../routing/trail.ts";
import { CallerGone } from "../../runtime/cancellation.ts";
import { type Edge, maxTimeoutMs } from "../edge.ts";
import { allowanceHeaders, routeHeaders } from "../trail-header.ts";
import { readJson } from "./body.ts";
import { errorBody } from "./errors.ts";
import { type Exchange, sendText } from "./exchange.ts";
import { trailJson } from "./trail.ts";

/** `POST /v1/chat/completions`: an OpenAI body in, the upstream's own answer out, on the native lane. */
export async function chatCompletions(edge: Edge, exchange: Exchange, caller: Caller): Promise<void> {
  const body = await readJson(exchange.request);
  const recovery = recoveryAsked(exchange.request);
  const violations = [...checkBody(body.json), ...recovery.violations];
  if (violations.length > 0) throw new FaultError({ kind: "invalid_request", violations });
  const call = callOf(body, exchange, caller, recovery.mode);
  if (body.json["stream"] === true) await answerStream(edge, exchange, call, body);
  else await answerWhole(edge, exchange, call, body);
}

async function answerWhole(edge: Edge, exchange: Exchange, call: Call, body: NativeRequest): Promise<void> {
  const { value, provider, trail, latencyMs } = await complete(edge.machine, call, nativeLane(body));
  const seesTrail = call.caller.seesTrail;
  const wantsTrail = seesTrail && includesTrail(exchange.request);
  const text = editMembers(value.text, {
    // What an upstream says under the same name makes room: there are gateways behind gateways.
    rename: { provider: "upstream_provider" },
    remove: "provider" in value.json ? ["upstream_provider"] : [],
    set: {
      provider: JSON.stringify(provider),
      latency_ms: String(Math.round(latencyMs)),
      ...(wantsTrail && { trail: JSON.stringify(trailJson(trail)) }),
    },
  });
  sendText(exchange.response, 200, text, answerHeaders(edge, exchange, trail, call.caller));
}

async function answerStream(edge: Edge, exchange: Exchange, call: Call, body: NativeRequest): Promise<void> {
  const { response } = exchange;
  const { seesTrail } = call.caller;
  const stream = await open(edge.machine, call, nativeLane(body));
  try {
    response.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-cache",
      // Proxies in front must not gather what is meant to flow.
      "x-accel-buffering": "no",
      ...answerHeaders(edge, exchange, stream.trail, call.caller),
    });
    await pump(stream, response);
    if (seesTrail && includesTrail(exchange.request)) response.write(trailChunk(stream.trail));
    response.end("data: [DONE]\n\n");
  } catch (error) {
    const failed = CallError.from(error, stream.trail);
    if (failed.fault.kind === "internal") edge.reportBug(failed.cause, exchange.requestId);
    const { requestId, traceId } = exchange;
    const shown = { requestId, traceId, seesTrail, wallTimeMs: edge.machine.clock.wallTime() };
    // Visibly broken: an error event, and no `[DONE]`.
    if (!response.destroyed) response.end(`data: ${JSON.stringify(errorBody(failed, shown, true))}\n\n`);
  } finally {
    stream.close(() => new CallerGone());
  }
}

/** Passes a stream on at the caller's pace. */
async function pump(stream: OpenStream<Buffer>, response: ServerResponse): Promise<void> {
  for (;;) {
    const { items, last } = await stream.next();
    let room = true;
    for (const bytes of items) room = response.write(bytes);
    if (last) return;
    if (!room) await drained(response);
  }
}

/** Resolves when the response takes more, or never will. */
function drained(response: ServerResponse): Promise<void> {
  if (response.destroyed || response.writableEnded) return Promise.resolve();
  return new Promise((resolve) => {
    const go = () => {
      response.off("drain", go);
      response.off("close", go);
      resolve();
    };
    response.on("drain", go);
    response.on("close", go);
  });
}

/** A chunk of ours before `[DONE]`, in the shape that clients pass over. */
function trailChunk(trail: Trail): string {
  const chunk = { object: "chat.completion.chunk", choices: [], trail: trailJson(trail) };
  return `data: ${JSON.stringify(chunk)}\n\n`;
}

function answerHeaders(edge: Edge, { requestId, traceId }: Exchange, trail: Trail, caller: Caller) {
  return {
    "x-request-id": requestId,
    "x-everhop-trace-id": traceId,
    ...routeHeaders(trail, caller.seesTrail),
    ...allowanceHeaders(edge, caller),
    "x-everhop-cache": "off",
  };
}

function includesTrail({ headers }: IncomingMessage): boolean {
  return headers["x-everhop-include-trail"] === "true";
}

const recoveryHeader = "x-everhop-stream-recovery";

/** What the caller wants done about a stream that breaks. Its chunks cannot be taken back, so it cannot be restarted. */
function recoveryAsked({ headers }: IncomingMessage): {
  mode: StreamRecovery | undefined;
  violations: readonly Violation[];
} {
  const asked = headers[recoveryHeader];
  if (asked === undefined) return { mode: undefined, violations: [] };
  if (asked === "fail" || asked === "continue") return { mode: asked, violations: [] };
  const why = asked === "restart" ? ": only typed streams can be told to begin anew" : "";
  const description = `expected fail or continue, got ${JSON.stringify(String(asked).slice(0, 60))}${why}`;
  return { mode: undefined, violations: [{ field: recoveryHeader, description }] };
}

function callOf(
  { json }: NativeRequest,
  exchange: Exchange,
  caller: Caller,
  streamRecovery: StreamRecovery | undefined,
): Call {
  const { timeout, retry_count: retryCount } = json;
  const hint = Number(exchange.request.headers["x-stainless-timeout"]);
  return {
    caller,
    destination: {
      model: textOf(json["model"]) ?? "",
      provider: textOf(json["provider"]) ?? "",
      fallbackProviders: arrayOf(json["fallback_providers"]).flatMap((name) => textOf(name) ?? []),
      fieldPrefix: { routing: "", model: "" },
    },
    traceId: exchange.traceId,
    cancellation: exchange.cancellation,
    timeoutMs: typeof timeout === "number" ? Math.min(timeout * 1000, maxTimeoutMs) : undefined,
    patienceMs: hint > 0 ? Math.min(hint * 1000, maxTimeoutMs) : undefined,
    retryCount: typeof retryCount === "number" ? retryCount : undefined,
    streamRecovery,
    size: () => ({
      promptCharacters: bodyCharacters(json),
      maxOutputTokens: countOf(json["max_completion_tokens"]) || countOf(json["max_tokens"]),
    }),
    affinityKey: (by) => (by === "prompt_cache_key" ? textOf(json["prompt_cache_key"]) : promptPrefix(json)),
  };
}

/** What requests with one beginning have in common: the system prompt, or what a conversation began with, as far as it matters. */
function promptPrefix(json: JsonObject): string | undefined {
  const content = objectOf(arrayOf(json["messages"])[0])?.["content"];
  return (textOf(content) ?? JSON.stringify(content))?.slice(0, 4096);
}
