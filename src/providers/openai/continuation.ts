import { FaultError } from "../../chat/fault.ts";

/**
 * So many characters of an answer's beginning tell it from any other text: an endpoint that was given a text to go on with and says
 * these again is answering anew.
 */
const tellingCharacters = 24;

/** What tells an answer from others. Servers and templates differ in the blanks that they put or leave before it. */
function tellingBeginning(delivered: string): string {
  return delivered.trimStart().slice(0, tellingCharacters);
}

/** Whether a text may be given to an endpoint to go on with: what comes must then tell whether it goes on or answers anew. */
export function mayPrefill(delivered: string): boolean {
  const beginning = tellingBeginning(delivered);
  const again = delivered.indexOf(beginning, delivered.indexOf(beginning) + 1);
  // Half a character at the end would not survive the way there; many templates cut off blanks, which would then be said twice.
  return beginning.length === tellingCharacters && again < 0 && !/[\s\ud800-\udbff]$/.test(delivered);
}

/**
 * Joins the text that a caller has with what another endpoint says: what comes back of it is new, and the two together are one text
 * without a gap or a repetition. Nothing is given back as long as it is not certain to be that.
 */
export class Continuation {
  readonly #delivered: string;
  readonly #prefilled: boolean;
  /** What an endpoint that was given the text has said, while it may be answering anew. */
  #held = "";
  /** So much of the text has been said again by one that was not. */
  #said = 0;
  #joined = false;

  /** @param prefilled whether the endpoint was given the text: then it should go on, else it should say it again first */
  constructor(delivered: string, prefilled: boolean) {
    this.#delivered = delivered;
    this.#prefilled = prefilled;
  }

  /**
   * @returns what of the text is new
   * @throws FaultError `diverged` when it is another answer than the one that the caller has the beginning of; or, from an endpoint that
   * was given the text, when it begins like it: whether that is the answer begun anew, or a text that repeats itself, nobody can tell
   */
  push(text: string): string {
    if (this.#joined) return text;
    if (!this.#prefilled) return this.#sayAgain(text);
    this.#held += text;
    const beginning = tellingBeginning(this.#delivered);
    const held = tellingBeginning(this.#held);
    if (held === beginning) throw new FaultError({ kind: "diverged", anew: true });
    return beginning.startsWith(held) ? "" : this.#join(this.#held);
  }

  /**
   * The text is over.
   * @param hasMore whether something other than text follows it
   * @returns what was held back and is new after all
   * @throws FaultError `diverged` when it ends before it has said what the caller has, or has nothing to add: then nobody knows
   * whether the text is whole
   */
  end(hasMore = false): string {
    if (this.#joined) return "";
    // An endpoint that takes the text for a whole answer has nothing to add, however much is missing.
    const hasNothing = !hasMore && this.#held.trim() === "";
    if (!this.#prefilled || hasNothing) throw new FaultError({ kind: "diverged", anew: false });
    return this.#join(this.#held);
  }

  /** What is said again must be the caller's text to the character; only the piece that has come is looked at, for a text may be long. */
  #sayAgain(text: string): string {
    const left = this.#delivered.length - this.#said;
    const equal =
      text.length < left
        ? this.#delivered.startsWith(text, this.#said)
        : text.startsWith(this.#delivered.slice(this.#said));
    if (!equal) throw new FaultError({ kind: "diverged", anew: false });
    this.#said += text.length;
    return text.length < left ? "" : this.#join(text.slice(left));
  }

  #join(fresh: string): string {
    this.#joined = true;
    this.#held = "";
    return fresh;
  }
}
