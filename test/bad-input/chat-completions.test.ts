import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { brotliCompressSync, gzipSync, zstdCompressSync } from "node:zlib";
import { describe, expect, onTestFinished, test } from "vitest";
import { type Answer, type Bytes, bytesOf, talk } from "./http1.ts";
import { goodBody, startTarget, type Target } from "./target.ts";

const json = "content-type: application/json";
const messages = [{ role: "user", content: "hello" }];
const good = { model: "think", messages };
const utf8 = (text: string) => Buffer.from(text);
const repeated = (count: number, text: string) => Array.from({ length: count }, () => text).join(",");
const names = (count: number, value: unknown) =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [`${at}`, value]));
const deep = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;
const deepObject = (depth: number) => `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`;
/** A good body with more members, as text. */
const withText = (more: string) => `${goodBody.slice(0, -1)},${more}}`;

/** Sends a body as it is. */
async function post(target: Target, body: Bytes, fields: readonly string[] = [json]): Promise<Answer> {
  const bytes = bytesOf(body);
  const head = ["POST /v1/chat/completions HTTP/1.1", "host: localhost", ...fields, `content-length: ${bytes.length}`];
  const { answers } = await talk(
    target.port,
    Buffer.concat([Buffer.from(`${head.join("\r\n")}\r\n\r\n`, "latin1"), bytes]),
  );
  const [answer] = answers;
  if (!answer) throw new Error("no answer");
  return answer;
}

const codes: Readonly<Record<number, string>> = {
  400: "invalid_request",
  404: "not_found",
  413: "request_too_large",
  415: "unsupported_media_type",
};

/** Checks an answer's status, and that what is no success has the shape of an error. */
function check(answer: Answer, expected: number | readonly number[]): void {
  expect([expected].flat(), answer.body.slice(0, 300)).toContain(answer.status);
  if (answer.status === 200) return;
  expect(JSON.parse(answer.body)).toEqual({
    error: {
      message: expect.stringMatching(/\S/),
      type: "invalid_request_error",
      param: expect.toSatisfy((param) => param === null || typeof param === "string"),
      code: codes[answer.status],
      details: expect.objectContaining({ request_id: answer.headers["x-request-id"] }),
    },
    timestamp: expect.stringMatching(/^\d{4}-/),
    request_id: answer.headers["x-request-id"],
  });
  expect(answer.body.length).toBeLessThan(16_384);
}

type Row = readonly [what: string, body: Bytes, expected: number | readonly number[], fields?: readonly string[]];

