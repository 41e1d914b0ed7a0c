import { describe, expect, test } from "vitest";
import { create, PromptSchema, Role } from "../../src/chat/messages.ts";
import type { AnswerMode } from "../../src/providers/lane.ts";
import { nativeLane } from "../../src/providers/openai/native-lane.ts";
import { targetParams } from "../../src/providers/openai/params.ts";
import { typedLane } from "../../src/providers/openai/typed-lane.ts";
import type { Json } from "../support/rest.ts";
import { testTarget } from "./target.ts";

const additions = { usage: true };
const local = { origin: "http://127.0.0.1" };

/** What a target with such parameters is asked when a caller sends such a body. */
function native(
  body: Json | string,
  overrides: Json,
  {
    defaults = {},
    mode = "unary",
    origin = local.origin,
  }: {
    defaults?: Json;
    mode?: AnswerMode;
    origin?: string;
  } = {},
) {
  const whole = typeof body === "string" ? body : JSON.stringify({ model: "think", messages: [{}], ...body });
  const lane = nativeLane({ text: whole, json: JSON.parse(whole) as Json });
  const target = testTarget({ origin, params: targetParams({ origin }, overrides, defaults) });
  const request = lane.request(target, mode, additions);
  const { model, messages, ...sent } = JSON.parse(String(request.body)) as Record<string, unknown>;
  expect({ model, messages }).toEqual({ model: "m", messages: [{}] });
  return {
    sent,
    text: String(request.body),
    mode: request.mode,
    configured: request.configured,
    headers: request.headers,
  };
}

function typed(
  prompt: Json,
  overrides: Json,
  { defaults = {}, mode = "unary" as AnswerMode, origin = local.origin } = {},
) {
  const messages = [{ role: Role.USER, parts: [{ kind: { case: "text" as const, value: "hi" } }] }];
  const target = testTarget({ origin, params: targetParams({ origin }, overrides, defaults) });
  const request = typedLane(create(PromptSchema, { messages, ...prompt })).request(target, mode, additions);
  const { model, messages: said, ...sent } = JSON.parse(String(request.body)) as Record<string, unknown>;
  expect({ model, said }).toEqual({ model: "m", said: [{ role: "user", content: "hi" }] });
  return { sent, mode: request.mode, configured: request.configured };
}

describe("a target's parameters", () => {
  test("replace what the caller sends under the same names, and are added where it sends nothing", () => {
    const { sent, configured } = native({ temperature: 1, top_p: 0.5 }, { temperature: 0.1, top_k: 5 });
    expect(sent).toEqual({ temperature: 0.1, top_p: 0.5, top_k: 5 });
    expect(configured).toBe(true);
  });

  test("may be any JSON under any name", () => {
    const odd = { chat_template_kwargs: { thinking: [true, null, "x"] }, tool_choice: "none", safe: false };
    expect(native({ tool_choice: "auto" }, odd).sent).toEqual(odd);
  });

  test("leave every other byte of the caller's body alone", () => {
    const text = '{"messages": [{}], "seed": 12345678901234567890, "temperature":1, "model":"x", "odd": 1.0}';
    expect(native(text, { temperature: 0.5 }).text).toBe(
      '{"messages": [{}], "seed": 12345678901234567890, "temperature":0.5, "model":"m", "odd": 1.0}',
    );
  });

  test("count as no change where the caller says the same, or where there are none", () => {
    expect(native({ temperature: 0.1 }, { temperature: 0.1 }).configured).toBe(false);
    expect(native({ temperature: 0.1 }, {}).configured).toBeUndefined();
    expect(typed({ sampling: { topP: 0.5 } }, { top_p: 0.5 }).configured).toBe(false);
  });

  test("of null keep the caller's from being sent", () => {
    expect(native({ logit_bias: { 5: 1 }, top_p: 1 }, { logit_bias: null })).toMatchObject({
      sent: { top_p: 1 },
      configured: true,
    });
    expect(native({ top_p: 1 }, { logit_bias: null })).toMatchObject({ sent: { top_p: 1 }, configured: false });
    expect(native({ logit_bias: null, top_p: 1 }, { logit_bias: null }).sent).toEqual({ top_p: 1 });
  });

  test.each([
    ["max_tokens", "max_completion_tokens"],
    ["max_completion_tokens", "max_tokens"],
  ])("make of %s and %s one limit, of which one goes out", (name, other) => {
    expect(native({ [other]: 9 }, { [name]: 5 })).toMatchObject({ sent: { [name]: 5 }, configured: true });
    expect(native({ [other]: 9 }, { [name]: 5 }).sent).toEqual({ [name]: 5 });
    expect(native({ [name]: 9, [other]: 9 }, { [name]: 5 }).sent).toEqual({ [name]: 5 });
    expect(native({ [other]: 9 }, {}, { defaults: { [name]: 5 } })).toMatchObject({
      sent: { [other]: 9 },
      configured: false,
    });
    expect(native({}, { [other]: 7 }, { defaults: { [name]: 5 } }).sent).toEqual({ [other]: 7 });
    // Not even a null goes out under the other name.
    expect(native({ [other]: null }, { [name]: 5 }).sent).toEqual({ [name]: 5 });
    expect(native({ [other]: null }, {}, { defaults: { [name]: 5 } }).sent).toEqual({ [name]: 5 });
    expect(native({ [name]: null, [other]: null }, { [name]: null }).sent).toEqual({});
  });

  test("leave one limit where the contract's messages have one and a provider's own members another", () => {
    const prompt = { maxOutputTokens: 5, extensionJson: { max_completion_tokens: "9", max_tokens: "8" } };
    expect(typed(prompt, {}).sent).toEqual({ max_tokens: 5 });
    expect(typed(prompt, { max_completion_tokens: 3 }).sent).toEqual({ max_completion_tokens: 3 });
    expect(typed({ extensionJson: { max_completion_tokens: "9" } }, {}).sent).toEqual({ max_completion_tokens: 9 });
  });

  test("are set in what is made of the contract's messages, too", () => {
    const prompt = { sampling: { temperature: 1 }, maxOutputTokens: 9, extensionJson: { top_k: "7", odd: "1" } };
    expect(typed(prompt, { temperature: 0.1, max_completion_tokens: 5, top_k: 3, another: [1] })).toEqual({
      sent: { temperature: 0.1, max_completion_tokens: 5, top_k: 3, odd: 1, another: [1] },
      mode: "unary",
      configured: true,
    });
  });
});

