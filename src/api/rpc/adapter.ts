import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import {
  type ConnectError,
  type ConnectRouter,
  type ConnectRouterOptions,
  type ContextValues,
  createConnectRouter,
} from "@connectrpc/connect";
import type { UniversalServerRequest, UniversalServerResponse } from "@connectrpc/connect/protocol";
import { compressionGzip, universalRequestFromNodeRequest } from "@connectrpc/connect-node";
import { endPaced, type Pace, writePaced } from "../pace.ts";
import { dropRest } from "../rest/handler.ts";
import { dressed } from "./dress.ts";
import { clampTimeout } from "./timeout.ts";

/** What requests and answers pass on their way to and from Connect. */
export interface AdapterSetup extends Pace {
  /** A request's message, and all of a request that is one, in bytes. */
  readonly readMaxBytes: number;
  readonly writeMaxBytes: number;
  readonly maxTimeoutMs: number;
  /** Runs before a request's body is read. */
  readonly requestGate?: ConnectRouterOptions["requestGate"];
  /** Counts what is read of a request. @returns whom to tell of each piece; `close` when the request is over */
  readonly account?: () => { take(bytes: number): void; close(): void };
  /** Makes a status that a program can act on of an error that Connect itself has raised. */
  readonly dress?: (error: ConnectError, headers: Headers) => ConnectError;
  /** Answers what is no request of any protocol: a wrong method or media type. */
  readonly refuse?: (request: IncomingMessage, response: ServerResponse, answer: UniversalServerResponse) => void;
}

/** RPC on Node's server. */
export interface RpcAdapter {
  /** Paths of its methods. */
  readonly paths: ReadonlySet<string>;
  /** Answers a request to one of its paths. */
  handle(request: IncomingMessage, response: ServerResponse, values?: ContextValues): void;
}

/** Connect's own, and a decoder that its types do not tell of: what is no UTF-8 is refused, not mended. */
const jsonOptions = { ignoreUnknownFields: true, textDecoder: new TextDecoder("utf-8", { fatal: true }) };

/**
 * Serves gRPC, gRPC-Web and Connect. Connect's own adapter leaves the writing of a stalled answer to Node, has nothing to say of
 * errors of its own, and allocates what a request merely promises; for the rest Connect does it all.
 */
export function createRpcAdapter(routes: (router: ConnectRouter) => void, setup: AdapterSetup): RpcAdapter {
  const router = createConnectRouter({
    acceptCompression: [compressionGzip],
    readMaxBytes: setup.readMaxBytes,
    writeMaxBytes: setup.writeMaxBytes,
    maxTimeoutMs: setup.maxTimeoutMs,
    jsonOptions,
    ...(setup.requestGate && { requestGate: setup.requestGate }),
  });
  routes(router);
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));

  async function answer(request: IncomingMessage, response: ServerResponse, values?: ContextValues): Promise<void> {
    const handler = handlers.get((request.url ?? "").split("?", 1)[0] ?? "");
    if (!handler) throw new Error("there is no such method");
    clampTimeout(request, setup.maxTimeoutMs);
    const account = setup.account?.();
    response.on("close", () => account?.close());
    const asked = counted(
      universalRequestFromNodeRequest(request, response, undefined, values),
      setup.readMaxBytes,
      account,
    );
    const plain = await handler(asked);
    if (plain.body === undefined && plain.status >= 400 && setup.refuse) return setup.refuse(request, response, plain);
    dropRest(request, response, setup.clock);
    await write(setup.dress ? await dressed(plain, setup.dress) : plain, response, setup);
  }

  return {
    paths: new Set(handlers.keys()),
    handle(request, response, values) {
      // Whatever goes wrong now does so because the client is gone or does not listen.
      answer(request, response, values).catch(() => response.destroy());
    },
  };
}

/**
 * Leaves out what a request promises of its length, for as much would be allocated at once; HTTP holds it to it anyway. What is beyond
 * the limit stays, and is refused for it.
 */
function counted(
  request: UniversalServerRequest,
  most: number,
  account?: { take(bytes: number): void },
): UniversalServerRequest {
  if (Number(request.header.get("content-length")) <= most) request.header.delete("content-length");
  const { body } = request;
  // Node's requests are read; only what others have parsed is not.
  return account ? { ...request, body: countedBody(body as AsyncIterable<Uint8Array>, account) } : request;
}

async function* countedBody(body: AsyncIterable<Uint8Array>, account: { take(bytes: number): void }) {
  for await (const bytes of body) {
    account.take(bytes.length);
    yield bytes;
  }
}

/** Writes at the client's pace. The head goes with the first bytes: until then a handler may still add to it. */
async function write(
  { status, header, body, trailer }: UniversalServerResponse,
  response: ServerResponse,
  pace: Pace,
): Promise<void> {
  const pieces = body?.[Symbol.asyncIterator]();
  try {
    for (let piece = await pieces?.next(); piece?.done === false; piece = await pieces?.next()) {
      if (!response.headersSent) response.writeHead(status, nodeHeaders(header));
      await writePaced(response, piece.value, pace);
    }
    if (!response.headersSent) response.writeHead(status, nodeHeaders(header));
    if (trailer) response.addTrailers(nodeHeaders(trailer) as Record<string, string>); // texts alone
    endPaced(response, undefined, pace);
  } catch (error) {
    // Whoever makes the answer learns that nobody takes it, also if it waits for something else.
    pieces?.throw?.(error).catch(() => {});
    response.destroy();
  } finally {
    pieces?.return?.().catch(() => {});
  }
}

function nodeHeaders(headers: Headers | undefined): OutgoingHttpHeaders {
  return Object.fromEntries(headers ?? []);
}
