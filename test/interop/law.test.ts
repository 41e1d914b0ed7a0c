import type { MessageInitShape } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { ChatService } from "../../gen/ts/everhop/v1/chat_service_pb.ts";
import { type Completion, FinishReason } from "../../gen/ts/everhop/v1/completion_pb.ts";
import { type PromptSchema, Role } from "../../gen/ts/everhop/v1/prompt_pb.ts";
import { createFold } from "../../src/chat/fold.ts";
import type { Behaviour } from "../../src/providers/simulated/behaviour.ts";
import type { Fault } from "../../src/providers/simulated/fault.ts";
import { poolConfig, startGateway, startProviders } from "../support/gateway.ts";
import { openTransport, rpcNames, textOf } from "../support/wires.ts";

type PromptInit = MessageInitShape<typeof PromptSchema>;

const text = "Tell me of kangaroos 🦘 é\n\tand their\u0000tails, 日本語 too; stop here or go on";
const user = (value: string) => ({ role: Role.USER, parts: [{ kind: { case: "text" as const, value } }] });
const prompt: PromptInit = { messages: [user(text)] };
const schema = {
  type: "object",
  required: ["city", "degrees"],
  properties: { city: { type: "string" }, degrees: { type: "number" } },
};
const tools: PromptInit["tools"] = [
  { kind: { case: "function", value: { name: "weather", parametersJson: JSON.stringify(schema) } } },
];

/** Both answers to a prompt, from providers that give equal answers to equal requests. */
async function bothAnswers(
  init: PromptInit,
  behaviour: Partial<Behaviour> = {},
  wire: (typeof rpcNames)[number] = "gRPC",
) {
  const providers = await startProviders({ same: behaviour });
  const twins = await startProviders({ same: behaviour });
  const unary = await startGateway(poolConfig(providers), providers);
  const streamed = await startGateway(poolConfig(twins), twins);
  const { completion } = await createClient(ChatService, openTransport(wire, unary.address)).completeChat({
    prompt: init,
  });
  const fold = createFold();
  const events: string[] = [];
  for await (const { event } of createClient(ChatService, openTransport(wire, streamed.address)).streamChat({
    prompt: init,
  })) {
    if (!event) throw new Error("a response without an event");
    events.push(event.kind.case ?? "unknown");
    // Throws when the event cannot stand here.
    fold.push(event);
  }
  expect(fold.ended).toBe(true);
  if (!completion) throw new Error("an answer without a completion");
  return { completion, folded: fold.completion, events, sent: providers.same.seen[0]?.json };
}

function partKinds(completion: Completion): (string | undefined)[][] {
  return completion.candidates.map(({ message }) => message?.parts.map(({ kind }) => kind.case) ?? []);
}

