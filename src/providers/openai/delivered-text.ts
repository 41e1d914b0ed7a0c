import { contentText, holdsContent } from "./completion.ts";
import { arrayOf, countOf, type JsonObject, objectOf, textOf } from "./json.ts";

/** What an answer's chunks begin with, whichever endpoint says them. */
export interface ChunkHead {
  readonly id: unknown;
  readonly created: unknown;
  readonly model: unknown;
}

/** What a caller has of an answer, as far as another endpoint could go on with it: one text, and nothing beside it. */
export class DeliveredText {
  text = "";
  /** How many pieces it came in: servers send about one for each token. */
  pieces = 0;
  head: ChunkHead | undefined;
  #plain = true;

  take(chunk: JsonObject): void {
    const choices = arrayOf(chunk["choices"]);
    // What some servers send before the answer begins has no id of its own.
    if (choices.length > 0) this.head ??= { id: chunk["id"], created: chunk["created"], model: chunk["model"] };
    for (const each of choices) this.#takeChoice(objectOf(each) ?? {});
  }

  /** Whether text is all that has come, and the answer has not ended. */
  get isPlain(): boolean {
    return this.#plain && this.text !== "";
  }

  #takeChoice(choice: JsonObject): void {
    const { content, ...others } = objectOf(choice["delta"]) ?? {};
    const text = contentText(content);
    if (text) {
      this.text += text;
      this.pieces += 1;
    }
    const isMore = holdsContent(others) || choice["logprobs"] || textOf(choice["finish_reason"]);
    if (isMore || arrayOf(content).some(isNoText) || countOf(choice["index"]) > 0) this.#plain = false;
  }
}

/** Thinking and pictures may come as parts of a list, among those of text. */
function isNoText(part: unknown): boolean {
  return textOf(objectOf(part)?.["text"]) === undefined;
}

/** How servers are told, in words of their own, that an answer must have a shape. */
const shapes = [
  ...["guided_json", "guided_regex", "guided_choice", "guided_grammar", "structured_outputs"], // vLLM
  ...["grammar", "json_schema"], // llama.cpp
  ...["regex", "ebnf"], // SGLang
];

/** Whether an answer to this request is one candidate of free text, which can be gone on with anywhere. */
export function asksForPlainText(body: JsonObject): boolean {
  const { n = 1, logprobs, top_logprobs: alternatives, response_format: format } = body;
  const shape = objectOf(format)?.["type"] ?? "text";
  const isFree = shape === "text" && shapes.every((name) => (body[name] ?? null) === null);
  return (n === 1 || n === null) && !logprobs && !alternatives && isFree;
}
