import { describe, expect, test } from "vitest";
import { checkBody } from "../../src/providers/openai/check-body.ts";

const messages = [{ role: "user", content: "Hi" }];
const fieldsOf = (body: Record<string, unknown>) => checkBody(body).map(({ field }) => field);

describe("an OpenAI body", () => {
  test.each<[string, unknown[], unknown[]]>([
    ["temperature", [0, 2, null, 1.5], [-0.1, 2.1, "1", Number.NaN]],
    ["top_p", [0, 1], [1.1, -1]],
    ["top_k", [-1, 40], [1.5]],
    ["n", [1, 128], [0, -1, 129, 1.5, 1e9]],
    ["max_tokens", [1, null], [0, -1, 1e12, 1.5]],
    ["max_completion_tokens", [1], [0]],
    ["presence_penalty", [-2, 2], [2.1]],
    ["frequency_penalty", [-2, 2], [-2.1]],
    ["top_logprobs", [0, 20], [21]],
    ["stop", ["x", ["a", "b", "c", "d"], null], [["1", "2", "3", "4", "5"], 7, [1]]],
    ["stream", [true, false, null], ["true", 1]],
    ["seed", [1, -1], ["1", 1.5]],
    ["logit_bias", [{ 5: 100 }], [{ 5: 101 }, []]],
    ["timeout", [0.5, 1e12], [0, -1, "60", Number.NaN]],
    ["retry_count", [0, 9], [-1, 1e9, 1.5]],
    ["provider", ["x", { order: [] }], [7, []]],
    ["fallback_providers", [[], ["a"]], ["a", [1], Array(17).fill("a")]],
    ["model", ["", "m", null], [7, {}, "x".repeat(257)]],
    ["tools", [[]], [{}]],
    ["logprobs", [true], [1]],
  ])("may say of %s what the API publishes, and nothing else", (field, good, bad) => {
    for (const value of good) expect(fieldsOf({ messages, [field]: value })).toEqual([]);
    for (const value of bad) expect(fieldsOf({ messages, [field]: value })).toEqual([field]);
  });

  test("needs messages that are objects, whatever is in them", () => {
    expect(fieldsOf({})).toEqual(["messages"]);
    expect(fieldsOf({ messages: [] })).toEqual(["messages"]);
    expect(fieldsOf({ messages: ["hi"] })).toEqual(["messages"]);
    expect(fieldsOf({ messages: [{ role: "vendor", content: [{ type: "new" }] }] })).toEqual([]);
  });

  test("is told everything that is wrong with it at once, with what was expected", () => {
    const violations = checkBody({ messages, temperature: 3, n: 0 });
    expect(violations).toEqual([
      { field: "temperature", description: "expected a number from 0 to 2, got 3" },
      { field: "n", description: "expected a whole number from 1 to 128, got 0" },
    ]);
  });
});
