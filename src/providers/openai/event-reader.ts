import { messageMaker } from "../../chat/message-maker.ts";
import {
  CandidateEndSchema,
  CompletionEndSchema,
  type CompletionEvent,
  CompletionEventSchema,
  CompletionStartSchema,
  create,
  type Part,
  type PartDelta,
  PartDeltaSchema,
  PartEndSchema,
  PartSchema,
  PartStartSchema,
  type TokenLogprob,
  type ToolCall,
  type Usage,
} from "../../chat/messages.ts";
import type { TokenCounts } from "../../routing/trail.ts";
import type { Recovery, StreamRead, StreamReader } from "../lane.ts";
import type { Target } from "../target.ts";
import { ChunkScanner, type Expected, type Scan } from "./chunk-scanner.ts";
import {
  contentText,
  finishOf,
  headOf,
  knownMembers,
  logprobsOf,
  reasoningPart,
  reasoningText,
  toolCallPart,
  usageField,
} from "./completion.ts";
import type { ContinuedChunks } from "./continued-chunks.ts";
import { arrayOf, countOf, extensionsOf, type JsonObject, objectOf, textOf } from "./json.ts";
import { callOfPiece } from "./streamed-calls.ts";
import type { StreamTranscript } from "./transcript.ts";

/** A part that has begun. */
interface OpenPart {
  /** `text`, `reasoning` or `refusal`: there is one of each. Undefined for a tool call, of which there may be several. */
  readonly name: "text" | "reasoning" | "refusal" | undefined;
  /** Half a character, when a chunk ended inside of a surrogate pair. */
  half: string;
}

/** A tool call on its way: it becomes a part when its name has come, for the part's head holds it whole. */
interface OpenCall {
  readonly index: number | undefined;
  id: string;
  name: string;
  /** All of its arguments so far. */
  written: string;
  /** Arguments that came before the name. */
  held: string;
  partIndex: number | undefined;
}

/** What is open of one candidate. */
interface OpenCandidate {
  readonly index: number;
  /** In the order in which they began. */
  readonly parts: OpenPart[];
  readonly calls: OpenCall[];
  finish: unknown;
  readonly extensions: Record<string, string>;
}

/** What comes before in a stream that another endpoint began. */
export interface Beginning {
  /** Tells readers of the hop; it stands before the first event. */
  readonly hop: CompletionEvent;
  /** What the beginning has cost. */
  readonly spent: TokenCounts;
  /** Cuts off what the reader has, whose one part, a text, is open; undefined: the answer begins from its start. */
  readonly continued?: ContinuedChunks;
}

/**
 * Turns the chunks of an OpenAI stream into the contract's events.
 *
 * Parts stay open until the whole answer has ended, because servers send late deltas, also after a finish reason; and thinking or
 * text that comes in turns stays one part each, as it is in a unary answer. So the fold of the events equals that answer.
 */
