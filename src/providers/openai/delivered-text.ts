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
  #obstacle: string | undefined;

  take(chunk: JsonObject): void {
    const choices = arrayOf(chunk["choices"]);
    // What some servers send before the answer begins has no id of its own.
    if (choices.length > 0) this.head ??= { id: chunk["id"], created: chunk["created"], model: chunk["model"] };
    for (const each of choices) this.#takeChoice(objectOf(each) ?? {});
  }

  /** Why nobody can go on with it, for people; undefined: text is all that has come, and the answer has not ended. */
  get obstacle(): string | undefined {
    return this.#obstacle ?? (this.text === "" ? "no text had come" : undefined);
  }

  #takeChoice(choice: JsonObject): void {
    const { content, ...others } = objectOf(choice["delta"]) ?? {};
    const text = contentText(content);
    if (text) {
      this.text += text;
      this.pieces += 1;
    }
    if (textOf(choice["finish_reason"])) this.#obstacle ??= "the finish reason had come";
    const isMore = holdsContent(others) || choice["logprobs"] || arrayOf(content).some(isNoText);
    if (isMore || countOf(choice["index"]) > 0) this.#obstacle ??= "more than one plain text had come";
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

/** Why nobody can go on with the answer to this request, for people; undefined: it is one candidate of free text. */
export function obstacleIn(body: JsonObject): string | undefined {
  const { n = 1, logprobs, top_logprobs: alternatives, response_format: format } = body;
  const shape = objectOf(format)?.["type"] ?? "text";
  if (n !== 1 && n !== null) return "several answers were asked for";
  if (logprobs || alternatives) return "log probabilities were asked for";
  if (shape !== "text" || shapes.some((name) => (body[name] ?? null) !== null)) return "the answer must have a shape";
  return undefined;
}
