import http2 from "node:http2";
import { createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { describe, expect, onTestFinished, test } from "vitest";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../gen/ts/grpc/health/v1/health_pb.ts";
import type { ListenerLimits } from "../../src/server/listener/limits.ts";
import { httpRequest } from "../bad-input/http1.ts";
import {
  fieldBlock,
  flag,
  frame,
  openRawSession,
  preface,
  pseudo,
  settings,
  type,
  uint32,
} from "../bad-input/http2-frames.ts";
import { envelope, goodRequest } from "../bad-input/rpc.ts";
import { hasOpenssl, makeCertificate } from "../support/certificates.ts";
import { startGateway } from "../support/gateway.ts";
import { openTransport } from "../support/wires.ts";
import { type Line, type Manners, openLine } from "./line.ts";
import { goodBody, pause, startTarget, type Target, until } from "./target.ts";
import { configOf, startHeldUpstream, startLargeUpstream } from "./upstream.ts";

/** Every patience of the port cut short. */
const impatient: Partial<ListenerLimits> = {
  firstBytesMs: 100,
  tlsHandshakeMs: 100,
  headersMs: 100,
  requestMs: 300,
  keepAliveMs: 100,
  idleMs: 100,
};

const greeting = [preface, settings()];
const chatFields: [string, string][] = [
  ...pseudo("POST", "/v1/chat/completions"),
  ["content-type", "application/json"],
];
const health = frame(type.headers, flag.endHeaders | flag.endStream, 1, fieldBlock(pseudo("GET", "/health")));
const openChat = (stream: number) => frame(type.headers, flag.endHeaders, stream, fieldBlock(chatFields));
const chatHead = httpRequest("POST /v1/chat/completions", [
  "Content-Type: application/json",
  `Content-Length: ${goodBody.length}`,
]);
const chunkedHead = httpRequest("POST /v1/chat/completions", [
  "Content-Type: application/json",
  "Transfer-Encoding: chunked",
]);

/** What somebody does who never comes to an end. */
type Slowness = (line: Line) => void | Promise<void>;

const slownesses: Readonly<Record<string, Slowness>> = {
  "never a byte": () => {},
  "a byte": (line) => line.say("G"),
  "a part of HTTP/2's preface": (line) => line.say(preface.slice(0, 5)),
  "HTTP/2's first line": (line) => line.say(preface.slice(0, 14)),
  "HTTP/2's preface a byte at a time": async (line) => {
    for (const byte of preface) {
      await line.say(byte);
      await pause(20);
    }
  },
  "HTTP/2's preface and no more": (line) => line.say(preface),
  "HTTP/2 without a stream": (line) => line.say(...greeting),
  "HTTP/2 with signs of life and without a stream": (line) => {
    line.drip(frame(type.ping, 0, 0, Buffer.alloc(8)), 20);
    return line.say(...greeting);
  },
  "HTTP/2 with a head that does not end": (line) =>
    line.say(...greeting, frame(type.headers, 0, 1, fieldBlock(chatFields))),
  "HTTP/2 with half a frame": (line) => line.say(...greeting, openChat(1).subarray(0, 20)),
  "HTTP/2 without a body": (line) => line.say(...greeting, openChat(1)),
  "HTTP/2 with a body a byte at a time": async (line) => {
    await line.say(...greeting, openChat(1));
    line.drip(frame(type.data, 0, 1, " "), 20);
  },
  "HTTP/2 with nothing after the first request": (line) => line.say(...greeting, health),
  "HTTP/2 with signs of life after the first request": async (line) => {
    await line.say(...greeting, health);
    line.drip(frame(type.ping, 0, 0, Buffer.alloc(8)), 20);
  },
  "half a request line": (line) => line.say("GET /hea"),
  "half a head": (line) => line.say("GET /health HTTP/1.1\r\nHost: localhost\r\n"),
  "a head a line at a time": async (line) => {
    await line.say("GET /health HTTP/1.1\r\nHost: localhost\r\n");
    line.drip("X-More: of it\r\n", 20);
  },
  "no body": (line) => line.say(chatHead),
  "a body a byte at a time": async (line) => {
    await line.say(
      httpRequest("POST /v1/chat/completions", ["Content-Type: application/json", "Content-Length: 9999"]),
    );
    line.drip(" ", 20);
  },
  "a chunked body a byte at a time": async (line) => {
    await line.say(chunkedHead);
    line.drip("1\r\n \r\n", 20);
  },
  "nothing after the first request": (line) => line.say(httpRequest("GET /health")),
  "half a head after the first request": async (line) => {
    await line.say(httpRequest("GET /health"));
    await line.hears(/healthy/);
    await line.say("GET /health HTTP/1.1\r\n");
    line.drip("X-More: of it\r\n", 20);
  },
  "a body for a route that has answered already": async (line) => {
    await line.say(httpRequest("POST /nowhere", ["Content-Type: application/json", "Content-Length: 9999"]));
    line.drip(" ", 20);
  },
  "a message of an RPC that does not end": (line) =>
    line.say(
      ...greeting,
      frame(
        type.headers,
        flag.endHeaders,
        1,
        fieldBlock([
          ...pseudo("POST", "/everhop.v1.ChatService/CompleteChat"),
          ["content-type", "application/grpc"],
          ["te", "trailers"],
        ]),
      ),
      frame(type.data, 0, 1, envelope(0, goodRequest, 1 << 20)),
    ),
};

/** A few of them on lines of this kind. */
async function besiege(port: number, which: Readonly<Record<string, Slowness>>, manners: Manners = {}) {
  const lines = Object.entries(which).flatMap(([name, slowness]) =>
    Array.from({ length: 3 }, () => ({ name, slowness, line: openLine(port, manners) })),
  );
  await Promise.all(lines.map(({ slowness, line }) => slowness(line)));
  return lines;
}

/** Waits until nobody is left, but not for ever: whoever is left is to be named. */
async function emptiedOrNot({ emptied }: Target): Promise<void> {
  await Promise.race([emptied(), pause(6000)]);
}

describe("whoever is slow", () => {
  test("is closed, in whatever way it is slow, while others are served", async () => {
    const target = await startTarget({}, { limits: impatient });
    const lines = await besiege(target.port, slownesses);
    await target.serves();
    await emptiedOrNot(target);
    expect(lines.filter(({ line }) => !line.isClosed).map(({ name }) => name)).toEqual([]);
    expect(target.listener.connections).toBe(0);
    await target.serves();
    // Nothing half of a request went on to anybody.
    expect(target.provider.seen.length).toBe(2);
  });

  test.each([
    "never a byte",
    "half a head",
    "no body",
    "nothing after the first request",
    "HTTP/2 without a stream",
    "HTTP/2 without a body",
    "HTTP/2 with nothing after the first request",
  ])("is let go although it does not close its own end: %s", async (name) => {
    const target = await startTarget({}, { limits: impatient });
    const lines = await besiege(target.port, { [name]: slownesses[name] as Slowness }, { stubborn: true }); // one of the names above
    await Promise.all(lines.map(({ line }) => line.closed));
    await emptiedOrNot(target);
    expect(target.listener.connections, "connections that are closed for the client and kept here").toBe(0);
  });

  test("is told so over HTTP/1.1 when it has begun a request", async () => {
    const target = await startTarget({}, { limits: impatient });
    for (const said of ["GET /health HTTP/1.1\r\nHost: localhost\r\n", chatHead]) {
      const line = openLine(target.port);
      await line.say(said);
      await line.closed;
      expect(line.heard()).toMatch(/^HTTP\/1\.1 408 [\s\S]*connection: close[\s\S]*"code":"request_timeout"/);
    }
  });

  test("has only its own stream reset over HTTP/2", async () => {
    const target = await startTarget({}, { limits: { ...impatient, idleMs: 60_000 } });
    const session = openRawSession(target.port);
    onTestFinished(() => session.leave());
    await session.send(openChat(1));
    const ask = frame(type.headers, flag.endHeaders | flag.endStream, 3, fieldBlock(pseudo("GET", "/health")));
    expect(await session.ended(1)).toEqual({ status: undefined, reset: http2.constants.NGHTTP2_CANCEL });
    await session.send(ask);
    expect(await session.ended(3)).toEqual({ status: 200, reset: undefined });
    expect(await session.settled()).toBe("alive");
  });

  test.skipIf(!hasOpenssl)("is closed on a port that speaks TLS, too", async () => {
    const target = await startGateway({}, {}, { limits: impatient, tls: makeCertificate("localhost") });
    const { port, listener } = target;
    const hello = Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]);
    const raw = await besiege(port, {
      "never a byte": () => {},
      "a handshake that is only announced": (line) => line.say(hello.subarray(0, 1)),
      "a handshake that is not finished": (line) => line.say(hello),
      "a handshake a byte at a time": (line) => {
        line.drip("\0", 20);
        return line.say(hello);
      },
    });
    const secured = await Promise.all(
      [["h2"], ["http/1.1"], []].map((ALPNProtocols) =>
        besiege(
          port,
          {
            [`nothing after a handshake (ALPN ${ALPNProtocols})`]: () => {},
            [`half of something after a handshake (ALPN ${ALPNProtocols})`]: (line) => line.say("GET /"),
          },
          { secure: { ALPNProtocols } },
        ),
      ),
    );
    const both = await besiege(
      port,
      { "HTTP/2 without a stream": (line) => line.say(...greeting) },
      {
        secure: { ALPNProtocols: ["h2"] },
      },
    );
    await Promise.race([until(() => listener.connections === 0), pause(6000)]);
    const left = [...raw, ...secured.flat(), ...both].filter(({ line }) => !line.isClosed);
    expect(left.map(({ name }) => name)).toEqual([]);
    expect(listener.connections).toBe(0);
  });
});

