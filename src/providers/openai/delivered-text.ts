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
    this.head ??= { id: chunk["id"], created: chunk["created"], model: chunk["model"] };
    for (const each of arrayOf(chunk["choices"])) this.#takeChoice(objectOf(each) ?? {});
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
    if (isMore || countOf(choice["index"]) > 0) this.#plain = false;
  }
}

/** Whether an answer to this request is one candidate of free text, which can be gone on with anywhere. */
export function asksForPlainText(body: JsonObject): boolean {
  const { n = 1, logprobs, top_logprobs: alternatives, response_format: format } = body;
  const shape = objectOf(format)?.["type"] ?? "text";
  return (n === 1 || n === null) && !logprobs && !alternatives && shape === "text";
}
