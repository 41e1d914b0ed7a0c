import { ChunkFold } from "./chunk-fold.ts";
import type { ScannedEvent } from "./chunk-scanner.ts";
import { answerCharacters } from "./estimate.ts";
import { arrayOf, type JsonObject, objectOf, parseJson, textOf } from "./json.ts";

/** What was asked and answered, written down where that is allowed: JSON in the shape of OpenTelemetry's GenAI conventions. */
export interface Transcript {
  input?: string;
  output?: string;
}

/** Of each side; what is beyond is cut off, so that the JSON is none any more. */
const maxCharacters = 64 * 1024;

/** Writes down the messages of a request. */
export function transcribeInput(transcript: Transcript | undefined, messages: unknown): void {
  if (transcript && transcript.input === undefined) transcript.input = jsonOf(arrayOf(messages).map(messageOf));
}

/** Writes down the answer that counts: of several attempts the last one. */
export function transcribeOutput(transcript: Transcript | undefined, answer: JsonObject): void {
  if (!transcript) return;
  const messages = arrayOf(answer["choices"]).map((each) => {
    const choice = objectOf(each) ?? {};
    const reason = textOf(choice["finish_reason"]);
    return { ...messageOf(choice["message"]), ...(reason !== undefined && { finish_reason: reason }) };
  });
  transcript.output = jsonOf(messages);
}

/** Gathers a stream that is to be written down. */
export class StreamTranscript {
  readonly #transcript: Transcript;
  readonly #fold = new ChunkFold();
  /** Of the answer, until now. */
  #characters = 0;

  constructor(transcript: Transcript) {
    this.#transcript = transcript;
  }

  take(events: readonly ScannedEvent[]): void {
    for (const { chunk, data = "" } of events) {
      // What crosses the limit is still taken, so that the cut is seen.
      if (!chunk || this.#characters > maxCharacters) continue;
      const deltas = arrayOf(chunk["choices"]).map((choice) => objectOf(objectOf(choice)?.["delta"]) ?? {});
      this.#characters += deltas.reduce((sum, delta) => sum + answerCharacters(delta), 0);
      // A copy of its own: a fold takes chunks apart.
      const copy = objectOf(parseJson(data));
      if (copy) this.#fold.take(copy);
    }
  }

  write(): void {
    transcribeOutput(this.#transcript, this.#fold.answer());
  }
}

function jsonOf(messages: readonly unknown[]): string {
  const json = JSON.stringify(messages);
  return json.length > maxCharacters ? `${json.slice(0, maxCharacters)}…` : json;
}

function messageOf(value: unknown): { role: string; parts: unknown[] } {
  const message = objectOf(value) ?? {};
  const role = textOf(message["role"]) ?? "assistant";
  const { content, tool_call_id: callId, refusal, reasoning_content: reasoning } = message;
  if (role === "tool") {
    return { role, parts: [{ type: "tool_call_response", id: textOf(callId), response: content }] };
  }
  const parts: unknown[] = [];
  if (textOf(reasoning)) parts.push({ type: "reasoning", content: reasoning });
  if (textOf(content)) parts.push({ type: "text", content });
  for (const part of arrayOf(content)) parts.push(partOf(objectOf(part) ?? {}));
  if (textOf(refusal)) parts.push({ type: "refusal", content: refusal });
  for (const each of arrayOf(message["tool_calls"])) parts.push(toolCallOf(objectOf(each) ?? {}));
  return { role, parts };
}

/** Images and audio are told of, not copied. */
function partOf(part: JsonObject): unknown {
  const type = textOf(part["type"]) ?? "unknown";
  return type === "text" ? { type, content: part["text"] } : { type };
}

function toolCallOf(call: JsonObject): unknown {
  const { name, arguments: written } = objectOf(call["function"]) ?? {};
  const text = textOf(written);
  return {
    type: "tool_call",
    id: call["id"],
    name,
    arguments: text === undefined ? undefined : (parseJson(text) ?? text),
  };
}
