import { describe, expect, test } from "vitest";
import { createFold } from "../../src/chat/fold.ts";
import { create, PromptSchema } from "../../src/chat/messages.ts";
import type { StreamRead } from "../../src/providers/lane.ts";
import { createEventReader } from "../../src/providers/openai/event-reader.ts";
import { nativeLane } from "../../src/providers/openai/native-lane.ts";
import { typedLane } from "../../src/providers/openai/typed-lane.ts";
import { testTarget } from "./target.ts";

const target = testTarget();

const chunk = (choices: unknown[], more: object = {}) =>
  `data: ${JSON.stringify({ id: "c1", object: "chat.completion.chunk", created: 1_795_000_000, model: "tiny", choices, ...more })}\n\n`;
const delta = (fields: object, more: object = {}, index = 0) => ({
  index,
  delta: fields,
  finish_reason: null,
  ...more,
});
const finish = (reason: string, index = 0) => ({ index, delta: {}, finish_reason: reason });
const done = "data: [DONE]\n\n";

/** Reads a stream given as texts, one read each, and folds it. */
function read(texts: readonly string[], { n = 1, ends = false } = {}) {
  const reader = createEventReader(target, { candidateCount: n, mayBeEmpty: false, promptCharacters: () => 9 });
  const fold = createFold();
  const reads: StreamRead<unknown>[] = [];
  const take = (result: ReturnType<typeof reader.push>) => {
    for (const event of result.items) fold.push(event);
    reads.push(result);
  };
  for (const text of texts) take(reader.push(Buffer.from(text)));
  if (ends) take(reader.end());
  const fault = reads.map((each) => each.fault).find(Boolean);
  return {
    fold,
    reads,
    fault,
    parts: fold.completion.candidates.map((each) => each.message?.parts.map(({ kind }) => kind)),
  };
}

