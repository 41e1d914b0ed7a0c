import http2 from "node:http2";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { gzipSync } from "node:zlib";
import { Code, ConnectError } from "@connectrpc/connect";
import { codeToString, errorFromJson } from "@connectrpc/connect/protocol-connect";
import { findTrailerError } from "@connectrpc/connect/protocol-grpc";
import { describe, expect, onTestFinished, test } from "vitest";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/ts/google/rpc/error_details_pb.ts";
import { type Bytes, httpRequest, talk } from "../bad-input/http1.ts";
import { fieldBlock, flag, frame, integer, openRawSession, pseudo, type } from "../bad-input/http2-frames.ts";
import {
  callHttp2,
  envelope,
  goodRequest,
  type Outcome,
  outcomeOf as outcomeOfFrames,
  type RpcAnswer,
  sized,
} from "../bad-input/rpc.ts";
import { startGateway } from "../support/gateway.ts";
import { failureOf, openWire, wireNames } from "../support/wires.ts";
import { openLine } from "./line.ts";
import { closedAuth, goodBody, pause, startTarget, until } from "./target.ts";
import { configOf, startLargeUpstream } from "./upstream.ts";

const MiB = 2 ** 20;
const json = "Content-Type: application/json";
const completeChat = "/everhop.v1.ChatService/CompleteChat";
const completeTypes = {
  Connect: "application/proto",
  "gRPC-Web": "application/grpc-web+proto",
  gRPC: "application/grpc+proto",
};
type Protocol = keyof typeof completeTypes;
const protocols = Object.keys(completeTypes) as Protocol[]; // the table has no other keys

/** A chat whose body is about this long. */
const chatOf = (bytes: number) =>
  JSON.stringify({ model: "think", messages: [{ role: "user", content: "x".repeat(bytes) }] });
/** A CompleteChatRequest that is about this long. */
const requestOf = (bytes: number) =>
  sized(1, [sized(1, "think"), sized(2, [Buffer.of(8, 2), sized(2, [sized(1, "x".repeat(bytes))])])]);

/** Reads an answer as a client of its protocol does; Connect tells the failure of a unary call in JSON. */
function outcomeOf(answer: RpcAnswer): Outcome {
  if (answer.status === 200 || answer.headers["content-type"] !== "application/json") return outcomeOfFrames(answer);
  const error = errorFromJson(
    JSON.parse(answer.body.toString()),
    undefined,
    new ConnectError("unreadable", Code.DataLoss),
  );
  const [info] = error.findDetails(ErrorInfoSchema);
  return { code: codeToString(error.code), reason: info?.reason ?? "", message: error.rawMessage };
}

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void; // there by the flag

/** What the process holds, in MiB, when what nobody needs is gone. */
async function memory() {
  let last = Number.POSITIVE_INFINITY;
  // Buffers are let go in the background, after their owners.
  for (let round = 0; round < 20; round += 1) {
    collect();
    const { rss, heapUsed, external } = process.memoryUsage();
    const held = (heapUsed + external) / MiB;
    if (Math.abs(last - held) < 1 && round > 2) return { rss: rss / MiB, held };
    last = held;
    await pause(50);
  }
  return { rss: process.memoryUsage().rss / MiB, held: last };
}

/** Says how many MiB something took. */
function say(what: string, before: { rss: number; held: number }, after: { rss: number; held: number }): void {
  const grown = (name: "rss" | "held") => `${name} ${Math.round(before[name])} → ${Math.round(after[name])} MiB`;
  console.log(`${what}: ${grown("rss")}, ${grown("held")}`);
}

/** Calls over HTTP/2 with a message, framed as the protocol has it. @param packed what is flagged as compressed */
function call(address: string, protocol: Protocol, message: Uint8Array, packed = false): Promise<RpcAnswer> {
  const isFramed = protocol !== "Connect";
  const encoding = packed ? { [isFramed ? "grpc-encoding" : "content-encoding"]: "gzip" } : {};
  const fields = { "content-type": completeTypes[protocol], te: "trailers", ...encoding };
  return callHttp2(address, completeChat, fields, [isFramed ? envelope(packed ? 1 : 0, message) : message]);
}

