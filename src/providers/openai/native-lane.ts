import type { Lane, StreamRead } from "../lane.ts";
import { chatAnswer, chatRequest } from "./chat-call.ts";
import { ChunkScanner, type Scan } from "./chunk-scanner.ts";
import { tokenCountsOf } from "./completion.ts";
import { faultOf } from "./faults.ts";
import { type JsonObject, objectOf } from "./json.ts";
import { editMembers } from "./json-members.ts";

/** An OpenAI chat request as it came. */
export interface NativeRequest {
  /** Its body's text, known to be one JSON object. */
  readonly text: string;
  /** The same, parsed. */
  readonly json: JsonObject;
}

/** A whole answer as it came. */
export interface NativeAnswer {
  readonly text: string;
  readonly json: JsonObject;
}

/** Members of a request that are the gateway's own. `provider` as an object is another gateway's and goes on. */
const routingMembers = ["fallback_providers", "timeout", "retry_count"];

/**
 * An OpenAI request toward an OpenAI-compatible upstream: the body it came with but for the model, the answer's bytes as they
 * came. So fields that the gateway knows nothing of survive in both directions.
 */
export function nativeLane({ text, json }: NativeRequest): Lane<NativeAnswer, Buffer> {
  const remove = objectOf(json["provider"]) ? routingMembers : [...routingMembers, "provider"];
  const count = json["n"];
  const candidateCount = typeof count === "number" ? count : 1;
  return {
    request: (target, mode) =>
      chatRequest(editMembers(text, { set: { model: JSON.stringify(target.upstreamModel) }, remove }), mode),
    answer(_target, answer) {
      const answerText = answer.body.toString("utf8");
      const answerJson = chatAnswer(answerText, answer);
      const usage = tokenCountsOf(answerJson["usage"]);
      return { value: { text: answerText, json: answerJson }, ...(usage && { usage }) };
    },
    reader() {
      const scanner = new ChunkScanner(candidateCount);
      return {
        push: (bytes) => passedOn(scanner.push(bytes)),
        end() {
          const read = passedOn(scanner.end());
          // An event that the upstream forgot to close must not swallow what the caller is told next.
          return read.items.length > 0 ? { ...read, items: [...read.items, Buffer.from("\n\n")] } : read;
        },
      };
    },
    fault: faultOf,
  };
}

/** The bytes of a read's good events: whole events only, so that whatever must be said next does not land inside of one. */
function passedOn({ bytes, events, ...meaning }: Scan): StreamRead<Buffer> {
  const first = events[0];
  const last = events.at(-1);
  return { ...meaning, items: first && last ? [bytes.subarray(first.start, last.end)] : [] };
}
