import { describe, expect, test } from "vitest";
import type { Fault } from "../../../src/providers/simulated/fault.ts";
import { faultKinds } from "../../../src/providers/simulated/parse-fault.ts";
import { chunks, eventData, fold, json, type Received, saying, send, started } from "./client.ts";

const patience = 60;

async function play(simulate: Fault | string | number, more: object = {}, leaveAfterMs?: number): Promise<Received> {
  const provider = await started();
  const received = await send(
    provider,
    saying("one two three", { simulate, ...more }),
    leaveAfterMs ? { leaveAfterMs } : {},
  );
  await provider.idle();
  const [seen] = provider.seen;
  expect(seen).toMatchObject({ aborted: received.end === "left", finished: received.end !== "left" });
  expect(provider.open).toBe(0);
  return received;
}

const unary = (simulate: Fault | string | number, leaveAfterMs?: number) => play(simulate, {}, leaveAfterMs);
const stream = (simulate: Fault | string | number, leaveAfterMs?: number) =>
  play(simulate, { stream: true }, leaveAfterMs);
const both = [
  ["unary", unary],
  ["stream", stream],
] as const;
const whole = "You said: one two three";

/** Which faults a test below has shown; the last test asks for the rest. */
const shown = new Set<string>(["none"]);
function shows(...kinds: Fault["kind"][]): string {
  for (const kind of kinds) shown.add(kind);
  return kinds.join(", ");
}

describe.for(both)("no answer (%s)", ([, ask]) => {
  test(shows("status"), async () => {
    const received = await ask({ kind: "status", status: 529, headers: { "Retry-After": "7", "x-vendor": "v" } });
    expect(received).toMatchObject({ status: 529, end: "whole", headers: { "retry-after": "7", "x-vendor": "v" } });
    expect(json(received)["error"]).toMatchObject({ type: "overloaded_error", code: "overloaded", param: null });
  });

  test.for([
    ["openai", '{"error":{"message":"Sorry.","type":"t","param":null,"code":"c"}}'],
    ["integer_code", '{"error":{"message":"Sorry.","type":"t","param":null,"code":418}}'],
    ["bare_string", '{"error":"Sorry."}'],
    ["detail", '{"detail":"Sorry."}'],
    ["detail_list", '{"detail":[{"type":"t","loc":["body"],"msg":"Sorry.","input":{}}]}'],
    ["text", "Sorry."],
  ] as const)("status in the shape %s", async ([shape, body]) => {
    const words = shape === "openai" ? { code: "c" } : {};
    const received = await ask({ kind: "status", status: 418, message: "Sorry.", type: "t", shape, ...words });
    expect(received.status).toBe(418);
    expect(received.body.toString()).toBe(body);
  });

  test("status in the shape html", async () => {
    const received = await ask({ kind: "status", status: 502, shape: "html", message: "Bad <Gateway>" });
    expect(received.headers["content-type"]).toBe("text/html; charset=utf-8");
    expect(received.body.toString()).toContain("<h1>502 Bad &lt;Gateway></h1>");
  });

  test.for([204, 304])("status %i without a body", async (status) => {
    expect(await ask(status)).toMatchObject({ status, end: "whole", body: Buffer.alloc(0) });
  });

  test(shows("reset_before_headers"), async () => {
    expect(await ask("reset_before_headers")).toMatchObject({ end: "reset", reads: [] });
  });

  test(shows("close_before_headers"), async () => {
    expect(await ask("close_before_headers")).toMatchObject({ end: "cut", reads: [] });
  });

  test(shows("silence"), async () => {
    expect(await ask("silence", patience)).toMatchObject({ end: "left", reads: [] });
  });

  test(shows("headers_then_silence"), async () => {
    expect(await ask("headers_then_silence", patience)).toMatchObject({
      end: "left",
      status: 200,
      body: Buffer.alloc(0),
    });
  });

  test(shows("redirect"), async () => {
    const received = await ask({ kind: "redirect", location: "http://127.0.0.1:1/" });
    expect(received).toMatchObject({ status: 302, headers: { location: "http://127.0.0.1:1/" } });
  });

  test(shows("wrong_path"), async () => {
    const received = await ask("wrong_path");
    expect(received).toMatchObject({ status: 404, headers: { "content-type": "text/plain; charset=utf-8" } });
  });
});