describe("a head that is a bomb", () => {
  test.each<[string, readonly string[]]>([
    ["a field of 1 MiB", [`X-Bomb: ${"x".repeat(MiB)}`]],
    ["10,000 fields", Array.from({ length: 10_000 }, (_, index) => `X-${index}: x`)],
    ["101 fields", Array.from({ length: 101 }, (_, index) => `X-${index}: x`)],
    ["a name of 20 KiB", [`${"x".repeat(20_480)}: x`]],
  ])("is refused over HTTP/1.1: %s", async (_what, fields) => {
    const target = await startTarget();
    const { answers, closed } = await talk(target.port, httpRequest("GET /health", fields), { answers: 2 });
    expect(answers.map(({ status }) => status)).toEqual([431]);
    expect(closed).toBe(true);
    await target.serves();
  });

  test("is refused over HTTP/1.1 when it is the path", async () => {
    const target = await startTarget();
    const { answers } = await talk(target.port, httpRequest(`GET /${"x".repeat(MiB)}`));
    expect(answers.map(({ status }) => status)).toEqual([431]);
    await target.serves();
  });

  test("is refused over HTTP/2, in one frame and in many", async () => {
    const target = await startTarget();
    const bomb = fieldBlock([...pseudo("GET", "/health"), ["x-bomb", "x".repeat(100_000)]]);
    const first = frame(type.headers, flag.endStream, 1, bomb.subarray(0, 16_000));
    const rest = Array.from({ length: Math.ceil(bomb.length / 16_000) - 1 }, (_, index) => {
      const piece = bomb.subarray((index + 1) * 16_000, (index + 2) * 16_000);
      return frame(type.continuation, piece.length < 16_000 ? flag.endHeaders : 0, 1, piece);
    });
    const session = openRawSession(target.port);
    onTestFinished(() => session.leave());
    await session.send(first, ...rest);
    const { status, reset } = await session.ended(1);
    expect(status === 431 || status === undefined).toBe(true);
    expect(status ?? reset ?? "closed").not.toBe(200);
    await target.serves();
  });

  test("is refused when HPACK makes much of little", async () => {
    const target = await startTarget();
    const before = await memory();
    // A field of 4 KiB goes into the table, and then costs one byte each time.
    const value = Buffer.alloc(4000, "x");
    const put = Buffer.concat([Buffer.of(0x40), integer(1, 7), Buffer.from("x"), integer(value.length, 7), value]);
    const sessions = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const session = openRawSession(target.port);
        onTestFinished(() => session.leave());
        await session.send(
          frame(
            type.headers,
            flag.endHeaders | flag.endStream,
            1,
            Buffer.concat([fieldBlock(pseudo("GET", "/health")), put, Buffer.alloc(10_000, 0x80 | 62)]),
          ),
        );
        return session;
      }),
    );
    for (const session of sessions) {
      const { status, reset } = await session.ended(1);
      expect(status === 431 || status === undefined, `answered ${status}, reset ${reset}`).toBe(true);
    }
    const after = await memory();
    say("20 times 40 MB of fields out of 10 kB", before, after);
    expect(after.held - before.held).toBeLessThan(100);
    await target.serves();
  });
});

