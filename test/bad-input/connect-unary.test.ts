import { deflateSync, gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { type Answer, type Bytes, bytesOf, talk } from "./http1.ts";
import { goodPrompt, goodRequest, helloMessage, numbered, sized, tag, varint } from "./rpc.ts";
import { startTarget, type Target } from "./target.ts";

const chatPath = "/everhop.v1.ChatService/CompleteChat";
const modelsPath = "/everhop.v1.ModelsService/ListModels";
const json = "Content-Type: application/json";
const proto = "Content-Type: application/proto";

/** Sends a body as it is. */
async function post(
  target: Target,
  path: string,
  fields: readonly string[],
  body: Bytes,
  method = "POST",
): Promise<Answer> {
  const bytes = bytesOf(body);
  const head = [
    `${method} ${path} HTTP/1.1`,
    "Host: localhost",
    ...fields,
    ...(method === "GET" ? [] : [`Content-Length: ${bytes.length}`]),
  ];
  const said = Buffer.concat([Buffer.from(`${head.join("\r\n")}\r\n\r\n`, "latin1"), bytes]);
  const { answers } = await talk(target.port, said);
  const [answer] = answers;
  if (!answer) throw new Error("no answer");
  return answer;
}

/** Status, the code that Connect gives it, the reason in its ErrorInfo. */
type Expected = readonly [status: number, code?: string, reason?: string];
const ok: Expected = [200];
const invalid: Expected = [400, "invalid_argument", "INVALID_REQUEST"];

/** Checks an answer: what is no success says why, to programs, too. */
function check(answer: Answer, [status, code, reason]: Expected): void {
  expect(answer.status, answer.body.slice(0, 300)).toBe(status);
  if (code === undefined) return;
  expect(answer.headers["content-type"]).toBe("application/json");
  const { code: told, details } = JSON.parse(answer.body) as {
    code: string;
    details?: { type: string; value: string }[];
  };
  expect(told).toBe(code);
  const info = details?.find(({ type }) => type === "google.rpc.ErrorInfo");
  // A message of three texts: the reason stands in it as it is.
  const text = Buffer.from(info?.value ?? "", "base64").toString("latin1");
  expect(text, answer.body).toContain("everhop");
  if (reason !== undefined) expect(text).toContain(reason);
}

const goodJson = '{"prompt":{"model":"think","messages":[{"role":"ROLE_USER","parts":[{"text":"hello"}]}]}}';
const prompt = (member: string) => goodJson.replace('"model":"think"', member);

const headers: readonly (readonly [what: string, fields: readonly string[], body: Bytes, expected: Expected])[] = [
  ["no version of the protocol", [json], goodJson, ok],
  ["a version", [json, "Connect-Protocol-Version: 1"], goodJson, ok],
  ["a timeout of letters", [json, "Connect-Timeout-Ms: soon"], goodJson, invalid],
  ["a timeout of nothing", [json, "Connect-Timeout-Ms: "], goodJson, invalid],
  ["a timeout of 11 digits", [json, "Connect-Timeout-Ms: 10000000000"], goodJson, invalid],
  ["a timeout of 10 digits", [json, "Connect-Timeout-Ms: 9999999999"], goodJson, ok],
  ["a timeout beyond 2^31", [json, "Connect-Timeout-Ms: 2147483648"], goodJson, ok],
  ["a timeout below nothing", [json, "Connect-Timeout-Ms: -1"], goodJson, invalid],
  ["a timeout with a fraction", [json, "Connect-Timeout-Ms: 1.5"], goodJson, invalid],
  ["a timeout in hexadecimal", [json, "Connect-Timeout-Ms: 0x10"], goodJson, invalid],
  ["two timeouts", [json, "Connect-Timeout-Ms: 1000", "Connect-Timeout-Ms: 2000"], goodJson, invalid],
  ["a timeout of zero", [json, "Connect-Timeout-Ms: 0"], goodJson, [504, "deadline_exceeded", "DEADLINE_EXCEEDED"]],
  ["a media type in capitals", ["Content-Type: Application/JSON"], goodJson, ok],
  ["a charset of UTF-8", ["Content-Type: application/json; charset=utf-8"], goodJson, ok],
  ["a charset of UTF-16", ["Content-Type: application/json; charset=utf-16"], goodJson, [415]],
  ["no media type", [], goodJson, [415]],
  ["text", ["Content-Type: text/plain"], goodJson, [415]],
  ["a stream's media type", ["Content-Type: application/connect+json"], goodJson, [415]],
  ["another codec", ["Content-Type: application/xml"], goodJson, [415]],
  ["protobuf under another name", ["Content-Type: application/x-protobuf"], goodRequest, [415]],
  ["JSON that calls itself protobuf", [proto], goodJson, invalid],
  ["protobuf that calls itself JSON", [json], goodRequest, invalid],
  ["an unknown compression", [json, "Content-Encoding: snappy"], goodJson, [501, "unimplemented"]],
  ["brotli", [json, "Content-Encoding: br"], goodJson, [501, "unimplemented"]],
  ["an empty compression", [json, "Content-Encoding: "], goodJson, [501, "unimplemented"]],
  ["identity", [json, "Content-Encoding: identity"], goodJson, ok],
  ["gzip", [json, "Content-Encoding: gzip"], gzipSync(goodJson), ok],
  ["garbage for gzip", [json, "Content-Encoding: gzip"], "garbage", invalid],
  ["nothing for gzip", [json, "Content-Encoding: gzip"], "", invalid],
  ["half of gzip", [json, "Content-Encoding: gzip"], gzipSync(goodJson).subarray(0, 40), invalid],
  ["deflate for gzip", [json, "Content-Encoding: gzip"], deflateSync(goodJson), invalid],
  [
    "gzip and more behind it",
    [json, "Content-Encoding: gzip"],
    Buffer.concat([gzipSync(goodJson), Buffer.from("more")]),
    invalid,
  ],
  ["gzip in gzip", [json, "Content-Encoding: gzip"], gzipSync(gzipSync(goodJson)), invalid],
  [
    "a bomb",
    [json, "Content-Encoding: gzip"],
    gzipSync(Buffer.alloc(200 << 20, " ")),
    [429, "resource_exhausted", "REQUEST_TOO_LARGE"],
  ],
  ["40 MiB", [json], Buffer.alloc(40 << 20, " "), [429, "resource_exhausted", "REQUEST_TOO_LARGE"]],
  ["an answer in a compression that nobody knows", [json, "Accept-Encoding: snappy"], goodJson, ok],
  ["an Accept-Encoding of nonsense", [json, "Accept-Encoding: ,;q=,gzip;q=x"], goodJson, ok],
  ["headers of gRPC", [json, "Grpc-Timeout: nonsense", "Grpc-Encoding: snappy", "TE: trailers"], goodJson, ok],
  ["a -bin header of bad base64", [json, "X-Custom-Bin: %%%"], goodJson, ok],
];

const jsonBodies: readonly (readonly [what: string, body: string, expected: Expected])[] = [
  ["nothing", "", invalid],
  ["null", "null", invalid],
  ["a list", "[]", invalid],
  ["a text", '"x"', invalid],
  ["a number", "7", invalid],
  ["an empty object", "{}", invalid],
  ["half of it", goodJson.slice(0, 30), invalid],
  ["more behind it", `${goodJson}{}`, invalid],
  ["a byte order mark", `\xef\xbb\xbf${goodJson}`, ok],
  ["no UTF-8", goodJson.replace("hello", "\xff"), invalid],
  ["an escaped surrogate alone", goodJson.replace("hello", "\\ud800"), invalid],
  ["a text for a number", prompt('"maxOutputTokens":"x"'), invalid],
  ["an object for a text", prompt('"model":{}'), invalid],
  ["a list for a message", '{"prompt":[]}', invalid],
  ["a text for a message", '{"prompt":"x"}', invalid],
  ["an object for a list", '{"prompt":{"messages":{}}}', invalid],
  ["null in a list", '{"prompt":{"messages":[null]}}', invalid],
  ["null for a message", '{"prompt":null}', invalid],
  ["a number beyond int32", prompt('"maxOutputTokens":2147483648'), invalid],
  ["a fraction for int32", prompt('"maxOutputTokens":1.5'), invalid],
  ["a number beyond int64", prompt('"sampling":{"seed":"9223372036854775808"}'), invalid],
  ["a number below int64", prompt('"sampling":{"seed":"-9223372036854775809"}'), invalid],
  ["1e400 for a double", prompt('"sampling":{"temperature":1e400}'), invalid],
  ["NaN for a double", prompt('"sampling":{"temperature":"NaN"}'), invalid],
  ["Infinity for a double", prompt('"sampling":{"topP":"Infinity"}'), invalid],
  ["an unknown name in an enum", goodJson.replace("ROLE_USER", "ROLE_KING"), invalid],
  ["an unknown number in an enum", goodJson.replace('"ROLE_USER"', "99"), invalid],
  ["an object in an enum", goodJson.replace('"ROLE_USER"', "{}"), invalid],
  ["two members of a oneof", goodJson.replace('"text":"hello"', '"text":"hello","refusal":"no"'), invalid],
  ["a member said twice", prompt('"model":"nowhere","model":"think"'), [400, "invalid_argument"]],
  ["both names of a member", prompt('"maxOutputTokens":1,"max_output_tokens":2'), [400, "invalid_argument"]],
  ["a map with a key said twice", prompt('"extensionJson":{"x":"1","x":"2"}'), [400, "invalid_argument"]],
  ["a key that is no number", prompt('"sampling":{"logitBias":{"x":1}}'), invalid],
  ["a key beyond int32", prompt('"sampling":{"logitBias":{"2147483648":1}}'), invalid],
  ["extensions that are no JSON", prompt('"extensionJson":{"x":"{"}'), invalid],
  ["bad base64", goodJson.replace('"text":"hello"', '"media":{"data":"%%%","mediaType":"image/png"}'), invalid],
  ["unknown members", `{"apiBase":"http://evil.example","x":{"y":[1]},${goodJson.slice(1)}`, ok],
  ["__proto__", `{"__proto__":{"prompt":{}},${goodJson.slice(1)}`, ok],
  ["a timeout that is none", `{"options":{"timeout":"soon"},${goodJson.slice(1)}`, invalid],
  ["a timeout of nothing", `{"options":{"timeout":"0s"},${goodJson.slice(1)}`, invalid],
  ["a timeout below nothing", `{"options":{"timeout":"-1s"},${goodJson.slice(1)}`, invalid],
  ["a timeout beyond all", `{"options":{"timeout":"315576000000s"},${goodJson.slice(1)}`, ok],
  ["a timeout beyond a Duration", `{"options":{"timeout":"315576000001s"},${goodJson.slice(1)}`, invalid],
  [
    "a list 100,000 deep where nobody looks",
    `{"x":${"[".repeat(100_000)}${"]".repeat(100_000)},${goodJson.slice(1)}`,
    ok,
  ],
  ["messages 200 deep", toolResults(200), invalid],
  ["messages 100,000 deep", toolResults(100_000), invalid],
];

/** Parts in results in parts, which is the one place where the contract's messages nest. */
function toolResults(depth: number): string {
  const open = '{"toolResult":{"toolCallId":"x","parts":['.repeat(depth);
  return `{"prompt":{"messages":[{"role":"ROLE_TOOL","parts":[${open}{"text":"x"}${"]}}".repeat(depth)}]}]}}`;
}

/** The same in binary. */
function nested(depth: number): Buffer {
  let part = sized(1, "x");
  for (let count = 0; count < depth; count++) part = sized(5, [sized(1, "x"), sized(2, part)]);
  return sized(1, sized(2, [numbered(1, 4), sized(2, part)]));
}

const withPrompt = (...more: Bytes[]) => sized(1, [...goodPrompt, ...more]);

const binaryBodies: readonly (readonly [what: string, body: Bytes, expected: Expected])[] = [
  ["a good one", goodRequest, ok],
  ["nothing", "", invalid],
  ["random bytes", Buffer.from("deadbeef00ff80c3280d0a", "hex"), invalid],
  ["all 0", Buffer.alloc(100), invalid],
  ["all 255", Buffer.alloc(100, 255), invalid],
  ["its first half", goodRequest.subarray(0, goodRequest.length / 2), invalid],
  ["all but the last byte", goodRequest.subarray(0, -1), invalid],
  ["a byte too many", Buffer.concat([goodRequest, Buffer.of(8)]), invalid],
  ["a text that is no UTF-8", sized(1, [sized(1, "\xff\xfe"), sized(2, helloMessage)]), invalid],
  ["a surrogate in a text", sized(1, [sized(1, "\xed\xa0\x80"), sized(2, helloMessage)]), invalid],
  ["field number 0", Buffer.concat([goodRequest, Buffer.of(0, 0)]), invalid],
  ["field number 0 with a length", Buffer.concat([goodRequest, Buffer.of(2, 1, 0)]), invalid],
  ["the largest field number", Buffer.concat([goodRequest, tag(2 ** 29 - 1, 0), varint(1)]), ok],
  ["a field number beyond the largest", Buffer.concat([goodRequest, tag(2 ** 29, 0), varint(1)]), invalid],
  ["wire type 6", Buffer.concat([goodRequest, tag(9, 6), varint(1)]), invalid],
  ["wire type 7", Buffer.concat([goodRequest, tag(9, 7), varint(1)]), invalid],
  ["another wire type than the field's", withPrompt(Buffer.concat([tag(1, 0), varint(1)])), invalid],
  ["a number of eight bytes for a message", Buffer.concat([tag(1, 1), Buffer.alloc(8)]), invalid],
  ["a group that nobody knows", Buffer.concat([goodRequest, tag(9, 3), numbered(1, 1), tag(9, 4)]), ok],
  ["a group that does not end", Buffer.concat([goodRequest, tag(9, 3), numbered(1, 1)]), invalid],
  ["the end of no group", Buffer.concat([goodRequest, tag(9, 4)]), invalid],
  ["a group that ends as another", Buffer.concat([goodRequest, tag(9, 3), tag(8, 4)]), invalid],
  ["groups 100,000 deep", Buffer.concat([goodRequest, ...Array.from({ length: 100_000 }, () => tag(9, 3))]), invalid],
  [
    "groups 100,000 deep that end",
    Buffer.concat([
      goodRequest,
      ...Array.from({ length: 100_000 }, () => tag(9, 3)),
      ...Array.from({ length: 100_000 }, () => tag(9, 4)),
    ]),
    invalid,
  ],
  [
    "a varint of 10 bytes that overflows",
    withPrompt(Buffer.concat([tag(6, 0), Buffer.alloc(9, 255), Buffer.of(127)])),
    invalid,
  ],
  ["a varint of 11 bytes", withPrompt(Buffer.concat([tag(6, 0), Buffer.alloc(10, 255), Buffer.of(1)])), invalid],
  ["a varint that does not end", withPrompt(Buffer.concat([tag(6, 0), Buffer.of(128)])), invalid],
  ["a tag of 10 bytes", Buffer.concat([goodRequest, Buffer.alloc(9, 255), Buffer.of(1), varint(1)]), invalid],
  ["a negative int32 where none may be", withPrompt(numbered(6, -1)), invalid],
  ["an int32 beyond its range", withPrompt(numbered(6, 2n ** 40n)), ok],
  ["a length longer than all", sized(1, goodPrompt, 1000), invalid],
  ["a length shorter than all", sized(1, goodPrompt, 3), invalid],
  ["a length of 2^31", sized(1, goodPrompt, 2n ** 31n), invalid],
  ["a length of 2^32", sized(1, goodPrompt, 2n ** 32n), invalid],
  ["a length of 2^63", sized(1, goodPrompt, 2n ** 63n), invalid],
  ["a length of -1", sized(1, goodPrompt, -1), invalid],
  ["an inner length longer than the outer", sized(1, [sized(1, "think", 500), sized(2, helloMessage)]), invalid],
  ["a packed list for a single number", withPrompt(sized(6, [varint(1), varint(2)])), invalid],
  ["an unknown enum value", sized(1, [sized(2, [numbered(1, 99), sized(2, sized(1, "hello"))])]), invalid],
  ["an enum value below nothing", sized(1, [sized(2, [numbered(1, -1), sized(2, sized(1, "hello"))])]), invalid],
  [
    "a oneof set twice: the last counts",
    sized(1, [sized(2, [numbered(1, 2), sized(2, [sized(6, "no"), sized(1, "hello")])])]),
    ok,
  ],
  [
    "a oneof set twice: the last may not go",
    sized(1, [sized(2, [numbered(1, 2), sized(2, [sized(1, "hello"), sized(6, "no")])])]),
    invalid,
  ],
  ["a text said twice: the last counts", sized(1, [sized(1, "nowhere"), ...goodPrompt]), ok],
  [
    "a message said twice: they are merged",
    Buffer.concat([sized(1, sized(1, "think")), sized(1, sized(2, helloMessage))]),
    ok,
  ],
  [
    "a map with a key said twice",
    withPrompt(...["1", "2"].map((value) => sized(15, [sized(1, "x"), sized(2, value)]))),
    ok,
  ],
  ["a map's entry of nothing", withPrompt(sized(15, "")), invalid],
  [
    "unknown fields",
    Buffer.concat([
      goodRequest,
      sized(99, "http://evil.example"),
      numbered(100, 1),
      tag(101, 5),
      Buffer.alloc(4),
      tag(102, 1),
      Buffer.alloc(8),
    ]),
    ok,
  ],
  ["NaN", withPrompt(sized(5, [tag(1, 1), Buffer.from("000000000000f87f", "hex")])), invalid],
  ["Infinity", withPrompt(sized(5, [tag(2, 1), Buffer.from("000000000000f07f", "hex")])), invalid],
  [
    "a duration beyond its range: it is clamped",
    Buffer.concat([goodRequest, sized(2, sized(3, numbered(1, 2n ** 62n)))]),
    ok,
  ],
  [
    "a duration of mixed signs",
    Buffer.concat([goodRequest, sized(2, sized(3, [numbered(1, 1), numbered(2, -(2n ** 31n))]))]),
    invalid,
  ],
  ["messages 90 deep", nested(20), invalid],
  ["messages 1,000 deep", nested(1000), invalid],
  [
    "10^6 empty messages",
    sized(
      1,
      Array.from({ length: 1e6 }, () => sized(2, "")),
    ),
    invalid,
  ],
];

describe("Connect, unary: headers:", () => {
  test.each(headers.map(([what, ...row]) => ({ what, row })))("$what", async ({ row: [fields, body, expected] }) => {
    const target = await startTarget();
    check(await post(target, chatPath, fields, body), expected);
    await target.survives();
  });

  // Connect's own servers differ: in Go they refuse it, in TypeScript they take it.
  test.each(["2", "x", "", "1.0", "1, 1"])("a foreign version of the protocol: %j", async (version) => {
    const target = await startTarget();
    const answer = await post(target, chatPath, [json, `Connect-Protocol-Version: ${version}`], goodJson);
    check(answer, answer.status === 200 ? ok : invalid);
    await target.survives();
  });
});

describe("Connect, unary: bodies:", () => {
  test.each(jsonBodies.map(([what, ...row]) => ({ what, row })))("JSON: $what", async ({ row: [body, expected] }) => {
    const target = await startTarget();
    check(await post(target, chatPath, [json], body), expected);
    expect(target.provider.seen.length).toBe(expected[0] === 200 ? 1 : 0);
    await target.survives();
  });

  test.each(binaryBodies.map(([what, ...row]) => ({ what, row })))(
    "binary: $what",
    async ({ row: [body, expected] }) => {
      const target = await startTarget();
      check(await post(target, chatPath, [proto], body), expected);
      expect(target.provider.seen.length).toBe(expected[0] === 200 ? 1 : 0);
      await target.survives();
    },
  );

  test("fields that nobody knows go no further", async () => {
    const target = await startTarget();
    for (const [field, body] of [
      [proto, Buffer.concat([goodRequest, sized(99, "canary")])],
      [json, `{"canary":"canary",${goodJson.slice(1)}`],
    ] as const) {
      check(await post(target, chatPath, [field], body), ok);
      expect(String(target.provider.seen.at(-1)?.body)).not.toContain("canary");
    }
  });

  test("every cut of a good message is a message or INVALID_ARGUMENT", async () => {
    const target = await startTarget();
    for (let length = 0; length < goodRequest.length; length++) {
      check(await post(target, chatPath, [proto], goodRequest.subarray(0, length)), invalid);
    }
    await target.survives();
  });
});

describe("Connect, unary: methods and queries:", () => {
  const query = `message=${encodeURIComponent("{}")}&encoding=json`;
  const long = `message=${"x".repeat(64 << 10)}&encoding=json`;
  const rows: readonly (readonly [what: string, method: string, path: string, status: number | readonly number[]])[] = [
    ["GET of what has effects", "GET", `${chatPath}?${query}`, 405],
    ["GET without a query", "GET", chatPath, 405],
    ["HEAD", "HEAD", chatPath, 405],
    ["PUT", "PUT", chatPath, 405],
    ["DELETE", "DELETE", modelsPath, 405],
    ["OPTIONS", "OPTIONS", modelsPath, 405],
    ["GET with bad base64", "GET", `${modelsPath}?message=%25%25&encoding=json&base64=1`, [400, 405]],
    ["GET with half an escape", "GET", `${modelsPath}?message=%&encoding=json`, [400, 405]],
    ["GET of 64 KiB", "GET", `${modelsPath}?${long}`, [405, 414, 431]],
    ["GET with a query said twice", "GET", `${modelsPath}?${query}&${query}`, [200, 400, 405]],
    ["GET without encoding", "GET", `${modelsPath}?message={}`, [400, 405, 415]],
    ["GET with an unknown encoding", "GET", `${modelsPath}?message={}&encoding=xml`, [400, 405, 415]],
    ["GET with an unknown version", "GET", `${modelsPath}?${query}&connect=v9`, [200, 400, 405]],
    ["POST with a query", "POST", `${modelsPath}?${query}`, [200]],
    ["an unknown method", "POST", "/everhop.v1.ChatService/Sing", 404],
    ["an unknown service", "POST", "/everhop.v1.Nothing/CompleteChat", 404],
    ["a method of another case", "POST", "/everhop.v1.ChatService/completechat", 404],
    ["a slash too many", "POST", `${chatPath}/`, 404],
    ["a service alone", "POST", "/everhop.v1.ChatService", 404],
    ["a method that is inherited", "POST", "/everhop.v1.ChatService/constructor", 404],
  ];
  test.each(rows)("%s", async (_, method, path, status) => {
    const target = await startTarget();
    const head = `${method} ${path} HTTP/1.1\r\nHost: localhost\r\n${json}\r\n`;
    const said = method === "POST" ? `${head}Content-Length: 2\r\n\r\n{}` : `${head}\r\n`;
    const { answers } = await talk(target.port, said, { head: method === "HEAD" });
    expect([status].flat()).toContain(answers[0]?.status);
    if (answers[0]?.status === 405) expect(answers[0].headers["allow"]).toContain("POST");
    await target.survives();
  });
});

const pages: readonly (readonly [what: string, body: string, expected: Expected])[] = [
  ["a page below nothing", '{"pageSize":-1}', invalid],
  ["a page too large", '{"pageSize":1001}', invalid],
  ["a token that nobody gave", '{"pageToken":"nowhere"}', invalid],
  ["a token of 1 MB", `{"pageToken":"${"x".repeat(1e6)}"}`, invalid],
  ["a token named __proto__", '{"pageToken":"__proto__"}', invalid],
];
test.each(pages)("ListModels: %s", async (_, body, expected) => {
  const target = await startTarget();
  check(await post(target, modelsPath, [json], body), expected);
  await target.survives();
});

test.each(["", "nowhere", "__proto__", "../think", "a\\u0000b", "x".repeat(1e6), "😀"])(
  "GetModel: no such model: %.20s",
  async (id) => {
    const target = await startTarget();
    const answer = await post(target, "/everhop.v1.ModelsService/GetModel", [json], Buffer.from(`{"id":"${id}"}`));
    check(answer, [404, "not_found", "MODEL_NOT_FOUND"]);
    expect(answer.body.length).toBeLessThan(16_384);
    await target.survives();
  },
);
