import type { PrefillDialect } from "../target.ts";
import { mayPrefill } from "./continuation.ts";
import { arrayOf, type JsonObject, objectOf } from "./json.ts";

/** What a request must say so that an endpoint goes on with a text. */
export interface Prefill {
  /** Holds the text; the last of the messages. */
  readonly message: JsonObject;
  /** Beside the messages. */
  readonly members: JsonObject;
}

/**
 * How an endpoint is asked to go on with a text; undefined: it is not, and must be asked anew. Not after an answer that the caller has
 * begun itself, not when its limit on tokens is reached, and not with a text by which going on could not be told from answering anew.
 * @param body of the request without the text
 * @param pieces in which the text came: about its tokens
 */
export function prefillFor(
  dialect: PrefillDialect,
  body: JsonObject,
  { text, pieces }: { readonly text: string; readonly pieces: number },
): Prefill | undefined {
  const isBegun = objectOf(arrayOf(body["messages"]).at(-1))?.["role"] === "assistant";
  if (dialect === "none" || isBegun || !mayPrefill(text)) return undefined;
  const limits: Record<string, number> = {};
  for (const name of ["max_tokens", "max_completion_tokens"]) {
    const limit = body[name];
    if (typeof limit !== "number") continue;
    if (limit <= pieces) return undefined;
    // The whole answer must stay within what was asked.
    limits[name] = limit - pieces;
  }
  return {
    message: { role: "assistant", content: text, ...marks[dialect].message },
    members: { ...marks[dialect].members, ...limits },
  };
}

/** What tells that the last message is the beginning of the answer, by dialect. */
const marks = {
  // vLLM, SGLang: without the first, the template would open a new turn.
  continue_final_message: { message: {}, members: { add_generation_prompt: false, continue_final_message: true } },
  // DeepSeek, Mistral.
  prefix: { message: { prefix: true }, members: {} },
  // Anthropic's models, llama.cpp: a last message of the assistant is gone on with.
  assistant: { message: {}, members: {} },
} as const satisfies Record<Exclude<PrefillDialect, "none">, Prefill>;
