import type { AnswerFold, ReadMeaning } from "../lane.ts";
import { ChunkFold } from "./chunk-fold.ts";
import { ChunkScanner, type Expected, type Scan } from "./chunk-scanner.ts";
import type { JsonObject } from "./json.ts";

/** Gathers an OpenAI stream into its whole answer. @param meaning what a lane makes of an answer that came whole */
export function answerFold<Answer>(expected: Expected, meaning: (answer: JsonObject) => Answer): AnswerFold<Answer> {
  const scanner = new ChunkScanner(expected);
  const fold = new ChunkFold();
  const take = ({ bytes: _, events, ...meaning }: Scan): ReadMeaning => {
    for (const { chunk } of events) if (chunk) fold.take(chunk);
    return meaning;
  };
  return {
    push: (bytes) => take(scanner.push(bytes)),
    end: () => take(scanner.end()),
    value: () => meaning(fold.answer()),
    facts: () => scanner.facts(),
  };
}
