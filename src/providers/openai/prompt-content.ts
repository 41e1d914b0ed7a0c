import type { Prompt } from "../../chat/messages.ts";
import { contentText } from "./completion.ts";
import { arrayOf, type JsonObject, objectOf, textOf } from "./json.ts";

/** What a prompt is made of, as far as that may decide which model it is for. */
export interface PromptContent {
  readonly image: boolean;
  readonly audio: boolean;
  /** About as many tokens as its texts come to. */
  readonly tokens: number;
}

/** English has four bytes to a token, Chinese as many: there a character has three, and is most of a token. */
const bytesPerToken = 4;

/** What an OpenAI body's messages hold. */
export function bodyContent(body: JsonObject): PromptContent {
  const messages = arrayOf(body["messages"]).map((each) => objectOf(each) ?? {});
  const types = new Set(
    messages.flatMap(({ content }) => arrayOf(content).map((part) => textOf(objectOf(part)?.["type"]) ?? "")),
  );
  const texts = messages.map(({ content }) => contentText(content) ?? "");
  return {
    image: types.has("image_url") || types.has("input_image"),
    audio: types.has("input_audio") || types.has("audio_url"),
    tokens: tokensOf(texts),
  };
}

/** What a prompt's messages hold. */
export function promptContent({ messages }: Prompt): PromptContent {
  const parts = messages.flatMap((message) =>
    message.parts.flatMap((part) => [part, ...(part.kind.case === "toolResult" ? part.kind.value.parts : [])]),
  );
  const families = new Set(
    parts.flatMap(({ kind }) => (kind.case === "media" ? [kind.value.mediaType.toLowerCase().split("/", 1)[0]] : [])),
  );
  const texts = parts.flatMap(({ kind }) => (kind.case === "text" ? [kind.value] : []));
  return { image: families.has("image"), audio: families.has("audio"), tokens: tokensOf(texts) };
}

function tokensOf(texts: readonly string[]): number {
  return Math.ceil(texts.reduce((bytes, text) => bytes + Buffer.byteLength(text), 0) / bytesPerToken);
}
