import http2, { type ClientHttp2Session, type IncomingHttpHeaders } from "node:http2";
import { fromBinary } from "@bufbuild/protobuf";
import { StreamChatResponseSchema } from "../../gen/ts/everhop/v1/chat_service_pb.ts";
import { nextNonce } from "../nonce.ts";
import type { Payload } from "../payloads.ts";
import { callerKey } from "../processes/gateway.ts";
import { streamProblem } from "../stream-shape.ts";
import type { Client } from "./client.ts";

/** What a gRPC client calls. */
export interface GrpcTarget {
  readonly origin: string;
  /** Of ChatService. */
  readonly method: "CompleteChat" | "StreamChat";
  readonly payload: Payload;
  /** Connections among which the calls take turns. */
  readonly sessions: number;
}

/** Calls gRPC with frames encoded beforehand, on HTTP/2 sessions of Node's own: a gRPC library would cost more than the gateway. */
export function createGrpcClient({ origin, method, payload, sessions: count }: GrpcTarget): Client {
  const sessions: ClientHttp2Session[] = [];
  let turn = 0;
  const headers = {
    ":method": "POST",
    ":path": `/everhop.v1.ChatService/${method}`,
    "content-type": "application/grpc+proto",
    te: "trailers",
    authorization: `Bearer ${callerKey}`,
  };

  function session(): ClientHttp2Session {
    const at = turn++ % count;
    const open = sessions[at];
    if (open && !open.closed) return open;
    const fresh = http2.connect(origin);
    fresh.on("error", () => {}); // each stream hears of it too
    sessions[at] = fresh;
    return fresh;
  }

  return {
    call(ended) {
      const nonce = nextNonce();
      const startedAt = performance.now();
      const chunks: Buffer[] = [];
      let firstBytesMs = 0;
      let head: IncomingHttpHeaders = {};
      let trailers: IncomingHttpHeaders = {};
      let failure: Error | undefined;
      const stream = session().request(headers);
      stream.on("response", (received) => {
        head = received;
      });
      stream.on("trailers", (received) => {
        trailers = received;
      });
      stream.on("data", (chunk: Buffer) => {
        if (chunks.length === 0) firstBytesMs = performance.now() - startedAt;
        chunks.push(chunk);
      });
      stream.on("error", (error) => {
        failure = error;
      });
      stream.on("close", () => {
        const latencyMs = method === "StreamChat" ? firstBytesMs : performance.now() - startedAt;
        failure ??= problemOf(Buffer.concat(chunks), nonce, method, { ...head, ...trailers });
        ended(failure ?? latencyMs);
      });
      stream.end(payload(nonce));
    },
    async close() {
      for (const open of sessions) open.destroy();
    },
  };
}

function problemOf(
  bytes: Buffer,
  nonce: string,
  method: GrpcTarget["method"],
  { ":status": status, "grpc-status": code, "grpc-message": message }: IncomingHttpHeaders,
): Error | undefined {
  if (code !== "0") return new Error(`HTTP status ${status}, grpc-status ${code}: ${message}`);
  const frames = framesOf(bytes);
  const last = frames?.at(-1);
  if (!frames || !last) return new Error("the answer is not made of whole frames");
  if (method === "CompleteChat") {
    if (frames.length !== 1) return new Error(`${frames.length} messages where one was due`);
    return bytes.indexOf(nonce, 0, "latin1") < 0 ? new Error("the nonce did not come back") : undefined;
  }
  const problem = streamProblem(bytes, nonce);
  if (problem) return new Error(problem);
  const { event } = fromBinary(StreamChatResponseSchema, last);
  return event?.kind.case === "end" ? undefined : new Error("the stream has no end event");
}

/** The messages in an answer; undefined when the last one is cut. */
function framesOf(bytes: Buffer): Buffer[] | undefined {
  const frames: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (at + 5 > bytes.length) return undefined;
    const end = at + 5 + bytes.readUInt32BE(at + 1);
    if (end > bytes.length) return undefined;
    frames.push(bytes.subarray(at + 5, end));
    at = end;
  }
  return frames;
}