/** An answer that no buffers on the way can hold. */
const tooMuch = 48 << 20;

describe("whoever does not read", () => {
  const limits = { server: { limits: { stalled: "300ms" } } };
  const ask = (streamed: boolean) => JSON.stringify({ ...(JSON.parse(goodBody) as object), stream: streamed });
  const post = (streamed: boolean) =>
    httpRequest("POST /v1/chat/completions", ["Content-Type: application/json"], ask(streamed));
  const rpcHead = (method: string, contentType: string) =>
    fieldBlock([
      ...pseudo("POST", `/everhop.v1.ChatService/${method}`),
      ["content-type", contentType],
      ["te", "trailers"],
    ]);

  /** Starts a gateway before a provider that says too much, and one deaf line to it. */
  async function startDeaf(said: readonly (string | Uint8Array)[]) {
    const { port, listener, gateway } = await startGateway(
      configOf(await startLargeUpstream(tooMuch), limits),
      {},
      { limits: { ...impatient, idleMs: 100 } },
    );
    const line = openLine(port, { deaf: true });
    await line.say(...said);
    return { port, listener, gateway, line };
  }

  test.each<[string, readonly (string | Uint8Array)[]]>([
    ["a stream of events", [post(true)]],
    ["a whole answer", [post(false)]],
    [
      "a stream of Connect",
      [
        httpRequest(
          "POST /everhop.v1.ChatService/StreamChat",
          ["Content-Type: application/connect+proto"],
          envelope(0, goodRequest).toString("latin1"),
        ),
      ],
    ],
    [
      "a whole answer of Connect",
      [
        httpRequest(
          "POST /everhop.v1.ChatService/CompleteChat",
          ["Content-Type: application/proto"],
          goodRequest.toString("latin1"),
        ),
      ],
    ],
  ])("%s over HTTP/1.1 is cut off", async (_what, said) => {
    const { listener, gateway } = await startDeaf(said);
    await until(() => listener.connections === 1);
    await Promise.race([until(() => listener.connections === 0), pause(6000)]);
    expect(listener.connections, "connections whose client takes nothing").toBe(0);
    expect(gateway.state.inFlight).toBe(0);
  });

  const window = (size: number) => [preface, settings([[4, size]])];
  const rest = (streamed: boolean) => [openChat(1), frame(type.data, flag.endStream, 1, ask(streamed))];
  const rpc = (method: string, contentType: string, body: Uint8Array) => [
    frame(type.headers, flag.endHeaders, 1, rpcHead(method, contentType)),
    frame(type.data, flag.endStream, 1, body),
  ];
  const grpc = envelope(0, goodRequest);

  test.each<[string, readonly (string | Uint8Array)[]]>([
    ["a stream of events, in a window of 64 KiB", [...window(65_535), ...rest(true)]],
    ["a whole answer, in a window of 64 KiB", [...window(65_535), ...rest(false)]],
    ["a stream of gRPC, in a window of 64 KiB", [...window(65_535), ...rpc("StreamChat", "application/grpc", grpc)]],
    [
      "a whole answer of gRPC, in a window of 64 KiB",
      [...window(65_535), ...rpc("CompleteChat", "application/grpc", grpc)],
    ],
    ["a stream of events, in no window", [...window(0), ...rest(true)]],
    ["a whole answer, in no window", [...window(0), ...rest(false)]],
    ["a stream of gRPC, in no window", [...window(0), ...rpc("StreamChat", "application/grpc", grpc)]],
    ["a whole answer of gRPC, in no window", [...window(0), ...rpc("CompleteChat", "application/grpc", grpc)]],
    ["a few bytes of health, in no window", [...window(0), health]],
    [
      "a few bytes of gRPC, in no window",
      [...window(0), ...rpc("CompleteChat", "application/grpc", envelope(0, "nonsense"))],
    ],
  ])("%s over HTTP/2 is cut off", async (_what, said) => {
    const { listener, gateway, line } = await startDeaf([]);
    line.listen(); // it takes what HTTP/2 itself says, and opens no window
    await line.say(...said);
    await Promise.race([until(() => listener.connections === 0), pause(6000)]);
    expect(listener.connections, "connections on which a stream is never taken").toBe(0);
    expect(gateway.state.inFlight).toBe(0);
  });

  test("does not slow the others of its connection down", async () => {
    const { port } = await startDeaf([]);
    const session = openRawSession(port, [preface, settings([[4, 65_535]])]);
    onTestFinished(() => session.leave());
    // So that it is the stream's window that is closed, not the connection's.
    await session.send(frame(type.window, 0, 0, uint32(1 << 30)), ...rest(true));
    const ask3 = frame(type.headers, flag.endHeaders | flag.endStream, 3, fieldBlock(pseudo("GET", "/health")));
    await session.send(ask3);
    expect(await session.ended(3)).toEqual({ status: 200, reset: undefined });
    expect((await session.ended(1)).reset, "the code by which the stream that was not read is ended").toBeDefined();
    expect(await session.settled()).toBe("alive");
  });
});

