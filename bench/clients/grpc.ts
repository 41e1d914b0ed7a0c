import http2, { type ClientHttp2Session, type IncomingHttpHeaders } from "node:http2";
import { fromBinary } from "@bufbuild/protobuf";
import { StreamChatResponseSchema } from "../../gen/ts/everhop/v1/chat_service_pb.ts";
import { answerProblem } from "../answers.ts";
import { nextNonce } from "../nonce.ts";
import type { Payload } from "../payloads.ts";
import { callerKey } from "../processes/gateway.ts";
import { eventsPerStream, streamProblem } from "../stream-shape.ts";
import type { Client } from "./client.ts";
import { framesOf } from "./grpc-frames.ts";

/** What a gRPC client calls. */
export interface GrpcTarget {
  readonly origin: string;
  /** Of ChatService. */
  readonly method: "CompleteChat" | "StreamChat";
  readonly payload: Payload;
  /** Connections among which the calls take turns. */
  readonly sessions: number;
  /** Events that a stream must bring. */
  readonly events?: number;
}

/** Calls gRPC with frames encoded beforehand, on HTTP/2 sessions of Node's own: a gRPC library would cost more than the gateway. */
export function createGrpcClient(target: GrpcTarget): Client {
  const { origin, method, payload, sessions: count, events = eventsPerStream } = target;
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
    call(ended, begun) {
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
        chunks.push(chunk);
        if (chunks.length > 1) return;
        firstBytesMs = performance.now() - startedAt;
        begun?.();
      });
      stream.on("error", (error) => {
        failure = error;
      });
      stream.on("close", () => {
        const latencyMs = method === "StreamChat" ? firstBytesMs : performance.now() - startedAt;
        if (failure) return ended(failure);
        const bytes = Buffer.concat(chunks);
        const problem =
          statusProblem(head, trailers) ??
          (method === "StreamChat" ? streamAnswerProblem(bytes, nonce, events) : wholeAnswerProblem(bytes, nonce));
        ended(problem === undefined ? latencyMs : new Error(problem));
      });
      stream.end(payload(nonce));
    },
    async close() {
      for (const open of sessions) open?.destroy();
    },
  };
}

function statusProblem(head: IncomingHttpHeaders, trailers: IncomingHttpHeaders): string | undefined {
  if (trailers["grpc-status"] === "0") return undefined;
  // An error may come with the head alone.
  const { "grpc-status": code, "grpc-message": message } = { ...head, ...trailers };
  if (code === undefined || code === "0") return `the trailers are missing (HTTP status ${head[":status"]})`;
  return `grpc-status ${code}: ${message}`;
}

function wholeAnswerProblem(bytes: Buffer, nonce: string): string | undefined {
  const frames = framesOf(bytes);
  if (frames?.length !== 1) return frames ? `${frames.length} messages where one was due` : "a message is cut";
  return answerProblem(bytes, nonce);
}

function streamAnswerProblem(bytes: Buffer, nonce: string, events: number): string | undefined {
  const last = framesOf(bytes)?.at(-1);
  if (!last) return "the answer is not made of whole messages";
  const problem = streamProblem(bytes, nonce, events);
  if (problem) return problem;
  return fromBinary(StreamChatResponseSchema, last.body).event?.kind.case === "end"
    ? undefined
    : "the stream has no end event";
}
