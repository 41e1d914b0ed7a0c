import { type Dispatcher, Pool } from "undici";
import { nextNonce } from "../nonce.ts";
import type { Payload } from "../payloads.ts";
import { callerKey } from "../processes/gateway.ts";
import { streamProblem } from "../stream-shape.ts";
import type { Client } from "./client.ts";

/** What an HTTP/1.1 client calls. */
export interface Http1Target {
  readonly origin: string;
  readonly path: string;
  readonly payload: Payload;
  readonly mode: "unary" | "stream";
  readonly connections: number;
  /** What the gateway's header of that name must say: how many attempts it took. */
  readonly attempts?: number;
}

const streamEnd = "data: [DONE]\n\n";

/** Calls over HTTP/1.1 on kept connections: OpenAI's API, and Connect with JSON. */
export function createHttp1Client({ origin, path, payload, mode, connections, attempts }: Http1Target): Client {
  const pool = new Pool(origin, { connections, pipelining: 1, headersTimeout: 0, bodyTimeout: 0 });
  const headers = { "content-type": "application/json", authorization: `Bearer ${callerKey}` };
  const wantedAttempts = attempts === undefined ? undefined : String(attempts);

  function handler(nonce: string, ended: (result: number | Error) => void): Dispatcher.DispatchHandler {
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
        if (chunks.length === 0) firstBytesMs = performance.now() - startedAt;
        chunks.push(chunk);
      },
      onResponseEnd() {
        const latencyMs = mode === "stream" ? firstBytesMs : performance.now() - startedAt;
        const bytes = chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks);
        let problem = status === 200 ? undefined : `status ${status}`;
        problem ??= mode === "stream" ? sseProblem(bytes, nonce) : unaryProblem(bytes, nonce);
        if (wantedAttempts !== undefined && sawAttempts !== wantedAttempts)
          problem ??= `${sawAttempts} attempts where ${wantedAttempts} were to be measured`;
        ended(problem === undefined ? latencyMs : new Error(`${problem}: ${bytes.toString().slice(0, 500)}`));
      },
      onResponseError: (_controller, error) => ended(error),
    };
  }

  return {
    call(ended) {
      const nonce = nextNonce();
      pool.dispatch({ method: "POST", path, headers, body: payload(nonce) }, handler(nonce, ended));
    },
    close: () => pool.destroy(),
  };
}

function unaryProblem(bytes: Buffer, nonce: string): string | undefined {
  return bytes.indexOf(nonce, 0, "latin1") < 0 ? "the nonce did not come back" : undefined;
}

function sseProblem(bytes: Buffer, nonce: string): string | undefined {
  const end = bytes.toString("latin1", Math.max(0, bytes.length - streamEnd.length));
  return streamProblem(bytes, nonce) ?? (end === streamEnd ? undefined : "the stream has no end marker");
}
