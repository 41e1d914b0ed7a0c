import { type Dispatcher, Pool } from "undici";
import { answerProblem } from "../answers.ts";
import { nextNonce } from "../nonce.ts";
import type { Payload } from "../payloads.ts";
import { callerKey } from "../processes/gateway.ts";
import { eventsPerStream, streamProblem } from "../stream-shape.ts";
import type { Client } from "./client.ts";
import { framesOf } from "./grpc-frames.ts";

/** What an HTTP/1.1 client calls. */
export interface Http1Target {
  readonly origin: string;
  readonly path: string;
  readonly payload: Payload;
  readonly mode: "unary" | "stream" | "grpc-web";
  readonly connections: number;
  /** Beside the usual ones. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Callers' keys, which take turns; the benchmark's one if left out. */
  readonly keys?: readonly string[];
  /** Events that a stream must bring. */
  readonly events?: number;
  /** How many attempts the answer's header must tell, if it tells of attempts at all. */
  readonly attempts?: number;
}

const streamEnd = "data: [DONE]\n\n";
const trailersFlag = 0x80;

/** Calls over HTTP/1.1 on kept connections: OpenAI's API, Connect with JSON, and gRPC-Web. */
export function createHttp1Client(target: Http1Target): Client {
  const { origin, path, payload, mode, connections, attempts, events = eventsPerStream } = target;
  const pool = new Pool(origin, { connections, pipelining: 1, headersTimeout: 0, bodyTimeout: 0 });
  const contentType = mode === "grpc-web" ? "application/grpc-web+proto" : "application/json";
  const headers = (target.keys ?? [callerKey]).map((key) => ({
    "content-type": contentType,
    authorization: `Bearer ${key}`,
    ...target.headers,
  }));
  let turn = 0;

  function problemOf(bytes: Buffer, nonce: string): string | undefined {
    if (mode === "stream") return sseProblem(bytes, nonce, events);
    return mode === "grpc-web" ? grpcWebProblem(bytes, nonce) : answerProblem(bytes, nonce);
  }

  function handler(
    nonce: string,
    ended: (result: number | Error) => void,
    begun: (() => void) | undefined,
  ): Dispatcher.DispatchHandler {
    const startedAt = performance.now();
    const chunks: Buffer[] = [];
    let firstBytesMs = 0;
    let status = 0;
    let sawAttempts: unknown;
    return {
      onRequestStart() {},
      onResponseStart(_controller, code, responseHeaders) {
        status = code;
        sawAttempts = responseHeaders["x-everhop-attempts"];
      },
      onResponseData(_controller, chunk) {
        chunks.push(chunk);
        if (chunks.length > 1) return;
        firstBytesMs = performance.now() - startedAt;
        begun?.();
      },
      onResponseEnd() {
        const latencyMs = mode === "stream" ? firstBytesMs : performance.now() - startedAt;
        const bytes = chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks);
        let problem = status === 200 ? problemOf(bytes, nonce) : `status ${status}`;
        if (attempts !== undefined && sawAttempts !== undefined && sawAttempts !== String(attempts))
          problem ??= `${sawAttempts} attempts where ${attempts} were to be measured`;
        ended(problem === undefined ? latencyMs : new Error(`${problem}: ${bytes.toString().slice(0, 500)}`));
      },
      onResponseError: (_controller, error) => ended(error),
    };
  }

  return {
    call(ended, begun) {
      const nonce = nextNonce();
      const own = headers[turn++ % headers.length] ?? {};
      pool.dispatch({ method: "POST", path, headers: own, body: payload(nonce) }, handler(nonce, ended, begun));
    },
    close: () => pool.destroy(),
  };
}

function sseProblem(bytes: Buffer, nonce: string, events: number): string | undefined {
  const end = bytes.toString("latin1", Math.max(0, bytes.length - streamEnd.length));
  return streamProblem(bytes, nonce, events) ?? (end === streamEnd ? undefined : "the stream has no end marker");
}

function grpcWebProblem(bytes: Buffer, nonce: string): string | undefined {
  const frames = framesOf(bytes);
  if (!frames) return "a message is cut";
  const trailers = frames.at(-1);
  if (!trailers || (trailers.flags & trailersFlag) === 0) return "the trailers are missing";
  const code = /^grpc-status:\s*(\d+)/m.exec(trailers.body.toString("latin1"))?.[1];
  if (code !== "0") return `grpc-status ${code}`;
  return frames.length === 2 ? answerProblem(bytes, nonce) : `${frames.length - 1} messages where one was due`;
}
