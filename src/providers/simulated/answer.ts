import type { ChatRequest } from "./chat-request.ts";
import { schemaInstance } from "./schema-instance.ts";
import { splitTokens } from "./tokens.ts";

/** One step of an answer: what a stream sends as one delta, and what counts as one token. */
export type Delta =
  | { kind: "reasoning"; text: string }
  | { kind: "content"; text: string }
  | { kind: "call"; id: string; name: string }
  | { kind: "arguments"; text: string };

/** One of the answers to a request. */
export interface Candidate {
  deltas: Delta[];
  finish: "stop" | "length" | "tool_calls";
}

/** Token counts in the words of the OpenAI API. */
export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  completion_tokens_details?: { reasoning_tokens: number };
}

/** The answer to a request, from which both the unary body and the stream are written: so they cannot differ. */
export interface Answer {
  candidates: Candidate[];
  usage: Usage;
}

/** What the answer depends on besides the request. */
export interface AnswerSource {
  /** Said when there is no user to quote. */
  greeting: string;
  /** Said instead of quoting the user; undefined to quote. */
  text: string | undefined;
  /** Whether a text that the request ends with is gone on with. */
  goesOn: boolean;
  /** Most tokens of one candidate. */
  mostTokens: number;
  /** The id of a candidate's tool call. */
  callId: (candidate: number) => string;
}

/** The longest answer in tokens, all candidates together: a quoted prompt of megabytes must not become gigabytes of events. */
const mostTokens = 2 ** 16;
/** More text than that many tokens can hold, so that no more is split into tokens either. */
const mostText = mostTokens * 64;

/** Answers a request. The same request gives the same answer, ids aside. */
export function answerTo(request: ChatRequest, source: AnswerSource): Answer {
  const candidates = Array.from({ length: request.candidates }, (_, index) => candidate(request, source, index));
  const count = (kinds: (delta: Delta) => boolean) =>
    candidates.reduce((sum, { deltas }) => sum + deltas.filter(kinds).length, 0);
  const completion = count(() => true);
  const usage: Usage = {
    prompt_tokens: request.promptTokens,
    completion_tokens: completion,
    total_tokens: request.promptTokens + completion,
  };
  if (request.reasoning)
    usage.completion_tokens_details = { reasoning_tokens: count((delta) => delta.kind === "reasoning") };
  return { candidates, usage };
}

/** A well-formed answer that says nothing and costs nothing. */
export function emptyAnswer(request: ChatRequest): Answer {
  return {
    candidates: Array.from({ length: request.candidates }, () => ({ deltas: [], finish: "stop" })),
    usage: { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 },
  };
}

function candidate(request: ChatRequest, source: AnswerSource, index: number): Candidate {
  const deltas: Delta[] = request.reasoning
    ? tokensOf(`Thinking about: ${request.lastUserText ?? ""}`).map((text) => ({ kind: "reasoning", text }))
    : [];
  if (request.call) {
    deltas.push({ kind: "call", id: source.callId(index), name: request.call.name });
    const json = JSON.stringify(request.call.parameters === undefined ? {} : schemaInstance(request.call.parameters));
    deltas.push(...thirds(json).map((text): Delta => ({ kind: "arguments", text })));
  } else {
    const whole = contentOf(request, source, index);
    const { prefix } = request;
    const rest = source.goesOn && prefix !== undefined ? after(prefix, whole) : whole;
    for (const text of tokensOf(cutAtStop(rest, request.stops))) deltas.push({ kind: "content", text });
  }
  const limit = Math.min(request.maxTokens, source.mostTokens, mostTokens / request.candidates);
  if (deltas.length > limit) return { deltas: deltas.slice(0, limit), finish: "length" };
  return { deltas, finish: request.call ? "tool_calls" : "stop" };
}

function contentOf(request: ChatRequest, source: AnswerSource, index: number): string {
  // JSON stays the same for every candidate: a suffix would break it.
  if (request.format.kind === "schema") return JSON.stringify(schemaInstance(request.format.schema));
  if (request.format.kind === "json") return JSON.stringify({ answer: request.lastUserText ?? "" });
  return spoken(request, source) + (index === 0 ? "" : ` (${index + 1})`);
}

function spoken(request: ChatRequest, source: AnswerSource): string {
  if (request.toolResult !== undefined) return `The tool said: ${request.toolResult}`;
  if (source.text !== undefined) return source.text;
  return request.lastUserText === undefined ? source.greeting : `You said: ${request.lastUserText}`;
}

/** What is left to say of a text; whoever has begun with something else goes on with all of it. */
function after(prefix: string, text: string): string {
  return text.startsWith(prefix) ? text.slice(prefix.length) : ` ${text}`;
}

function tokensOf(text: string): string[] {
  return splitTokens(text.slice(0, mostText));
}

function cutAtStop(text: string, stops: string[]): string {
  const ends = stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
  return text.slice(0, Math.min(text.length, ...ends));
}

/** Up to three pieces of about the same size, never through a surrogate pair. */
function thirds(text: string): string[] {
  const points = [...text];
  const size = Math.ceil(points.length / 3);
  const pieces: string[] = [];
  for (let start = 0; start < points.length; start += size) pieces.push(points.slice(start, start + size).join(""));
  return pieces;
}