describe.for(both)("a success that is none (%s)", ([mode, ask]) => {
  test(shows("html"), async () => {
    const received = await ask("html");
    expect(received).toMatchObject({ status: 200, headers: { "content-type": "text/html; charset=utf-8" } });
  });

  test(shows("not_json"), async () => {
    const received = await ask("not_json");
    expect(received).toMatchObject({ status: 200, headers: { "content-type": "application/json" } });
    expect(() => json(received)).toThrow(SyntaxError);
  });

  test(shows("empty"), async () => {
    const received = await ask("empty");
    expect(received).toMatchObject({ status: 200, end: "whole", body: Buffer.alloc(0) });
    expect(received.headers["content-type"]).toBe("application/json");
  });

  test(shows("empty_stream"), async () => {
    const received = await ask("empty_stream");
    expect(received).toMatchObject({ status: 200, end: "whole", body: Buffer.alloc(0) });
    expect(received.headers["content-type"]).toMatch(mode === "stream" ? /^text\/event-stream/ : /^application\/json$/);
  });

  test(shows("json_error_in_200"), async () => {
    const received = await ask({ kind: "json_error_in_200", message: "No.", code: 17 });
    expect(received).toMatchObject({ status: 200, headers: { "content-type": "application/json" } });
    expect(json(received)["error"]).toMatchObject({ message: "No.", code: 17 });
  });

  test(shows("error_event_first"), async () => {
    const received = await ask("error_event_first");
    expect(received).toMatchObject({ status: 200, end: "whole" });
    const errors = mode === "stream" ? chunks(received) : [json(received)];
    expect(errors).toEqual([{ error: expect.objectContaining({ type: "server_error" }) }]);
  });
});

test(shows("no_content"), async () => {
  const nothing = { content: "", finish: "stop", role: "assistant" };
  expect(fold(chunks(await stream("no_content")))).toMatchObject(nothing);
  const answer = json(await unary("no_content"));
  expect(answer["choices"]?.[0]?.["message"]?.["content"]).toBe("");
  expect(answer["usage"]).toEqual({ prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 });
});

describe("a stream that breaks off", () => {
  test(shows("error_event_after"), async () => {
    const received = await stream({ kind: "error_event_after", events: 2, type: "overloaded_error" });
    expect(received.end).toBe("whole");
    expect(chunks(received)).toHaveLength(3);
    expect(chunks(received)[2]?.["error"]?.["type"]).toBe("overloaded_error");
  });

  test(shows("cut_after"), async () => {
    const received = await stream("cut_after");
    expect(received.end).toBe("cut");
    expect(fold(chunks(received))).toMatchObject({ content: "You said:", finish: null });
  });

  test(shows("reset_after"), async () => {
    const received = await stream("reset_after:2");
    expect(received.end).toBe("reset");
    expect(fold(chunks(received))).toMatchObject({ content: "You", finish: null });
  });

  test(shows("end_after"), async () => {
    const received = await stream({ kind: "end_after", events: 4 });
    expect(received.end).toBe("whole");
    expect(fold(chunks(received))).toMatchObject({ content: "You said: one", finish: null });
    expect(eventData(received)).not.toContain("[DONE]");
  });

  test(shows("stall_after"), async () => {
    const received = await stream("stall_after:1", patience);
    expect(received.end).toBe("left");
    expect(eventData(received)).toHaveLength(1);
  });

  test(shows("malformed_after"), async () => {
    const received = await stream("malformed_after");
    expect(received.end).toBe("whole");
    const data = eventData(received);
    expect(() => JSON.parse(data[3] ?? "")).toThrow(SyntaxError);
    expect(data).toHaveLength(9);
    expect(data.at(-1)).toBe("[DONE]");
  });

  test(shows("half_event_then_cut"), async () => {
    const received = await stream("half_event_then_cut:2");
    expect(received.end).toBe("cut");
    const data = eventData(received);
    expect(data).toHaveLength(3);
    expect(() => JSON.parse(data[2] ?? "")).toThrow(SyntaxError);
  });

  test(shows("short_content_length"), async () => {
    const received = await stream("short_content_length");
    expect(received.end).toBe("cut");
    expect(Number(received.headers["content-length"])).toBeGreaterThan(received.body.length);
    expect(fold(chunks(received))).toMatchObject({ content: whole, finish: null });
  });

  test("at the very beginning", async () => {
    expect(await stream("cut_after:0")).toMatchObject({ status: 200, end: "cut", body: Buffer.alloc(0) });
  });

  test("before its finish reason at the latest", async () => {
    const received = await stream("end_after:1000");
    expect(fold(chunks(received))).toMatchObject({ content: whole, finish: null });
    expect(eventData(received)).not.toContain("[DONE]");
  });
});

