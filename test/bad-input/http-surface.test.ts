import { describe, expect, test } from "vitest";
import { type Bytes, type Heard, httpRequest, type Manner, talk } from "./http1.ts";
import { goodBody, startTarget } from "./target.ts";

const json = "Content-Type: application/json";
const chatLine = "POST /v1/chat/completions";
const rpcLine = "POST /everhop.v1.ModelsService/ListModels";
const chat = (...fields: string[]) => httpRequest(chatLine, [json, ...fields], goodBody);
const health = (...fields: string[]) => httpRequest("GET /health", fields);
const chunked = (...pieces: string[]) => httpRequest(chatLine, [json, "Transfer-Encoding: chunked"], pieces.join(""));
const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;
const length = `Content-Length: ${goodBody.length}`;

/** What may come back: statuses of the first answer; `closed`: the connection may also end without one. */
type Expected = number | "closed" | readonly (number | "closed")[];
type Row = readonly [what: string, send: Bytes, expected: Expected, manner?: Manner];

const lines: readonly Row[] = [
  ["HTTP/1.0 without Host", "GET /health HTTP/1.0\r\n\r\n", 200],
  ["HTTP/1.0 with Host", "GET /health HTTP/1.0\r\nHost: h\r\n\r\n", 200],
  ["a chat over HTTP/1.0", httpRequest(`${chatLine} HTTP/1.0`, [json], goodBody), 200],
  ["an RPC over HTTP/1.0", httpRequest(`${rpcLine} HTTP/1.0`, [json], "{}"), 200],
  ["HTTP/0.9", "GET /health\r\n\r\n", 400],
  ["HTTP/1.2", "GET /health HTTP/1.2\r\nHost: h\r\n\r\n", [200, 400]],
  ["HTTP/2.0 in a line of HTTP/1", "GET /health HTTP/2.0\r\nHost: h\r\n\r\n", 400],
  ["HTTP/9.9", "GET /health HTTP/9.9\r\nHost: h\r\n\r\n", 400],
  ["http/1.1 in small letters", "GET /health http/1.1\r\nHost: h\r\n\r\n", 400],
  ["no version", "GET /health \r\nHost: h\r\n\r\n", 400],
  ["no target", "GET HTTP/1.1\r\nHost: h\r\n\r\n", 400],
  ["blanks in the target", "GET /health /health HTTP/1.1\r\nHost: h\r\n\r\n", 400],
  ["a blank before the line", " GET /health HTTP/1.1\r\nHost: h\r\n\r\n", 400],
  ["an absolute target", "GET http://h/health HTTP/1.1\r\nHost: h\r\n\r\n", [400, 404]],
  ["an absolute target elsewhere", "GET http://evil.example/health HTTP/1.1\r\nHost: h\r\n\r\n", [400, 404]],
  [
    "an absolute target of an RPC",
    httpRequest("POST http://h/everhop.v1.ModelsService/ListModels", [json], "{}"),
    [400, 404],
  ],
  ["another scheme", "GET file:///etc/passwd HTTP/1.1\r\nHost: h\r\n\r\n", [400, 404]],
  ["// before the path", "GET //health HTTP/1.1\r\nHost: h\r\n\r\n", [400, 404]],
  ["// and a host", "GET //evil.example/health HTTP/1.1\r\nHost: h\r\n\r\n", [400, 404]],
  ["// and a bad host", "GET //[::/health HTTP/1.1\r\nHost: h\r\n\r\n", [400, 404]],
  ["// before an RPC", httpRequest("POST //everhop.v1.ModelsService/ListModels", [json], "{}"), [400, 404]],
  ["/// only", "GET /// HTTP/1.1\r\nHost: h\r\n\r\n", [400, 404]],
  ["*", "GET * HTTP/1.1\r\nHost: h\r\n\r\n", [400, 404]],
  ["OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", [400, 404, 405]],
  ["a target without slash", "GET health HTTP/1.1\r\nHost: h\r\n\r\n", [400, 404]],
  ["a target that is a query", "GET ?x HTTP/1.1\r\nHost: h\r\n\r\n", [400, 404]],
  ["a fragment in the target", "GET /health#x HTTP/1.1\r\nHost: h\r\n\r\n", [400, 404]],
  ["%00 in the path", httpRequest("GET /health%00"), [400, 404]],
  ["%00 in a model", httpRequest("GET /v1/models/%00"), [400, 404]],
  ["%2e%2e in the path", httpRequest("GET /v1/%2e%2e/health"), 404],
  [".. in the path", httpRequest("GET /v1/../health"), 404],
  ["\\ in the path", httpRequest("GET /v1\\..\\health"), [400, 404]],
  ["half an escape", httpRequest("GET /v1/models/%"), [400, 404]],
  ["an escape of no digits", httpRequest("GET /v1/models/%zz"), [400, 404]],
  ["an escape that is no UTF-8", httpRequest("GET /v1/models/%ff"), [400, 404]],
  ["a surrogate in escapes", httpRequest("GET /v1/models/%ed%a0%80"), [400, 404]],
  ["%2F between the names", httpRequest("GET /v1%2Fmodels"), [200, 400, 404]],
  ["an escaped RPC", httpRequest("POST /everhop.v1.ModelsService%2FListModels", [json], "{}"), [400, 404]],
  ["a raw byte above ASCII in the path", httpRequest("GET /v1/models/\xe9"), [400, 404]],
  ["a control character in the path", httpRequest("GET /v1/models/\x01"), 400],
  ["NUL in the path", httpRequest("GET /v1/models/\0"), 400],
  ["a path of 10 kB", httpRequest(`GET /${"x".repeat(10_000)}`), [404, 414]],
  ["a path of 100 KiB", httpRequest(`GET /${"x".repeat(100 << 10)}`), [404, 414, 431]],
  ["a query of 10 kB", httpRequest(`GET /health?${"x".repeat(10_000)}`), 200],
  ["a query of 100 KiB", httpRequest(`GET /health?${"x".repeat(100 << 10)}`), [414, 431]],
  ["nothing but line ends", "\r\n\r\n\r\n", [400, "closed"], { afterwards: "end" }],
  ["nothing", "", [400, "closed"], { afterwards: "end" }],
  ["half a line", "GET /hea", [400, "closed"], { afterwards: "end" }],
  ["half the fields", "GET /health HTTP/1.1\r\nHost: h\r\nX-", [400, "closed"], { afterwards: "end" }],
  ["a TLS hello", Buffer.from("16030100a5010000a10303", "hex"), 400],
  ["random bytes", Buffer.from("deadbeef00ff80c3280d0a0d0a", "hex"), 400],
  ["half a preface of HTTP/2", "PRI * HTTP/2", [400, "closed"], { afterwards: "end" }],
  ["the words of another protocol", "EHLO mail.example\r\n", 400],
];

