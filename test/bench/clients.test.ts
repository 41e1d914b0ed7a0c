import type { ServerResponse } from "node:http";
import type { ServerHttp2Stream } from "node:http2";
import { describe, expect, onTestFinished, test } from "vitest";
import { answerText } from "../../bench/answers.ts";
import type { Client } from "../../bench/clients/client.ts";
import { createGrpcClient, type GrpcTarget } from "../../bench/clients/grpc.ts";
import { createHttp1Client, type Http1Target } from "../../bench/clients/http1.ts";
import { makeCalls, type Stretch } from "../../bench/load.ts";
import { chatBody, completeChatFrame, streamChatFrame } from "../../bench/payloads.ts";
import { contents, endEvent, frame, respondGrpc, serveHttp1, serveHttp2, sse } from "./servers.ts";

const ok = { "grpc-status": "0" };

/** A short load, which must end with the first answer that is wrong. */
function load(client: Client): Promise<Stretch> {
  onTestFinished(() => client.close());
  return makeCalls(client, { concurrency: 2 }, 100);
}

async function loadHttp1(
  mode: Http1Target["mode"],
  answer: (response: ServerResponse, nonce: string) => void,
): Promise<Stretch> {
  const origin = await serveHttp1(answer);
  const payload = mode === "grpc-web" ? completeChatFrame() : chatBody({ stream: mode === "stream" });
  return load(createHttp1Client({ origin, path: "/", payload, mode, connections: 2 }));
}

async function loadGrpc(
  method: GrpcTarget["method"],
  answer: (stream: ServerHttp2Stream, nonce: string) => void,
): Promise<Stretch> {
  const origin = await serveHttp2(answer);
  const payload = method === "StreamChat" ? streamChatFrame() : completeChatFrame();
  return load(createGrpcClient({ origin, method, payload, sessions: 1 }));
}

/** After some right answers, as a fault under load comes. */
function afterSome<Answer>(right: Answer, wrong: Answer): () => Answer {
  let count = 0;
  return () => (++count > 5 ? wrong : right);
}

