import { describe, expect, test } from "vitest";
import { create, PromptSchema } from "../../src/chat/messages.ts";
import type { StreamReader } from "../../src/providers/lane.ts";
import { type NativeRequest, nativeLane } from "../../src/providers/openai/native-lane.ts";
import { typedLane } from "../../src/providers/openai/typed-lane.ts";
import { testTarget } from "./target.ts";

const target = testTarget();
const native = (text: string) => nativeLane(requestOf(text));
const requestOf = (text: string): NativeRequest => ({ text, json: JSON.parse(text) as Record<string, unknown> });
const typed = (changes: object = {}) =>
  typedLane(
    create(PromptSchema, { messages: [{ role: 2, parts: [{ kind: { case: "text", value: "Hi" } }] }], ...changes }),
  );

const chunk = (choices: unknown, more: object = {}) => `data: ${JSON.stringify({ id: "c1", choices, ...more })}\n\n`;
const content = (text: string, more: object = {}) =>
  chunk([{ index: 0, delta: { content: text }, finish_reason: null }], more);
const finish = (more: object = {}) => chunk([{ index: 0, delta: {}, finish_reason: "stop" }], more);
const usage = { usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 } };
const done = "data: [DONE]\n\n";
const counted = { inputTokens: 3, outputTokens: 2 };

/** Reads a stream given as texts, one read each: the bytes that the caller is shown of each read, and what is noted of usage. */
function shown(text: string, reads: readonly string[], { ends = false } = {}) {
  const reader = native(text).reader(target);
  const results = [...reads.map((read) => reader.push(Buffer.from(read))), ...(ends ? [reader.end()] : [])];
  return {
    texts: results.map(({ items }) => Buffer.concat(items).toString()),
    usage: results.map((each) => each.usage),
    faults: results.flatMap((each) => each.fault ?? []),
  };
}

function lastUsage(reader: StreamReader<unknown>, reads: readonly string[], { ends = false } = {}) {
  const results = [...reads.map((read) => reader.push(Buffer.from(read))), ...(ends ? [reader.end()] : [])];
  return results.at(-1)?.usage;
}

describe("asking a stream what it costs, in the native lane", () => {
  test.each([
    [
      "adds the option at the end of a body that has none",
      '{"model":"a","stream":true}',
      '{"model":"m","stream":true,"stream_options":{"include_usage":true}}',
    ],
    [
      "adds it to the caller's other options, which stay as they were written",
      '{"model":"a","stream_options":{"odd": 1.0},"stream":true}',
      '{"model":"m","stream_options":{"odd": 1.0,"include_usage":true},"stream":true}',
    ],
    [
      "turns it on where the caller has turned it off",
      '{"model":"a","stream_options":{"include_usage":false,"odd":1}}',
      '{"model":"m","stream_options":{"include_usage":true,"odd":1}}',
    ],
    [
      "takes no options for none",
      '{"model":"a","stream_options":null}',
      '{"model":"m","stream_options":{"include_usage":true}}',
    ],
    [
      "goes by the last options where the caller wrote them twice",
      '{"model":"a","stream_options":{"odd":1},"stream_options":{"odd":2}}',
      '{"model":"m","stream_options":{"odd":2,"include_usage":true}}',
    ],
  ])("%s, and says that the request is altered", (_, text, expected) => {
    const request = native(text).request(target, "stream", { usage: true });
    expect(request.body).toBe(expected);
    expect(request.altered).toBe(true);
  });

  test.each([
    ["when the caller asks itself", '{"model":"a","stream_options":{"include_usage":true}}', "stream", true],
    ["when the endpoint is known not to take it", '{"model":"a","stream_options":{"odd":1}}', "stream", false],
    ["in a unary call", '{"model":"a"}', "unary", true],
  ] as const)("adds nothing %s", (_, text, mode, asks) => {
    const request = native(text).request(target, mode, { usage: asks });
    expect(request.body).toBe(text.replace('"a"', '"m"'));
    expect(request.altered).toBe(false);
  });
});

describe("asking a stream what it costs, in the typed lane", () => {
  const request = (mode: "unary" | "stream", asks: boolean, changes = {}) => {
    const { body, altered } = typed(changes).request(target, mode, { usage: asks });
    return { options: (JSON.parse(String(body)) as { stream_options?: unknown }).stream_options, altered };
  };

  test("happens where it may, and makes the request an altered one", () => {
    expect(request("stream", true)).toEqual({ options: { include_usage: true }, altered: true });
    expect(request("stream", false)).toEqual({ options: undefined, altered: false });
    expect(request("unary", true)).toEqual({ options: undefined, altered: false });
  });

  test("keeps options that the caller brought as a provider's own", () => {
    const own = { extensionJson: { stream_options: '{"odd":1}' } };
    expect(request("stream", true, own)).toEqual({ options: { odd: 1, include_usage: true }, altered: true });
    expect(request("stream", false, own)).toEqual({ options: { odd: 1 }, altered: false });
    const asking = { extensionJson: { stream_options: '{"include_usage":true}' } };
    expect(request("stream", true, asking)).toEqual({ options: { include_usage: true }, altered: false });
  });
});

