import { describe, expect, test } from "vitest";
import { checkPrompt } from "../../src/chat/check.ts";
import { create, PromptSchema, Role, ToolMode } from "../../src/chat/messages.ts";

const f = { kind: { case: "function" as const, value: { name: "f" } } };
type PromptInit = Parameters<typeof create<typeof PromptSchema>>[1];
const hello = { role: Role.USER, parts: [{ kind: { case: "text" as const, value: "Hi" } }] };

function complaints(init: PromptInit): string[] {
  return checkPrompt(create(PromptSchema, { messages: [hello], ...init })).map(({ field }) => field);
}

describe("a prompt", () => {
  test("that is whole passes", () => {
    expect(complaints({})).toEqual([]);
    expect(
      complaints({ sampling: { temperature: 0 }, maxOutputTokens: 5, candidateCount: 2, logprobs: { topCount: 3 } }),
    ).toEqual([]);
  });

  test("says of a number where 0 is the default that 0 will do", () => {
    const [complaint] = checkPrompt(create(PromptSchema, { messages: [hello], candidateCount: -1 }));
    expect(complaint?.description).toBe("expected a whole number from 0 to 128, got -1");
    expect(complaints({ candidateCount: 0, maxOutputTokens: 0, sampling: { topK: 0 } })).toEqual([]);
  });

  test.each<[string, PromptInit]>([
    ["prompt.messages", { messages: [] }],
    ["prompt.messages[0].role", { messages: [{ parts: hello.parts }] }],
    ["prompt.messages[0].role", { messages: [{ role: 99 as Role, parts: hello.parts }] }],
    ["prompt.messages[0].parts[0]", { messages: [{ role: Role.USER, parts: [{}] }] }],
    [
      "prompt.messages[0].parts[0]",
      {
        messages: [
          {
            role: Role.SYSTEM,
            parts: [{ kind: { case: "media", value: { source: { case: "url", value: "u" }, mediaType: "image/*" } } }],
          },
        ],
      },
    ],
    [
      "prompt.messages[0].parts[0]",
      { messages: [{ role: Role.TOOL, parts: [{ kind: { case: "text", value: "x" } }] }] },
    ],
    [
      "prompt.messages[0].parts[0].media.media_type",
      {
        messages: [
          { role: Role.USER, parts: [{ kind: { case: "media", value: { source: { case: "url", value: "u" } } } }] },
        ],
      },
    ],
    [
      "prompt.messages[0].parts[0].media",
      { messages: [{ role: Role.USER, parts: [{ kind: { case: "media", value: { mediaType: "image/png" } } }] }] },
    ],
    [
      "prompt.messages[0].parts[0].tool_result.tool_call_id",
      { messages: [{ role: Role.TOOL, parts: [{ kind: { case: "toolResult", value: {} } }] }] },
    ],
    ["prompt.messages[0].parts", { messages: [{ role: Role.USER }] }],
    ["prompt.model", { model: "x".repeat(257) }],
    ["prompt.extension_json[deep]", { extensionJson: { deep: "[".repeat(200_000) + "]".repeat(200_000) } }],
    ["prompt.sampling.temperature", { sampling: { temperature: 2.1 } }],
    ["prompt.sampling.temperature", { sampling: { temperature: Number.NaN } }],
    ["prompt.sampling.top_p", { sampling: { topP: -0.1 } }],
    ["prompt.sampling.logit_bias[7]", { sampling: { logitBias: { 7: 101 } } }],
    ["prompt.max_output_tokens", { maxOutputTokens: -1 }],
    ["prompt.candidate_count", { candidateCount: 129 }],
    ["prompt.logprobs.top_count", { logprobs: { topCount: 21 } }],
    ["prompt.stop_sequences", { stopSequences: ["1", "2", "3", "4", "5"] }],
    ["prompt.tools[0].function.name", { tools: [{ kind: { case: "function", value: { name: "a b" } } }] }],
    [
      "prompt.tools[0].function.parameters_json",
      { tools: [{ kind: { case: "function", value: { name: "a", parametersJson: "[]" } } }] },
    ],
    [
      "prompt.json_schema.schema_json",
      { responseFormat: { case: "jsonSchema", value: { name: "s", schemaJson: "no" } } },
    ],
    ["prompt.tool_choice.function_name", { tools: [f], toolChoice: { mode: ToolMode.AUTO, functionName: "f" } }],
    ["prompt.tool_choice.function_name", { tools: [f], toolChoice: { functionName: "g" } }],
    ["prompt.tool_choice.function_name", { toolChoice: { functionName: "f" } }],
    ["prompt.tool_choice.mode", { toolChoice: { mode: ToolMode.REQUIRED } }],
    ["prompt.extension_json[x]", { extensionJson: { x: "{" } }],
  ])("is told of %s", (field, init) => {
    expect(complaints(init)).toEqual([field]);
  });
});
