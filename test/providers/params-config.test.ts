import { describe, expect, test } from "vitest";
import { ConfigError, checkConfig } from "../../src/server/config.ts";
import type { Json } from "../support/rest.ts";

function config({ params, defaults }: { params?: unknown; defaults?: unknown }) {
  return {
    providers: [{ name: "p", base_url: "http://127.0.0.1:1/v1" }],
    models: [{ name: "think", targets: [{ provider: "p", model: "m", ...(params !== undefined && { params }) }] }],
    ...(defaults !== undefined && { defaults: { params: defaults } }),
  };
}

/** What is wrong with it: `path: expected`. */
function problems(changes: { params?: unknown; defaults?: unknown }): string[] {
  try {
    checkConfig(config(changes), "the test");
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ path, expected, value }) => `${path}: ${expected} | ${value}`);
  }
}

const at = "models[0].targets[0].params";

describe("parameters in a configuration", () => {
  test("may have any name and any JSON as their values", () => {
    const params = {
      temperature: 0.1,
      max_tokens: 32768,
      stream: true,
      odd: { deep: [1, null, "x", { y: false }] },
      none: null,
    };
    expect(checkConfig(config({ params }), "the test").models[0]?.targets[0]?.params).toEqual(params);
    const { stream: _, ...defaults } = params;
    expect(checkConfig(config({ defaults }), "the test").defaults.params).toEqual(defaults);
  });

  test("are held to the ranges that callers are held to, and told by their paths, all at once", () => {
    expect(
      problems({ params: { temperature: 9, top_p: "a", stream: "maybe", stop: 7 }, defaults: { max_tokens: 0 } }),
    ).toEqual([
      `${at}.temperature: expected a number from 0 to 2 | 9`,
      `${at}.top_p: expected a number from 0 to 1 | "a"`,
      `${at}.stream: expected true or false | "maybe"`,
      `${at}.stop: expected a text or a list of at most 4 texts | 7`,
      "defaults.params.max_tokens: expected a whole number of at least 1 | 0",
    ]);
  });

  test("are numbers and switches also where they come as texts, as out of the environment, and texts where those may stand", () => {
    const params = {
      temperature: "0.5",
      max_tokens: "7",
      stream: "true",
      logprobs: "false",
      stop: "7",
      top_k: "-1",
      mine: "7",
    };
    expect(checkConfig(config({ params }), "the test").models[0]?.targets[0]?.params).toEqual({
      ...{ temperature: 0.5, max_tokens: 7, stream: true, logprobs: false, stop: "7", top_k: -1, mine: "7" },
    });
  });

  const others: Json = {
    ...{ model: "x", messages: [], n: 2, provider: "p", fallback_providers: [], timeout: 1, retry_count: 1 },
    ...{ task: "code", stream_options: {} },
  };
  test.each(Object.entries(others))("are never %s, which is not theirs to set", (name, value) => {
    const expected = new RegExp(`^\\S+params\\.${name}: expected no ${name} here: \\S`);
    expect(problems({ params: { [name]: value } })).toEqual([expect.stringMatching(expected)]);
    expect(problems({ defaults: { [name]: value } })).toEqual([expect.stringMatching(expected)]);
  });

  test("say of endpoints alone whether they stream", () => {
    expect(problems({ defaults: { stream: true } })).toEqual([
      expect.stringMatching(/^defaults\.params\.stream: expected no stream here/),
    ]);
  });

  test("have one limit on tokens, by either of its names", () => {
    expect(problems({ params: { max_tokens: 1, max_completion_tokens: 1 } })).toEqual([
      expect.stringMatching(/max_completion_tokens: expected either max_tokens or max_completion_tokens/),
    ]);
  });

  test.each([[[]], ["x"], [7], [null]])("are an object, not %j", (params) => {
    expect(problems({ params })).toEqual([expect.stringMatching(/^models\[0\]\.targets\[0\]\.params: expected /)]);
  });

  test("are JSON", () => {
    expect(problems({ params: { odd: Number.POSITIVE_INFINITY } })).toEqual([
      expect.stringMatching(`${at.replaceAll(/[[\]]/g, "\\$&")}.odd: `),
    ]);
  });
});
