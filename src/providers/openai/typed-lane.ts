import type { Completion, CompletionEvent, Prompt } from "../../chat/messages.ts";
import type { Lane } from "../lane.ts";
import { chatAnswer, chatRequest } from "./chat-call.ts";
import { completionOf, tokenCountsOf } from "./completion.ts";
import { createEventReader } from "./event-reader.ts";
import { faultOf } from "./faults.ts";
import { promptBody } from "./prompt-body.ts";

/** The contract's messages toward an OpenAI-compatible upstream and back. */
export function typedLane(prompt: Prompt): Lane<Completion, CompletionEvent> {
  return {
    request: (target, mode) => chatRequest(JSON.stringify(promptBody(prompt, target, mode)), mode),
    answer(target, answer) {
      const json = chatAnswer(answer.body.toString("utf8"), answer);
      const usage = tokenCountsOf(json["usage"]);
      return { value: completionOf(json, target), ...(usage && { usage }) };
    },
    reader: (target) => createEventReader(target, prompt.candidateCount || 1),
    fault: faultOf,
  };
}