describe("a stream of chunks", () => {
  test("becomes start, parts, ends; roles and pings are no content", () => {
    const { fold, reads, parts } = read([
      ": ping\n\n",
      chunk([delta({ role: "assistant", content: "" })]),
      chunk([delta({ role: null, content: "Hel" })]),
      chunk([delta({ content: "lo" })]),
      chunk([finish("stop")]),
      chunk([], { usage: { prompt_tokens: 3, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 1 } } }),
      done,
    ]);
    expect(reads.map(({ content }) => content)).toEqual([false, false, true, true, true, false, false]);
    expect(reads.map(({ finished }) => finished)).toEqual([false, false, false, false, true, true, true]);
    expect(reads.at(-1)?.done).toBe(true);
    expect(fold.ended).toBe(true);
    expect(parts).toEqual([[{ case: "text", value: "Hello" }]]);
    expect(fold.completion).toMatchObject({
      id: "c1",
      model: "tiny",
      provider: "p",
      usage: { inputTokens: 3, outputTokens: 2, cachedInputTokens: 1 },
    });
  });

  test("may be whole without [DONE]: when the upstream ends after every finish reason", () => {
    const { fold, fault } = read([chunk([delta({ content: "a" })]), chunk([finish("length")])], { ends: true });
    expect(fault).toBeUndefined();
    expect(fold.ended).toBe(true);
  });

  test("is whole at [DONE] although one finish reason never came, and takes deltas after a finish reason", () => {
    const { fold, parts, fault } = read(
      [
        chunk([delta({ content: "one" }, {}, 1)]),
        chunk([delta({ content: "zero" })]),
        chunk([finish("length")]),
        chunk([delta({ content: " more" })]),
        done,
      ],
      { n: 2 },
    );
    expect(fault).toBeUndefined();
    expect(fold.ended).toBe(true);
    expect(parts).toEqual([[{ case: "text", value: "zero more" }], [{ case: "text", value: "one" }]]);
    expect(fold.completion.candidates.map((each) => each.nativeFinishReason)).toEqual(["length", ""]);
  });

  test("of a server that knows nothing of n is whole when what it began is finished", () => {
    const { fold, fault } = read([chunk([delta({ content: "a" })]), chunk([finish("stop")])], { n: 2, ends: true });
    expect(fault).toBeUndefined();
    expect(fold.ended).toBe(true);
  });

  test("that ends without a finish reason is truncated, even in the middle of an event", () => {
    expect(read([chunk([delta({ content: "a" })])], { ends: true }).fault?.kind).toBe("truncated");
    const half = chunk([delta({ content: "bcd" })]).slice(0, 40);
    const cut = read([chunk([delta({ content: "a" })]) + half], { ends: true });
    expect(cut.fault?.kind).toBe("truncated");
    expect(cut.fold.ended).toBe(false);
  });

  test("gives what came before a fault in the same read", () => {
    const { reads, parts } = read([`${chunk([delta({ content: "good" })])}data: {"error":{"code":503}}\n\n`]);
    expect(reads[0]).toMatchObject({ content: true, fault: { kind: "overloaded" } });
    expect(parts).toEqual([[{ case: "text", value: "good" }]]);
  });

  test("passes over events that are no chunks, but not over one that cannot be read", () => {
    expect(read([`data: {"kind":"notice"}\n\n${chunk([delta({ content: "a" })])}`]).fault).toBeUndefined();
    expect(read([`${chunk([delta({ content: "a" })])}data: {"choices":[{\n\n`]).fault?.kind).toBe("malformed");
  });

  test("that is a page, nothing at all, or an error as plain JSON is told apart", () => {
    expect(read(["<html>hello</html>"], { ends: true }).fault?.kind).toBe("malformed");
    expect(read([], { ends: true }).fault?.kind).toBe("malformed");
    expect(read(['{"error":{"message":"slow","code":429}}'], { ends: true }).fault?.kind).toBe("rate_limited");
  });

  test("keeps thinking and text one part each although they come in turns", () => {
    const { parts, fold } = read([
      chunk([delta({ reasoning_content: "think" })]),
      chunk([delta({ content: "say" })]),
      chunk([delta({ reasoning: " again" })]),
      chunk([delta({ content: " on" })]),
      chunk([finish("stop")]),
      done,
    ]);
    expect(parts).toEqual([
      [
        { case: "reasoning", value: "think again" },
        { case: "text", value: "say on" },
      ],
    ]);
    expect(fold.completion.candidates[0]?.message?.parts[0]?.issuer).toBe("openai");
  });

  test("has a tool call's id and name whole in its head, and its arguments as text though they are no object", () => {
    const call = (fields: object) => delta({ content: null, tool_calls: [{ index: 0, ...fields }] });
    const { parts, reads } = read([
      chunk([call({ id: "call_1", type: "function", function: { name: "f" } })]),
      chunk([call({ function: { arguments: "123" } })]),
      chunk([call({ function: { arguments: "45" } })]),
      chunk([finish("tool_calls")]),
      done,
    ]);
    expect(reads[0]?.content).toBe(true);
    expect(parts[0]?.[0]).toMatchObject({
      case: "toolCall",
      value: { id: "call_1", name: "f", argumentsJson: "12345" },
    });
  });

  test("waits for a tool call's name where the id comes first, and loses no argument that came before it", () => {
    const call = (fields: object) => chunk([delta({ tool_calls: [{ index: 0, ...fields }] })]);
    const { parts } = read([
      call({ id: "call_1", function: { arguments: "{" } }),
      call({ function: { name: "f", arguments: "}" } }),
      chunk([finish("tool_calls")]),
      done,
    ]);
    expect(parts[0]?.[0]).toMatchObject({ value: { id: "call_1", name: "f", argumentsJson: "{}" } });
  });

  test("tells calls apart by their ids where they have no index, or all the same one", () => {
    for (const index of [undefined, 0]) {
      const call = (id: string, name: string, written: string) =>
        chunk([delta({ tool_calls: [{ index, id, function: { name, arguments: written } }] })]);
      const more = chunk([delta({ tool_calls: [{ index, function: { arguments: "2" } }] })]);
      const { parts } = read([call("a", "f", "1"), call("b", "g", ""), more, chunk([finish("tool_calls")]), done]);
      expect(parts[0]?.map(({ value }) => value)).toMatchObject([
        { id: "a", name: "f", argumentsJson: "1" },
        { id: "b", name: "g", argumentsJson: "2" },
      ]);
    }
  });

  test("goes on with a call although its id changes from chunk to chunk", () => {
    const call = (fields: object) => chunk([delta({ tool_calls: [{ index: 0, ...fields }] })]);
    for (const name of [undefined, "f"]) {
      const { parts } = read([
        call({ id: "a", function: { name: "f" } }),
        call({ id: "b", function: { name, arguments: '{"k"' } }),
        call({ id: "c", function: { name, arguments: ":1}" } }),
        done,
      ]);
      expect(parts[0]?.slice(-1)[0]).toMatchObject({ value: { name: "f", argumentsJson: '{"k":1}' } });
    }
  });

  test("keeps apart parallel calls: by index, by id, or by their places in one delta", () => {
    const named = (id: string) => ({ id, function: { name: `f_${id}`, arguments: "" } });
    const calls = (...list: object[]) => chunk([delta({ tool_calls: list })]);
    const told = (texts: string[]) =>
      read([...texts, chunk([finish("tool_calls")]), done]).parts[0]?.map(({ value }) => value);
    const expected = [
      { id: "a", name: "f_a", argumentsJson: "12" },
      { id: "b", name: "f_b", argumentsJson: "34" },
    ];
    const byIndex = (index: number, written: string) => ({ index, function: { arguments: written } });
    expect(
      told([
        calls({ index: 0, ...named("a") }, { index: 1, ...named("b") }),
        calls(byIndex(0, "1")),
        calls(byIndex(1, "3")),
        calls(byIndex(0, "2")),
        calls(byIndex(1, "4")),
      ]),
    ).toMatchObject(expected);
    const byId = (id: string, written: string) => ({ id, function: { arguments: written } });
    expect(
      told([
        calls(named("a")),
        calls(named("b")),
        calls(byId("a", "1")),
        calls(byId("b", "3")),
        calls(byId("a", "2")),
        calls(byId("b", "4")),
      ]),
    ).toMatchObject(expected);
    const plain = (name: string, written: string) => ({ function: { name, arguments: written } });
    expect(told([calls(plain("f", "1"), plain("g", "2"))])).toMatchObject([{ name: "f" }, { name: "g" }]);
  });

  test("is not over by an empty finish reason, which some servers say in every chunk", () => {
    const { reads, fold } = read([
      chunk([delta({ content: "a" }, { finish_reason: "" })]),
      chunk([delta({ content: "b" }, { finish_reason: "" })]),
      chunk([finish("stop")]),
      done,
    ]);
    expect(reads.map(({ finished }) => finished)).toEqual([false, false, true, true]);
    expect(fold.completion.candidates[0]?.nativeFinishReason).toBe("stop");
  });

  test("joins a character whose halves come in two chunks", () => {
    const [high, low] = "😀";
    const { parts } = read([
      chunk([delta({ content: "a" })]).replace('"a"', '"a\\ud83d"'),
      chunk([delta({ content: "b" })]).replace('"b"', '"\\ude00b"'),
      chunk([finish("stop")]),
      done,
    ]);
    expect([high, low]).toHaveLength(2);
    expect(parts).toEqual([[{ case: "text", value: "a😀b" }]]);
  });

  test("is whole although its usage was cut off after every finish reason", () => {
    const { fault, fold } = read(
      [chunk([delta({ content: "a" })]) + chunk([finish("stop")]) + chunk([], { usage: {} }).slice(0, 30)],
      { ends: true },
    );
    expect(fault).toBeUndefined();
    expect(fold.ended).toBe(true);
  });

  test("knows no finish reason that is only a word of JavaScript's", () => {
    const { fold } = read([chunk([delta({ content: "a" })]), chunk([finish("constructor")]), done]);
    expect(fold.completion.candidates[0]).toMatchObject({ finishReason: 0, nativeFinishReason: "constructor" });
  });

  test("brings log probabilities, also of a last token without text", () => {
    const logprobs = (token: string) => ({
      logprobs: { content: [{ token, logprob: -1, bytes: [65], top_logprobs: [] }] },
    });
    const { fold } = read([
      chunk([delta({ content: "a" }, logprobs("a"))]),
      chunk([{ ...finish("stop"), ...logprobs("") }]),
      done,
    ]);
    expect(fold.completion.candidates[0]?.logprobs.map(({ token }) => token)).toEqual(["a", ""]);
  });

  test("brings fields that the contract does not know; nulls say nothing", () => {
    const { fold } = read([
      chunk([delta({ content: "a", note: 1 }, { token_ids: null })], { system_fingerprint: "fp", prompt_text: null }),
      chunk([{ ...finish("stop"), stop_reason: 7 }], { timings: { ms: 1 } }),
      done,
    ]);
    expect(fold.completion.extensionJson).toEqual({ system_fingerprint: '"fp"', timings: '{"ms":1}' });
    expect(fold.completion.candidates[0]?.extensionJson).toEqual({ note: "1", stop_reason: "7" });
  });
});

