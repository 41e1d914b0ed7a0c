import type { AnswerFacts } from "../lane.ts";
import { arrayOf, type JsonObject, objectOf, textOf } from "./json.ts";

/** Words of an upstream's that are written down; its own are far shorter. */
const maxLength = 256;
const maxReasons = 16;

/** Who has answered, and how each candidate ended, as an upstream says it. */
export function answerFacts(model: unknown, finishReasons: readonly string[]): AnswerFacts {
  const responseModel = textOf(model)?.slice(0, maxLength);
  const reasons = finishReasons.length > maxReasons ? finishReasons.slice(0, maxReasons) : finishReasons;
  if (responseModel && reasons.length > 0) return { responseModel, finishReasons: reasons };
  return { ...(responseModel && { responseModel }), ...(reasons.length > 0 && { finishReasons: reasons }) };
}

/** The same of a whole answer. */
export function wholeAnswerFacts({ model, choices }: JsonObject): AnswerFacts {
  return answerFacts(model, finishReasonsOf(choices));
}

function finishReasonsOf(choices: unknown): string[] {
  const reasons: string[] = [];
  for (const choice of arrayOf(choices)) {
    const reason = textOf(objectOf(choice)?.["finish_reason"]);
    if (reason) reasons.push(reason.slice(0, maxLength));
  }
  return reasons;
}