const rawBodies: readonly Row[] = [
  ["nothing", "", 400],
  ["blanks", " \n\t", 400],
  ["null", "null", 400],
  ["a list", "[]", 400],
  ["a list with a good body", `[${goodBody}]`, 400],
  ["a text", '"x"', 400],
  ["a good body in a text", JSON.stringify(goodBody), 400],
  ["a number", "7", 400],
  ["true", "true", 400],
  ["an empty object", "{}", 400],
  ["half of it", goodBody.slice(0, goodBody.length / 2), 400],
  ["all but the last byte", goodBody.slice(0, -1), 400],
  ["more behind it", `${goodBody}{}`, 400],
  ["NUL behind it", `${goodBody}\0`, 400],
  ["a comma too many", `${goodBody.slice(0, -1)},}`, 400],
  ["a comment", `/* hi */${goodBody}`, 400],
  ["single quotes", goodBody.replaceAll('"', "'"), 400],
  ["two lines of JSON", `${goodBody}\n${goodBody}`, 400],
  ["a form", "model=think&messages=hello", 400],
  ["XML", "<model>think</model>", 400],
  ["random bytes", Buffer.from("ff00fe80c3280d0a", "hex"), 400],
  ["a byte order mark", utf8(`\ufeff${goodBody}`), 200],
  ["two byte order marks", utf8(`\ufeff\ufeff${goodBody}`), 400],
  ["UTF-16, little end first", Buffer.from(`\ufeff${goodBody}`, "utf16le"), 400],
  ["UTF-16, big end first", Buffer.from(`\ufeff${goodBody}`, "utf16le").swap16(), 400],
  ["UTF-32", Buffer.concat([...goodBody].map((each) => Buffer.of(each.charCodeAt(0), 0, 0, 0))), 400],
  ["Latin-1", goodBody.replace("hello", "caf\xe9"), 400],
  ["a surrogate in UTF-8", goodBody.replace("hello", "\xed\xa0\x80"), 400],
  ["an overlong character", goodBody.replace("hello", "\xc0\xaf"), 400],
  ["a character cut in half", goodBody.replace("hello", "\xf0\x9f\x98"), 400],
  ["an escaped surrogate alone", goodBody.replace("hello", "\\ud800"), 200],
  ["an escaped pair the wrong way", goodBody.replace("hello", "\\udc00\\ud800"), 200],
  ["half an escape", goodBody.replace("hello", "\\ud8"), 400],
  ["a line end in a text", goodBody.replace("hello", "hel\nlo"), 400],
  ["a control character in a text", goodBody.replace("hello", "hel\x01lo"), 400],
  ["an escaped NUL", goodBody.replace("hello", "\\u0000"), 200],
  ["NaN", withText('"temperature":NaN'), 400],
  ["Infinity", withText('"temperature":Infinity'), 400],
  ["a number with a leading zero", withText('"n":01'), 400],
  ["a hexadecimal number", withText('"n":0x1'), 400],
  ["1e400", withText('"temperature":1e400'), 400],
  ["1e400 where nobody looks", withText('"x":1e400'), 200],
  ["-0", withText('"temperature":-0'), 200],
  ["1e-400", withText('"temperature":1e-400'), 200],
  ["2^53+1", withText('"seed":9007199254740993'), 200],
  ["a number of 100,000 digits", withText(`"x":${"9".repeat(100_000)}`), 200],
  ["a list 50 deep", withText(`"x":${deep(50)}`), 200],
  ["a list 100,000 deep", withText(`"x":${deep(100_000)}`), 400],
  ["a list of 10^7 opened", `{"x":${"[".repeat(1e7)}`, 400],
  ["an object 100,000 deep", withText(`"x":${deepObject(100_000)}`), 400],
  [
    "a schema 100,000 deep",
    withText(`"tools":[{"type":"function","function":{"name":"f","parameters":${deepObject(100_000)}}}]`),
    400,
  ],
  ["content 100,000 deep", `{"messages":[{"role":"user","content":${deep(100_000)}}]}`, 400],
  ["metadata 100,000 deep", withText(`"metadata":${deepObject(100_000)}`), 400],
  ["10^6 messages", `{"messages":[${repeated(1e6, "{}")}]}`, 400],
  ["10^6 numbers for messages", `{"messages":[${repeated(1e6, "1")}]}`, 400],
  ["10^6 stops", withText(`"stop":[${repeated(1e6, '""')}]`), 400],
  ["10^6 tools", withText(`"tools":[${repeated(1e6, "{}")}]`), 400],
  ["10^6 fallbacks", withText(`"fallback_providers":[${repeated(1e6, '"only"')}]`), 400],
  ["10^6 numbers where nobody looks", withText(`"x":[${repeated(1e6, "1")}]`), 200],
  ["10^6 parts", `{"messages":[{"role":"user","content":[${repeated(1e6, "{}")}]}]}`, [200, 400]],
  ["10^5 members", withText(JSON.stringify(names(1e5, 1)).slice(1, -1)), 200],
  ["__proto__", withText('"__proto__":{"stream":true,"temperature":9}'), 200],
  ["constructor.prototype", withText('"constructor":{"prototype":{"stream":true}}'), 200],
  ["__proto__ in a message", '{"messages":[{"__proto__":{"role":"user"},"content":"x"}]}', [200, 400]],
  ["__proto__ for messages", '{"__proto__":{"messages":[{"role":"user","content":"x"}]}}', 400],
  ["a text of 10^7 characters", goodBody.replace("hello", "x".repeat(1e7)), 200],
  ["an image of 50 MB", goodBody.replace("hello", "A".repeat(50_000_000)), 413],
  ["another media type", goodBody, 415, ["content-type: text/plain"]],
  ["no media type", goodBody, 415, []],
  ["an empty media type", goodBody, 415, ["content-type: "]],
  ["a form's media type", goodBody, 415, ["content-type: application/x-www-form-urlencoded"]],
  ["multipart", goodBody, 415, ["content-type: multipart/form-data; boundary=x"]],
  ["text/json", goodBody, 415, ["content-type: text/json"]],
  ["application/jsonp", goodBody, 415, ["content-type: application/jsonp"]],
  ["application/json and more", goodBody, 415, ["content-type: application/json/x"]],
  ["two media types in one field", goodBody, 415, ["content-type: text/plain, application/json"]],
  ["application/grpc", goodBody, 415, ["content-type: application/grpc"]],
  ["a media type that is none", goodBody, 415, ["content-type: \xff;;;="]],
  ["a charset of UTF-16", goodBody, 415, ["content-type: application/json; charset=utf-16"]],
  ["a charset of UTF-8", goodBody, 200, ["Content-Type: Application/JSON; Charset=UTF-8"]],
  ["a charset in quotes", goodBody, 200, ['content-type: application/json;charset="utf-8"']],
  ["a parameter that nobody knows", goodBody, 200, ["content-type: application/json; odata=verbose"]],
  ["gzip", gzipSync(goodBody), 415, [json, "content-encoding: gzip"]],
  ["brotli", brotliCompressSync(goodBody), 415, [json, "content-encoding: br"]],
  ["zstd", zstdCompressSync(goodBody), 415, [json, "content-encoding: zstd"]],
  ["gzip twice", gzipSync(gzipSync(goodBody)), 415, [json, "content-encoding: gzip, gzip"]],
  ["gzip in capitals", gzipSync(goodBody), 415, [json, "content-encoding: GZIP"]],
  ["garbage that calls itself gzip", "garbage", 415, [json, "content-encoding: gzip"]],
  ["garbage that calls itself garbage", "garbage", 415, [json, "content-encoding: garbage"]],
  ["gzip that does not say so", gzipSync(goodBody), 400],
  ["a bomb", gzipSync(Buffer.alloc(200 << 20)), 415, [json, "content-encoding: gzip"]],
  ["identity", goodBody, 200, [json, "content-encoding: identity"]],
];

