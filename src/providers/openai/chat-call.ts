import { FaultError } from "../../chat/fault.ts";
import type { HttpAnswer, HttpRequest } from "../lane.ts";
import { holdsAnswer } from "./completion.ts";
import { faultOfError } from "./faults.ts";
import { type JsonObject, objectOf, parseJson } from "./json.ts";

/** A chat request in the dialect, whichever lane wrote its body. */
export function chatRequest(body: string, mode: "unary" | "stream"): HttpRequest {
  const accept = mode === "stream" ? "text/event-stream" : "application/json";
  return { path: "/chat/completions", headers: { "content-type": "application/json", accept }, body };
}

/**
 * The JSON of a whole chat answer.
 * @throws FaultError when it is none, an error that came as a success, or an answer that answers nothing
 */
export function chatAnswer(text: string, { status }: HttpAnswer): JsonObject {
  const json = objectOf(parseJson(text));
  if (!json) throw new FaultError({ kind: "malformed", status, message: "the answer is not JSON" });
  if (json["error"]) throw new FaultError({ ...faultOfError(json), status });
  if (!holdsAnswer(json)) throw new FaultError({ kind: "malformed", status, message: "the answer holds nothing" });
  return json;
}