describe("a load of whole REST answers", () => {
  type Answer = (response: ServerResponse, nonce: string) => void;
  const right: Answer = (response, nonce) => void response.end(`"${answerText(nonce)}"`);

  test("goes through when every answer is right", async () => {
    expect((await loadHttp1("unary", right)).calls).toBeGreaterThan(5);
  });

  test.each<[string, Answer, RegExp]>([
    ["belongs to another call", (response) => void response.end(answerText("nonce:00000zzz")), /nonce did not come/],
    ["only echoes the nonce", (response, nonce) => void response.end(nonce), /not the upstream's/],
    ["has another status", (response, nonce) => void response.writeHead(500).end(answerText(nonce)), /status 500/],
    ["is cut off", (response, nonce) => cutOff(response, answerText(nonce)), /other side closed|terminated|aborted/],
    ["is no answer", (response) => void response.socket?.destroy(), /other side closed|ECONNRESET/],
  ])("ends when one %s", async (_what, wrong, message) => {
    const next = afterSome(right, wrong);
    await expect(loadHttp1("unary", (response, nonce) => next()(response, nonce))).rejects.toThrow(message);
  });
});

describe("a load of REST streams", () => {
  const spoilt = (spoil: (texts: string[]) => string) =>
    loadHttp1("stream", (response, nonce) => void response.end(spoil(contents(nonce))));

  test("goes through when every stream is right", async () => {
    expect((await spoilt(sse)).calls).toBeGreaterThan(5);
  });

  test.each<[string, (texts: string[]) => string, RegExp]>([
    ["lacks an event in its midst", (texts) => sse(texts.toSpliced(20, 1)), /event 20 is not the one/],
    ["lacks its last event", (texts) => sse(texts.slice(0, -1)), /event 49 is missing/],
    ["has an event twice", (texts) => sse([...texts, texts.at(-1) ?? ""]), /more events than were sent/],
    ["has an event that is cut short", (texts) => sse(texts.with(7, texts[7]?.slice(0, -2) ?? "")), /event 7 is not/],
    ["has two events in the wrong order", (texts) => sse(texts.with(3, texts[4] ?? "")), /event 3 is not the one/],
    ["has no end", (texts) => sse(texts, ""), /no end marker/],
    ["is empty", () => "", /nonce did not come back/],
  ])("ends when one %s", async (_what, spoil, message) => {
    await expect(spoilt(spoil)).rejects.toThrow(message);
  });

  test("ends when the connection of one is cut", async () => {
    const cut = (response: ServerResponse, nonce: string) => cutOff(response, sse(contents(nonce).slice(0, 10), ""));
    await expect(loadHttp1("stream", cut)).rejects.toThrow(/other side closed|terminated|aborted/);
  });
});

describe("a load of whole gRPC answers", () => {
  test("goes through when every answer is right", async () => {
    const { calls } = await loadGrpc("CompleteChat", (stream, nonce) => {
      respondGrpc(stream, ok);
      stream.end(frame(answerText(nonce)));
    });
    expect(calls).toBeGreaterThan(5);
  });

  test.each<[string, (stream: ServerHttp2Stream, nonce: string) => void, RegExp]>([
    ["fails", (stream) => refuse(stream, "14", "gone"), /grpc-status 14: gone/],
    [
      "fails after its message",
      (stream, nonce) => end(stream, { "grpc-status": "13" }, frame(answerText(nonce))),
      /grpc-status 13/,
    ],
    ["has no trailers", (stream, nonce) => end(stream, undefined, frame(answerText(nonce))), /trailers are missing/],
    ["belongs to another call", (stream) => end(stream, ok, frame(answerText("nonce:00000zzz"))), /nonce did not/],
    ["has no message", (stream) => end(stream, ok), /0 messages where one was due/],
    [
      "has a message that is cut",
      (stream, nonce) => end(stream, ok, frame(answerText(nonce)).subarray(0, -1)),
      /is cut/,
    ],
    ["is reset", (stream) => stream.close(http2Internal), /INTERNAL_ERROR/],
    ["is no answer", (stream) => stream.session?.destroy(), /trailers are missing|closed|ECONNRESET/],
  ])("ends when one %s", async (_what, wrong, message) => {
    await expect(loadGrpc("CompleteChat", wrong)).rejects.toThrow(message);
  });
});

describe("a load of gRPC streams", () => {
  const spoilt = (spoil: (texts: string[]) => string[], last: Uint8Array = endEvent) =>
    loadGrpc("StreamChat", (stream, nonce) => {
      respondGrpc(stream, ok);
      for (const text of spoil(contents(nonce))) stream.write(frame(text));
      stream.end(frame(last));
    });

  test("goes through when every stream is right", async () => {
    expect((await spoilt((texts) => texts)).calls).toBeGreaterThan(5);
  });

  test("ends when one lacks an event", async () => {
    await expect(spoilt((texts) => texts.toSpliced(20, 1))).rejects.toThrow(/event 20 is not the one/);
  });

  test("ends when one has no end event", async () => {
    await expect(spoilt((texts) => texts, new Uint8Array())).rejects.toThrow(/no end event/);
  });
});

describe("a load of gRPC-Web answers", () => {
  const trailers = (text: string) => frame(text, 0x80);

  test("goes through when every answer is right", async () => {
    const { calls } = await loadHttp1("grpc-web", (response, nonce) => {
      response.end(Buffer.concat([frame(answerText(nonce)), trailers("grpc-status: 0\r\n")]));
    });
    expect(calls).toBeGreaterThan(5);
  });

  test.each<[string, (nonce: string) => Buffer[], RegExp]>([
    ["fails", () => [trailers("grpc-status: 14\r\ngrpc-message: gone\r\n")], /grpc-status 14/],
    ["has no trailers", (nonce) => [frame(answerText(nonce))], /trailers are missing/],
    ["has no message", () => [trailers("grpc-status: 0\r\n")], /0 messages/],
    ["belongs to another call", () => [frame("else"), trailers("grpc-status: 0\r\n")], /nonce did not come/],
  ])("ends when one %s", async (_what, frames, message) => {
    const wrong = loadHttp1("grpc-web", (response, nonce) => void response.end(Buffer.concat(frames(nonce))));
    await expect(wrong).rejects.toThrow(message);
  });
});

const http2Internal = 2;

function cutOff(response: ServerResponse, text: string): void {
  response.writeHead(200, { "content-length": text.length + 10 });
  response.write(text, () => response.socket?.destroy());
}

function refuse(stream: ServerHttp2Stream, code: string, message: string): void {
  stream.respond(
    { ":status": 200, "content-type": "application/grpc+proto", "grpc-status": code, "grpc-message": message },
    { endStream: true },
  );
}

function end(
  stream: ServerHttp2Stream,
  trailers: Record<string, string> | undefined,
  bytes: Buffer = Buffer.alloc(0),
): void {
  respondGrpc(stream, trailers);
  stream.end(bytes);
}
