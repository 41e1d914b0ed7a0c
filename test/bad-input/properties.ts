import assert from "node:assert/strict";
import { isIPv6 } from "node:net";
import { fromBinary } from "@bufbuild/protobuf";
import { CompleteChatRequestSchema } from "../../gen/ts/everhop/v1/chat_service_pb.ts";
import { maxTimeoutMs } from "../../src/api/edge.ts";
import { accessOn, decoded, routesOn } from "../../src/api/rest/routes.ts";
import { clampTimeout } from "../../src/api/rpc/timeout.ts";
import { checkPrompt } from "../../src/chat/check.ts";
import { checkBody } from "../../src/providers/openai/check-body.ts";
import { objectOf } from "../../src/providers/openai/json.ts";
import { editMembers } from "../../src/providers/openai/json-members.ts";
import { retryAfterMs } from "../../src/providers/retry-after.ts";
import { SseDecoder } from "../../src/providers/sse.ts";
import type { Rng } from "../../src/runtime/rng.ts";
import { isAuthority } from "../../src/server/listener/authority.ts";
import { below, mutated, mutatedText } from "./mutate.ts";
import { goodRequest, helloMessage, numbered, sized } from "./rpc.ts";

/** What is so of any input whatever. */
export interface Property {
  readonly name: string;
  /** Draws an input and looks whether it holds. @returns the input, to be shown @throws when it does not hold */
  try(rng: Rng): unknown;
}

/** @param holds throws when it does not */
function property<Input>(name: string, draw: (rng: Rng) => Input, holds: (input: Input) => void): Property {
  return {
    name,
    try(rng) {
      const input = draw(rng);
      try {
        holds(input);
      } catch (error) {
        throw new Error(`${shown(input)}: ${error instanceof Error ? error.stack : error}`);
      }
      return input;
    },
  };
}

function shown(input: unknown): string {
  return JSON.stringify(input, (_, value) =>
    value?.type === "Buffer" ? `0x${Buffer.from(value.data).toString("hex")}` : value,
  );
}

const hosts = [
  "localhost",
  "api.example.com",
  "127.0.0.1:8000",
  "[::1]:8000",
  "[2001:db8::1]",
  "a_b-c~d:0",
  "x:65535",
  "1.2.3.4",
  "[::ffff:1.2.3.4]:80",
  "a@b",
  "xn--bcher-kva",
  "256.1.1.1",
  "0x7f.1",
  "",
];

