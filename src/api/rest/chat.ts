import type { IncomingMessage } from "node:http";
import { FaultError, type Violation } from "../../chat/fault.ts";
import { type Call, CallError } from "../../gateway/call.ts";
import type { Caller } from "../../gateway/caller.ts";
import { complete } from "../../gateway/complete.ts";
import { recordFault } from "../../gateway/faults.ts";
import { type OpenStream, open } from "../../gateway/stream.ts";
import { checkBody } from "../../providers/openai/check-body.ts";
import { bodyCharacters } from "../../providers/openai/estimate.ts";
import { arrayOf, countOf, type JsonObject, objectOf, textOf } from "../../providers/openai/json.ts";
import { editMembers, withMembers } from "../../providers/openai/json-members.ts";
import { type NativeAnswer, type NativeRequest, nativeLane } from "../../providers/openai/native-lane.ts";
import { bodyContent } from "../../providers/openai/prompt-content.ts";
import type { StreamRecovery } from "../../routing/endpoint.ts";
import type { Trail } from "../../routing/trail.ts";
import { CallerGone } from "../../runtime/cancellation.ts";
import { type Edge, maxTimeoutMs } from "../edge.ts";
import { isGone } from "../pace.ts";
import { allowanceHeaders, compactTrail, routeHeaders, traceHeaders } from "../trail-header.ts";
import { readJson } from "./body.ts";
import { errorBody } from "./errors.ts";
import { type EventStream, openEventStream } from "./event-stream.ts";
import { type Exchange, idHeaders, sendPaced } from "./exchange.ts";
import { trailJson } from "./trail.ts";

/** `POST /v1/chat/completions`: an OpenAI body in, the upstream's own answer out, on the native lane. */
export function chatCompletions(edge: Edge, exchange: Exchange, caller: Caller): Promise<void> {
  return readJson(exchange, edge.limits).then((body) => {
    const recovery = recoveryAsked(exchange.request);
    const problems = checkBody(body.json);
    const violations = recovery.violations.length > 0 ? [...problems, ...recovery.violations] : problems;
    if (violations.length > 0) throw new FaultError({ kind: "invalid_request", violations });
    const call = callOf(body, exchange, caller, recovery.mode);
    const answer = body.json["stream"] === true ? answerStream : answerWhole;
    return answer(edge, exchange, call, body);
  });
}

function answerWhole(edge: Edge, exchange: Exchange, call: Call, body: NativeRequest): Promise<void> {
  return complete(edge.machine, call, nativeLane(body, exchange.record.content)).then(
    ({ value, provider, trail, latencyMs }) => {
      const wantsTrail = call.caller.seesTrail && includesTrail(exchange.request);
      const own: Record<string, string> = {
        provider: JSON.stringify(provider),
        latency_ms: String(Math.round(latencyMs)),
      };
      if (wantsTrail) own["trail"] = JSON.stringify(trailJson(trail));
      const headers = answerHeaders(edge, exchange, trail, call.caller);
      const pace = { clock: edge.machine.clock, stalledMs: edge.limits.stalledMs };
      return sendPaced(exchange.response, withOwn(value, own), headers, pace);
    },
  );
}

/** An answer with members of ours. */
function withOwn({ text, json }: NativeAnswer, own: Readonly<Record<string, string>>): string {
  if (!Object.keys(own).some((name) => name in json)) return withMembers(text, own);
  return editMembers(text, {
    // What an upstream says under the same name makes room: there are gateways behind gateways.
    rename: { provider: "upstream_provider" },
    remove: "provider" in json ? ["upstream_provider"] : [],
    set: own,
  });
}

async function answerStream(edge: Edge, exchange: Exchange, call: Call, body: NativeRequest): Promise<void> {
  const { response, requestId } = exchange;
  const { seesTrail } = call.caller;
  const { clock } = edge.machine;
  const events = openEventStream(response, clock, edge.limits, () => chatHeaders(exchange, seesTrail));
  let stream: OpenStream<Buffer> | undefined;
  try {
    stream = await open(edge.machine, call, nativeLane(body, exchange.record.content));
    events.begin(answerHeaders(edge, exchange, stream.trail, call.caller));
    for (let last = false; !last; ) {
      const batch = await stream.next();
      last = batch.last;
      await events.write(batch.items);
    }
    events.end(`${lastWords(stream.trail, events, exchange, call, clock.wallTime())}data: [DONE]\n\n`);
  } catch (error) {
    // Until something was sent an error is a status like any other.
    if (!response.headersSent) throw error;
    const failed = CallError.from(error, stream?.trail);
    recordFault(exchange.record, failed.fault);
    stream?.close(() => error);
    if (failed.fault.kind === "internal") edge.reportBug(failed.cause, requestId);
    // Nobody reads it: a last word would wait as the others do.
    if (failed.fault.kind === "client_stalled") response.destroy();
    const shown = { requestId, traceId: exchange.traceId, seesTrail, wallTimeMs: clock.wallTime() };
    // Visibly broken: an error event, and no `[DONE]`.
    if (!isGone(response)) events.end(`data: ${JSON.stringify(errorBody(failed, shown, stream !== undefined))}\n\n`);
  } finally {
    events.close();
    stream?.close(() => new CallerGone());
  }
}

/** What is told of the way before `[DONE]`: all of it to whoever asked, and in short where the head had to go before it was known. */
function lastWords(
  trail: Trail,
  { begunEarly }: EventStream,
  exchange: Exchange,
  call: Call,
  wallTimeMs: number,
): string {
  if (!call.caller.seesTrail) return "";
  if (!includesTrail(exchange.request)) return begunEarly ? `: x-everhop-trail: ${compactTrail(trail)}\n\n` : "";
  // In the shape that clients pass over; some of them insist on every one of its members.
  const chunk = {
    id: exchange.requestId,
    object: "chat.completion.chunk",
    created: Math.floor(wallTimeMs / 1000),
    model: call.destination.model,
    choices: [],
    trail: trailJson(trail),
  };
  return `data: ${JSON.stringify(chunk)}\n\n`;
}

function chatHeaders(exchange: Exchange, seesTrail: boolean) {
  return Object.assign(idHeaders(exchange), { "x-everhop-cache": "off" }, traceHeaders(exchange.record, seesTrail));
}

function answerHeaders(edge: Edge, exchange: Exchange, trail: Trail, caller: Caller) {
  return Object.assign(
    chatHeaders(exchange, caller.seesTrail),
    routeHeaders(trail, caller.seesTrail),
    allowanceHeaders(edge, caller),
  );
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
      task: textOf(json["task"]),
      content: () => bodyContent(json),
      fieldPrefix: { routing: "", model: "" },
    },
    record: exchange.record,
    account: exchange.account,
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
