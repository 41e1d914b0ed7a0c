import { FaultError } from "../../chat/fault.ts";
import type { TokenCounts } from "../../routing/trail.ts";
import type { AnswerMode, HttpAnswer, LaneRequest } from "../lane.ts";
import { type Expected, hollowAnswer } from "./chunk-scanner.ts";
import { holdsAnswer, holdsContent, tokenCountsOf } from "./completion.ts";
import { isError } from "./error-body.ts";
import { answerCharacters, estimatedCounts } from "./estimate.ts";
import { faultOfError } from "./faults.ts";
import { arrayOf, type JsonObject, objectOf, parseJson, textOf } from "./json.ts";

/** A chat request in the dialect, whichever lane wrote its body. */
export function chatRequest(
  body: string,
  facts: Pick<LaneRequest, "altered" | "configured" | "prefilled"> & { readonly mode: AnswerMode },
): LaneRequest {
  const accept = facts.mode === "stream" ? "text/event-stream" : "application/json";
  return { path: "/chat/completions", headers: { "content-type": "application/json", accept }, body, ...facts };
}

/**
 * The JSON of a whole chat answer.
 * @throws FaultError when it is none, an error that came as a success, or an answer that answers nothing
 */
export function chatAnswer(text: string, { status }: HttpAnswer, { mayBeEmpty }: Expected): JsonObject {
  const json = objectOf(parseJson(text));
  if (!json) throw new FaultError({ kind: "malformed", status, message: "the answer is not JSON" });
  if (isError(json)) throw new FaultError({ ...faultOfError(json), status });
  if (!holdsAnswer(json) || (!mayBeEmpty && isHollow(json)))
    throw new FaultError({ kind: "malformed", status, message: hollowAnswer });
  return json;
}

/** Whether an answer may be cut off before its first word: a request's stop sequences tell. */
export function hasStops(stop: unknown): boolean {
  return arrayOf(stop).length > 0 || Boolean(textOf(stop));
}

/** Whether an answer has come to a natural end after no token at all: some providers answer so when they have failed. */
function isHollow(json: JsonObject): boolean {
  if (tokenCountsOf(json["usage"])?.outputTokens !== 0) return false;
  return arrayOf(json["choices"]).every((each) => {
    const choice = objectOf(each) ?? {};
    return choice["finish_reason"] === "stop" && !holdsContent(objectOf(choice["message"]) ?? {});
  });
}

/** What a whole answer cost: as the provider counted, else an estimate. */
export function chatUsage(json: JsonObject, { promptCharacters }: Expected): TokenCounts {
  const counted = tokenCountsOf(json["usage"]);
  if (counted) return counted;
  const messages = arrayOf(json["choices"]).map((choice) => objectOf(objectOf(choice)?.["message"]) ?? {});
  return estimatedCounts(
    promptCharacters(),
    messages.reduce((characters, message) => characters + answerCharacters(message), 0),
  );
}