describe("a body that is a bomb", () => {
  test("is refused as soon as it is promised, on REST", async () => {
    const target = await startTarget();
    const line = openLine(target.port);
    await line.say(httpRequest("POST /v1/chat/completions", [json, `Content-Length: ${2 ** 32}`]));
    await line.hears(/^HTTP\/1\.1 413 [\s\S]*request_too_large/);
    await line.closed;
    await target.serves();
  });

  /** Sends MiB after MiB, until nobody takes it. */
  async function pour(port: number, head: string, chunked: boolean, most: number) {
    const line = openLine(port);
    await line.say(head);
    const piece = Buffer.alloc(MiB, " ");
    let poured = 0;
    for (; poured < most && !line.isClosed && !line.isGone; poured += 1) {
      if (chunked) await line.say(`${MiB.toString(16)}\r\n`, piece, "\r\n");
      else await line.say(piece);
    }
    await line.closed;
    return { heard: line.heard(), poured };
  }

  test.each([
    ["REST, by its length", "/v1/chat/completions", json, false],
    ["REST, in chunks", "/v1/chat/completions", json, true],
    ["RPC, by its length", completeChat, "Content-Type: application/proto", false],
    ["RPC, in chunks", completeChat, "Content-Type: application/proto", true],
    ["RPC in frames", "/everhop.v1.ChatService/StreamChat", "Content-Type: application/connect+proto", true],
  ])("is refused when it grows beyond 32 MiB: %s", async (_what, path, contentType, chunked) => {
    const target = await startTarget();
    const framing = chunked ? "Transfer-Encoding: chunked" : `Content-Length: ${2 ** 32}`;
    const before = await memory();
    const { heard, poured } = await pour(
      target.port,
      httpRequest(`POST ${path}`, [contentType, framing]),
      chunked,
      200,
    );
    say(`${poured} MiB poured`, before, await memory());
    expect(poured).toBeLessThan(200);
    expect(target.provider.seen).toEqual([]);
    // A stream has begun with its head, and tells it in its last frame; else it is told by the status.
    expect(heard).toMatch(
      /^HTTP\/1\.1 (413|429|200|400) [\s\S]*(request_too_large|REQUEST_TOO_LARGE|resource_exhausted)/,
    );
    await target.emptied();
    await target.serves();
  });

  test.each(wireNames)("is refused when it grows beyond 32 MiB, and the client is told: %s", async (name) => {
    const target = await startTarget();
    const { status, reason } = await failureOf(openWire(name, target.address).complete({ text: "x".repeat(33 * MiB) }));
    expect([status, reason]).toEqual(
      name === "REST" ? [413, "request_too_large"] : ["ResourceExhausted", "REQUEST_TOO_LARGE"],
    );
    expect(target.provider.seen).toEqual([]);
    await target.serves();
  });

  test("of just below 32 MiB is taken", { timeout: 60_000 }, async () => {
    const target = await startTarget({}, {}, { text: "taken" });
    const body = chatOf(31 * MiB);
    const { answers } = await talk(target.port, httpRequest("POST /v1/chat/completions", [json], body));
    expect(answers.map(({ status }) => status)).toEqual([200]);
  });

  test("of nothing but members is taken, and takes no longer than it should", async () => {
    const target = await startTarget();
    // Compared with each other they would stop the process for a minute.
    const members = Array.from({ length: 200_000 }, (_, index) => `"k${index}":1`).join();
    const body = `{${members},${goodBody.slice(1)}`;
    const { answers } = await talk(target.port, httpRequest("POST /v1/chat/completions", [json], body));
    expect(answers.map(({ status }) => status)).toEqual([200]);
    await target.serves();
  });

  test("is not read of whoever may not send it", async () => {
    const target = await startTarget(closedAuth);
    for (const [path, contentType] of [
      ["/v1/chat/completions", json],
      [completeChat, "Content-Type: application/proto"],
    ]) {
      const head = httpRequest(`POST ${path}`, [contentType ?? "", `Content-Length: ${2 ** 31}`]);
      const { heard, poured } = await pour(target.port, head, false, 200);
      expect(heard).toMatch(/^HTTP\/1\.1 401 /);
      // What the system's own buffers hold, and not what a body may be.
      expect(poured).toBeLessThan(32);
    }
    await target.serves();
  });

  // 200 MiB out of 200 kB.
  const zeros = gzipSync(Buffer.alloc(200 * MiB));

  test.each(protocols)("is refused when it is packed: %s", async (protocol) => {
    const target = await startTarget();
    const before = await memory();
    expect(outcomeOf(await call(target.address, protocol, zeros, true))).toMatchObject({
      code: "resource_exhausted",
      reason: "REQUEST_TOO_LARGE",
    });
    const after = await memory();
    say(`200 MiB out of ${Math.round(zeros.length / 1000)} kB by ${protocol}`, before, after);
    await target.serves();
  });

  test("is refused on REST in whatever way it is packed", async () => {
    const target = await startTarget();
    for (const encoding of ["gzip", "br", "deflate", "gzip, gzip", "GZIP", "zstd"]) {
      const fields = [json, `Content-Encoding: ${encoding}`];
      const said = httpRequest("POST /v1/chat/completions", fields, zeros.toString("latin1"));
      const { answers } = await talk(target.port, said);
      expect(answers.map(({ status }) => status)).toEqual([415]);
    }
    await target.serves();
  });

  test("is refused when it is packed twice over, and in a chain", async () => {
    const target = await startTarget();
    const twice = gzipSync(zeros);
    for (const protocol of protocols) {
      expect(outcomeOf(await call(target.address, protocol, twice, true)).code).not.toBe("ok");
    }
    // Members of gzip one after another are one text: each is small, all together are not.
    const member = gzipSync(Buffer.alloc(4 * MiB));
    const chain = Buffer.concat(Array.from({ length: 20 }, () => member));
    for (const protocol of protocols) {
      expect(outcomeOf(await call(target.address, protocol, chain, true)).code).toBe("resource_exhausted");
    }
    await target.serves();
  });
});

