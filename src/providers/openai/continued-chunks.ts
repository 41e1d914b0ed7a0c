import { contentText } from "./completion.ts";
import type { Continuation } from "./continuation.ts";
import { arrayOf, countOf, type JsonObject, objectOf, textOf } from "./json.ts";

/** The chunks of an endpoint that goes on with a text, without what the caller has already. */
export class ContinuedChunks {
  readonly #continuation: Continuation;

  constructor(continuation: Continuation) {
    this.#continuation = continuation;
  }

  /**
   * The chunk with only what is new in it; undefined when nothing is. Thinking is left out: the text that it led to has been sent.
   * @throws FaultError `diverged` when it belongs to another answer
   */
  take(chunk: JsonObject): JsonObject | undefined {
    const choices = arrayOf(chunk["choices"]).map((each) => objectOf(each) ?? {});
    if (choices.length === 0) return chunk;
    const own = choices.filter((choice) => countOf(choice["index"]) === 0).flatMap((choice) => this.#choice(choice));
    return own.length > 0 || chunk["usage"] ? { ...chunk, choices: own } : undefined;
  }

  /** The answer has ended: what was held back of it, as a chunk. @throws FaultError `diverged` */
  end(): JsonObject | undefined {
    const content = this.#continuation.end();
    return content ? { choices: [{ index: 0, delta: { content }, finish_reason: null }] } : undefined;
  }

  #choice(choice: JsonObject): JsonObject[] {
    const delta = objectOf(choice["delta"]) ?? {};
    const { role: _, content, reasoning: _thinking, reasoning_content: _thought, ...others } = delta;
    const text = contentText(content);
    let fresh = text ? this.#continuation.push(text) : "";
    // Nothing but text can stand behind a text that is not all there yet.
    const hasMore = saysMoreThanText(others);
    const ends = textOf(choice["finish_reason"]) || hasMore;
    if (ends) fresh += this.#continuation.end(hasMore);
    if (!fresh && !ends) return [];
    return [{ ...choice, delta: { ...others, ...(fresh && { content: fresh }) } }];
  }
}

function saysMoreThanText({ tool_calls: calls, function_call: call, refusal, audio }: JsonObject): boolean {
  return arrayOf(calls).length > 0 || Boolean(call) || Boolean(refusal) || Boolean(audio);
}
