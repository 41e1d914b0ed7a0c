import type { Additions, AnswerMode, Lane, LaneRequest, Recovery, StreamRead } from "../lane.ts";
import type { Target } from "../target.ts";
import { wholeAnswerFacts } from "./answer-facts.ts";
import { answerFold } from "./answer-fold.ts";
import { chatAnswer, chatRequest, chatUsage, hasStops } from "./chat-call.ts";
import { ChunkScanner, type Expected, type Scan, type ScannedEvent } from "./chunk-scanner.ts";
import { streamOf } from "./chunk-unfold.ts";
import { DeliveredText, obstacleIn } from "./delivered-text.ts";
import { bodyCharacters } from "./estimate.ts";
import { faultOf } from "./faults.ts";
import { arrayOf, type JsonObject, objectOf } from "./json.ts";
import { editMembers, memberText } from "./json-members.ts";
import { continuedNativeReader } from "./native-continuation.ts";
import { askedMode, bodyAt, changesTo, isChanged } from "./params.ts";
import { type Prefill, prefillFor } from "./prefill.ts";
import { asksForUsage } from "./stream-options.ts";
import { StreamTranscript, type Transcript, transcribeInput, transcribeOutput } from "./transcript.ts";

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

/** Members of a request that are the gateway's own. */
const routingMembers = ["fallback_providers", "timeout", "retry_count", "provider", "task"];

/** Those of them that a body may have; objects under the last two names are another's and go on. */
function ownMembers({ provider, task }: JsonObject): readonly string[] {
  if (typeof provider !== "object" && typeof task !== "object") return routingMembers;
  return routingMembers.filter(
    (name) => !(name === "provider" && objectOf(provider)) && !(name === "task" && objectOf(task)),
  );
}

/** Members that only a request for a stream may have. */
const streamMembers = ["stream", "stream_options"];

/**
 * An OpenAI request toward an OpenAI-compatible upstream: the body it came with but for the model, the answer's bytes as they
 * came. So fields that the gateway knows nothing of survive in both directions.
 *
 * The one addition is that a stream is asked what it cost; a caller that did not ask is not shown the chunk that says it. Beside it
 * only what the configuration sets for a target is different.
 */
export function nativeLane({ text, json }: NativeRequest, transcript?: Transcript): Lane<NativeAnswer, Buffer> {
  transcribeInput(transcript, json["messages"]);
  const remove = ownMembers(json);
  const count = json["n"];
  const expected: Expected = {
    candidateCount: typeof count === "number" ? count : 1,
    mayBeEmpty: hasStops(json["stop"]),
    promptCharacters: () => bodyCharacters(json),
  };
  const callerAsks = asksForUsage(json["stream_options"]);

  function expectedOf(target: Target): Expected {
    return target.params ? { ...expected, mayBeEmpty: hasStops(bodyAt(target, json)["stop"]) } : expected;
  }

  function addition(asked: AnswerMode, { usage }: Additions): Record<string, string> | undefined {
    if (!usage || callerAsks || asked === "unary") return undefined;
    const own = objectOf(json["stream_options"]) && memberText(text, "stream_options");
    return { stream_options: editMembers(own ?? "{}", { set: { include_usage: "true" } }) };
  }

  /** @param more members beside those that every request has */
  function request(target: Target, mode: AnswerMode, additions: Additions, more?: Record<string, string>): LaneRequest {
    const asked = askedMode(target, mode);
    const added = addition(asked, additions);
    const altered = added !== undefined;
    const set = { model: JSON.stringify(target.upstreamModel), ...added };
    if (!target.params) {
      const edits = { set: more ? { ...set, ...more } : set, remove, unique: true };
      return chatRequest(editMembers(text, edits), { mode, altered });
    }
    const changes = changesTo(json, target.params);
    const own = Object.fromEntries(changes.set.map((parameter) => [parameter.name, parameter.text]));
    const begins = asked === "stream" && mode === "unary" ? { stream: "true" } : {};
    const ends = asked === "unary" && mode === "stream" ? streamMembers : [];
    const edits = {
      set: { ...set, ...begins, ...own, ...more },
      remove: [...remove, ...ends, ...changes.remove],
      unique: true,
    };
    const configured = asked !== mode || isChanged(changes);
    return chatRequest(editMembers(text, edits), { mode: asked, altered, configured });
  }

  /** The same request, and the text to go on with. */
  function prefilledRequest(target: Target, additions: Additions, { message, members }: Prefill): LaneRequest {
    const messages = memberText(text, "messages") ?? "[]"; // checked: a list of at least one
    const more = {
      messages: `${messages.slice(0, messages.lastIndexOf("]"))},${JSON.stringify(message)}]`,
      ...jsonTexts(members),
    };
    return { ...request(target, "stream", additions, more), altered: true, prefilled: true };
  }

  function continuation(
    from: Target,
    scanner: ChunkScanner,
    delivered: DeliveredText | undefined,
  ): Recovery<Buffer> | string | undefined {
    if (!delivered) return undefined;
    const obstacle = obstacleIn(bodyAt(from, json)) ?? delivered.obstacle;
    const { head } = delivered;
    if (obstacle || !head) return obstacle ?? "nothing has come";
    const spent = scanner.costSoFar();
    return {
      request(target, additions) {
        const prefill = additions.prefill ? prefillFor(target.prefill, bodyAt(target, json), delivered) : undefined;
        return prefill ? prefilledRequest(target, additions, prefill) : request(target, "stream", additions);
      },
      reader: ({ provider }, { prefilled = false }, attemptIndex) =>
        continuedNativeReader({
          scanner: new ChunkScanner({ ...expected, mayBeEmpty: true }),
          ...{ delivered: delivered.text, prefilled, head, spent, showsUsage: callerAsks },
          resumed: { provider, attempt_index: attemptIndex },
        }),
    };
  }

  return {
    request,
    answer(target, answer) {
      const answerText = answer.body.toString("utf8");
      const answerJson = chatAnswer(answerText, answer, expectedOf(target));
      transcribeOutput(transcript, answerJson);
      const value = { text: answerText, json: answerJson };
      return { value, usage: chatUsage(answerJson, expected), facts: wholeAnswerFacts(answerJson) };
    },
    fold: (target) =>
      answerFold(expectedOf(target), (json) => {
        transcribeOutput(transcript, json);
        return { text: JSON.stringify(json), json };
      }),
    streamed: (target, answer) => streamOf(chatAnswer(answer.body.toString("utf8"), answer, expectedOf(target))),
    reader(target, recovery) {
      const scanner = new ChunkScanner(expectedOf(target));
      const isShown = callerAsks ? () => true : isMoreThanUsage;
      const delivered = recovery === "continue" ? new DeliveredText() : undefined;
      const written = transcript && new StreamTranscript(transcript);
      const seen = (scan: Scan): Scan => {
        written?.take(scan.events);
        if (delivered) for (const { chunk } of scan.events) if (chunk) delivered.take(chunk);
        return scan;
      };
      return {
        costSoFar: () => scanner.costSoFar(),
        facts() {
          written?.write();
          return scanner.facts();
        },
        recovery: () => continuation(target, scanner, delivered),
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