describe("a connection of HTTP/2", () => {
  test("is closed when it has been idle, and never while a stream is open on it, however quiet that is", async () => {
    const upstream = await startHeldUpstream();
    const target = await startGateway(configOf(upstream.baseUrl), {}, { limits: { ...impatient, ageMs: 200 } });
    const { address, port, listener } = target;
    // Four quiet streams, each on a connection of its own.
    const leaving = new AbortController();
    const watch = (transport: Transport) =>
      createClient(Health, transport).watch({ service: "" }, { signal: leaving.signal })[Symbol.asyncIterator]();
    const watched = watch(openTransport("gRPC", address));
    expect((await watched.next()).value).toMatchObject({ status: Status.SERVING });
    const streamBody = JSON.stringify({ ...(JSON.parse(goodBody) as object), stream: true });
    const plain = openLine(port);
    await plain.say(httpRequest("POST /v1/chat/completions", ["Content-Type: application/json"], streamBody));
    await plain.hears(/to be /);
    const session = openRawSession(port);
    onTestFinished(() => session.leave());
    await session.send(openChat(1), frame(type.data, flag.endStream, 1, streamBody));
    const typedWatch = watch(createConnectTransport({ baseUrl: address, httpVersion: "1.1" }));
    expect((await typedWatch.next()).value).toMatchObject({ status: Status.SERVING });
    await upstream.holds(2);
    // Others come, fall idle and are closed, one after another: for all that time the streams above are silent.
    for (let round = 0; round < 3; round += 1) {
      const line = openLine(port);
      await line.say(...greeting, health);
      await line.closed;
    }
    expect(upstream.held).toBe(2);
    target.gateway.enter("draining");
    expect((await watched.next()).value).toMatchObject({ status: Status.NOT_SERVING });
    expect((await typedWatch.next()).value).toMatchObject({ status: Status.NOT_SERVING });
    leaving.abort();
    upstream.release();
    await plain.hears(/continued[\s\S]*\[DONE\]/);
    expect(await session.ended(1)).toEqual({ status: 200, reset: undefined });
    await until(() => listener.connections === 0);
  });

  test("outlives its time limits for a request's arrival once the request is there", async () => {
    const upstream = await startHeldUpstream();
    const { port } = await startGateway(configOf(upstream.baseUrl), {}, { limits: { ...impatient, requestMs: 100 } });
    const body = JSON.stringify({ ...(JSON.parse(goodBody) as object), stream: true });
    const session = openRawSession(port);
    onTestFinished(() => session.leave());
    await session.send(openChat(1), frame(type.data, flag.endStream, 1, body));
    const line = openLine(port);
    await line.say(httpRequest("POST /v1/chat/completions", ["Content-Type: application/json"], body));
    await upstream.holds(2);
    // Longer than any limit of a request's arrival.
    await pause(1500);
    upstream.release();
    expect(await session.ended(1)).toEqual({ status: 200, reset: undefined });
    await line.hears(/\[DONE\]/);
  });
});