describe("default parameters", () => {
  const defaults = { temperature: 0.7, max_tokens: 1024 };

  test("are set where the caller sends nothing or null, and nowhere else", () => {
    expect(native({}, {}, { defaults })).toMatchObject({ sent: defaults, configured: true });
    expect(native({ temperature: null, max_completion_tokens: null }, {}, { defaults }).sent).toEqual(defaults);
    expect(native({ temperature: 0, max_tokens: 1 }, {}, { defaults })).toMatchObject({
      sent: { temperature: 0, max_tokens: 1 },
      configured: false,
    });
    expect(typed({}, {}, { defaults })).toMatchObject({ sent: defaults, configured: true });
    expect(typed({ sampling: { temperature: 0 }, maxOutputTokens: 1 }, {}, { defaults })).toMatchObject({
      sent: { temperature: 0, max_tokens: 1 },
      configured: false,
    });
  });

  test("are beaten by the target's own, also by one of null", () => {
    expect(native({}, { temperature: 0.1 }, { defaults }).sent).toEqual({ temperature: 0.1, max_tokens: 1024 });
    expect(native({}, { temperature: null }, { defaults }).sent).toEqual({ max_tokens: 1024 });
  });

  test("limit an answer of OpenAI's own by the name that its newer models know", () => {
    const origin = "https://api.openai.com";
    expect(native({}, {}, { defaults, origin }).sent).toEqual({ temperature: 0.7, max_completion_tokens: 1024 });
    expect(typed({}, {}, { defaults, origin }).sent).toEqual({ temperature: 0.7, max_completion_tokens: 1024 });
    expect(native({}, { max_tokens: 5 }, { defaults, origin }).sent).toEqual({ temperature: 0.7, max_tokens: 5 });
  });
});

describe("a target that is always asked for a stream, or never", () => {
  test("is asked for a stream and its usage by a caller that wants the whole", () => {
    const { sent, mode, configured, headers } = native({ stream: false }, { stream: true });
    expect(sent).toEqual({ stream: true, stream_options: { include_usage: true } });
    expect({ mode, configured, accept: headers["accept"] }).toEqual({
      mode: "stream",
      configured: true,
      accept: "text/event-stream",
    });
    expect(typed({}, { stream: true })).toEqual({ sent, mode: "stream", configured: true });
  });

  test("is asked for the whole by a caller that wants a stream, and for nothing that only streams have", () => {
    const asks = { stream: true, stream_options: { include_usage: true }, top_p: 1 };
    const { sent, mode, configured, headers } = native(asks, { stream: false }, { mode: "stream" });
    expect(sent).toEqual({ top_p: 1 });
    expect({ mode, configured, accept: headers["accept"] }).toEqual({
      mode: "unary",
      configured: true,
      accept: "application/json",
    });
    const prompt = { extensionJson: { stream_options: '{"include_usage":true}' } };
    expect(typed(prompt, { stream: false }, { mode: "stream" })).toEqual({ sent: {}, mode: "unary", configured: true });
  });

  test("is asked as ever by a caller that wants the same", () => {
    expect(native({ stream: true }, { stream: true }, { mode: "stream" })).toMatchObject({
      mode: "stream",
      configured: false,
    });
    expect(native({}, { stream: false })).toMatchObject({ sent: {}, mode: "unary", configured: false });
    expect(typed({}, { stream: true }, { mode: "stream" })).toMatchObject({ mode: "stream", configured: false });
  });
});
