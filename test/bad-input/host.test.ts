import { describe, expect, test } from "vitest";
import { httpRequest, talk } from "./http1.ts";
import { fieldBlock, flag, frame, openRawSession, pseudo, type } from "./http2-frames.ts";
import { routeRequests, rpcRequests } from "./surfaces.ts";
import { startTarget } from "./target.ts";

/** Every route, every RPC, and a path that is none. */
const requests = [...routeRequests, ...rpcRequests, { method: "GET", path: "/nowhere" }];

/** Nobody is asked for under these names. */
const badHosts = [
  "",
  "a b",
  "[::",
  "[::1",
  "[::1]x",
  "[gg::1]",
  "[1:2:3]",
  "[::1%eth0]",
  "[v1.x]",
  "::1",
  "x:99999",
  "x:65536",
  "x:-1",
  "x:8o",
  "x:1:2",
  "[::1]:99999",
  "a@b",
  "user:pass@b",
  "a/b",
  "a\\b",
  "a?b",
  "a#b",
  "%",
  "%zz",
  "a%20b",
  "a%00b",
  "<a>",
  "a|b",
  "a^b",
  'a"b',
  "a`b",
  "{a}",
  "http://a",
  "256.256.256.256",
  "1.2.3.4.5",
  "a\tb",
  "a\x01b",
  "a\x7fb",
  "a\0b",
  "caf\xe9",
  "\xc3\xbc.example",
  "\xff",
  "x".repeat(10_000),
];
const shown = (host: string) =>
  JSON.stringify(host.length > 40 ? `${host.slice(0, 9)}… (${host.length} characters)` : host);

const headsOfHttp1: readonly [what: string, fields: readonly string[]][] = [
  ...badHosts.map((host): [string, string[]] => [shown(host), [`Host: ${host}`]]),
  ["none", []],
  ["two that agree", ["Host: a", "Host: a"]],
  ["two that differ", ["Host: a", "Host: b"]],
  ["two, one of them empty", ["Host: ", "Host: b"]],
  ["two in one field", ["Host: a, b"]],
];

test.each(headsOfHttp1)("HTTP/1.1 with a Host like this is answered by 400 on every path: %s", async (_, fields) => {
  const target = await startTarget();
  const answers = await Promise.all(
    requests.map(async ({ method, path }) => {
      // By hand, for `httpRequest` would add a Host.
      const request = [`${method} ${path} HTTP/1.1`, ...fields, "Content-Type: application/json", "Content-Length: 0"];
      const heard = await talk(target.port, `${request.join("\r\n")}\r\n\r\n`);
      return `${heard.answers[0]?.status ?? "closed"} ${path}`;
    }),
  );
  expect(answers).toEqual(requests.map(({ path }) => `400 ${path}`));
  await target.survives();
});

const headsOfHttp2: readonly [what: string, fields: readonly [string, string][]][] = [
  ...badHosts.map((host): [string, [string, string][]] => [shown(host), [[":authority", host]]]),
  ...badHosts.map((host): [string, [string, string][]] => [`host: ${shown(host)}`, [["host", host]]]),
  ["none", []],
  [
    "two",
    [
      [":authority", "a"],
      [":authority", "b"],
    ],
  ],
  [
    "host: twice",
    [
      ["host", "a"],
      ["host", "b"],
    ],
  ],
  [
    "another host",
    [
      [":authority", "a"],
      ["host", "b"],
    ],
  ],
  [
    "a bad host beside it",
    [
      [":authority", "a"],
      ["host", "[::"],
    ],
  ],
];

test.each(headsOfHttp2)(
  "HTTP/2 with an :authority like this is answered by 400, or reset as malformed, on every path: %s",
  async (_, fields) => {
    const target = await startTarget();
    const session = openRawSession(target.port);
    const ends = await Promise.all(
      requests.map(async ({ method, path }, index) => {
        const stream = 2 * index + 1;
        const block = fieldBlock([
          ...pseudo(method, path).slice(0, 3),
          ...fields,
          ["content-type", "application/json"],
        ]);
        await session.send(frame(type.headers, flag.endHeaders | flag.endStream, stream, block));
        const { status, reset } = await session.ended(stream);
        return `${status === undefined && reset === 1 ? 400 : status} ${path}`;
      }),
    );
    session.leave();
    expect(ends).toEqual(requests.map(({ path }) => `400 ${path}`));
    await target.survives();
  },
);

describe("a good Host is none of these", () => {
  const goodHosts = [
    "localhost",
    "a",
    "a.b.c",
    "a.",
    "127.0.0.1",
    "127.0.0.1:8000",
    "a:0",
    "a:65535",
    "a:",
    "[::1]",
    "[::1]:8000",
    "[2001:db8::1]",
    "A-b_c.d",
    "xn--bcher-kva.example",
  ];
  test.each(goodHosts)("%s", async (host) => {
    const target = await startTarget();
    const { answers } = await talk(target.port, httpRequest("GET /health", [`Host: ${host}`]));
    expect(answers.map(({ status }) => status)).toEqual([200]);
    const session = openRawSession(target.port);
    await session.send(
      frame(type.headers, flag.endHeaders | flag.endStream, 1, fieldBlock(pseudo("GET", "/health", host))),
    );
    expect(await session.ended(1)).toEqual({ status: 200, reset: undefined });
    session.leave();
  });
});