describe("a connection that has come of age", () => {
  const aged = { ageMs: 100 };
  const young = { ageMs: 3_600_000 };
  const streamBody = JSON.stringify({ ...(JSON.parse(goodBody) as object), stream: true });

  test("is asked to go with its next answer over HTTP/1.1, and a young one is not", async () => {
    for (const [limits, expected] of [
      [aged, "close"],
      [young, "keep-alive"],
    ] as const) {
      const target = await startTarget({}, { limits });
      const line = openLine(target.port);
      await line.say(httpRequest("GET /health"));
      await line.hears(/healthy/);
      expect(line.heard()).toMatch(/connection: keep-alive/i);
      await pause(150);
      await line.say(httpRequest("POST /v1/chat/completions", ["Content-Type: application/json"], goodBody));
      // Asked to go, it is answered in full all the same.
      await line.hears(new RegExp(`connection: ${expected}[\\s\\S]*You said: hello`, "i"));
      if (expected === "close") await line.closed;
      else expect(line.isClosed).toBe(false);
    }
  });

  test("is closed when nothing is open on it, over either version", async () => {
    const target = await startTarget({}, { limits: aged });
    const line = openLine(target.port);
    await line.say(httpRequest("GET /health"));
    const session = openRawSession(target.port);
    await session.send(health);
    // Once or twice, but never in anger.
    expect(new Set(await session.closed())).toEqual(new Set([http2.constants.NGHTTP2_NO_ERROR]));
    await line.closed;
    await target.emptied();
    // The young come and are served.
    await target.serves();
  });

  test("is asked to go over HTTP/2 while a stream is open on it, and that stream ends well", async () => {
    const upstream = await startHeldUpstream();
    const { address, listener } = await startGateway(configOf(upstream.baseUrl), {}, { limits: aged });
    const session = http2.connect(address);
    onTestFinished(() => session.destroy());
    let asked = false;
    session.on("goaway", (code) => {
      asked = code === http2.constants.NGHTTP2_NO_ERROR;
    });
    const stream = session.request({
      ":method": "POST",
      ":path": "/v1/chat/completions",
      "content-type": "application/json",
    });
    stream.end(streamBody);
    let text = "";
    stream.setEncoding("utf8");
    stream.on("data", (piece: string) => {
      text += piece;
    });
    await upstream.holds(1);
    await Promise.race([until(() => asked), pause(5000)]);
    const ended = new Promise<void>((resolve) => stream.on("close", () => resolve()));
    upstream.release();
    await ended;
    expect(text).toMatch(/to be [\s\S]*continued[\s\S]*\[DONE\]/);
    expect(asked, "whether a client that always has a stream open is ever asked to go").toBe(true);
    await until(() => listener.connections === 0);
  });

  test("is not closed in the middle of an HTTP/1.1 stream", async () => {
    const upstream = await startHeldUpstream();
    const { port, listener } = await startGateway(configOf(upstream.baseUrl), {}, { limits: aged });
    const line = openLine(port);
    await line.say(httpRequest("POST /v1/chat/completions", ["Content-Type: application/json"], streamBody));
    await upstream.holds(1);
    // Somebody else comes of age meanwhile, and is closed.
    const other = openLine(port);
    await other.say(httpRequest("GET /health"));
    await other.closed;
    upstream.release();
    await line.hears(/\[DONE\]/);
    await until(() => listener.connections === 0);
  });
});