const lane = (json: Record<string, unknown>) => nativeLane({ text: JSON.stringify(json), json });

describe("the native lane", () => {
  const forwarded = (texts: readonly string[]) => {
    const reader = lane({}).reader(target);
    return texts.map((text) => Buffer.concat(reader.push(Buffer.from(text)).items.map((each) => each)).toString());
  };

  test("passes whole events on as they came, and keeps [DONE] for whoever ends the stream", () => {
    const first = chunk([delta({ content: "a" })]);
    const second = chunk([finish("stop")]);
    expect(forwarded([`: ping\n\n${first}`, second.slice(0, 9), second.slice(9) + done])).toEqual([
      `: ping\n\n${first}`,
      "",
      second,
    ]);
  });

  test("closes an event that the upstream forgot to close, so that nothing runs into it", () => {
    const reader = lane({}).reader(target);
    const last = chunk([finish("stop")]);
    expect(reader.push(Buffer.from(last.trimEnd())).items).toEqual([]);
    expect(Buffer.concat(reader.end().items).toString()).toBe(last);
  });

  test("never passes on half an event, an error, or what follows it", () => {
    const first = chunk([delta({ content: "a" })]);
    expect(forwarded([`${first}data: {"error":{"code":500}}\n\n${first}`, first])).toEqual([first, ""]);
  });

  test("asks with the body it was given but for the model and what is ours", () => {
    const text =
      '{"model":"think","provider":"p","timeout":3,"seed":12345678901234567890,"x_new":{"a":[1.0]},"messages":[]}';
    const { body } = nativeLane({ text, json: JSON.parse(text) as Record<string, unknown> }).request(target, "unary", {
      usage: false,
    });
    expect(body).toBe('{"model":"m","seed":12345678901234567890,"x_new":{"a":[1.0]},"messages":[]}');
  });

  test("lets another gateway's provider object through", () => {
    const { body } = lane({ model: "a", provider: { order: ["x"] } }).request(target, "unary", { usage: false });
    expect(JSON.parse(String(body))).toEqual({ model: "m", provider: { order: ["x"] } });
  });
});