/** RFC 3986: reg-name without escapes, IPv4 among it, or an IPv6 literal; then perhaps a port. */
function isHostAndPort(text: string): boolean {
  const [, host = "", literal, port = ""] = /^((?:\[(.*)\])|[A-Za-z0-9._~!$&'()*+,;=-]+)(?::(\d*))?$/.exec(text) ?? [];
  if (host === "" || Number(port) > 65_535) return false;
  return literal === undefined || isIPv6(literal);
}

/** What nobody doubts to be one. */
const plain =
  /^(?:[a-z0-9](?:[a-z0-9-]{0,20}[a-z0-9])?(?:\.[a-z](?:[a-z0-9-]{0,20}[a-z0-9])?){0,4}|\[::1\])(?::(?:[1-9]\d{0,3}|0))?$/;

const authority = property(
  "an authority is a host and perhaps a port, and can be made part of a URL",
  (rng) => mutatedText(rng, hosts, ":[]@/?#%.\\ \t\0\xe9-_~!0"),
  (text) => {
    const accepted = isAuthority(text);
    assert.equal(typeof accepted, "boolean");
    if (!accepted) return assert(!plain.test(text) || !URL.canParse(`http://${text}/`), "is a good one");
    assert(isHostAndPort(text), "is none by the grammar");
    const url = new URL(`http://${text}/`);
    assert.deepEqual([url.username, url.password, url.pathname, url.search, url.hash], ["", "", "/", "", ""]);
  },
);

const paths = [
  "/v1/chat/completions",
  "/v1/models",
  "/v1/models/think",
  "/v1/models/a/b:c",
  "/health",
  "/healthz",
  "/readyz",
  "/metrics",
  "/v1/%6dodels",
  "//health",
  "/v1/../health",
  "/%2e%2e/health",
  "*",
  "http://h/health",
  "",
];

const path = property(
  "a path is that of one route, of several with different methods, or of none, and nothing tidies it up",
  (rng) => mutatedText(rng, paths, "/%.?#\\;:\0\r\n 2eEfF\xff"),
  (text) => {
    const access = accessOn(text);
    const plainPath = decoded(text);
    if (plainPath === undefined) return assert.equal(access, undefined);
    const found = routesOn(plainPath);
    assert.equal(access, found[0]?.access);
    // Nothing is public by being near to something that is.
    if (access !== "public") return;
    const named = found.every((route) =>
      typeof route.path === "string" ? route.path === plainPath : route.path.test(plainPath),
    );
    assert(named && !plainPath.includes("..") && !plainPath.includes("\0"));
  },
);

const waits = [
  "2",
  "1.5",
  "0",
  "300",
  "86400",
  "86401",
  "86400000",
  "1e9",
  "-1",
  "soon",
  "",
  "Sun, 01 Nov 2026 08:00:30 GMT",
  "Sunday, 01-Nov-26 08:00:30 GMT",
  "Sun Nov  1 08:00:30 2026",
  "9".repeat(400),
  "0x10",
  "Infinity",
];
const dates = ["Sun, 01 Nov 2026 08:00:00 GMT", "Sun, 01 Nov 2026 08:00:29 GMT", "soon", ""];
const day = 86_400_000;

const retryAfter = property(
  "a wait is nothing, or from 0 to a day, and a plain number means what it says",
  (rng) => ({
    ...(rng.next() < 0.9 && { "retry-after": mutatedText(rng, waits, " .:-+e,0\0\xa0") }),
    ...(rng.next() < 0.3 && { "retry-after-ms": mutatedText(rng, waits, " .:-+e,0\0\xa0") }),
    ...(rng.next() < 0.7 && { date: mutatedText(rng, dates, " :,0") }),
  }),
  (headers: Readonly<Record<string, string>>) => {
    const ms = retryAfterMs(headers);
    assert(ms === undefined || (ms >= 0 && ms <= day), String(ms));
    const inMs = plainNumber(headers["retry-after-ms"]);
    const inSeconds = plainNumber(headers["retry-after"]);
    if (inMs !== undefined && inMs <= day) assert.equal(ms, inMs);
    else if (headers["retry-after-ms"] === undefined && inSeconds !== undefined)
      assert.equal(ms, inSeconds * 1000 <= day ? inSeconds * 1000 : undefined);
  },
);

function plainNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,9}(\.\d{1,9})?$/.test(text) ? Number(text) : undefined;
}

const streams = [
  'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n',
  "data: a\r\n\r\ndata: b\r\n\r\n",
  "data: a\r\rdata:b\r\r",
  "\ufeffdata: 😀 é\n\n: ping\n\ndata: [DONE]\n\n",
  "event: x\nid: 7\nretry: 3\ndata:  two\ndata\ndata:three\n\n",
  "data\n\ndata:\n\ndatax: no\n\ndata : no\n\n",
  "\n\r\n\r\r\n\n",
].map((text) => Buffer.from(text));

const sse = property(
  "a stream of events says the same however it is cut, and what the grammar says",
  (rng) => {
    const bytes = mutated(rng, streams, Buffer.from("\r\n\r\n:d \0\xef\xbb\xbf\xf0\x9f", "latin1"));
    const cuts = Array.from({ length: below(rng, 5) }, () => below(rng, bytes.length + 1)).sort(
      (one, other) => one - other,
    );
    return { bytes, cuts };
  },
  ({ bytes, cuts }) => {
    const expected = eventsOf(bytes);
    assert.deepEqual(decodedEvents([bytes]), expected);
    assert.deepEqual(
      decodedEvents([...cuts, bytes.length].map((end, index) => bytes.subarray(cuts[index - 1] ?? 0, end))),
      expected,
    );
    assert.deepEqual(decodedEvents(Array.from(bytes, (byte) => Buffer.of(byte))), expected);
  },
);

function decodedEvents(pieces: readonly Buffer[]): string[] {
  const decoder = new SseDecoder();
  const data: string[] = [];
  for (const piece of pieces)
    for (const event of decoder.push(piece).events) if (event.data !== undefined) data.push(event.data);
  for (const event of decoder.end().events) if (event.data !== undefined) data.push(event.data);
  return data;
}

/** The grammar, plainly: the whole at once, a line at a time. An event that lacks only its closing line counts. */
function eventsOf(bytes: Buffer): string[] {
  const text = bytes.toString("latin1");
  const events: string[] = [];
  let data: string[] = [];
  for (const line of [...text.replace(/^\xef\xbb\xbf/, "").split(/\r\n|\n|\r/), ""]) {
    if (line === "" && data.length > 0) events.push(data.join("\n"));
    if (line === "") data = [];
    if (line === "data") data.push("");
    if (line.startsWith("data:"))
      data.push(Buffer.from(line.slice(line[5] === " " ? 6 : 5), "latin1").toString("utf8"));
  }
  return events;
}