describe("a body that is deep", () => {
  const depth = 200_000;
  const deep = `${"[".repeat(depth)}${"]".repeat(depth)}`;
  const deepObject = `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`;
  const tool = (schema: string) =>
    `{"model":"think","messages":[{"role":"user","content":"hello"}],"tools":[{"type":"function","function":{"name":"f","parameters":${schema}}}]}`;
  const rest: readonly (readonly [string, string])[] = [
    ["nothing but depth", deep],
    ["an unknown member", `{"model":"think","messages":[{"role":"user","content":"hello"}],"x":${deep}}`],
    ["a message's content", `{"model":"think","messages":[{"role":"user","content":${deep}}]}`],
    [
      "a part of a content",
      `{"model":"think","messages":[{"role":"user","content":[{"type":"text","text":${deepObject}}]}]}`,
    ],
    ["a tool's schema", tool(deepObject)],
    ["messages", `{"model":"think","messages":${deep}}`],
    ["an unfinished depth", `{"x":${"[".repeat(depth)}`],
    [
      "a deep member before the model",
      `{"x":${deepObject},"model":"think","messages":[{"role":"user","content":"hello"}]}`,
    ],
  ];

  // That no bug is told of is what every gateway of these tests is asked when it closes.
  test.each(rest)("is passed on or refused, and no more, on REST: %s", async (_where, body) => {
    const target = await startTarget();
    const { answers } = await talk(target.port, httpRequest("POST /v1/chat/completions", [json], body));
    expect([200, 400]).toContain(answers[0]?.status);
    await target.serves();
  });

  test.each([
    ["an unknown member", `{"x":${deep}}`],
    ["a member of another type", `{"prompt":${deep}}`],
    ["a tool's schema", `{"prompt":{"model":"think","tools":[{"function":{"name":"f","parameters":${deepObject}}}]}}`],
    ["extensions", `{"prompt":{"extensionJson":{"x":${JSON.stringify(deep)}}}}`],
    ["unknown members inside of unknown members", deepObject],
  ])("is refused over Connect in JSON: %s", async (_where, body) => {
    const target = await startTarget();
    const { answers } = await talk(target.port, httpRequest(`POST ${completeChat}`, [json], body));
    expect(answers[0]?.status).toBe(400);
    expect(answers[0]?.body).toMatch(/"code":"invalid_argument"/);
    await target.serves();
  });

  test("is refused in protobuf: messages inside of messages, and groups inside of groups", async () => {
    const target = await startTarget();
    // Field 2 of a Prompt's Message inside of itself has no meaning, but a parser that follows unknown groups goes down.
    const groups = Buffer.concat([Buffer.alloc(depth, (15 << 3) | 3), Buffer.alloc(depth, (15 << 3) | 4)]);
    for (const protocol of protocols) {
      const { code } = outcomeOf(await call(target.address, protocol, groups));
      expect(["invalid_argument", "ok"]).toContain(code);
    }
    await target.serves();
  });
});

