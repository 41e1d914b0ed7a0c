import fc from "fast-check";
import { expect, test } from "vitest";
import { countWords, splitTokens } from "../../../src/providers/simulated/tokens.ts";

test("tokens are words with the blanks before them", () => {
  expect(splitTokens("You said:  hi\n")).toEqual(["You", " said:", "  hi", "\n"]);
  expect(splitTokens("")).toEqual([]);
});

test("tokens joined are the text, and none is long or splits a character", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => {
      const tokens = splitTokens(text);
      expect(tokens.join("")).toBe(text);
      for (const token of tokens) {
        expect([...token].length).toBeLessThanOrEqual(32);
        expect(token).not.toMatch(/^[\udc00-\udfff]/);
      }
    }),
  );
});

test("words are counted between blanks", () => {
  expect(["", " ", "a", " a  b\nc "].map(countWords)).toEqual([0, 0, 1, 3]);
});
