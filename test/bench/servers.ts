import { createServer, type ServerResponse } from "node:http";
import http2, { type ServerHttp2Stream } from "node:http2";
import type { AddressInfo, Server } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { onTestFinished } from "vitest";
import { nonceLength, nonceMark } from "../../bench/nonce.ts";
import { readBody } from "../../bench/processes/read-body.ts";
import { eventsPerStream, eventText } from "../../bench/stream-shape.ts";
import { StreamChatResponseSchema } from "../../gen/ts/everhop/v1/chat_service_pb.ts";

/** A server whose every answer is made by the test, from the nonce that the call came with. @returns its origin */
export function serveHttp1(answer: (response: ServerResponse, nonce: string) => void): Promise<string> {
  const server = createServer((request, response) => readBody(request, (body) => answer(response, nonceIn(body))));
  return listening(server, () => server.closeAllConnections());
}

/** The same over HTTP/2; the answer's head is sent already, and trailers follow when the test asks for them. */
export function serveHttp2(answer: (stream: ServerHttp2Stream, nonce: string) => void): Promise<string> {
  const server = http2.createServer();
  const sessions = new Set<http2.ServerHttp2Session>();
  server.on("session", (session) => sessions.add(session));
  server.on("stream", (stream) => {
    const chunks: Buffer[] = [];
    stream.on("error", () => {});
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("end", () => answer(stream, nonceIn(Buffer.concat(chunks))));
  });
  return listening(server, () => {
    for (const session of sessions) session.destroy();
  });
}

/** Begins a gRPC answer, which ends with these trailers; without any if there are none. */
export function respondGrpc(stream: ServerHttp2Stream, trailers?: Readonly<Record<string, string>>): void {
  stream.respond({ ":status": 200, "content-type": "application/grpc+proto" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => (trailers ? stream.sendTrailers({ ...trailers }) : stream.close()));
}

/** One frame of gRPC, or of gRPC-Web. */
export function frame(body: Uint8Array | string, flags = 0): Buffer {
  const bytes = Buffer.from(body);
  const head = Buffer.from([flags, 0, 0, 0, 0]);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

/** The contents of a stream as they should be, which a test may then spoil. */
export function contents(nonce: string, count = eventsPerStream): string[] {
  return Array.from({ length: count }, (_, index) => eventText(nonce, index));
}

/** Contents as a stream of OpenAI's, with its end. */
export function sse(texts: readonly string[], end = "data: [DONE]\n\n"): string {
  return texts.map((text) => `data: {"choices":[{"delta":{"content":"${text}"}}]}\n\n`).join("") + end;
}

/** The message that ends a stream of ours. */
export const endEvent = toBinary(
  StreamChatResponseSchema,
  create(StreamChatResponseSchema, { event: { kind: { case: "end", value: {} } } }),
);

function nonceIn(body: Buffer): string {
  const at = body.indexOf(nonceMark);
  return body.toString("latin1", at, at + nonceLength);
}

function listening(server: Server, closeConnections: () => void): Promise<string> {
  onTestFinished(() => {
    server.close();
    closeConnections();
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo; // a TCP server's address is one
      resolve(`http://127.0.0.1:${port}`);
    });
  });
}