describe("bodies that are only promised", () => {
  test("take no memory: on HTTP/1.1, by their length and by their frames", async () => {
    const target = await startTarget();
    const before = await memory();
    const promises: Bytes[] = [
      httpRequest("POST /v1/chat/completions", [json, `Content-Length: ${32 * MiB}`]),
      httpRequest(`POST ${completeChat}`, ["Content-Type: application/proto", `Content-Length: ${32 * MiB}`]),
      httpRequest(
        "POST /everhop.v1.ChatService/StreamChat",
        ["Content-Type: application/connect+proto", `Content-Length: ${32 * MiB}`],
        envelope(0, "", 31 * MiB).toString("latin1"),
      ),
    ];
    const lines = Array.from({ length: 300 }, () => openLine(target.port));
    await Promise.all(lines.map((line, index) => line.say(promises[index % promises.length] ?? "")));
    await until(() => target.listener.connections === lines.length);
    await pause(200);
    const after = await memory();
    say("300 promises of 32 MiB", before, after);
    for (const line of lines) expect(line.heard()).toBe("");
    expect(after.held - before.held).toBeLessThan(64);
    await target.serves();
    for (const line of lines) line.leave();
    await target.emptied();
  });

  test("take no memory on HTTP/2, of which one connection has many", async () => {
    const target = await startTarget();
    const before = await memory();
    const session = http2.connect(target.address);
    onTestFinished(() => session.destroy());
    const streams = Array.from({ length: 90 }, (_, index) => {
      const [path, contentType, first] = [
        ["/v1/chat/completions", "application/json", " "],
        [completeChat, "application/proto", " "],
        [completeChat, "application/grpc", envelope(0, "", 31 * MiB)],
      ][index % 3] as [string, string, Bytes]; // in range: modulo
      const stream = session.request({
        ":method": "POST",
        ":path": path,
        "content-type": contentType,
        ...(contentType !== "application/grpc" && { "content-length": String(32 * MiB) }),
      });
      stream.on("error", () => {});
      stream.write(first);
      return stream;
    });
    await until(() => streams.every((stream) => stream.id !== undefined));
    await pause(200);
    const after = await memory();
    say("90 promises of 32 MiB on one connection", before, after);
    expect(after.held - before.held).toBeLessThan(64);
    await target.serves();
    session.destroy();
    await target.emptied();
  });
});

