import {
  type Completion,
  type CompletionEvent,
  CompletionEventSchema,
  CompletionRestartedSchema,
  CompletionResumedSchema,
  create,
  type Prompt,
} from "../../chat/messages.ts";
import type { TokenCounts } from "../../routing/trail.ts";
import type { Additions, AnswerMode, Lane, LaneRequest, Recovery } from "../lane.ts";
import type { Target } from "../target.ts";
import { wholeAnswerFacts } from "./answer-facts.ts";
import { answerFold } from "./answer-fold.ts";
import { chatAnswer, chatRequest, chatUsage, hasStops } from "./chat-call.ts";
import type { Expected } from "./chunk-scanner.ts";
import { streamOf } from "./chunk-unfold.ts";
import { completionOf } from "./completion.ts";
import { Continuation } from "./continuation.ts";
import { ContinuedChunks } from "./continued-chunks.ts";
import { DeliveredText, obstacleIn } from "./delivered-text.ts";
import { promptCharacters } from "./estimate.ts";
import { createEventReader } from "./event-reader.ts";
import { faultOf } from "./faults.ts";
import { arrayOf, type JsonObject } from "./json.ts";
import { askedMode, bodyAt, changedBody, changesTo, isChanged } from "./params.ts";
import { prefillFor } from "./prefill.ts";
import { compact, ownStreamOptions, promptBody } from "./prompt-body.ts";
import { asksForUsage } from "./stream-options.ts";
import { StreamTranscript, type Transcript, transcribeInput, transcribeOutput } from "./transcript.ts";

/** The contract's messages toward an OpenAI-compatible upstream and back. */
export function typedLane(prompt: Prompt, transcript?: Transcript): Lane<Completion, CompletionEvent> {
  const expected: Expected = {
    candidateCount: prompt.candidateCount || 1,
    mayBeEmpty: prompt.stopSequences.length > 0,
    promptCharacters: () => promptCharacters(prompt),
  };

  function expectedOf(target: Target): Expected {
    const { stop } = bodyAt(target, { stop: prompt.stopSequences.length > 0 ? prompt.stopSequences : null });
    return target.params ? { ...expected, mayBeEmpty: hasStops(stop) } : expected;
  }

  /** What a target is asked. */
  function bodyFor(target: Target, mode: AnswerMode, { usage }: Pick<Additions, "usage">) {
    const asked = askedMode(target, mode);
    const asks = usage && asked === "stream";
    const plain: JsonObject = promptBody(prompt, target, asked, asks);
    transcribeInput(transcript, plain["messages"]);
    const altered = asks && !asksForUsage(ownStreamOptions(prompt));
    if (!target.params) return { body: plain, facts: { mode, altered } };
    const body = compact(plain);
    const changes = changesTo(body, target.params);
    const configured = asked !== mode || isChanged(changes);
    return { body: changedBody(body, changes), facts: { mode: asked, altered, configured } };
  }

  function request(target: Target, mode: AnswerMode, additions: Additions): LaneRequest {
    const { body, facts } = bodyFor(target, mode, additions);
    return chatRequest(JSON.stringify(body), facts);
  }

  /** The same request, and the text to go on with. */
  function prefilledRequest(
    target: Target,
    additions: Additions,
    begun: Pick<DeliveredText, "text" | "pieces">,
  ): LaneRequest | undefined {
    const { body, facts } = bodyFor(target, "stream", additions);
    const prefill = prefillFor(target.prefill, body, begun);
    if (!prefill) return undefined;
    const messages = [...arrayOf(body["messages"]), prefill.message];
    const whole = { ...body, messages, ...prefill.members };
    return chatRequest(JSON.stringify(whole), { ...facts, altered: true, prefilled: true });
  }

  function restart(spent: TokenCounts): Recovery<CompletionEvent> {
    return {
      request: (target, additions) => request(target, "stream", additions),
      reader(target, _request, attemptIndex = 0) {
        const value = create(CompletionRestartedSchema, { provider: target.provider, attemptIndex });
        const hop = create(CompletionEventSchema, { kind: { case: "restarted", value } });
        return createEventReader(target, expectedOf(target), { beginning: { hop, spent } });
      },
    };
  }

  function continuation(
    target: Target,
    delivered: DeliveredText,
    spent: TokenCounts,
  ): Recovery<CompletionEvent> | string {
    const obstacle = obstacleIn(bodyFor(target, "stream", { usage: false }).body) ?? delivered.obstacle;
    if (obstacle) return obstacle;
    // Half a character at the end is held back: the reader does not have it.
    const text = delivered.text.replace(/[\ud800-\udbff]$/, "");
    if (!text) return "nothing has come";
    return {
      request: (next, additions) =>
        (additions.prefill ? prefilledRequest(next, additions, { text, pieces: delivered.pieces }) : undefined) ??
        request(next, "stream", additions),
      reader(next, { prefilled = false }, attemptIndex = 0) {
        const value = create(CompletionResumedSchema, { provider: next.provider, attemptIndex });
        const hop = create(CompletionEventSchema, { kind: { case: "resumed", value } });
        const continued = new ContinuedChunks(new Continuation(text, prefilled));
        return createEventReader(next, expectedOf(next), { beginning: { hop, spent, continued } });
      },
    };
  }

  return {
    request,
    answer(target, answer) {
      const json = chatAnswer(answer.body.toString("utf8"), answer, expectedOf(target));
      transcribeOutput(transcript, json);
      return { value: completionOf(json, target), usage: chatUsage(json, expected), facts: wholeAnswerFacts(json) };
    },
    fold: (target) =>
      answerFold(expectedOf(target), (json) => {
        transcribeOutput(transcript, json);
        return completionOf(json, target);
      }),
    streamed: (target, answer) => streamOf(chatAnswer(answer.body.toString("utf8"), answer, expectedOf(target))),
    reader(target, recovery = "fail") {
      const written = transcript && { transcript: new StreamTranscript(transcript) };
      if (recovery === "restart")
        return createEventReader(target, expectedOf(target), { ...written, recovery: restart });
      if (recovery === "fail") return createEventReader(target, expectedOf(target), written);
      const delivered = new DeliveredText();
      return createEventReader(target, expectedOf(target), {
        ...written,
        seen: (chunk) => delivered.take(chunk),
        recovery: (spent) => continuation(target, delivered, spent),
      });
    },
    fault: faultOf,
  };
}