test.each(rawBodies.map(([what, ...row]) => ({ what, row })))(
  "a body: $what",
  async ({ row: [body, expected, fields] }) => {
    const target = await startTarget();
    check(await post(target, body, fields), expected);
    if (expected !== 200)
      expect(target.provider.seen.length).toBe([expected].flat().includes(200) ? target.provider.seen.length : 0);
    await target.survives();
  },
);

/** Members of a body that is otherwise good. What is refused is named. 400: here or by the provider. */
const members: readonly (readonly [
  param: string,
  value: unknown,
  expected: number | readonly number[],
  what?: string,
])[] = [
  ["model", undefined, 200],
  ["model", null, 200],
  ["model", "", 200],
  ["model", "nowhere", 404],
  ["model", " think", 404],
  ["model", "THINK", 404],
  ["model", "../x", 404],
  ["model", "a#b", 404],
  ["model", "a?b", 404],
  ["model", "http://evil.example/", 404],
  ["model", "😀", 404],
  ["model", "a\0b", 404],
  ["model", "a\r\nx-injected: 1", 404],
  ["model", "\ud800", 404],
  ["model", "only:", 404],
  ["model", ":only-model", 404],
  ["model", "only:only-model:x", 404],
  ["model", "__proto__", 404],
  ["model", "constructor", 404],
  ["model", "x".repeat(256), 404, "256 characters"],
  ["model", "x".repeat(500_000), 400, "500 kB"],
  ["model", 7, 400],
  ["model", {}, 400],
  ["model", ["think"], 400],
  ["messages", undefined, 400],
  ["messages", null, 400],
  ["messages", [], 400],
  ["messages", {}, 400],
  ["messages", "hello", 400],
  ["messages", [null], 400],
  ["messages", [[]], 400],
  ["messages", ["hello"], 400],
  ["messages", [{}], [200, 400]],
  ["messages", Array.from({ length: 10_000 }, () => messages[0]), 200, "10,000 messages"],
  ["messages", Array.from({ length: 10_001 }, () => messages[0]), 400, "10,001 messages"],
  ["messages", [{ role: "king", content: "x" }], [200, 400]],
  ["messages", [{ role: 7, content: "x" }], [200, 400]],
  ["messages", [{ content: "x" }], [200, 400]],
  ["messages", [{ role: "user" }], [200, 400]],
  ["messages", [{ role: "user", content: null }], [200, 400]],
  ["messages", [{ role: "user", content: 7 }], [200, 400]],
  ["messages", [{ role: "user", content: [] }], [200, 400]],
  ["messages", [{ role: "user", content: [7, null, "x"] }], [200, 400]],
  ["messages", [{ role: "user", content: [{ type: "hologram", hologram: {} }] }], [200, 400]],
  ["messages", [{ role: "user", content: [{ type: "image_url" }] }], [200, 400]],
  [
    "messages",
    [{ role: "user", content: [{ type: "image_url", image_url: { url: "data:;base64,%%%" } }] }],
    [200, 400],
  ],
  ["messages", [{ role: "tool", content: "x" }], [200, 400]],
  ["messages", [{ role: "tool", tool_call_id: "nobody's", content: "x" }], [200, 400]],
  ["messages", [{ role: "assistant", tool_calls: "x" }], [200, 400]],
  ["messages", [{ role: "assistant", tool_calls: [{}] }], [200, 400]],
  ["temperature", -1, 400],
  ["temperature", 2.1, 400],
  ["temperature", "1", 400],
  ["temperature", true, 400],
  ["temperature", [1], 400],
  ["top_p", 0, 200],
  ["top_p", 1.1, 400],
  ["top_p", -0.1, 400],
  ["n", 0, 400],
  ["n", -1, 400],
  ["n", 1e9, 400],
  ["n", 1.5, 400],
  ["n", "2", 400],
  ["max_tokens", 0, 400],
  ["max_tokens", -1, 400],
  ["max_tokens", 1e12, 400],
  ["max_tokens", null, 200],
  ["max_tokens", 1.5, 400],
  ["max_tokens", "7", 400],
  ["max_completion_tokens", 0, 400],
  ["max_completion_tokens", 1e12, 400],
  ["stream", "true", 400],
  ["stream", 1, 400],
  ["stream", null, 200],
  ["stream", {}, 400],
  ["stream_options", { include_usage: "yes" }, [200, 400]],
  ["stream_options", "usage", 400],
  ["stop", ["a", "b", "c", "d", "e"], 400],
  ["stop", [], 200],
  ["stop", "", 200],
  ["stop", [""], [200, 400]],
  ["stop", [7], 400],
  ["stop", "x".repeat(1e6), [200, 400], "1 MB"],
  ["logit_bias", { 50256: 101 }, 400],
  ["logit_bias", { 50256: 1e308 }, 400],
  ["logit_bias", { 50256: null }, [200, 400]],
  ["logit_bias", { x: 1 }, [200, 400]],
  ["logit_bias", names(100_000, 1), [200, 400], "100,000 tokens"],
  ["logit_bias", [], 400],
  ["logprobs", "true", 400],
  ["top_logprobs", 21, 400],
  ["top_logprobs", -1, 400],
  ["seed", 1.5, 400],
  ["seed", "7", 400],
  ["presence_penalty", 2.1, 400],
  ["frequency_penalty", "0", 400],
  ["tools", [{ type: "function", function: { name: "f", parameters: { $ref: "#" } } }], 200],
  ["tools", [1, 2].map(() => ({ type: "function", function: { name: "twice", parameters: {} } })), 200],
  ["tools", [{ type: "hammer" }], 200],
  ["tools", [null], [200, 400]],
  ["tools", "x", 400],
  ["tool_choice", { type: "function", function: { name: "nowhere" } }, [200, 400]],
  ["tool_choice", 7, [200, 400]],
  ["response_format", { type: "poem" }, [200, 400]],
  ["response_format", 7, [200, 400]],
  ["response_format", { type: "json_schema" }, [200, 400]],
  ["timeout", 0, 400],
  ["timeout", -1, 400],
  ["timeout", 1e12, 200],
  ["timeout", 1e308, 200],
  ["timeout", "60", 400],
  ["timeout", [60], 400],
  ["retry_count", 1e9, 400],
  ["retry_count", -1, 400],
  ["retry_count", 1.5, 400],
  ["retry_count", "1", 400],
  ["provider", "nowhere", 400],
  ["provider", "__proto__", 400],
  ["provider", "../x", 400],
  ["provider", 7, 400],
  ["provider", "x".repeat(1e6), 400, "1 MB"],
  ["fallback_providers", ["only", "only", "only"], 200],
  ["fallback_providers", ["only", "nowhere"], 400],
  ["fallback_providers", Array.from({ length: 1000 }, () => "only"), 400, "1,000 names"],
  ["fallback_providers", "only", 400],
  ["fallback_providers", [null], 400],
  ["fallback_providers", [["only"]], 400],
  ["user", "x".repeat(1e6), 200, "1 MB"],
  ["metadata", names(10_000, "x"), 200, "10,000 keys"],
  ["x".repeat(100_000), 1, 200, "a name of 100 kB"],
  ["", "", 200, "a name of nothing"],
];

