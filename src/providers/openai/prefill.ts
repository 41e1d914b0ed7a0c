import type { PrefillDialect } from "../target.ts";
import { arrayOf, type JsonObject, objectOf } from "./json.ts";

/** How an endpoint is asked to go on with a text: the message that holds it, and what else the request must say. */
export function prefill(
  dialect: Exclude<PrefillDialect, "none">,
  content: string,
): { readonly message: JsonObject; readonly members: JsonObject } {
  const message = { role: "assistant", content };
  switch (dialect) {
    case "continue_final_message":
      // vLLM, SGLang: without the first, the template would open a new turn.
      return { message, members: { add_generation_prompt: false, continue_final_message: true } };
    case "prefix":
      // DeepSeek, Mistral.
      return { message: { ...message, prefix: true }, members: {} };
    case "assistant":
      // Anthropic's models, llama.cpp: a last message of the assistant is gone on with.
      return { message, members: {} };
  }
}

/**
 * Whether a request has room for the beginning of an answer: not after one that the caller has begun itself, and not when its limit is
 * reached.
 * @param used tokens of the beginning
 */
export function takesPrefill(body: JsonObject, used: number): boolean {
  const isBegun = objectOf(arrayOf(body["messages"]).at(-1))?.["role"] === "assistant";
  return !isBegun && limitNames.every((name) => typeof body[name] !== "number" || body[name] > used);
}

const limitNames = ["max_tokens", "max_completion_tokens"];

/** What is left of the limits on tokens after so many, which they exceed: the whole answer must stay within what was asked. */
export function remainingTokens(body: JsonObject, used: number): Record<string, number> {
  const limits: Record<string, number> = {};
  for (const name of limitNames) {
    const limit = body[name];
    if (typeof limit === "number") limits[name] = limit - used;
  }
  return limits;
}