export function createEventReader(
  target: Target,
  expected: Expected,
  {
    beginning,
    seen,
    transcript,
    recovery = () => undefined,
  }: {
    readonly beginning?: Beginning;
    /** Is shown every chunk. */
    seen?(chunk: JsonObject): void;
    /** Where the answer is written down. */
    readonly transcript?: StreamTranscript;
    /** How the stream goes on were it to break now. @param spent what it has cost */
    recovery?(spent: TokenCounts): Recovery<CompletionEvent> | string | undefined;
  } = {},
): StreamReader<CompletionEvent> {
  const scanner = new ChunkScanner(beginning?.continued ? { ...expected, mayBeEmpty: true } : expected);
  const candidates = new Map<number, OpenCandidate>();
  const extensions: Record<string, string> = {};
  const continued = beginning?.continued;
  if (continued) candidates.set(0, { ...newCandidate(0), parts: [{ name: "text", half: "" }] });
  let hop = beginning?.hop;
  let head: ReturnType<typeof headOf> | undefined;
  let started = continued !== undefined;
  let closed = false;
  let usage: { usage?: Usage } = {};

  function read({ bytes: _, events, ...meaning }: Scan, over: boolean): StreamRead<CompletionEvent> {
    const items: CompletionEvent[] = [];
    transcript?.take(events);
    for (const { chunk } of events) {
      if (chunk) seen?.(chunk);
      const fresh = chunk && continued ? continued.take(chunk) : chunk;
      if (fresh) takeChunk(fresh, items);
    }
    if (over && !meaning.fault && !closed) {
      const held = continued?.end();
      if (held) takeChunk(held, items);
      close(items);
    }
    if (hop && items.length > 0) {
      items.unshift(hop);
      hop = undefined;
    }
    return { ...meaning, items };
  }

  function takeChunk(chunk: JsonObject, items: CompletionEvent[]): void {
    const choices = arrayOf(chunk["choices"]);
    if (choices.length > 0) head ??= headOf(chunk, target);
    Object.assign(extensions, extensionsOf(chunk, knownMembers.answer));
    const counted = usageField(chunk["usage"]);
    if (counted.usage) usage = { usage: beginning ? withSpent(counted.usage, beginning.spent) : counted.usage };
    for (const each of choices) takeChoice(objectOf(each) ?? {}, items);
  }

  function takeChoice(choice: JsonObject, items: CompletionEvent[]): void {
    const index = countOf(choice["index"]);
    let candidate = candidates.get(index);
    if (!candidate) {
      candidate = newCandidate(index);
      candidates.set(index, candidate);
    }
    const delta = objectOf(choice["delta"]) ?? {};
    Object.assign(
      candidate.extensions,
      extensionsOf(delta, knownMembers.message),
      extensionsOf(choice, knownMembers.choice),
    );
    if (choice["finish_reason"]) candidate.finish = choice["finish_reason"];

    const logprobs = logprobsOf(choice["logprobs"]);
    const reasoning = reasoningText(delta);
    const text = contentText(delta["content"]);
    const refusal = textOf(delta["refusal"]);
    const calls = arrayOf(delta["tool_calls"]);
    if (reasoning) {
      const partIndex = partNamed("reasoning", () => reasoningPart("", target), candidate, items);
      append(candidate, partIndex, { case: "reasoning", value: reasoning }, logprobs.splice(0), items);
    }
    // A last token without text may still have its log probability.
    if (text || (logprobs.length > 0 && !refusal && calls.length === 0)) {
      const partIndex = partNamed(
        "text",
        () => create(PartSchema, { kind: { case: "text", value: "" } }),
        candidate,
        items,
      );
      append(candidate, partIndex, { case: "text", value: text ?? "" }, logprobs.splice(0), items);
    }
    if (refusal) {
      const partIndex = partNamed(
        "refusal",
        () => create(PartSchema, { kind: { case: "refusal", value: "" } }),
        candidate,
        items,
      );
      append(candidate, partIndex, { case: "refusal", value: refusal }, logprobs.splice(0), items);
    }
    for (const [position, call] of calls.entries()) {
      // Several in one delta without indices are told apart by their places.
      takeCall({ ...(calls.length > 1 && { index: position }), ...objectOf(call) }, candidate, items);
    }
  }

  function takeCall(delta: JsonObject, candidate: OpenCandidate, items: CompletionEvent[]): void {
    const { calls } = candidate;
    const part = toolCallPart(delta).kind.value as ToolCall; // toolCallPart makes nothing else
    const index = typeof delta["index"] === "number" ? delta["index"] : undefined;
    let call = callOfPiece(calls, { index, id: part.id, name: part.name, written: part.argumentsJson });
    if (!call) {
      call = { index, id: "", name: "", written: "", held: "", partIndex: undefined };
      calls.push(call);
    }
    call.id ||= part.id;
    call.name ||= part.name;
    call.written += part.argumentsJson;
    call.held += part.argumentsJson;
    if (call.name) tellCall(call, candidate, items);
  }

  /** Opens the call's part if it is not open yet, and hands on the arguments that were held. */
  function tellCall(call: OpenCall, candidate: OpenCandidate, items: CompletionEvent[]): void {
    const { id, name } = call;
    call.partIndex ??= openPart(
      undefined,
      create(PartSchema, { kind: { case: "toolCall", value: { id, name } } }),
      candidate,
      items,
    );
    const value = call.held;
    call.held = "";
    append(candidate, call.partIndex, { case: "argumentsJson", value }, [], items);
  }

  function append(
    { index, parts }: OpenCandidate,
    partIndex: number,
    delta: { case: "text" | "reasoning" | "refusal" | "argumentsJson"; value: string },
    logprobs: TokenLogprob[],
    items: CompletionEvent[],
  ): void {
    const part = parts[partIndex] as OpenPart; // it has just been found or opened
    const joined = part.half + delta.value;
    // A contract of UTF-8 cannot hold half a character: it waits for its other half.
    part.half = /[\ud800-\udbff]$/.test(joined) ? joined.slice(-1) : "";
    const value = part.half ? joined.slice(0, -1) : joined;
    if (value || logprobs.length > 0) items.push(deltaEvent(index, partIndex, { ...delta, value }, logprobs));
  }

  function partNamed(
    name: NonNullable<OpenPart["name"]>,
    head: () => Part,
    candidate: OpenCandidate,
    items: CompletionEvent[],
  ): number {
    const known = candidate.parts.findIndex((part) => part.name === name);
    return known >= 0 ? known : openPart(name, head(), candidate, items);
  }

  function openPart(
    name: OpenPart["name"],
    head: Part,
    { index: candidateIndex, parts }: OpenCandidate,
    items: CompletionEvent[],
  ): number {
    start(items);
    const partIndex = parts.push({ name, half: "" }) - 1;
    const value = create(PartStartSchema, { candidateIndex, partIndex, head });
    items.push(create(CompletionEventSchema, { kind: { case: "partStart", value } }));
    return partIndex;
  }

  function start(items: CompletionEvent[]): void {
    if (started) return;
    started = true;
    const value = create(CompletionStartSchema, head ?? headOf({}, target));
    items.push(create(CompletionEventSchema, { kind: { case: "start", value } }));
  }

  function close(items: CompletionEvent[]): void {
    closed = true;
    start(items);
    for (const candidate of [...candidates.values()].sort((a, b) => a.index - b.index)) {
      const { index: candidateIndex, parts, calls, finish, extensions: extensionJson } = candidate;
      for (const call of calls) if (call.partIndex === undefined) tellCall(call, candidate, items);
      for (const [partIndex, { name, half }] of parts.entries()) {
        // The other half never came: then it is told as it is, as a whole answer would tell it.
        if (half) items.push(deltaEvent(candidateIndex, partIndex, { case: name ?? "argumentsJson", value: half }, []));
        const value = create(PartEndSchema, { candidateIndex, partIndex });
        items.push(create(CompletionEventSchema, { kind: { case: "partEnd", value } }));
      }
      const value = create(CandidateEndSchema, { candidateIndex, ...finishOf(finish), extensionJson });
      items.push(create(CompletionEventSchema, { kind: { case: "candidateEnd", value } }));
    }
    const value = create(CompletionEndSchema, { ...usage, extensionJson: extensions });
    items.push(create(CompletionEventSchema, { kind: { case: "end", value } }));
  }

  return {
    push(bytes) {
      const scan = scanner.push(bytes);
      return read(scan, scan.done);
    },
    end: () => read(scanner.end(), true),
    costSoFar: () => scanner.costSoFar(),
    facts() {
      transcript?.write();
      return scanner.facts();
    },
    recovery: () => recovery(scanner.costSoFar()),
  };
}

function newCandidate(index: number): OpenCandidate {
  return { index, parts: [], calls: [], finish: undefined, extensions: {} };
}

/** The contract's counts are `int32`. */
const mostTokens = 2 ** 31 - 1;

/** What both attempts cost together. */
function withSpent(usage: Usage, { inputTokens, outputTokens, estimated = false }: TokenCounts): Usage {
  usage.inputTokens = Math.min(mostTokens, usage.inputTokens + inputTokens);
  usage.outputTokens = Math.min(mostTokens, usage.outputTokens + outputTokens);
  usage.estimated ||= estimated;
  return usage;
}

const makePartDelta = messageMaker(PartDeltaSchema);
const makeEvent = messageMaker(CompletionEventSchema);

function deltaEvent(
  candidateIndex: number,
  partIndex: number,
  delta: PartDelta["delta"],
  logprobs: TokenLogprob[],
): CompletionEvent {
  const value = makePartDelta({ candidateIndex, partIndex, delta, logprobs });
  return makeEvent({ kind: { case: "partDelta", value } });
}
