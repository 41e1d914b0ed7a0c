// Sixteen bounds the size of a token, so that a text without blanks still streams; the `u` keeps surrogate pairs together.
const token = /\s{0,16}\S{1,16}|\s{1,16}/gu;

/** Splits a text into word-like tokens, blanks in front of their word. Joined they are the text again. */
export function splitTokens(text: string): string[] {
  return text.match(token) ?? [];
}

/** How many words a text has: what a prompt of it costs. A loop, since prompts may be megabytes and this is called for each. */
export function countWords(text: string): number {
  let words = 0;
  let inside = false;
  for (let index = 0; index < text.length; index++) {
    const blank = text.charCodeAt(index) <= 32;
    if (!blank && !inside) words++;
    inside = !blank;
  }
  return words;
}
