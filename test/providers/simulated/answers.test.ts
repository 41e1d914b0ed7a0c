import { describe, expect, test } from "vitest";
import { chunks, eventData, fold, json, saying, send, started } from "./client.ts";

const weather = {
  type: "function",
  function: {
    name: "get_weather",
    parameters: {
      type: "object",
      properties: {
        city: { type: "string" },
        days: { type: "integer", minimum: 2 },
        unit: { enum: ["celsius", "kelvin"] },
      },
      required: ["city", "days", "unit"],
    },
  },
};
const clock = { type: "function", function: { name: "get_time" } };

interface UnaryChoice {
  index: number;
  message: {
    role: string;
    content: string | null;
    reasoning_content?: string;
    tool_calls?: { id: string; function: { name: string; arguments: string } }[];
  };
  logprobs: { content: unknown[] } | null;
  finish_reason: string;
}

const requests: [string, object][] = [
  ["a text", saying("nonce 42, and 你好 😀 naïve")],
  ["a text without a blank", saying("x".repeat(100))],
  ["no text", saying("")],
  ["several candidates", saying("hi", { n: 3 })],
  ["a text cut at a stop", saying("one STOP two", { stop: ["never", " STOP"] })],
  ["a text cut at its first word", saying("one two", { stop: "You" })],
  ["a text cut at the limit", saying("one two three", { max_tokens: 4 })],
  ["log probabilities", saying("hi there", { logprobs: true, top_logprobs: 2 })],
  ["reasoning", saying("hi", { reasoning_effort: "low" })],
  ["reasoning cut at the limit", saying("hi", { reasoning_effort: "low", max_completion_tokens: 2 })],
  ["a tool call", saying("weather?", { tools: [weather] })],
  ["a tool call of several candidates", saying("weather?", { tools: [weather], n: 2 })],
  ["a tool call cut at the limit", saying("weather?", { tools: [weather], max_tokens: 2 })],
  ["JSON", saying('a "quoted" thing', { response_format: { type: "json_object" } })],
];

describe("a stream folds to the unary answer", () => {
  test.for(requests)("%s", async ([, request]) => {
    // Two providers of one seed: so that the ids must be equal, too.
    const unary = json(await send(await started(), request));
    const stream = chunks(
      await send(await started(), { ...request, stream: true, stream_options: { include_usage: true } }),
    );
    for (const choice of unary["choices"] as unknown as UnaryChoice[]) {
      const { content, role, reasoning_content, tool_calls } = choice.message;
      const call = tool_calls?.[0];
      expect(fold(stream, choice.index)).toEqual({
        role,
        content,
        reasoning: reasoning_content ?? "",
        call: call && { id: call.id, ...call.function },
        logprobs: choice.logprobs?.content ?? [],
        finish: choice.finish_reason,
      });
    }
    expect(stream.at(-1)?.["choices"]).toEqual([]);
    expect(stream.at(-1)?.["usage"]).toEqual(unary["usage"]);
    expect(new Set(stream.map(({ id }) => id))).toEqual(new Set([unary["id"]]));
  });
});

