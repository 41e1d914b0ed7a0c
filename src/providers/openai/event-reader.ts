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
  type Usage,
} from "../../chat/messages.ts";
import type { StreamRead, StreamReader } from "../lane.ts";
import type { Target } from "../target.ts";
import { ChunkScanner, type Scan } from "./chunk-scanner.ts";
import {
  argumentsText,
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
import { arrayOf, countOf, extensionsOf, type JsonObject, objectOf, textOf } from "./json.ts";

/** What is open of one candidate. */
interface OpenCandidate {
  /** Parts in the order they began, each with the name by which its deltas find it. */
  readonly parts: string[];
  finish: unknown;
  readonly extensions: Record<string, string>;
}

/**
 * Turns the chunks of an OpenAI stream into the contract's events.
 *
 * Parts stay open until the whole answer has ended, because servers send late deltas, also after a finish reason; and thinking or
 * text that comes in turns stays one part each, as it is in a unary answer. So the fold of the events equals that answer.
 */
export function createEventReader(target: Target, candidateCount: number): StreamReader<CompletionEvent> {
  const scanner = new ChunkScanner(candidateCount);
  const candidates = new Map<number, OpenCandidate>();
  const extensions: Record<string, string> = {};
  let head: ReturnType<typeof headOf> | undefined;
  let started = false;
  let closed = false;
  let usage: { usage?: Usage } = {};

  function read(scan: Scan, over: boolean): StreamRead<CompletionEvent> {
    const items: CompletionEvent[] = [];
    for (const { chunk } of scan.events) if (chunk) takeChunk(chunk, items);
    if (over && !scan.fault && !closed) close(items);
    const { content, finished, done, fault } = scan;
    return { items, content, finished, done, ...(scan.usage && { usage: scan.usage }), ...(fault && { fault }) };
  }

  function takeChunk(chunk: JsonObject, items: CompletionEvent[]): void {
    const choices = arrayOf(chunk["choices"]);
    if (choices.length > 0) head ??= headOf(chunk, target);
    Object.assign(extensions, extensionsOf(chunk, knownMembers.answer));
    if (chunk["usage"]) usage = usageField(chunk["usage"]);
    for (const each of choices) takeChoice(objectOf(each) ?? {}, items);
  }

  function takeChoice(choice: JsonObject, items: CompletionEvent[]): void {
    const candidateIndex = countOf(choice["index"]);
    let candidate = candidates.get(candidateIndex);
    if (!candidate) {
      candidate = { parts: [], finish: undefined, extensions: {} };
      candidates.set(candidateIndex, candidate);
    }
    const delta = objectOf(choice["delta"]) ?? {};
    Object.assign(
      candidate.extensions,
      extensionsOf(delta, knownMembers.message),
      extensionsOf(choice, knownMembers.choice),
    );
    if (typeof choice["finish_reason"] === "string") candidate.finish = choice["finish_reason"];

    let logprobs = logprobsOf(choice["logprobs"]);
    const append = (name: string, head: Part, appended: PartDelta["delta"]) => {
      const partIndex = openPart(candidate, candidateIndex, name, head, items);
      if (!appended.value && logprobs.length === 0) return;
      items.push(deltaEvent(candidateIndex, partIndex, appended, logprobs));
      logprobs = [];
    };
    const reasoning = reasoningText(delta);
    if (reasoning) append("reasoning", reasoningPart("", target), { case: "reasoning", value: reasoning });
    const text = contentText(delta["content"]);
    // A last token without text may still have its log probability.
    const wantsText = text || (logprobs.length > 0 && !reasoning && !delta["refusal"] && !delta["tool_calls"]);
    if (wantsText)
      append("text", create(PartSchema, { kind: { case: "text", value: "" } }), { case: "text", value: text ?? "" });
    const refusal = textOf(delta["refusal"]);
    if (refusal)
      append("refusal", create(PartSchema, { kind: { case: "refusal", value: "" } }), {
        case: "refusal",
        value: refusal,
      });
    for (const [position, each] of arrayOf(delta["tool_calls"]).entries()) {
      const call = objectOf(each) ?? {};
      const at = typeof call["index"] === "number" ? call["index"] : position;
      const written = argumentsText(objectOf(call["function"])?.["arguments"]);
      const named = toolCallPart({ ...call, function: { ...objectOf(call["function"]), arguments: "" } });
      append(`tool ${at}`, named, { case: "argumentsJson", value: written });
    }
  }

  function openPart(
    { parts }: OpenCandidate,
    candidateIndex: number,
    name: string,
    head: Part,
    items: CompletionEvent[],
  ): number {
    const known = parts.indexOf(name);
    if (known >= 0) return known;
    start(items);
    const partIndex = parts.push(name) - 1;
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
    for (const [candidateIndex, { parts, finish, extensions: extensionJson }] of [...candidates].sort(
      ([a], [b]) => a - b,
    )) {
      for (const partIndex of parts.keys()) {
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
  };
}

function deltaEvent(
  candidateIndex: number,
  partIndex: number,
  delta: PartDelta["delta"],
  logprobs: TokenLogprob[],
): CompletionEvent {
  const value = create(PartDeltaSchema, { candidateIndex, partIndex, delta, logprobs });
  return create(CompletionEventSchema, { kind: { case: "partDelta", value } });
}
