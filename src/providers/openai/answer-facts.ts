import type { AnswerFacts } from "../lane.ts";
import { arrayOf, type JsonObject, objectOf, textOf } from "./json.ts";

/** Words of an upstream's that are written down; its own are far shorter. */
const maxLength = 256;
const maxReasons = 16;

/** Who has answered, and how each candidate ended, as an upstream says it. */
export function answerFacts(model: unknown, finishReasons: readonly string[]): AnswerFacts {
  const responseModel = textOf(model)?.slice(0, maxLength);
  return {
    ...(responseModel && { responseModel }),
    ...(finishReasons.length > 0 && { finishReasons: finishReasons.slice(0, maxReasons) }),
  };
}

/** The same of a whole answer. */
export function wholeAnswerFacts({ model, choices }: JsonObject): AnswerFacts {
  return answerFacts(model, finishReasonsOf(choices));
}

function finishReasonsOf(choices: unknown): string[] {
  return arrayOf(choices).flatMap((choice) => textOf(objectOf(choice)?.["finish_reason"])?.slice(0, maxLength) || []);
}