describe("the budget of bytes held at once", () => {
  const small = { server: { limits: { buffered: "1MiB" } } };

  /** What a status of an RPC says of coming back, in ms; undefined: nothing. */
  function retryDelayMs({ headers, trailers, status }: RpcAnswer): number | undefined {
    const fields = "grpc-status" in trailers ? trailers : headers;
    const told = Object.entries(fields).filter(([name]) => !name.startsWith(":")) as [string, string][]; // texts alone
    const error = status === undefined ? undefined : findTrailerError(new Headers(told));
    const [info] = error instanceof ConnectError ? error.findDetails(RetryInfoSchema) : [];
    return info?.retryDelay && Number(info.retryDelay.seconds) * 1000 + info.retryDelay.nanos / 1e6;
  }

  test("turns away what is beyond it on REST, with the time to come back, and is whole again afterwards", async () => {
    const target = await startTarget(small);
    for (let round = 0; round < 20; round += 1) {
      const { answers } = await talk(target.port, httpRequest("POST /v1/chat/completions", [json], chatOf(2 * MiB)));
      expect(answers[0]).toMatchObject({ status: 503, headers: { "retry-after": "1" } });
      expect(answers[0]?.body).toMatch(/"code":"service_unavailable"/);
    }
    await target.emptied();
    // Nearly all of it, again and again.
    for (let round = 0; round < 3; round += 1) {
      const { answers } = await talk(target.port, httpRequest("POST /v1/chat/completions", [json], chatOf(MiB * 0.45)));
      expect(answers[0]?.status).toBe(200);
    }
  });

  test.each(protocols)("turns away what is beyond it on %s, and is whole again afterwards", async (protocol) => {
    const target = await startTarget(small, {}, { text: "taken" });
    const answer = await call(target.address, protocol, requestOf(2 * MiB));
    expect(outcomeOf(answer)).toMatchObject({ code: "unavailable", reason: "OUT_OF_MEMORY" });
    if (protocol === "gRPC") expect(retryDelayMs(answer)).toBe(1000);
    for (let round = 0; round < 20; round += 1) {
      expect(outcomeOf(await call(target.address, protocol, requestOf(2 * MiB))).code).toBe("unavailable");
    }
    for (let round = 0; round < 3; round += 1) {
      expect(outcomeOf(await call(target.address, protocol, requestOf(MiB * 0.9))).code).toBe("ok");
    }
  });

  test("is shared by all requests, and those that are on their way are not hurt", async () => {
    const target = await startTarget(small, {}, { text: "taken" });
    const body = chatOf(MiB * 0.6);
    const lines = Array.from({ length: 2 }, () => openLine(target.port));
    const [first, second] = lines as [(typeof lines)[0], (typeof lines)[0]]; // there are two
    const head = httpRequest("POST /v1/chat/completions", [json, `Content-Length: ${body.length}`]);
    // All but the end of it.
    await first.say(head, body.slice(0, -1));
    await pause(300);
    await second.say(head, body);
    await second.hears(/^HTTP\/1\.1 503 /);
    await first.say(body.slice(-1));
    await first.hears(/^HTTP\/1\.1 200 /);
    await target.serves();
  });

  test("is given back by clients that leave in the middle, over either version", async () => {
    const target = await startTarget(small, {}, { text: "taken" });
    const body = chatOf(MiB * 0.6);
    for (let round = 0; round < 10; round += 1) {
      const line = openLine(target.port);
      await line.say(httpRequest("POST /v1/chat/completions", [json, `Content-Length: ${2 * body.length}`]), body);
      line.leave();
      await target.emptied();
      await callHttp2(target.address, "/v1/chat/completions", { "content-type": "application/json" }, [body], {
        reset: 8,
      });
      await callHttp2(
        target.address,
        completeChat,
        { "content-type": "application/grpc", te: "trailers" },
        [envelope(0, requestOf(MiB * 0.6), MiB)],
        { reset: 8 },
      );
      await target.emptied();
    }
    const { answers } = await talk(target.port, httpRequest("POST /v1/chat/completions", [json], chatOf(MiB * 0.9)));
    expect(answers[0]?.status).toBe(200);
  });

  test("counts answers, too, and is whole again afterwards", async () => {
    const { port, address } = await startGateway(configOf(await startLargeUpstream(4 * MiB), small));
    for (let round = 0; round < 5; round += 1) {
      const { answers } = await talk(port, httpRequest("POST /v1/chat/completions", [json], goodBody));
      expect(answers[0]).toMatchObject({ status: 503, headers: { "retry-after": "1" } });
      const answer = await call(address, "gRPC", goodRequest);
      expect(outcomeOf(answer)).toMatchObject({ code: "unavailable", reason: "OUT_OF_MEMORY" });
      expect(retryDelayMs(answer)).toBe(1000);
    }
  });

  test.each(protocols)("counts what a request is unpacked, not what it is packed: %s", async (protocol) => {
    const target = await startTarget(small, {}, { text: "taken" });
    const packed = gzipSync(requestOf(16 * MiB));
    expect(packed.length).toBeLessThan(MiB / 10);
    expect(outcomeOf(await call(target.address, protocol, packed, true))).toMatchObject({
      code: "unavailable",
      reason: "OUT_OF_MEMORY",
    });
  });
});
