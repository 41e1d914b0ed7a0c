import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { FaultError } from "../../src/chat/fault.ts";
import type { HttpRequest } from "../../src/providers/lane.ts";
import { createUpstream, type Upstream, type UpstreamBody } from "../../src/providers/upstream.ts";
import { createCancellation } from "../../src/runtime/cancellation.ts";
import { type Clock, systemClock } from "../../src/runtime/clock.ts";
import { testTarget } from "./target.ts";

const post: HttpRequest = { path: "/chat/completions", headers: {}, body: "{}" };
const answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

/** A provider of raw sockets: what each does with the data of each of its requests, the first being 1. */
async function rawProvider(serve: (socket: Socket, request: number) => void) {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    let request = 0;
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    socket.on("data", () => serve(socket, ++request));
  });
  const origin = await listen(server);
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return testTarget({ origin });
}

async function httpProvider(serve: (request: IncomingMessage, response: ServerResponse) => void) {
  const server = createServer(serve);
  const origin = await listen(server);
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return testTarget({ origin });
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function upstreamOn(clock: Clock = systemClock): Upstream {
  const upstream = createUpstream({ clock, userAgent: "test" });
  onTestFinished(() => upstream.close());
  return upstream;
}

const send = (upstream: Upstream, target: ReturnType<typeof testTarget>, request = post) =>
  upstream.send(target, undefined, request, createCancellation());

async function textOf(body: UpstreamBody): Promise<string> {
  let text = "";
  for (let read = await body.read(); read !== "end"; read = await body.read()) text += String(read);
  return text;
}

async function served(upstream: Upstream, target: ReturnType<typeof testTarget>): Promise<void> {
  await textOf((await send(upstream, target)).body);
  // A pool looks at a connection again before it takes it for free.
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
}

async function faultOf(promise: Promise<unknown>) {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return error instanceof FaultError ? error.fault : error;
}

/** The system's clock, but for an offset that a test may move. */
function movableClock() {
  let offset = 0;
  const clock: Clock = { ...systemClock, now: () => systemClock.now() + offset };
  return {
    clock,
    move(ms: number) {
      offset += ms;
    },
  };
}

describe("a pooled connection that the provider has closed", () => {
  test.each<[string, (socket: Socket) => void]>([
    ["reset", (socket) => socket.resetAndDestroy()],
    ["ended", (socket) => socket.end()],
  ])("%s exactly as the next request comes, means that this was not sent", async (_, close) => {
    const target = await rawProvider((socket, request) => (request === 1 ? socket.write(answer) : close(socket)));
    const upstream = upstreamOn();
    await served(upstream, target);
    expect(await faultOf(send(upstream, target))).toEqual({ kind: "not_sent" });
    // And the next one goes on a new connection.
    await served(upstream, target);
  });

  test("before anything is sent on it is replaced without anybody's knowing", async () => {
    let connections = 0;
    const target = await rawProvider((socket, request) => {
      if (request === 1) connections += 1;
      socket.end(answer);
    });
    const upstream = upstreamOn();
    await served(upstream, target);
    await served(upstream, target);
    expect(connections).toBe(2);
  });

  test("after a second over a request may have processed it", async () => {
    const { clock, move } = movableClock();
    const target = await rawProvider((socket, request) => {
      if (request === 1) {
        socket.write(answer);
        return;
      }
      move(1500);
      socket.resetAndDestroy();
    });
    const upstream = upstreamOn(clock);
    await served(upstream, target);
    expect(await faultOf(send(upstream, target))).toEqual({ kind: "connection_lost", afterBytes: false });
  });

  test("is new again for the request after it", async () => {
    const target = await rawProvider((socket) => socket.resetAndDestroy());
    const serving = await rawProvider((socket, request) =>
      request === 1 ? socket.write(answer) : socket.resetAndDestroy(),
    );
    const upstream = upstreamOn();
    await served(upstream, serving);
    expect(await faultOf(send(upstream, serving))).toEqual({ kind: "not_sent" });
    expect(await faultOf(send(upstream, target))).toEqual({ kind: "connection_lost", afterBytes: false });
  });
});

describe("a connection that breaks", () => {
  test("at its first request is lost: the provider may have read that", async () => {
    const upstream = upstreamOn();
    const resetting = await rawProvider((socket) => socket.resetAndDestroy());
    expect(await faultOf(send(upstream, resetting))).toEqual({ kind: "connection_lost", afterBytes: false });
    const ending = await rawProvider((socket) => socket.end());
    expect(await faultOf(send(upstream, ending))).toEqual({ kind: "connection_lost", afterBytes: false });
  });

  test.each<[string, number]>([
    ["its first", 1],
    ["a later", 2],
  ])("in the head of %s answer is lost after bytes", async (_, last) => {
    const target = await rawProvider((socket, request) => {
      if (request < last) socket.write(answer);
      else socket.write("HTTP/1.1 200 OK\r\nconte", () => setTimeout(() => socket.resetAndDestroy(), 20));
    });
    const upstream = upstreamOn();
    if (last === 2) await served(upstream, target);
    expect(await faultOf(send(upstream, target))).toEqual({ kind: "connection_lost", afterBytes: true });
  });

  test.each<[string, (socket: Socket) => void]>([
    ["a reset", (socket) => socket.resetAndDestroy()],
    ["an end", (socket) => socket.end()],
  ])("in a later body by %s is lost after bytes", async (_, close) => {
    const half = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n";
    const target = await rawProvider((socket, request) => {
      if (request === 1) socket.write(answer);
      else socket.write(half, () => setTimeout(() => close(socket), 20));
    });
    const upstream = upstreamOn();
    await served(upstream, target);
    const { body } = await send(upstream, target);
    expect(await faultOf(textOf(body))).toEqual({ kind: "connection_lost", afterBytes: true });
  });

  test("in a body of a known length, or of chunks without a last one, that was to be the last truncates it", async () => {
    const upstream = upstreamOn();
    for (const head of ["content-length: 9", "transfer-encoding: chunked"]) {
      const target = await rawProvider((socket) =>
        socket.end(`HTTP/1.1 200 OK\r\nconnection: close\r\n${head}\r\n\r\n2\r\nab\r\n`),
      );
      const { body } = await send(upstream, target);
      expect(await faultOf(textOf(body))).toEqual({ kind: "truncated" });
    }
  });

  test("with what is no HTTP gives a malformed answer", async () => {
    const target = await rawProvider((socket) => socket.end("220 mail.example ESMTP\r\n"));
    expect(await faultOf(send(upstreamOn(), target))).toMatchObject({ kind: "malformed" });
  });
});

describe("a provider that cannot be reached", () => {
  test("refuses, or has no address", async () => {
    const gone = createTcpServer();
    const origin = await listen(gone);
    await new Promise((resolve) => gone.close(resolve));
    const upstream = upstreamOn();
    expect(await faultOf(send(upstream, testTarget({ origin })))).toEqual({ kind: "unreachable", cause: "refused" });
    const nowhere = testTarget({ origin: "http://nobody.invalid" });
    expect(await faultOf(send(upstream, nowhere))).toEqual({ kind: "unreachable", cause: "dns" });
  });

  test("does not speak TLS, or hangs up instead", async () => {
    const upstream = upstreamOn();
    const plain = await rawProvider((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    const silent = await rawProvider((socket) => socket.end());
    for (const { origin } of [plain, silent]) {
      const target = testTarget({ origin: origin.replace("http:", "https:") });
      expect(await faultOf(send(upstream, target))).toEqual({ kind: "unreachable", cause: "tls" });
    }
  });

  test("cannot be asked what HTTP cannot say", async () => {
    const target = await httpProvider((_, response) => response.end());
    const request = { ...post, headers: { "x-odd": "a\nb" } };
    expect(await faultOf(send(upstreamOn(), target, request))).toMatchObject({ kind: "misconfigured" });
  });
});

test("a request is a POST below the base path unless it says otherwise; a GET has no body", async () => {
  const asked: string[] = [];
  const target = await httpProvider((request, response) => {
    asked.push(`${request.method} ${request.url} ${request.headers["content-length"] ?? "-"}`);
    response.end("{}");
  });
  const upstream = upstreamOn();
  await textOf((await send(upstream, target)).body);
  await textOf((await send(upstream, target, { method: "GET", path: "/models", headers: {} })).body);
  expect(asked).toEqual(["POST /v1/chat/completions 2", "GET /v1/models -"]);
});