const fields: readonly Row[] = [
  ["a field of 17 KiB", health(`X-Large: ${"x".repeat(17 << 10)}`), 431],
  ["a field of 17 KiB to an RPC", httpRequest(rpcLine, [json, `X-Large: ${"x".repeat(17 << 10)}`], "{}"), 431],
  ["a name of 17 KiB", health(`${"x".repeat(17 << 10)}: x`), 431],
  ["17 KiB in many fields", health(...Array.from({ length: 170 }, (_, at) => `X-${at}: ${"x".repeat(95)}`)), 431],
  ["2,100 fields in little room", health(...Array.from({ length: 2100 }, () => "x:y")), [200, 400, 431]],
  ["20,000 fields", health(...Array.from({ length: 20_000 }, () => "x:y")), [400, 431]],
  [
    "2,100 fields before the length",
    httpRequest(chatLine, [json, ...Array.from({ length: 2100 }, () => "x:y"), length], goodBody),
    [200, 400, 415, 431],
  ],
  ["a folded field", health("X-Folded: a\r\n b"), [200, 400]],
  ["a folded length", httpRequest(chatLine, [json, `Content-Length:\r\n ${goodBody.length}`], goodBody), 400],
  [
    "a folded Transfer-Encoding",
    httpRequest(chatLine, [json, "Transfer-Encoding:\r\n chunked"], `${chunk(goodBody)}0\r\n\r\n`),
    400,
  ],
  ["a first field that is folded", "GET /health HTTP/1.1\r\n Host: h\r\n\r\n", 400],
  ["bare LF at the end of the line", "GET /health HTTP/1.1\nHost: h\r\n\r\n", 400],
  ["bare LF at the end of a field", "GET /health HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", 400],
  ["bare LF everywhere", "GET /health HTTP/1.1\nHost: h\n\n", 400],
  ["bare LF at the end of the fields", "GET /health HTTP/1.1\r\nHost: h\r\n\n", 400],
  ["bare CR in a value", health("X: a\rb"), 400],
  ["NUL in a value", health("X: a\0b"), 400],
  ["a control character in a value", health("X: a\x07b"), [200, 400]],
  ["a byte above ASCII in a value", health("X: caf\xe9"), 200],
  ["a blank before the colon", health("X-Blank : x"), 400],
  [
    "a blank before the colon of the length",
    httpRequest(chatLine, [json, `Content-Length : ${goodBody.length}`], goodBody),
    400,
  ],
  ["a field without colon", health("nonsense"), 400],
  ["a field without name", health(": x"), 400],
  ["a name with a blank", health("X Y: x"), 400],
  ["a name above ASCII", health("X-\xe9: x"), 400],
  [
    "Transfer-Encoding and Content-Length",
    httpRequest(chatLine, [json, "Transfer-Encoding: chunked", length], `${chunk(goodBody)}0\r\n\r\n`),
    400,
  ],
  [
    "Content-Length and Transfer-Encoding",
    httpRequest(chatLine, [json, length, "Transfer-Encoding: chunked"], `${chunk(goodBody)}0\r\n\r\n`),
    400,
  ],
  ["two lengths that differ", httpRequest(chatLine, [json, length, "Content-Length: 7"], goodBody), 400],
  ["two lengths that agree", httpRequest(chatLine, [json, length, length], goodBody), 400],
  ["two lengths in one field", httpRequest(chatLine, [json, `${length}, ${goodBody.length}`], goodBody), 400],
  ...["-1", "+65", "1e9", "abc", "", "0x41", "65.0", "6 5", "99999999999999999999"].map(
    (told): Row => [`a length of "${told}"`, httpRequest(chatLine, [json, `Content-Length: ${told}`], goodBody), 400],
  ),
  ["a length of 4 GiB", httpRequest(chatLine, [json, "Content-Length: 4294967296"], goodBody), 413],
  ["a length of 10^9", httpRequest(chatLine, [json, "Content-Length: 1000000000"], goodBody), 413],
  ["a length of 10^9 to an RPC", httpRequest(rpcLine, [json, "Content-Length: 1000000000"], "{}"), [413, 429]],
  ...[
    "xchunked",
    "chunkedx",
    "chunked, identity",
    "identity, chunked",
    "gzip, chunked",
    "chunked, chunked",
    "chunked;q=1",
    "\x0bchunked",
    "identity",
    "",
  ].map(
    (coding): Row => [
      `Transfer-Encoding: ${JSON.stringify(coding)}`,
      httpRequest(chatLine, [json, `Transfer-Encoding: ${coding}`], `${chunk(goodBody)}0\r\n\r\n`),
      400,
    ],
  ),
  [
    "Transfer-Encoding twice",
    httpRequest(
      chatLine,
      [json, "Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
      `${chunk(goodBody)}0\r\n\r\n`,
    ),
    400,
  ],
  [
    "Transfer-Encoding over HTTP/1.0",
    httpRequest(`${chatLine} HTTP/1.0`, [json, "Transfer-Encoding: chunked"], `${chunk(goodBody)}0\r\n\r\n`),
    [200, 400],
  ],
];

const bodies: readonly Row[] = [
  ["chunks", chunked(chunk(goodBody.slice(0, 9)), chunk(goodBody.slice(9)), "0\r\n\r\n"), 200],
  ["a chunk with an extension", chunked(`${goodBody.length.toString(16)};a=b\r\n${goodBody}\r\n0\r\n\r\n`), [200, 400]],
  [
    "an extension of 64 KiB",
    chunked(`${goodBody.length.toString(16)};${"a".repeat(64 << 10)}\r\n${goodBody}\r\n0\r\n\r\n`),
    [400, 413, 431],
  ],
  ...["FFFFFFFFFFFFFFFFF", "10000000000000000", "-1", "+5", "0x5", "5 ", " 5", "", "zz", "5\n"].map(
    (size): Row => [
      `a chunk of size ${JSON.stringify(size)}`,
      chunked(`${size}\r\nhello\r\n0\r\n\r\n`),
      [400, "closed"],
    ],
  ),
  ["a chunk of 2^63", chunked("7fffffffffffffff\r\n"), [400, 413], { afterwards: "end" }],
  ["a chunk longer than it says", chunked(`5\r\n${goodBody}\r\n0\r\n\r\n`), 400],
  ["a chunk that ends in LF", chunked(`${goodBody.length.toString(16)}\r\n${goodBody}\n0\r\n\r\n`), 400],
  ["chunks that do not end", chunked(chunk(goodBody)), [400, "closed"], { afterwards: "end" }],
  ["trailers", chunked(chunk(goodBody), "0\r\nX-Trailer: x\r\n\r\n"), 200],
  [
    "trailers that would be fields",
    chunked(chunk(goodBody), "0\r\nContent-Length: 5\r\nHost: [::\r\n\r\n"),
    [200, 400],
  ],
  [
    "trailers of 64 KiB",
    chunked(chunk(goodBody), `0\r\nX: ${"x".repeat(64 << 10)}\r\n\r\n`),
    [200, 400, 431, "closed"],
  ],
  [
    "a body shorter than its length",
    httpRequest(chatLine, [json, "Content-Length: 1000"], goodBody),
    [400, "closed"],
    { afterwards: "end" },
  ],
  [
    "a body shorter than its length to an RPC",
    httpRequest(rpcLine, [json, "Content-Length: 1000"], "{}"),
    [400, 408, "closed"],
    { afterwards: "end" },
  ],
  ["a body longer than its length", `${chat()}and more\r\n\r\n`, [200, 400]],
  ["a body where none belongs", httpRequest("GET /health", [], "hello"), 200],
  ["a body of 1 MiB where none belongs", httpRequest("GET /health", [], "x".repeat(1 << 20)), 200],
  ["Expect: 100-continue and a body", chat("Expect: 100-continue"), 200],
  ["Expect: 100-continue and no body", httpRequest(chatLine, [json, "Expect: 100-continue"]), 400],
  [
    "Expect: 100-continue and a body that never comes",
    httpRequest(chatLine, [json, length, "Expect: 100-continue"]),
    [400, "closed"],
    { afterwards: "end" },
  ],
  ["Expect: 100-continue where no body belongs", health("Expect: 100-continue"), 200],
  ["another expectation", health("Expect: wonders"), 417],
  [
    "an upgrade to h2c",
    health("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
    200,
  ],
  [
    "an upgrade to websocket",
    health(
      "Connection: Upgrade",
      "Upgrade: websocket",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ),
    200,
  ],
  ["an upgrade with a body", chat("Connection: Upgrade", "Upgrade: websocket"), 200],
  ["an upgrade to TLS", health("Connection: Upgrade", "Upgrade: TLS/1.2"), 200],
  ["a Connection of nonsense", health("Connection: \x80,,;=,close,keep-alive"), 200],
  ["one byte in each packet", chat(), 200, { byteByByte: true }],
  [
    "one byte in each packet of chunks",
    chunked(chunk(goodBody.slice(0, 9)), chunk(goodBody.slice(9)), "0\r\n\r\n"),
    200,
    { byteByByte: true },
  ],
  ["a method in small letters", httpRequest("get /health"), [400, 405]],
  ["an end of sending after the request", chat(), [200, "closed"], { afterwards: "end" }],
  [
    "an end of sending after the request, of an RPC",
    httpRequest(rpcLine, [json], "{}"),
    [200, "closed"],
    { afterwards: "end" },
  ],
];

const paths = [
  "/health",
  "/v1/chat/completions",
  "/v1/models",
  "/everhop.v1.ModelsService/ListModels",
  "/everhop.v1.ChatService/StreamChat",
];
const methods: readonly Row[] = [
  "TRACE",
  "CONNECT",
  "FOO",
  "PROPFIND",
  "PURGE",
  "DELETE",
  "PUT",
  "QUERY",
  "M-SEARCH",
].flatMap((method) =>
  paths.map((path): Row => [`the method ${method} on ${path}`, httpRequest(`${method} ${path}`, [json]), 405]),
);

const tables = { lines, fields, bodies, methods };

function fits({ answers: [first] }: Heard, expected: Expected): void {
  const allowed: readonly (number | "closed")[] = [expected].flat();
  expect(allowed).toContain(first?.status ?? "closed");
}

describe.each(Object.entries(tables))("HTTP/1.1: %s", (_, table) => {
  test.each(table.map(([what, ...row]) => ({ what, row })))("$what", async ({ row: [send, expected, manner] }) => {
    const target = await startTarget();
    fits(await talk(target.port, send, manner), expected);
    await target.survives();
  });
});

test("what is said of a method that there is not tells which there is", async () => {
  const target = await startTarget();
  const { answers } = await talk(target.port, httpRequest("DELETE /v1/chat/completions"));
  expect(answers[0]?.headers["allow"]).toBe("POST");
  expect(JSON.parse(answers[0]?.body ?? "")).toMatchObject({
    error: { code: "method_not_allowed", type: "invalid_request_error" },
  });
});

test("a thousand requests in one write are answered in their order", async () => {
  const target = await startTarget();
  const requests = Array.from({ length: 1000 }, (_, at) => health(`X-Request-Id: n${at}`)).join("");
  const { answers } = await talk(target.port, requests, { answers: 1000 });
  expect(answers.map(({ status, headers }) => `${status} ${headers["x-request-id"]}`)).toEqual(
    Array.from({ length: 1000 }, (_, at) => `200 n${at}`),
  );
  await target.survives();
});

test("what was smuggled behind a length is no request", async () => {
  const target = await startTarget();
  const inner = httpRequest("GET /health", ["X-Request-Id: smuggled"]);
  for (const fields of [
    ["Transfer-Encoding: chunked", "Content-Length: 4"],
    ["Content-Length: 0", `Content-Length: ${inner.length}`],
    ["Transfer-Encoding: xchunked"],
    ["Transfer-Encoding : chunked"],
  ]) {
    const { text } = await talk(target.port, httpRequest(chatLine, [json, ...fields], `0\r\n\r\n${inner}`), {
      answers: 2,
      afterwards: "end",
    });
    expect(text.startsWith("HTTP/1.1 400 "), fields.join()).toBe(true);
    expect(text).not.toContain("smuggled");
  }
  await target.survives();
});

test("a key in the trailers lets nobody in", async () => {
  const target = await startTarget({ auth: { callers: [{ name: "late", key: "key-in-the-trailers" }] } });
  const { answers } = await talk(
    target.port,
    chunked(chunk(goodBody), "0\r\nAuthorization: Bearer key-in-the-trailers\r\n\r\n"),
  );
  expect(answers[0]?.status).toBe(401);
  await target.survives();
});
