import { FaultError } from "../../chat/fault.ts";

/**
 * So many characters of an answer's beginning tell it from any other text: an endpoint that was given a text to go on with and says
 * these again is answering anew.
 */
const tellingCharacters = 24;

/** Whether a text may be given to an endpoint to go on with: what comes must then tell whether it goes on or answers anew. */
export function mayPrefill(delivered: string): boolean {
  const beginning = delivered.slice(0, tellingCharacters);
  // Half a character at the end would not survive the way there.
  return (
    beginning.length === tellingCharacters && delivered.indexOf(beginning, 1) < 0 && !/[\ud800-\udbff]$/.test(delivered)
  );
}

/**
 * Joins the text that a caller has with what another endpoint says: what comes back of it is new, and the two together are one text
 * without a gap or a repetition. Nothing is given back as long as it is not certain to be that.
 */
export class Continuation {
  readonly #delivered: string;
  readonly #prefilled: boolean;
  /** What has come and is not told: it may be what the caller has. */
  #held = "";
  #joined = false;

  /** @param prefilled whether the endpoint was given the text: then it should go on, else it should say it again first */
  constructor(delivered: string, prefilled: boolean) {
    this.#delivered = delivered;
    this.#prefilled = prefilled;
  }

  /**
   * @returns what of the text is new
   * @throws FaultError `diverged` when it is another answer than the one that the caller has the beginning of
   */
  push(text: string): string {
    if (this.#joined) return text;
    this.#held += text;
    const held = this.#held;
    if (this.#delivered.startsWith(held)) {
      // What it was given is said again to the last character: then it was not gone on with, but said anew.
      if (held.length === this.#delivered.length) return this.#join("");
      return "";
    }
    if (held.startsWith(this.#delivered)) return this.#join(held.slice(this.#delivered.length));
    return this.#join(this.#goesOn());
  }

  /**
   * The answer is over.
   * @returns what was held back and is new after all
   * @throws FaultError `diverged` when it ends before it has said what the caller has
   */
  end(): string {
    return this.#joined ? "" : this.#join(this.#goesOn());
  }

  /** What is held goes on with the text, or it is something else. */
  #goesOn(): string {
    const held = this.#held;
    if (this.#prefilled && commonLength(held, this.#delivered) < tellingCharacters) return held;
    throw new FaultError({ kind: "diverged", anew: this.#prefilled });
  }

  #join(fresh: string): string {
    this.#joined = true;
    this.#held = "";
    return fresh;
  }
}

function commonLength(one: string, other: string): number {
  let length = 0;
  while (length < one.length && one[length] === other[length]) length += 1;
  return length;
}
