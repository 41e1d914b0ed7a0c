import { once } from "node:events";
import http2 from "node:http2";
import { createConnection } from "node:net";
import { describe, expect, test } from "vitest";
import { bytesOf, httpRequest, talk } from "./http1.ts";
import { goodBody, startTarget, type Target } from "./target.ts";

const json = "Content-Type: application/json";
const streamed = goodBody.replace("{", '{"stream":true,');
const chatLine = "POST /v1/chat/completions";
const stream = (...fields: string[]) => httpRequest(chatLine, [json, ...fields], streamed);
const isWhole = (body: string) => body.startsWith("data: ") && body.endsWith("\n\ndata: [DONE]\n\n");

/** More than the buffers of both ends of a connection hold. */
const long = { text: "kangaroo ".repeat(500_000), eventPerWrite: false };

test.each([
  ["Accept: application/json", ["Accept: application/json"]],
  ["Accept of anything but a stream", ["Accept: image/png;q=0.9, text/event-stream;q=0"]],
  ["Accept of nonsense", ["Accept: ,;q=x,/"]],
  ["Accept-Encoding of all there is", ["Accept-Encoding: gzip, br, zstd, deflate, *"]],
  ["Last-Event-ID", ["Last-Event-ID: 7"]],
  ["Range", ["Range: bytes=0-1"]],
  ["If-None-Match", ["If-None-Match: *"]],
])("a stream is a stream, and plain, whatever the headers say: %s", async (_, fields) => {
  const target = await startTarget();
  const { answers } = await talk(target.port, stream(...fields));
  expect(answers[0]).toMatchObject({
    status: 200,
    headers: { "content-type": expect.stringMatching(/^text\/event-stream/) },
  });
  expect(answers[0]?.headers).not.toHaveProperty("content-encoding");
  expect(isWhole(answers[0]?.body ?? "")).toBe(true);
  await target.survives();
});

test("a client of HTTP/1.0 gets the stream without chunks, and its end by the end of the connection", async () => {
  const target = await startTarget();
  const { answers, closed } = await talk(target.port, httpRequest(`${chatLine} HTTP/1.0`, [json], streamed));
  expect(closed).toBe(true);
  expect(answers[0]?.status).toBe(200);
  expect(answers[0]?.headers).not.toHaveProperty("transfer-encoding");
  expect(isWhole(answers[0]?.body ?? "")).toBe(true);
  await target.survives();
});

test("HEAD is no way to ask for a stream", async () => {
  const target = await startTarget();
  const { answers } = await talk(target.port, httpRequest("HEAD /v1/chat/completions", [json], streamed), {
    head: true,
  });
  expect(answers[0]).toMatchObject({ status: 405, headers: { allow: "POST" } });
  expect(target.provider.seen.length).toBe(0);
  await target.survives();
});

test("a refused stream is refused by a status", async () => {
  const target = await startTarget({}, { schedule: [{ kind: "html" }] });
  const { answers } = await talk(target.port, stream("Accept: text/event-stream"));
  expect(answers[0]).toMatchObject({
    status: 502,
    headers: { "content-type": expect.stringMatching(/^application\/json/) },
  });
  target.provider.behave({ schedule: [] });
  await target.survives();
});

test("a client that reads a byte at a time gets all of it", async () => {
  const target = await startTarget();
  let text = "";
  const buffer = Buffer.alloc(1);
  const socket = createConnection({
    port: target.port,
    host: "127.0.0.1",
    onread: {
      buffer,
      callback: () => {
        text += buffer.toString("latin1");
        // Nothing more is read until a turn later.
        setImmediate(() => socket.resume());
        return false;
      },
    },
  });
  socket.write(stream("Connection: close"));
  await once(socket, "close");
  expect(text).toMatch(/data: \[DONE\]\n\n\r\n0\r\n\r\n$/);
  await target.survives();
});

/** Asks for a stream and stops reading when `enough` says so. @returns how to leave */
async function listenUntil(target: Target, enough: (heard: string) => boolean) {
  const socket = createConnection({ port: target.port, host: "127.0.0.1" });
  socket.on("error", () => {});
  socket.write(bytesOf(stream()));
  let heard = "";
  while (!enough(heard)) heard += String((await once(socket, "data"))[0]);
  socket.pause();
  return socket;
}

describe("a client that leaves", () => {
  test.each([
    ["before the head", ""],
    ["at the head", "\r\n\r\n"],
    ["at the first token", '"content":"'],
    ["at a later token", "kangaroo"],
  ])("%s lets the provider go", async (_, mark) => {
    const target = await startTarget({}, { ...long, tokensPerSecond: 5000 });
    const socket = await listenUntil(target, (heard) => heard.includes(mark));
    if (mark === "") await target.provider.arrived(1);
    socket.resetAndDestroy();
    await target.provider.idle();
    target.provider.behave({ text: "hello" });
    await target.survives();
  });

  test("after it has read nothing lets the provider go", async () => {
    const target = await startTarget({}, long);
    const socket = await listenUntil(target, () => true);
    await target.provider.arrived(1);
    // Others are served while it takes nothing.
    target.provider.behave({ text: "hello" });
    await target.survives();
    await target.survives();
    socket.resetAndDestroy();
    await target.provider.idle();
  });

  test("at the last byte is a client that was served", async () => {
    const target = await startTarget();
    const socket = await listenUntil(target, (heard) => heard.endsWith("0\r\n\r\n"));
    socket.resetAndDestroy();
    const [attempt] = await target.ended(1);
    expect(attempt?.outcome).toBe("ok");
    await target.survives();
  });

  test("over HTTP/2, having read nothing, lets the provider go", async () => {
    const target = await startTarget({}, long);
    const session = http2.connect(target.address);
    session.on("error", () => {});
    const call = session.request({
      ":method": "POST",
      ":path": "/v1/chat/completions",
      "content-type": "application/json",
    });
    call.on("error", () => {});
    call.end(streamed);
    await once(call, "response");
    target.provider.behave({ text: "hello" });
    await target.survives();
    session.destroy();
    await target.provider.idle();
    await target.survives();
  });
});

test.each(["HTTP/1.1", "HTTP/2"])(
  "a client over %s that never reads is cut off, and the provider with it",
  async (version) => {
    const target = await startTarget({ server: { limits: { stalled: 0.3 } } }, long);
    const session = version === "HTTP/2" ? http2.connect(target.address) : undefined;
    session?.on("error", () => {});
    const call = session?.request({
      ":method": "POST",
      ":path": "/v1/chat/completions",
      "content-type": "application/json",
    });
    call?.on("error", () => {});
    call?.end(streamed);
    const socket = call ? undefined : await listenUntil(target, () => true);
    const [attempt] = await target.ended(1);
    await target.provider.idle();
    expect(attempt?.outcome).not.toBe("ok");
    target.provider.behave({ text: "hello" });
    await target.survives();
    socket?.destroy();
    session?.destroy();
  },
);

test("ten clients that never read leave room for the others", async () => {
  const target = await startTarget({}, long);
  const sockets = await Promise.all(Array.from({ length: 10 }, () => listenUntil(target, () => true)));
  await target.provider.arrived(10);
  target.provider.behave({ text: "hello" });
  await target.survives();
  for (const socket of sockets) socket.resetAndDestroy();
  await target.provider.idle();
  await target.survives();
});