describe("the answer", () => {
  const contentOf = async (request: object) =>
    json(await send(await started({ name: "alpha" }), request))["choices"]?.[0]?.["message"]?.["content"];
  const callOf = async (request: object) =>
    json(await send(await started(), request))["choices"]?.[0]?.["message"]?.["tool_calls"]?.[0]?.["function"];

  test("quotes the last message of the user", async () => {
    const messages = [
      { role: "user", content: "first" },
      { role: "assistant", content: "yes" },
      { role: "user", content: "second" },
    ];
    expect(await contentOf({ model: "m", messages })).toBe("You said: second");
  });

  test("joins parts, and marks what is not text", async () => {
    const content = [
      { type: "text", text: "look" },
      { type: "image_url", image_url: { url: "http://x" } },
      { type: "input_audio", input_audio: { data: "", format: "wav" } },
      { type: "file", file: {} },
      { type: "text", text: "there" },
    ];
    expect(await contentOf({ model: "m", messages: [{ role: "user", content }] })).toBe(
      "You said: look [image] [audio] [file] there",
    );
  });

  test("greets when no user has spoken", async () => {
    expect(await contentOf({ model: "m", messages: [{ role: "system", content: "be good" }] })).toBe(
      "Hello from alpha.",
    );
  });

  test("says what it was told to say", async () => {
    const answer = json(await send(await started({ text: "Forty-two." }), saying("hi")));
    expect(answer["choices"]?.[0]?.["message"]?.["content"]).toBe("Forty-two.");
  });

  test("tells candidates apart", async () => {
    const answer = json(await send(await started(), saying("hi", { n: 2 })));
    expect(answer["choices"]?.[1]?.["message"]?.["content"]).toBe("You said: hi (2)");
  });

  test("calls the first tool with the least its schema takes", async () => {
    const call = await callOf(saying("?", { tools: [weather, clock] }));
    expect(call).toEqual({ name: "get_weather", arguments: '{"city":"text","days":2,"unit":"celsius"}' });
  });

  test("calls the tool that was chosen, one without a schema too", async () => {
    const tool_choice = { type: "function", function: { name: "get_time" } };
    expect(await callOf(saying("?", { tools: [weather, clock], tool_choice }))).toEqual({
      name: "get_time",
      arguments: "{}",
    });
  });

  test("calls no tool when told not to", async () => {
    expect(await contentOf(saying("hi", { tools: [weather], tool_choice: "none" }))).toBe("You said: hi");
  });

  test("repeats what the tool said", async () => {
    const messages = [
      { role: "user", content: "weather?" },
      { role: "tool", tool_call_id: "call_1", content: "rain" },
    ];
    expect(await contentOf({ model: "m", tools: [weather], messages })).toBe("The tool said: rain");
  });

  test("follows a schema", async () => {
    const schema = { type: "object", properties: { ok: { type: "boolean" } }, required: ["ok"] };
    const response_format = { type: "json_schema", json_schema: { name: "s", schema } };
    expect(await contentOf(saying("hi", { response_format, n: 2 }))).toBe('{"ok":true}');
  });

  test("wraps the user's text when JSON is wanted", async () => {
    expect(await contentOf(saying("hi", { response_format: { type: "json_object" } }))).toBe('{"answer":"hi"}');
  });

  test("counts its tokens", async () => {
    const answer = json(await send(await started(), saying("one two three", { reasoning_effort: "high" })));
    expect(answer["usage"]).toEqual({
      prompt_tokens: 3,
      completion_tokens: 10,
      total_tokens: 13,
      completion_tokens_details: { reasoning_tokens: 5 },
    });
  });

  test("never costs more than the limit", async () => {
    const answer = json(
      await send(await started(), saying("one two three", { reasoning_effort: "high", max_tokens: 6 })),
    );
    expect(answer["usage"]?.["completion_tokens"]).toBe(6);
    expect(answer["choices"]?.[0]?.["finish_reason"]).toBe("length");
  });

  test("ends at 65,536 tokens, however much there is to quote", async () => {
    const answer = json(
      await send(await started(), saying("word ".repeat(1_000_000), { n: 2, reasoning_effort: "low" })),
    );
    expect(answer["usage"]?.["completion_tokens"]).toBe(2 ** 16);
    expect(answer["choices"]?.[1]?.["finish_reason"]).toBe("length");
  });

  test("gives bytes with its log probabilities", async () => {
    const answer = json(await send(await started(), saying("é", { logprobs: true, top_logprobs: 3 })));
    const last = answer["choices"]?.[0]?.["logprobs"]?.["content"]?.[2];
    expect(last).toMatchObject({ token: " é", bytes: [32, 195, 169] });
    expect(last?.["top_logprobs"]).toHaveLength(3);
    expect(last?.["top_logprobs"]?.[0]).toEqual({ token: " é", bytes: [32, 195, 169], logprob: last?.["logprob"] });
  });

  test("carries a field and a header of its own", async () => {
    const provider = await started({ name: "alpha", headers: { "x-ratelimit-remaining-requests": "9" } });
    const unary = await send(provider, saying("hi"));
    const stream = await send(provider, saying("hi", { stream: true }));
    expect(json(unary)["system_fingerprint"]).toBe("sim-alpha");
    expect(chunks(stream).every((chunk) => (chunk["system_fingerprint"] as unknown) === "sim-alpha")).toBe(true);
    for (const { headers } of [unary, stream]) {
      expect(headers["x-ratelimit-remaining-requests"]).toBe("9");
      expect(headers["x-request-id"]).toMatch(/^req_[0-9a-f]{24}$/);
    }
  });
});

describe("a stream", () => {
  test("has the classic form", async () => {
    const received = await send(
      await started(),
      saying("hi", { stream: true, stream_options: { include_usage: true } }),
    );
    expect(received.headers["content-type"]).toBe("text/event-stream; charset=utf-8");
    expect(eventData(received).at(-1)).toBe("[DONE]");
    const parts = chunks(received).map(({ choices, usage }) => [
      choices?.[0]?.["delta"],
      choices?.[0]?.["finish_reason"],
      usage,
    ]);
    expect(parts).toEqual([
      [{ role: "assistant", content: "", refusal: null }, null, null],
      [{ content: "You" }, null, null],
      [{ content: " said:" }, null, null],
      [{ content: " hi" }, null, null],
      [{}, "stop", null],
      [undefined, undefined, { prompt_tokens: 1, completion_tokens: 3, total_tokens: 4 }],
    ]);
  });

  test("tells no usage unasked, nor when it never does", async () => {
    const provider = await started();
    expect((await send(provider, saying("hi", { stream: true }))).body.toString()).not.toContain("usage");
    provider.behave({ usage: false });
    const asked = saying("hi", { stream: true, stream_options: { include_usage: true } });
    expect((await send(provider, asked)).body.toString()).not.toContain("usage");
    expect(json(await send(provider, saying("hi")))).not.toHaveProperty("usage");
  });

  test("takes its candidates in turns", async () => {
    const received = await send(await started(), saying("hi", { stream: true, n: 2 }));
    const turns = chunks(received).map((chunk) => chunk["choices"]?.[0]?.["index"]);
    expect(turns).toEqual([0, 1, 0, 1, 0, 1, 0, 1, 1, 0, 1]);
  });

  test("brings a tool call in pieces, its name first", async () => {
    const received = await send(await started(), saying("?", { stream: true, tools: [weather] }));
    const deltas = chunks(received).map((chunk) => chunk["choices"]?.[0]?.["delta"]);
    expect(deltas[0]).toMatchObject({ role: "assistant", content: null });
    const pieces = deltas.slice(1, -1).map((delta) => delta?.["tool_calls"]?.[0]);
    expect(pieces).toHaveLength(4);
    expect(pieces[0]).toMatchObject({
      id: expect.stringMatching(/^call_/),
      function: { name: "get_weather", arguments: "" },
    });
    expect(pieces[1]).not.toHaveProperty("id");
  });
});