describe("a member:", () => {
  const table = members.map(([param, value, expected, what]) => ({
    param,
    value,
    expected,
    shown: `${param.slice(0, 20)} ${what ?? JSON.stringify(value) ?? "left out"}`,
  }));
  test.each(table)("$shown", async ({ param, value, expected }) => {
    const target = await startTarget();
    for (const stream of param === "stream" ? [undefined] : [false, true]) {
      const answer = await post(target, utf8(JSON.stringify({ ...good, ...(stream && { stream }), [param]: value })));
      check(answer, expected);
      if (answer.status !== 200) expect(JSON.parse(answer.body).error.param.slice(0, param.length)).toBe(param);
      else expect(answer.headers["content-type"]).toMatch(stream ? /^text\/event-stream/ : /^application\/json/);
      if (stream && answer.status === 200) expect(answer.body).toMatch(/data: \[DONE\]\n\n$/);
      if ([expected].flat().every((status) => status !== 200)) expect(target.provider.seen.length).toBe(0);
    }
    await target.survives();
  });
});

test("fallbacks that lead in a circle end", async () => {
  const target = await startTarget({}, { schedule: [{ kind: "status", status: 500 }] });
  const body = { ...good, provider: "only", fallback_providers: ["only", "only"], retry_count: 3 };
  const answer = await post(target, utf8(JSON.stringify(body)));
  expect(answer.status).toBe(502);
  expect(target.provider.seen.length).toBeLessThanOrEqual(4);
  target.provider.behave({ schedule: [] });
  await target.survives();
});

