import type { PrefillDialect } from "../target.ts";
import type { JsonObject } from "./json.ts";

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

/** What is left of the limits on tokens after so many: the whole answer must stay within what was asked. */
export function remainingTokens(body: JsonObject, used: number): Record<string, number> {
  const limits: Record<string, number> = {};
  for (const name of ["max_tokens", "max_completion_tokens"]) {
    const limit = body[name];
    if (typeof limit === "number") limits[name] = Math.max(1, limit - used);
  }
  return limits;
}
