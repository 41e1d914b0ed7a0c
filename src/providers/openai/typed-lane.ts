import type { Completion, CompletionEvent, Prompt } from "../../chat/messages.ts";
import type { Lane } from "../lane.ts";
import { chatAnswer, chatRequest, chatUsage } from "./chat-call.ts";
import { completionOf } from "./completion.ts";
import { promptCharacters } from "./estimate.ts";
import { createEventReader } from "./event-reader.ts";
import { faultOf } from "./faults.ts";
import { ownStreamOptions, promptBody } from "./prompt-body.ts";
import { asksForUsage } from "./stream-options.ts";

/** The contract's messages toward an OpenAI-compatible upstream and back. */
export function typedLane(prompt: Prompt): Lane<Completion, CompletionEvent> {
  const characters = () => promptCharacters(prompt);
  return {
    request(target, mode, { usage }) {
      const asks = usage && mode === "stream";
      const body = JSON.stringify(promptBody(prompt, target, mode, asks));
      return chatRequest(body, mode, asks && !asksForUsage(ownStreamOptions(prompt)));
    },
    answer(target, answer) {
      const json = chatAnswer(answer.body.toString("utf8"), answer);
      return { value: completionOf(json, target), usage: chatUsage(json, characters) };
    },
    reader: (target) => createEventReader(target, prompt.candidateCount || 1, characters),
    fault: faultOf,
  };
}