/** What the provider was asked. */
async function forwarded(target: Target, text: string): Promise<string> {
  expect((await post(target, utf8(text))).status).toBe(200);
  return String(target.provider.seen.at(-1)?.body);
}

test("numbers that JavaScript cannot hold go on as they came", async () => {
  const target = await startTarget();
  const body = await forwarded(target, withText('"seed":9007199254740993,"x":1e400,"y":-0,"z":1.0'));
  for (const text of ['"seed":9007199254740993', '"x":1e400', '"y":-0', '"z":1.0']) expect(body).toContain(text);
});

test("a model that is said twice is asked for once: the last", async () => {
  const target = await startTarget();
  const body = await forwarded(target, `{"model":"nowhere",${goodBody.slice(1)}`);
  expect(JSON.parse(body)).toMatchObject({ model: "only-model" });
  expect(body).not.toContain("nowhere");
  check(await post(target, goodBody.replace('"model":"think"', '"model":"think","model":"nowhere"')), 404);
});

test("a member that is said twice cannot pass a check by its last value and reach a provider by its first", async () => {
  const target = await startTarget();
  const answer = await post(target, `{"max_tokens":999999999999,"max_tokens":5,${goodBody.slice(1)}`);
  expect([200, 400]).toContain(answer.status);
  expect(String(target.provider.seen.at(-1)?.body ?? "")).not.toContain("999999999999");
});

test("an escaped name is the name that it spells", async () => {
  const target = await startTarget();
  check(await post(target, withText('"temper\\u0061ture":9')), 400);
  check(await post(target, withText('"mode\\u006c":"nowhere"')), 404);
});

