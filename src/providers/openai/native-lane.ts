import type { Additions, Lane, LaneRequest, Recovery, StreamRead } from "../lane.ts";
import type { Target } from "../target.ts";
import { chatAnswer, chatRequest, chatUsage } from "./chat-call.ts";
import { ChunkScanner, type Scan, type ScannedEvent } from "./chunk-scanner.ts";
import { DeliveredText, obstacleIn } from "./delivered-text.ts";
import { bodyCharacters } from "./estimate.ts";
import { faultOf } from "./faults.ts";
import { arrayOf, type JsonObject, objectOf } from "./json.ts";
import { editMembers, memberText } from "./json-members.ts";
import { continuedNativeReader } from "./native-continuation.ts";
import { type Prefill, prefillFor } from "./prefill.ts";
import { asksForUsage } from "./stream-options.ts";

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
 *
 * The one addition is that a stream is asked what it cost; a caller that did not ask is not shown the chunk that says it.
 */
export function nativeLane({ text, json }: NativeRequest): Lane<NativeAnswer, Buffer> {
  const remove = objectOf(json["provider"]) ? routingMembers : [...routingMembers, "provider"];
  const count = json["n"];
  const candidateCount = typeof count === "number" ? count : 1;
  const callerAsks = asksForUsage(json["stream_options"]);
  const characters = () => bodyCharacters(json);

  function addition(mode: "unary" | "stream", { usage }: Additions): Record<string, string> | undefined {
    if (!usage || callerAsks || mode === "unary") return undefined;
    const own = objectOf(json["stream_options"]) && memberText(text, "stream_options");
    return { stream_options: editMembers(own ?? "{}", { set: { include_usage: "true" } }) };
  }

  function request(target: Target, mode: "unary" | "stream", additions: Additions): LaneRequest {
    const added = addition(mode, additions);
    const set = { model: JSON.stringify(target.upstreamModel), ...added };
    return chatRequest(editMembers(text, { set, remove, unique: true }), mode, added !== undefined);
  }

  /** The same request, and the text to go on with. */
  function prefilledRequest(target: Target, additions: Additions, { message, members }: Prefill): LaneRequest {
    const messages = memberText(text, "messages") ?? "[]"; // checked: a list of at least one
    const set = {
      model: JSON.stringify(target.upstreamModel),
      ...addition("stream", additions),
      messages: `${messages.slice(0, messages.lastIndexOf("]"))},${JSON.stringify(message)}]`,
      ...jsonTexts(members),
    };
    return { ...chatRequest(editMembers(text, { set, remove, unique: true }), "stream", true), prefilled: true };
  }

  function continuation(
    scanner: ChunkScanner,
    delivered: DeliveredText | undefined,
  ): Recovery<Buffer> | string | undefined {
    if (!delivered) return undefined;
    const obstacle = obstacleIn(json) ?? delivered.obstacle;
    const { head } = delivered;
    if (obstacle || !head) return obstacle ?? "nothing has come";
    const spent = scanner.costSoFar();
    return {
      request(target, additions) {
        const prefill = additions.prefill ? prefillFor(target.prefill, json, delivered) : undefined;
        return prefill ? prefilledRequest(target, additions, prefill) : request(target, "stream", additions);
      },
      reader: ({ provider }, { prefilled = false }, attemptIndex) =>
        continuedNativeReader({
          scanner: new ChunkScanner(candidateCount, characters),
          ...{ delivered: delivered.text, prefilled, head, spent, showsUsage: callerAsks },
          resumed: { provider, attempt_index: attemptIndex },
        }),
    };
  }

  return {
    request,
    answer(_target, answer) {
      const answerText = answer.body.toString("utf8");
      const answerJson = chatAnswer(answerText, answer);
      return { value: { text: answerText, json: answerJson }, usage: chatUsage(answerJson, characters) };
    },
    reader(_target, recovery) {
      const scanner = new ChunkScanner(candidateCount, characters);
      const isShown = callerAsks ? () => true : isMoreThanUsage;
      const delivered = recovery === "continue" ? new DeliveredText() : undefined;
      const seen = (scan: Scan): Scan => {
        if (delivered) for (const { chunk } of scan.events) if (chunk) delivered.take(chunk);
        return scan;
      };
      return {
        costSoFar: () => scanner.costSoFar(),
        recovery: () => continuation(scanner, delivered),
        push: (bytes) => passedOn(seen(scanner.push(bytes)), isShown),
        end() {
          const read = passedOn(seen(scanner.end()), isShown);
          // An event that the upstream forgot to close must not swallow what the caller is told next.
          return read.items.length > 0 ? { ...read, items: [...read.items, Buffer.from("\n\n")] } : read;
        },
      };
    },
    fault: faultOf,
  };
}

function jsonTexts(members: JsonObject): Record<string, string> {
  return Object.fromEntries(Object.entries(members).map(([name, value]) => [name, JSON.stringify(value)]));
}

/** Whether an event says anything but what the stream cost. */
function isMoreThanUsage({ chunk }: ScannedEvent): boolean {
  return chunk === undefined || arrayOf(chunk["choices"]).length > 0 || objectOf(chunk["usage"]) === undefined;
}

/**
 * The bytes of a read's good events but for those that are not shown: whole events only, so that whatever must be said next does
 * not land inside of one.
 */
function passedOn({ bytes, events, ...meaning }: Scan, isShown: (event: ScannedEvent) => boolean): StreamRead<Buffer> {
  const items: Buffer[] = [];
  let start: number | undefined;
  let end = 0;
  for (const event of events) {
    if (isShown(event)) {
      start ??= event.start;
      end = event.end;
    } else if (start !== undefined) {
      items.push(bytes.subarray(start, end));
      start = undefined;
    }
  }
  if (start !== undefined) items.push(bytes.subarray(start, end));
  return { ...meaning, items };
}