describe("a unary answer that breaks off", () => {
  test.for([
    ["cut_after", "cut"],
    ["half_event_then_cut", "cut"],
    ["reset_after", "reset"],
    ["stall_after", "left"],
  ] as const)("%s", async ([kind, end]) => {
    const received = await unary(kind, end === "left" ? patience : undefined);
    expect(received).toMatchObject({ status: 200, end });
    expect(received.body.length).toBeGreaterThan(0);
    expect(received.body.length).toBeLessThan(Number(received.headers["content-length"]));
  });

  test("short_content_length", async () => {
    const received = await unary("short_content_length");
    expect(received.end).toBe("cut");
    expect(json(received)["object"]).toBe("chat.completion");
    expect(Number(received.headers["content-length"])).toBeGreaterThan(received.body.length);
  });

  test.for(["end_after", "malformed_after"])("%s", async (kind) => {
    const received = await unary(kind);
    expect(received.end).toBe("whole");
    expect(() => json(received)).toThrow(SyntaxError);
  });

  test("error_event_after", async () => {
    expect(json(await unary("error_event_after"))).toHaveProperty("error");
  });
});

describe("an answer that is complete, but oddly put", () => {
  const complete = (received: Received) => {
    expect(received).toMatchObject({ status: 200, end: "whole" });
    expect(fold(chunks(received)).content).toBe(whole);
    return received;
  };

  test(shows("drip"), async () => {
    const received = complete(await stream({ kind: "drip", msPerByte: 0.05 }));
    expect(received.reads.length).toBeGreaterThan(10);
    const body = json(await unary({ kind: "drip", msPerByte: 0 }));
    expect(body["choices"]?.[0]?.["message"]?.["content"]).toBe(whole);
  });

  test(shows("no_done"), async () => {
    const received = complete(await stream("no_done"));
    expect(fold(chunks(received)).finish).toBe("stop");
    expect(eventData(received)).not.toContain("[DONE]");
  });

  test(shows("hold_open_after_done"), async () => {
    for (const ask of [unary, stream]) {
      expect(await ask({ kind: "hold_open_after_done", ms: 60_000 }, patience)).toMatchObject({
        status: 200,
        end: "left",
      });
    }
    complete(await stream("hold_open_after_done:5"));
  });

  test(shows("late_usage"), async () => {
    const received = complete(await play("late_usage:20", { stream: true, stream_options: { include_usage: true } }));
    expect(received.reads.at(-1)).toContain('"total_tokens"');
    expect(received.reads.at(-1)).not.toContain('"stop"');
  });

  test(shows("usage_in_finish"), async () => {
    const last = chunks(complete(await stream("usage_in_finish"))).at(-1);
    expect(last?.["choices"]?.[0]?.["finish_reason"]).toBe("stop");
    expect(last?.["usage"]?.["total_tokens"]).toBe(8);
  });

  test(shows("usage_with_choice"), async () => {
    const asked = { stream: true, stream_options: { include_usage: true } };
    const last = chunks(complete(await play("usage_with_choice", asked))).at(-1);
    expect(last).toMatchObject({ choices: [{ index: 0, delta: {} }], usage: { total_tokens: 8 } });
    expect(last?.["choices"]?.[0]).not.toHaveProperty("finish_reason");
  });

  test(shows("rubbish_usage"), async () => {
    const rubbish = { prompt_tokens: -1, completion_tokens: "many", total_tokens: 1e18 };
    expect(chunks(complete(await stream("rubbish_usage"))).at(-1)).toMatchObject({ choices: [], usage: rubbish });
    expect(json(await unary("rubbish_usage"))["usage"]).toEqual(rubbish);
  });

  test(shows("finish_with_content"), async () => {
    for (const n of [1, 2]) {
      const sent = chunks(complete(await play("finish_with_content", { stream: true, n })));
      expect(sent.at(-1)?.["choices"]?.[0]?.["delta"]).toHaveProperty("content");
      expect(fold(sent, n - 1).finish).toBe("stop");
    }
  });

  test(shows("delta_after_finish"), async () => {
    const last = chunks(complete(await stream("delta_after_finish"))).at(-1);
    expect(last?.["choices"]?.[0]).toMatchObject({ delta: { content: "" }, finish_reason: null });
  });

  test(shows("missing_finish"), async () => {
    const received = complete(await play("missing_finish", { stream: true, n: 2 }));
    expect(fold(chunks(received), 0).finish).toBe("stop");
    expect(fold(chunks(received), 1).finish).toBe(null);
    expect(eventData(received).at(-1)).toBe("[DONE]");
  });

  test(shows("candidates_reversed"), async () => {
    const received = complete(await play("candidates_reversed", { stream: true, n: 2 }));
    const turns = chunks(received).map((chunk) => chunk["choices"]?.[0]?.["index"]);
    expect(turns).toEqual([1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 1, 0]);
    expect(fold(chunks(received), 1).content).toBe(`${whole} (2)`);
  });

  test(shows("null_deltas"), async () => {
    const sent = chunks(complete(await stream("null_deltas")));
    expect(sent.at(-1)?.["choices"]?.[0]?.["delta"]).toEqual({ role: null, content: null, tool_calls: null });
  });

  test(shows("bare_choices"), async () => {
    const sent = chunks(complete(await stream("bare_choices"))).map(({ choices }) => choices?.[0]);
    expect(sent[0]).toEqual({ index: 0, delta: { role: "assistant", content: "" } });
    expect(sent.at(-1)).toEqual({ index: 0, delta: {}, finish_reason: "stop" });
  });

  test(shows("empty_choices"), async () => {
    const empty = chunks(complete(await stream("empty_choices"))).filter(({ choices }) => String(choices) === "");
    expect(empty).toHaveLength(5);
  });

  test(shows("new_ids"), async () => {
    const sent = chunks(complete(await stream("new_ids")));
    expect(new Set(sent.map(({ id }) => id)).size).toBe(sent.length);
  });

  test(shows("comments"), async () => {
    const received = complete(await stream("comments"));
    expect(received.body.toString().match(/^: ping$/gm)).toHaveLength(eventData(received).length);
  });

  test(shows("crlf"), async () => {
    const received = complete(await stream("crlf"));
    expect(received.body.toString()).not.toMatch(/[^\r]\n|data: /);
  });

  test(shows("text_plain"), async () => {
    expect(complete(await stream("text_plain")).headers["content-type"]).toBe("text/plain; charset=utf-8");
  });

  test(shows("data_after_done"), async () => {
    const data = eventData(complete(await stream("data_after_done")));
    expect(data.slice(-3)).toEqual(["[DONE]", data[0], "[DONE]"]);
  });

  test(shows("long_line"), async () => {
    const received = complete(await stream("long_line"));
    expect(eventData(received)[1]?.length).toBeGreaterThan(2 ** 21);
    expect((await unary("long_line:100000")).body.length).toBeGreaterThan(100_000);
  });

  test(shows("invalid_utf8"), async () => {
    const strict = new TextDecoder("utf-8", { fatal: true });
    for (const received of [complete(await stream("invalid_utf8")), await unary("invalid_utf8")]) {
      expect(() => strict.decode(received.body)).toThrow(TypeError);
    }
  });

  test(shows("processing"), async () => {
    for (const ask of [unary, stream]) {
      const received = await ask("processing");
      expect(received).toMatchObject({ status: 200, end: "whole" });
      expect(received.reads[0]).toMatch(/^HTTP\/1\.1 102 /);
    }
  });

  test.for(faultKinds.slice(faultKinds.indexOf("no_done")).filter((kind) => kind !== "hold_open_after_done"))(
    "%s is also something a unary answer survives",
    async (kind) => {
      const received = await unary(kind);
      expect(json(received)["choices"]?.[0]?.["message"]?.["content"]).toBe(whole);
    },
  );
});

describe("any fault", () => {
  test("may be late", async () => {
    const before = performance.now();
    expect((await unary({ kind: "status", status: 500, delayMs: 40 })).status).toBe(500);
    expect(performance.now() - before).toBeGreaterThan(35);
  });

  test("may have a pace of its own", async () => {
    const before = performance.now();
    await stream({ kind: "none", tokensPerSecond: 100 });
    expect(performance.now() - before).toBeGreaterThan(35);
  });

  test("is shown above", () => {
    expect(faultKinds.filter((kind) => !shown.has(kind))).toEqual([]);
  });
});