const timeouts = [
  "1S",
  "99999999H",
  "60M",
  "3600S",
  "3601S",
  "3600000m",
  "3600001m",
  "1000",
  "3600000",
  "3600001",
  "9999999999",
  "0",
  "-1",
  "1.5",
  "soon",
  "1X",
  "",
  "2147483648",
];
const unitMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

const timeout = property(
  "a timeout that can be read is at most an hour afterwards, and every other is left as it came",
  (rng) => ({
    ...(rng.next() < 0.7 && { "grpc-timeout": mutatedText(rng, timeouts, "HMSmun0 .-,") }),
    ...(rng.next() < 0.7 && { "connect-timeout-ms": mutatedText(rng, timeouts, "0123 .-,") }),
  }),
  (given: Readonly<Record<string, string>>) => {
    const headers: Record<string, string> = { ...given };
    clampTimeout({ headers }, maxTimeoutMs);
    for (const [name, read] of [
      ["grpc-timeout", readGrpc],
      ["connect-timeout-ms", readConnect],
    ] as const) {
      const before = read(given[name]);
      if (before === undefined || before <= maxTimeoutMs) assert.equal(headers[name], given[name]);
      else assert.equal(read(headers[name]), maxTimeoutMs);
    }
  },
);

function readGrpc(text: string | undefined): number | undefined {
  const match = /^(\d{1,8})([HMSmun])$/.exec(text ?? "");
  return match ? Number(match[1]) * (unitMs[match[2] ?? ""] ?? 0) : undefined;
}

function readConnect(text: string | undefined): number | undefined {
  return /^\d{1,10}$/.test(text ?? "") ? Number(text) : undefined;
}

const bodies = [
  '{"model":"think","messages":[{"role":"user","content":"hello"}]}',
  '{"messages":[{"role":"user","content":[{"type":"text","text":"\\ud83d\\ude00"}]}],"temperature":0.5,"stop":["a"],"n":1}',
  '{ "provider" : "only" , "fallback_providers":["a","b"],"timeout":1e3,"retry_count":2,"logit_bias":{"5":-1} }',
  '{"a":{"model":"x"},"\\u006dodel":"y","model":"z","b":[1,-0,1e400,null,true,"\\"}"]}',
  "{}",
].map((text) => Buffer.from(text));

const chatBody = property(
  "a body of JSON is checked without a throw, and edited into JSON that says the same but for what was set",
  (rng) => mutated(rng, bodies, Buffer.from('{}[]",:\\u0e-.tfn \n\0')).toString("utf8"),
  (text) => {
    const body = objectOf(parsed(text));
    if (!body) return;
    assert(Array.isArray(checkBody(body)));
    const edited = editMembers(text, { set: { model: '"set"' }, remove: ["provider"], rename: { timeout: "renamed" } });
    const { provider: _, timeout: renamed, ...rest } = body;
    assert.deepEqual(parsed(edited), { ...rest, model: "set", ...("timeout" in body && { renamed }) });
  },
);

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const chats = [
  goodRequest,
  Buffer.concat([
    goodRequest,
    sized(2, [sized(1, "only"), sized(2, "a"), sized(3, numbered(1, 5)), numbered(4, 2), numbered(5, 3)]),
  ]),
  sized(1, [
    sized(2, helloMessage),
    sized(3, sized(1, [sized(1, "f"), sized(3, "{}")])),
    sized(4, numbered(1, 3)),
    sized(15, [sized(1, "x"), sized(2, "1")]),
  ]),
  sized(1, sized(2, [numbered(1, 4), sized(2, sized(5, [sized(1, "id"), sized(2, sized(1, "x"))]))])),
];
const fieldMarks = Buffer.from("080a1012181a20222a32707880ff7f00", "hex");

const chatMessage = property(
  "bytes are a message or none; a message is checked without a throw",
  (rng) => mutated(rng, chats, fieldMarks),
  (bytes) => {
    let request: ReturnType<typeof fromBinary<typeof CompleteChatRequestSchema>>;
    try {
      request = fromBinary(CompleteChatRequestSchema, bytes);
    } catch {
      return;
    }
    if (request.prompt) assert(Array.isArray(checkPrompt(request.prompt)));
  },
);

/** All of them. */
export const properties: readonly Property[] = [authority, path, retryAfter, sse, timeout, chatBody, chatMessage];
