import type { Prompt } from "../../chat/messages.ts";
import type { TokenCounts } from "../../routing/trail.ts";
import { argumentsText, contentText, reasoningText } from "./completion.ts";
import { arrayOf, type JsonObject, objectOf, textOf } from "./json.ts";

/** English has about four characters to a token; other languages have fewer, code too. Nobody is billed by it. */
const charactersPerToken = 4;

/** What an answer may have cost, by the lengths of its texts, where the provider says nothing. */
export function estimatedCounts(promptCharacters: number, answerCharacters: number): TokenCounts {
  return {
    inputTokens: Math.ceil(promptCharacters / charactersPerToken),
    outputTokens: Math.ceil(answerCharacters / charactersPerToken),
    estimated: true,
  };
}

/** Characters of what a message or delta of an answer says: text, thinking, a refusal, arguments of tool calls. */
export function answerCharacters(message: JsonObject): number {
  let characters = (contentText(message["content"])?.length ?? 0) + (reasoningText(message)?.length ?? 0);
  characters += textOf(message["refusal"])?.length ?? 0;
  for (const call of arrayOf(message["tool_calls"])) characters += callCharacters(objectOf(call)?.["function"]);
  return characters + callCharacters(message["function_call"]);
}

/** Characters of the texts in an OpenAI body's messages; images and sounds are no texts. */
export function bodyCharacters(body: JsonObject): number {
  let characters = 0;
  for (const each of arrayOf(body["messages"])) {
    const message = objectOf(each) ?? {};
    characters += contentText(message["content"])?.length ?? 0;
    for (const call of arrayOf(message["tool_calls"])) characters += callCharacters(objectOf(call)?.["function"]);
  }
  return characters;
}

/** Characters of the texts in a prompt's messages; images and sounds are no texts. */
export function promptCharacters({ messages }: Prompt): number {
  let characters = 0;
  for (const { parts } of messages) {
    for (const { kind } of parts) {
      if (kind.case === "text" || kind.case === "refusal") characters += kind.value.length;
      if (kind.case === "toolCall") characters += kind.value.argumentsJson.length;
      if (kind.case !== "toolResult") continue;
      for (const part of kind.value.parts) characters += part.kind.case === "text" ? part.kind.value.length : 0;
    }
  }
  return characters;
}

function callCharacters(call: unknown): number {
  return argumentsText(objectOf(call)?.["arguments"]).length;
}
