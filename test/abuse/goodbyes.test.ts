import http2, { type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { type Bytes, bytesOf } from "../bad-input/http1.ts";
import { envelope } from "../bad-input/rpc.ts";
import { closedAuth, goodKey, pause, startTarget } from "./target.ts";

const MiB = 2 ** 20;
const chat = "/v1/chat/completions";
const completeChat = "/everhop.v1.ChatService/CompleteChat";
const streamChat = "/everhop.v1.ChatService/StreamChat";
const bearer: [string, string] = ["authorization", `Bearer ${goodKey}`];

/** A request that does not come to its end: where to, with which fields, and what of its body comes. */
interface Unfinished {
  readonly path: string;
  readonly fields: readonly [string, string][];
  readonly body: Bytes;
}

const typed = (value: string): [string, string] => ["content-type", value];
/** More than the window of a stream lets through before any of it is read. */
const much = "x".repeat(200_000);

const unfinished: Readonly<Record<string, Unfinished>> = {
  "no such route": { path: "/nowhere", fields: [bearer, typed("application/json")], body: much },
  "REST without a key": { path: chat, fields: [typed("application/json")], body: much },
  "REST with a body too large": {
    path: chat,
    fields: [bearer, typed("application/json"), ["content-length", String(2 ** 32)]],
    body: much,
  },
  "REST with a body that is not all there": {
    path: chat,
    fields: [bearer, typed("application/json")],
    body: much,
  },
  "Connect without a key": { path: completeChat, fields: [typed("application/proto")], body: much },
  "Connect with another media type": {
    path: completeChat,
    fields: [bearer, typed("text/plain")],
    body: much,
  },
  "Connect that is packed in a way nobody knows": {
    path: completeChat,
    fields: [bearer, typed("application/proto"), ["content-encoding", "snappy"]],
    body: much,
  },
  "Connect with a body that is not all there": {
    path: completeChat,
    fields: [bearer, typed("application/proto")],
    body: much,
  },
  "gRPC without a key": {
    path: completeChat,
    fields: [typed("application/grpc")],
    body: envelope(0, much),
  },
  "gRPC with a message too large": {
    path: completeChat,
    fields: [bearer, typed("application/grpc")],
    body: envelope(0, much, 33 * MiB),
  },
  "gRPC with a stream's message too large": {
    path: streamChat,
    fields: [bearer, typed("application/grpc")],
    body: envelope(0, much, 33 * MiB),
  },
  "gRPC with a message that is not all there": {
    path: completeChat,
    fields: [bearer, typed("application/grpc")],
    body: envelope(0, much, MiB),
  },
  "gRPC-Web with a message too large": {
    path: completeChat,
    fields: [bearer, typed("application/grpc-web+proto")],
    body: envelope(0, much, 33 * MiB),
  },
  "a stream of Connect with a message too large": {
    path: streamChat,
    fields: [bearer, typed("application/connect+proto")],
    body: envelope(0, much, 33 * MiB),
  },
};

/** Small enough for any of the bodies here to be too much. */
const small = { server: { limits: { buffered: "1MiB", body: "16KiB" } } };

/** How a client goes: with a farewell, having taken its request back, and without a word. */
const farewells: Readonly<Record<string, (session: ClientHttp2Session, stream: ClientHttp2Stream) => void>> = {
  "with a farewell": (session) => session.destroy(),
  "and takes the request back": (session, stream) => {
    stream.close(http2.constants.NGHTTP2_CANCEL);
    session.close();
  },
  "without a word": (session) => void (session.socket as Socket).destroy(),
};

describe("a client that leaves in the middle of a request", () => {
  const cases = Object.entries(unfinished).flatMap(([what, request]) =>
    [false, true].map((isSmall) => ({ what: isSmall ? `${what}, where less is taken` : what, request, isSmall })),
  );

  test.each(cases)("leaves nothing behind: $what", async ({ request, isSmall }) => {
    const { path, fields, body } = request;
    const target = await startTarget({ ...closedAuth, ...(isSmall && small) });
    const left = await Promise.all(
      Object.values(farewells).map(async (farewell) => {
        const session = http2.connect(target.address);
        session.on("error", () => {});
        onTestFinished(() => session.destroy());
        const headers = Object.fromEntries([...fields, ["te", "trailers"]]);
        const stream = session.request({ ":method": "POST", ":path": path, ...headers });
        stream.on("error", () => {});
        stream.resume();
        stream.write(bytesOf(body));
        // Answered before its request is whole, or not at all.
        await Promise.race([new Promise((resolve) => stream.on("close", resolve)), pause(200)]);
        farewell(session, stream);
      }),
    );
    expect(left).toHaveLength(3);
    await Promise.race([target.emptied(), pause(3000)]);
    expect(target.listener.connections, "connections of clients that are gone").toBe(0);
    await target.serves();
  });
});
