import {
  type Candidate,
  CandidateSchema,
  type Completion,
  type CompletionEvent,
  CompletionSchema,
  clone,
  create,
  MessageSchema,
  type Part,
  type PartDelta,
  PartSchema,
  Role,
} from "./messages.ts";

/** Gathers the events of one stream into the completion that they amount to. */
export interface Fold {
  /**
   * Takes the next event.
   * @throws StreamGrammarError when the event cannot stand here
   */
  push(event: CompletionEvent): void;
  /** The completion so far. */
  readonly completion: Completion;
  /** Whether `end` has come: without it the stream has failed. */
  readonly ended: boolean;
}

/** A stream whose events do not follow the grammar that the contract states at CompletionEvent. */
export class StreamGrammarError extends Error {
  override name = "StreamGrammarError";
}

/**
 * The law of a stream, executable: folding its events gives the completion that a unary call would have answered.
 * Strict on purpose: an event out of place is an error here, where a lenient reader would guess.
 */
export function createFold(): Fold {
  let completion = create(CompletionSchema);
  const candidates = new Map<number, { candidate: Candidate; open: Set<number>; ended: boolean }>();
  let started = false;
  let ended = false;

  function candidateAt(index: number) {
    let entry = candidates.get(index);
    if (!entry) {
      const message = create(MessageSchema, { role: Role.ASSISTANT });
      entry = { candidate: create(CandidateSchema, { index, message }), open: new Set(), ended: false };
      candidates.set(index, entry);
      completion.candidates = [...candidates.values()].map((each) => each.candidate).sort((a, b) => a.index - b.index);
    }
    if (entry.ended) throw new StreamGrammarError(`candidate ${index} goes on after its end`);
    return entry;
  }

  function openPart(candidateIndex: number, partIndex: number): { part: Part; candidate: Candidate } {
    const { candidate, open } = candidateAt(candidateIndex);
    const part = candidate.message?.parts[partIndex];
    if (!part || !open.has(partIndex)) {
      throw new StreamGrammarError(`part ${partIndex} of candidate ${candidateIndex} is not open`);
    }
    return { part, candidate };
  }

  return {
    get completion() {
      return completion;
    },
    get ended() {
      return ended;
    },
    push({ kind }) {
      if (ended) throw new StreamGrammarError(`${kind.case} after end`);
      if (started === (kind.case === "start")) {
        throw new StreamGrammarError(started ? "a second start" : `${kind.case} before start`);
      }
      switch (kind.case) {
        case "start": {
          started = true;
          const { id, model, provider, createTime } = kind.value;
          Object.assign(completion, { id, model, provider }, createTime && { createTime });
          break;
        }
        case "partStart": {
          const { candidateIndex, partIndex, head } = kind.value;
          const { candidate, open } = candidateAt(candidateIndex);
          const parts = candidate.message?.parts ?? [];
          if (partIndex !== parts.length) throw new StreamGrammarError(`part ${partIndex} starts out of turn`);
          parts.push(head ? clone(PartSchema, head) : create(PartSchema));
          open.add(partIndex);
          break;
        }
        case "partDelta": {
          const { part, candidate } = openPart(kind.value.candidateIndex, kind.value.partIndex);
          append(part, kind.value.delta);
          candidate.logprobs.push(...kind.value.logprobs);
          break;
        }
        case "partEnd": {
          const { candidateIndex, partIndex, signature } = kind.value;
          const { part } = openPart(candidateIndex, partIndex);
          if (signature.length > 0) part.signature = signature;
          candidateAt(candidateIndex).open.delete(partIndex);
          break;
        }
        case "candidateEnd": {
          const { candidateIndex, finishReason, nativeFinishReason, extensionJson } = kind.value;
          const entry = candidateAt(candidateIndex);
          if (entry.open.size > 0) throw new StreamGrammarError(`candidate ${candidateIndex} ends with open parts`);
          entry.ended = true;
          Object.assign(entry.candidate, { finishReason, nativeFinishReason });
          Object.assign(entry.candidate.extensionJson, extensionJson);
          break;
        }
        case "end": {
          const unfinished = [...candidates.values()].find((each) => !each.ended);
          if (unfinished) throw new StreamGrammarError(`end before candidate ${unfinished.candidate.index} ended`);
          ended = true;
          if (kind.value.usage) completion.usage = kind.value.usage;
          Object.assign(completion.extensionJson, kind.value.extensionJson);
          break;
        }
        case "restarted":
          completion = create(CompletionSchema);
          candidates.clear();
          started = false;
          break;
        default: // A kind of a later version is passed over, as the contract asks of every reader.
      }
    },
  };
}

function append(part: Part, delta: PartDelta["delta"]): void {
  const { kind } = part;
  if (delta.case === "text" && kind.case === "text") kind.value += delta.value;
  else if (delta.case === "refusal" && kind.case === "refusal") kind.value += delta.value;
  else if (delta.case === "reasoning" && kind.case === "reasoning") kind.value += delta.value;
  else if (delta.case === "argumentsJson" && kind.case === "toolCall") kind.value.argumentsJson += delta.value;
  else if (delta.case !== undefined) throw new StreamGrammarError(`a delta of ${delta.case} on a part of ${kind.case}`);
}