describe("the chunk that only says what a stream costs", () => {
  test("is hidden from a caller that did not ask, and noted all the same", () => {
    const { texts, usage: noted } = shown("{}", [content("a"), finish(), chunk([], usage), done]);
    expect(texts).toEqual([content("a"), finish(), "", ""]);
    expect(noted).toEqual([undefined, undefined, counted, undefined]);
  });

  test("is hidden between others in one read, every other byte untouched", () => {
    const read = `${finish()}: ping\n\n${chunk([], usage)}event: x\r\ndata: {"odd": 1.0}\r\n\r\n${done}`;
    const { texts, usage: noted } = shown("{}", [content("a"), read]);
    expect(texts).toEqual([content("a"), `${finish()}: ping\n\nevent: x\r\ndata: {"odd": 1.0}\r\n\r\n`]);
    expect(noted.at(-1)).toEqual(counted);
  });

  test("is hidden when it comes in halves, or as the last event of an upstream that forgets to close it", () => {
    const whole = chunk([], usage);
    expect(shown("{}", [content("a"), finish() + whole.slice(0, 20), whole.slice(20)]).texts).toEqual([
      content("a"),
      finish(),
      "",
    ]);
    const cut = shown("{}", [content("a"), finish() + whole.trimEnd()], { ends: true });
    expect(cut.texts).toEqual([content("a"), finish(), ""]);
    expect(cut.usage.at(-1)).toEqual(counted);
    expect(cut.faults).toEqual([]);
  });

  test("is hidden although it has no choices at all, or none but null", () => {
    expect(shown("{}", [chunk(undefined, usage), chunk(null, usage)]).texts).toEqual(["", ""]);
  });

  test("is shown to a caller that asked", () => {
    const reads = [content("a"), finish() + chunk([], usage) + done];
    const { texts, usage: noted } = shown('{"stream_options":{"include_usage":true}}', reads);
    expect(texts).toEqual([content("a"), finish() + chunk([], usage)]);
    expect(noted.at(-1)).toEqual(counted);
  });

  test("is not to be taken for a chunk that says something else as well", () => {
    const finishWithUsage = finish(usage);
    const filter = chunk([], { prompt_filter_results: [], usage: null });
    const empty = chunk([]);
    const { texts, usage: noted } = shown("{}", [filter, empty, content("a", usage), finishWithUsage + done]);
    expect(texts).toEqual([filter, empty, content("a", usage), finishWithUsage]);
    expect(noted.at(-1)).toEqual(counted);
  });
});

describe("what a whole answer cost is estimated where nobody says it", () => {
  const text = JSON.stringify({
    messages: [
      { role: "system", content: "12345" },
      {
        role: "user",
        content: [
          { type: "text", text: "678" },
          { type: "image_url", image_url: { url: `data:image/png;base64,${"A".repeat(1000)}` } },
        ],
      },
      { role: "assistant", tool_calls: [{ id: "c", function: { name: "f", arguments: "{}" } }] },
    ],
  });
  const prompt = {
    messages: [
      { role: 1, parts: [{ kind: { case: "text", value: "12345" } }] },
      {
        role: 2,
        parts: [
          { kind: { case: "text", value: "678" } },
          { kind: { case: "media", value: { source: { case: "data", value: new Uint8Array(1000) } } } },
        ],
      },
      { role: 3, parts: [{ kind: { case: "toolCall", value: { name: "f", argumentsJson: "{" } } }] },
      {
        role: 4,
        parts: [{ kind: { case: "toolResult", value: { parts: [{ kind: { case: "text", value: "}" } }] } } }],
      },
    ],
  };
  const reads = [
    chunk([{ index: 0, delta: { role: "assistant", content: "" } }]),
    chunk([{ index: 0, delta: { reasoning_content: "123" } }]),
    content("45"),
    chunk([{ index: 0, delta: { tool_calls: [{ index: 0, id: "c", function: { name: "f", arguments: "6789" } }] } }]),
    finish(),
  ];
  // Ten characters of prompt, nine of answer, four to a token.
  const estimate = { inputTokens: 3, outputTokens: 3, estimated: true };

  test.each([
    ["native", () => native(text).reader(target)],
    ["typed", () => typed(prompt).reader(target)],
  ])("at [DONE] or the upstream's end, by its texts, in the %s lane", (_, reader) => {
    expect(lastUsage(reader(), [...reads, done])).toEqual(estimate);
    expect(lastUsage(reader(), reads, { ends: true })).toEqual(estimate);
    expect(lastUsage(reader(), [reads.join("") + done])).toEqual(estimate);
  });

  test("never where it was said, however early", () => {
    expect(lastUsage(native(text).reader(target), [content("a", usage), finish(), done])).toBeUndefined();
    expect(lastUsage(native(text).reader(target), [content("a"), finish() + chunk([], usage) + done])).toEqual(counted);
  });

  test("also where a usage object says nothing", () => {
    expect(lastUsage(native(text).reader(target), [...reads, chunk([], { usage: {} }), done])).toEqual(estimate);
  });

  test("not for an answer that is not whole", () => {
    expect(lastUsage(native(text).reader(target), [content("a")], { ends: true })).toBeUndefined();
    expect(lastUsage(native(text).reader(target), [content("a"), 'data: {"error":{"code":500}}\n\n'])).toBeUndefined();
  });

  test.each([
    ["native", native(text)],
    ["typed", typed(prompt)],
  ])("in a unary answer, in the %s lane", (_, lane) => {
    const answer = (json: object) =>
      lane.answer(target, { status: 200, headers: {}, body: Buffer.from(JSON.stringify(json)) }).usage;
    const choice = (message: object, index = 0) => ({ index, message, finish_reason: "stop" });
    const call = { id: "c", function: { name: "f", arguments: "6789" } };
    const choices = [choice({ content: "45", reasoning: "12" }), choice({ content: "3", tool_calls: [call] }, 1)];
    expect(answer({ choices })).toEqual(estimate);
    expect(answer({ choices, ...usage })).toEqual(counted);
  });
});