test("nothing in a body makes a prototype", async () => {
  const target = await startTarget();
  for (const name of ["__proto__", "constructor"]) {
    const answer = await post(target, withText(`"${name}":{"stream":true,"prototype":{"polluted":1},"polluted":1}`));
    expect(answer.headers["content-type"]).toMatch(/^application\/json/);
  }
  expect("polluted" in {}).toBe(false);
});

test("no address in a request is ever called: not an image's, not one that would route it elsewhere", async () => {
  let calls = 0;
  const trap = createServer((_, response) => {
    calls += 1;
    response.end();
  });
  await new Promise<void>((listening) => trap.listen(0, "127.0.0.1", listening));
  onTestFinished(() => void trap.close());
  const url = `http://127.0.0.1:${(trap.address() as AddressInfo).port}/v1`; // a TCP server's address is one
  const target = await startTarget();
  const image = {
    role: "user",
    content: [
      { type: "image_url", image_url: { url } },
      { type: "file", file: { file_url: url } },
    ],
  };
  check(await post(target, utf8(JSON.stringify({ messages: [image] }))), 200);
  const aliases = [
    "api_base",
    "base_url",
    "baseUrl",
    "api_url",
    "url",
    "endpoint",
    "custom_host",
    "host",
    "proxy",
    "callback",
    "webhook_url",
    "user_config",
    "litellm_params",
    "extra_body",
    "extra_headers",
    "azure_endpoint",
    "target_url",
  ];
  const headers = [
    "x-portkey-custom-host",
    "x-custom-host",
    "x-target-url",
    "x-base-url",
    "x-forwarded-host",
    "x-original-url",
    "x-rewrite-url",
    "forwarded",
    "api-base",
    "openai-base-url",
    "helicone-target-url",
  ];
  const body = { ...good, ...Object.fromEntries(aliases.map((name) => [name, url])) };
  check(await post(target, utf8(JSON.stringify(body)), [json, ...headers.map((name) => `${name}: ${url}`)]), 200);
  const { answers } = await talk(
    target.port,
    `POST /v1/chat/completions?${aliases.map((name) => `${name}=${url}`).join("&")} HTTP/1.1\r\nhost: h\r\n${json}\r\ncontent-length: ${goodBody.length}\r\n\r\n${goodBody}`,
  );
  expect(answers[0]?.status).toBe(200);
  expect(target.provider.seen.length).toBe(3);
  expect(calls).toBe(0);
});

test("headers of a request that are not meant for a provider do not reach it", async () => {
  const target = await startTarget();
  const canaries = [
    "cookie",
    "proxy-authorization",
    "api-key",
    "x-admin-key",
    "x-everhop-secret",
    "x-forwarded-for",
    "te",
    "x-anything",
  ];
  const answer = await post(target, goodBody, [json, ...canaries.map((name) => `${name}: canary`)]);
  expect(answer.status).toBe(200);
  expect(JSON.stringify(target.provider.seen[0]?.headers)).not.toContain("canary");
});

test("no member of a request becomes a header", async () => {
  const target = await startTarget();
  for (const model of ["x\r\nx-injected: 1", "x\u000ax-injected: 1", "x\u2028x"]) {
    const answer = await post(target, utf8(JSON.stringify({ ...good, model })));
    check(answer, 404);
    expect(answer.headers).not.toHaveProperty("x-injected");
  }
});

test.each([
  ["by prefix", { routing: { affinity: "prefix" } }],
  [
    "by price",
    { models: [{ name: "think", strategy: "cheapest", targets: [{ provider: "only", model: "only-model" }] }] },
  ],
  [
    "with recovery",
    { models: [{ name: "think", stream_recovery: "continue", targets: [{ provider: "only", model: "only-model" }] }] },
  ],
])("content too deep for recursion is refused where the gateway itself looks into it: %s", async (_, changes) => {
  const target = await startTarget(changes);
  for (const more of ["", ',"stream":true']) {
    check(await post(target, `{"model":"think","messages":[{"role":"user","content":${deep(100_000)}}]${more}}`), 400);
  }
  await target.survives();
});