describe("folding a stream's events gives the unary completion", () => {
  test.each(rpcNames)("for a plain text over %s, down to its id and time", async (wire) => {
    const { completion, folded, events } = await bothAnswers(prompt, {}, wire);
    expect(folded).toEqual(completion);
    expect(textOf(completion)).toBe(`You said: ${text}`);
    expect(completion).toMatchObject({ provider: "same", model: "same-model" });
    expect(completion.id).toMatch(/^chatcmpl-/);
    expect(completion.createTime?.seconds).toBe(1_700_000_000n);
    expect(completion.candidates[0]).toMatchObject({
      finishReason: FinishReason.STOP,
      nativeFinishReason: "stop",
      message: { role: Role.ASSISTANT },
    });
    expect(events.slice(0, 3)).toEqual(["start", "partStart", "partDelta"]);
    expect(events.slice(-3)).toEqual(["partEnd", "candidateEnd", "end"]);
  });

  test("for an answer with reasoning, which stands in a part before the text and names its issuer", async () => {
    const { completion, folded, sent } = await bothAnswers({ ...prompt, reasoning: { effort: "high" } });
    expect(sent).toMatchObject({ reasoning_effort: "high" });
    expect(folded).toEqual(completion);
    expect(partKinds(completion)).toEqual([["reasoning", "text"]]);
    expect(completion.candidates[0]?.message?.parts[0]?.issuer).toBe("openai");
    expect(completion.usage?.reasoningTokens).toBeGreaterThan(0);
  });

  test("for three candidates, whose parts interleave", async () => {
    const { completion, folded } = await bothAnswers({ ...prompt, candidateCount: 3 });
    expect(folded).toEqual(completion);
    expect(completion.candidates.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(new Set(completion.candidates.map(({ message }) => JSON.stringify(message))).size).toBe(3);
  });

  test("for log probabilities with their alternatives and the tokens' bytes", async () => {
    const { completion, folded } = await bothAnswers({ ...prompt, logprobs: { topCount: 2 } });
    expect(folded).toEqual(completion);
    const logprobs = completion.candidates[0]?.logprobs ?? [];
    expect(logprobs.map(({ token }) => token).join("")).toBe(`You said: ${text}`);
    expect(Buffer.concat(logprobs.map(({ tokenBytes }) => tokenBytes)).toString()).toBe(`You said: ${text}`);
    for (const { alternatives, logprob } of logprobs) {
      expect(alternatives.length).toBe(2);
      expect(logprob).toBeLessThan(0);
    }
  });

  test("for a tool call, whose id and name stand whole where its part starts", async () => {
    const { completion, folded } = await bothAnswers({ ...prompt, tools });
    expect(folded).toEqual(completion);
    const call = completion.candidates[0]?.message?.parts[0]?.kind;
    expect(call).toMatchObject({ case: "toolCall", value: { name: "weather", id: expect.stringMatching(/^call_/) } });
    expect(JSON.parse(call?.case === "toolCall" ? call.value.argumentsJson : "")).toEqual({ city: "text", degrees: 0 });
    expect(completion.candidates[0]?.finishReason).toBe(FinishReason.TOOL_CALLS);
  });

  test("for the answer to a tool's result", async () => {
    const { completion, folded } = await bothAnswers({
      tools,
      messages: [
        user("What is the weather?"),
        {
          role: Role.ASSISTANT,
          parts: [
            { kind: { case: "toolCall", value: { id: "call_1", name: "weather", argumentsJson: '{"city":"Oslo"}' } } },
          ],
        },
        {
          role: Role.TOOL,
          parts: [
            {
              kind: {
                case: "toolResult",
                value: { toolCallId: "call_1", parts: [{ kind: { case: "text", value: "7 degrees" } }] },
              },
            },
          ],
        },
      ],
    });
    expect(folded).toEqual(completion);
    expect(textOf(completion)).toBe("The tool said: 7 degrees");
  });

  test("for an answer that ends at a stop sequence", async () => {
    const { completion, folded, sent } = await bothAnswers({ ...prompt, stopSequences: ["tails", "nowhere"] });
    expect(sent).toMatchObject({ stop: ["tails", "nowhere"] });
    expect(folded).toEqual(completion);
    expect(textOf(completion)).toBe("You said: Tell me of kangaroos 🦘 é\n\tand their\u0000");
  });

  test("for an answer that a stop sequence leaves without a word", async () => {
    const { completion, folded } = await bothAnswers({ ...prompt, stopSequences: ["You"] });
    expect(folded).toEqual(completion);
    expect(partKinds(completion)).toEqual([[]]);
    expect(completion.candidates[0]?.finishReason).toBe(FinishReason.STOP);
  });

  test("for an answer that is cut at the token limit", async () => {
    const { completion, folded } = await bothAnswers({ ...prompt, maxOutputTokens: 3 });
    expect(folded).toEqual(completion);
    expect(completion.usage?.outputTokens).toBe(3);
    expect(completion.candidates[0]).toMatchObject({ finishReason: FinishReason.LENGTH, nativeFinishReason: "length" });
  });

  test("for a tool call that is cut before its arguments", async () => {
    const { completion, folded } = await bothAnswers({ ...prompt, tools, maxOutputTokens: 1 });
    expect(folded).toEqual(completion);
    expect(completion.candidates[0]?.finishReason).toBe(FinishReason.LENGTH);
  });

  test("for JSON that follows a schema, and for any JSON", async () => {
    const format = { name: "weather", schemaJson: JSON.stringify(schema), strict: true };
    const bySchema = await bothAnswers({ ...prompt, responseFormat: { case: "jsonSchema", value: format } });
    expect(bySchema.folded).toEqual(bySchema.completion);
    expect(JSON.parse(textOf(bySchema.completion))).toEqual({ city: "text", degrees: 0 });
    expect(bySchema.sent).toMatchObject({
      response_format: { type: "json_schema", json_schema: { name: "weather", schema, strict: true } },
    });
    const any = await bothAnswers({ ...prompt, responseFormat: { case: "jsonObject", value: {} } });
    expect(any.folded).toEqual(any.completion);
    expect(JSON.parse(textOf(any.completion))).toEqual({ answer: text });
  });

  test("with its usage, or without it when the provider tells none", async () => {
    const told = await bothAnswers(prompt);
    expect(told.folded.usage).toEqual(told.completion.usage);
    expect(told.completion.usage?.inputTokens).toBeGreaterThan(0);
    expect(told.completion.usage?.outputTokens).toBeGreaterThan(0);
    const untold = await bothAnswers(prompt, { usage: false });
    expect(untold.folded).toEqual(untold.completion);
    expect(untold.completion.usage).toBeUndefined();
  });

  test("with fields of the provider's own, and fields of the prompt's own reach it", async () => {
    const { completion, folded, sent } = await bothAnswers({
      ...prompt,
      extensionJson: { min_p: "0.05", vendor: '{"deep":[1,null,"x"]}', model: '"another"', messages: "[]" },
    });
    expect(folded).toEqual(completion);
    expect(completion.extensionJson).toEqual({ system_fingerprint: '"sim-same"' });
    // What the contract has a field for is never overridden by an extension.
    expect(sent).toMatchObject({
      min_p: 0.05,
      vendor: { deep: [1, null, "x"] },
      model: "same-model",
      messages: [{ role: "user", content: text }],
    });
  });

  const onOff = <T>(value: T): (T | undefined)[] => [undefined, value];
  const features: { name: string; init: PromptInit }[] = [];
  for (const reasoning of onOff({ effort: "low" }))
    for (const candidateCount of [0, 2])
      for (const logprobs of onOff({ topCount: 0 }))
        for (const maxOutputTokens of [0, 5])
          for (const stopSequences of [[], ["kangaroos"]])
            for (const withTools of [false, true]) {
              const init = {
                ...prompt,
                candidateCount,
                maxOutputTokens,
                stopSequences,
                ...(reasoning && { reasoning }),
                ...(logprobs && { logprobs }),
                ...(withTools && { tools }),
              };
              const name = [
                reasoning && "reasoning",
                candidateCount > 0 && "two candidates",
                logprobs && "log probabilities",
                maxOutputTokens > 0 && "a token limit",
                stopSequences.length > 0 && "a stop sequence",
                withTools && "tools",
              ].filter((each) => typeof each === "string");
              features.push({ name: name.join(", ") || "nothing else", init });
            }
  test.each(features)("for a text with $name", async ({ init }) => {
    const { completion, folded } = await bothAnswers(init);
    expect(folded).toEqual(completion);
  });

  const quirks: Fault[] = [
    { kind: "no_done" },
    { kind: "late_usage", ms: 5 },
    { kind: "usage_in_finish" },
    { kind: "usage_with_choice" },
    { kind: "finish_with_content" },
    { kind: "delta_after_finish" },
    { kind: "candidates_reversed" },
    { kind: "null_deltas" },
    { kind: "bare_choices" },
    { kind: "empty_choices" },
    { kind: "comments" },
    { kind: "crlf" },
    { kind: "text_plain" },
    { kind: "data_after_done" },
    { kind: "drip", msPerByte: 0 },
    { kind: "processing" },
    { kind: "no_content" },
  ];
  test.each(quirks)("however oddly the provider puts the stream: $kind", async (fault) => {
    const { completion, folded } = await bothAnswers(
      { ...prompt, candidateCount: 2, logprobs: { topCount: 1 }, reasoning: { effort: "low" } },
      // One that says nothing, and that it is nothing, is no answer.
      { schedule: [fault], usage: fault.kind !== "no_content" },
    );
    expect(folded).toEqual(completion);
  });

  test("also where each chunk has an id of its own: the first one counts", async () => {
    const { completion, folded } = await bothAnswers(prompt, { schedule: [{ kind: "new_ids" }] });
    expect(folded.id).toMatch(/^chatcmpl-\d$/);
    expect({ ...folded, id: "" }).toEqual({ ...completion, id: "" });
  });
});
