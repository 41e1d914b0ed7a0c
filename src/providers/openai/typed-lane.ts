import { FaultError } from "../../chat/fault.ts";
import type { Completion, CompletionEvent, Prompt } from "../../chat/messages.ts";
import type { Lane } from "../lane.ts";
import { completionOf, tokenCountsOf } from "./completion.ts";
import { createEventReader } from "./event-reader.ts";
import { faultOf, faultOfError } from "./faults.ts";
import { objectOf, parseJson } from "./json.ts";
import { promptBody } from "./prompt-body.ts";

/** The contract's messages toward an OpenAI-compatible upstream and back. */
export function typedLane(prompt: Prompt): Lane<Completion, CompletionEvent> {
  return {
    request: (target, mode) => ({
      path: "/chat/completions",
      headers: {
        "content-type": "application/json",
        accept: mode === "stream" ? "text/event-stream" : "application/json",
      },
      body: JSON.stringify(promptBody(prompt, target, mode)),
    }),
    answer(target, answer) {
      const json = objectOf(parseJson(answer.body.toString("utf8")));
      if (!json) throw new FaultError({ kind: "malformed", status: answer.status, message: "the answer is not JSON" });
      if (json["error"]) throw new FaultError({ ...faultOfError(json), status: answer.status });
      const usage = tokenCountsOf(json["usage"]);
      return { value: completionOf(json, target), ...(usage && { usage }) };
    },
    reader: (target) => createEventReader(target, prompt.candidateCount || 1),
    fault: faultOf,
  };
}
