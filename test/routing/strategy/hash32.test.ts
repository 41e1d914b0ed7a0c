import { describe, expect, test } from "vitest";
import { hash32, mix32 } from "../../../src/routing/strategy/hash32.ts";

describe("the 32-bit hash", () => {
  test("stays the same from release to release: keys would move otherwise", () => {
    expect(["", "a", "openai/gpt-4o", "über"].map((text) => hash32(text).toString(16))).toMatchInlineSnapshot(`
      [
        "ab3e7c0b",
        "1a80b1b3",
        "19b1b588",
        "8079bfde",
      ]
    `);
  });

  test("finishes as MurmurHash3 does", () => {
    expect(mix32(0)).toBe(0);
    expect(mix32(1)).toBe(0x514e28b7);
  });

  test("spreads short texts over its whole range (ε = 10 % per sixteenth, of 64,000 texts)", () => {
    const sixteenths = new Array<number>(16).fill(0);
    for (let text = 0; text < 64_000; text++) {
      const sixteenth = hash32(`k${text}`) >>> 28;
      sixteenths[sixteenth] = (sixteenths[sixteenth] ?? 0) + 1;
    }
    for (const count of sixteenths) expect(Math.abs(count / 4000 - 1)).toBeLessThan(0.1);
  });
});