describe("a whole answer that answers nothing", () => {
  test.each([
    { choices: [] },
    { choices: [null] },
    { choices: [{ index: 0, message: { content: null }, finish_reason: null }] },
  ])("%o is no answer on either lane", (json) => {
    const answer = { status: 200, headers: {}, body: Buffer.from(JSON.stringify(json)) };
    expect(() => lane({}).answer(target, answer)).toThrow("malformed");
    expect(() => typedLane(create(PromptSchema)).answer(target, answer)).toThrow("malformed");
  });
});

describe("the typed lane", () => {
  test("writes a prompt in the dialect, every field in its place", () => {
    const prompt = create(PromptSchema, {
      messages: [
        { role: 1, parts: [{ kind: { case: "text", value: "Be brief." } }] },
        {
          role: 2,
          name: "ann",
          parts: [
            { kind: { case: "text", value: "What is this?" } },
            {
              kind: {
                case: "media",
                value: { source: { case: "url", value: "https://x/y.png" }, mediaType: "image/*", detail: "low" },
              },
            },
            {
              kind: {
                case: "media",
                value: { source: { case: "data", value: new Uint8Array([1, 2]) }, mediaType: "audio/mpeg" },
              },
            },
          ],
        },
        {
          role: 3,
          parts: [
            { kind: { case: "reasoning", value: "hm" }, issuer: "openai" },
            { kind: { case: "toolCall", value: { id: "c", name: "f", argumentsJson: "{}" } } },
          ],
        },
        {
          role: 4,
          parts: [
            {
              kind: {
                case: "toolResult",
                value: { toolCallId: "c", parts: [{ kind: { case: "text", value: "42" } }] },
              },
            },
          ],
        },
      ],
      tools: [
        {
          kind: {
            case: "function",
            value: { name: "f", description: "does", parametersJson: '{"type":"object"}', strict: true },
          },
        },
      ],
      toolChoice: { functionName: "f", parallel: false },
      sampling: { temperature: 0, topP: 0.5, topK: 4, seed: 9007199254740993n, logitBias: { 5: -1 } },
      maxOutputTokens: 7,
      stopSequences: ["x"],
      responseFormat: { case: "jsonSchema", value: { name: "s", schemaJson: '{"type":"object"}' } },
      candidateCount: 2,
      logprobs: { topCount: 2 },
      reasoning: { effort: "low" },
      extensionJson: { vendor_x: '{"a":1}', model: '"never"' },
    });
    const body = String(typedLane(prompt).request(target, "stream", { usage: true }).body);
    expect(body).toContain('"seed":9007199254740993');
    expect(JSON.parse(body)).toEqual({
      vendor_x: { a: 1 },
      model: "m",
      messages: [
        { role: "system", content: "Be brief." },
        {
          role: "user",
          name: "ann",
          content: [
            { type: "text", text: "What is this?" },
            { type: "image_url", image_url: { url: "https://x/y.png", detail: "low" } },
            { type: "input_audio", input_audio: { data: "AQI=", format: "mp3" } },
          ],
        },
        {
          role: "assistant",
          content: null,
          tool_calls: [{ id: "c", type: "function", function: { name: "f", arguments: "{}" } }],
        },
        { role: "tool", tool_call_id: "c", content: "42" },
      ],
      tools: [
        {
          type: "function",
          function: { name: "f", description: "does", parameters: { type: "object" }, strict: true },
        },
      ],
      tool_choice: { type: "function", function: { name: "f" } },
      parallel_tool_calls: false,
      temperature: 0,
      top_p: 0.5,
      top_k: 4,
      seed: 9007199254740992, // JSON.parse rounds; the text above does not
      logit_bias: { "5": -1 },
      max_tokens: 7,
      stop: ["x"],
      response_format: { type: "json_schema", json_schema: { name: "s", schema: { type: "object" } } },
      n: 2,
      logprobs: true,
      top_logprobs: 2,
      reasoning_effort: "low",
      stream: true,
      stream_options: { include_usage: true },
    });
  });

  test("says nothing that the caller did not say", () => {
    const prompt = create(PromptSchema, { messages: [{ role: 2, parts: [{ kind: { case: "text", value: "Hi" } }] }] });
    expect(JSON.parse(String(typedLane(prompt).request(target, "unary", { usage: false }).body))).toEqual({
      model: "m",
      messages: [{ role: "user", content: "Hi" }],
    });
  });

  test("asks OpenAI itself for max_completion_tokens, which its newer models insist on", () => {
    const prompt = create(PromptSchema, { maxOutputTokens: 5 });
    const body = typedLane(prompt).request(testTarget({ origin: "https://api.openai.com" }), "unary", {
      usage: false,
    }).body;
    expect(JSON.parse(String(body))).toMatchObject({ max_completion_tokens: 5 });
  });
});
