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
import type { RequestRecord } from "../../telemetry/request-record.ts";
import { endPaced, type Pace, writePaced } from "../pace.ts";
import { dropRest } from "../rest/handler.ts";
import { dressed } from "./dress.ts";
import { recordStatus } from "./errors.ts";
import { clampTimeout } from "./timeout.ts";
import { wholeMessages } from "./whole-messages.ts";

/** What requests and answers pass on their way to and from Connect. */
export interface AdapterSetup extends Pace {
  /** A request's message, and all of a request that is one, in bytes. */
  readonly readMaxBytes: number;
  readonly writeMaxBytes: number;
  readonly maxTimeoutMs: number;
  /** Runs before a request's body is read. */
  readonly requestGate?: ConnectRouterOptions["requestGate"];
  /** Makes a status that a program can act on of an error that Connect itself has raised. */
  readonly dress?: (error: ConnectError, headers: Headers) => ConnectError;
  /** Answers what is no request of any protocol: a wrong method or media type. */
  readonly refuse?: (
    request: IncomingMessage,
    response: ServerResponse,
    answer: UniversalServerResponse,
    record: RequestRecord,
  ) => void;
}

/** What goes with a request. */
export interface Told {
  /** Told of errors, whoever has raised them. */
  readonly record: RequestRecord;
  readonly values?: ContextValues;
  /** Told of each piece that is read of the request. What it throws ends the request. */
  readonly take?: (bytes: number) => void;
  /** What is read in place of the request, where somebody else has begun to read it. */
  readonly body?: AsyncIterable<Uint8Array>;
}

/** RPC on Node's server. */
export interface RpcAdapter {
  /** Paths of its methods. */
  readonly paths: ReadonlySet<string>;
  /** Answers a request to one of its paths. */
  handle(request: IncomingMessage, response: ServerResponse, told: Told): void;
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

  async function answer(
    request: IncomingMessage,
    response: ServerResponse,
    { record, values, take, body }: Told,
  ): Promise<void> {
    const handler = handlers.get((request.url ?? "").split("?", 1)[0] ?? "");
    if (!handler) throw new Error("there is no such method");
    clampTimeout(request, setup.maxTimeoutMs);
    const asked = universalRequestFromNodeRequest(request, response, undefined, values);
    const read = body ? { ...asked, body } : asked;
    const plain = await handler({ ...read, body: bodyOf(read, setup.readMaxBytes, take) });
    if (plain.body === undefined && plain.status >= 400 && setup.refuse)
      return setup.refuse(request, response, plain, record);
    dropRest(request, response, setup.clock);
    const dress = (error: ConnectError, headers: Headers) => setup.dress?.(error, headers) ?? error;
    const told = await dressed(plain, dress, ({ code }) => recordStatus(record, code));
    await write(told, response, setup);
  }

  return {
    paths: new Set(handlers.keys()),
    handle(request, response, told) {
      // Whatever goes wrong now does so because the client is gone or does not listen.
      answer(request, response, told).catch(() => response.destroy());
    },
  };
}

/** Bodies of one message without anything before it. */
const unary = /^application\/(json|proto)\b/i;

/**
 * A request's body, counted, and without promises: Connect allocates as much as is promised, of a whole body in its length, of a
 * message in the five bytes before it. HTTP holds the one to it anyway, and of the other nothing is passed on before it is
 * there. What is beyond the limit is, and is refused for it.
 */
function bodyOf(
  { header, body }: UniversalServerRequest,
  most: number,
  take: (bytes: number) => void = () => {},
): AsyncIterable<Uint8Array> {
  if (Number(header.get("content-length")) <= most) header.delete("content-length");
  // Node's requests are read; only what others have parsed is not.
  const pieces = counted(body as AsyncIterable<Uint8Array>, take);
  return unary.test(header.get("content-type") ?? "") ? pieces : wholeMessages(pieces, most);
}

async function* counted(body: AsyncIterable<Uint8Array>, take: (bytes: number) => void): AsyncIterable<Uint8Array> {
  for await (const bytes of body) {
    take(bytes.length);
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
    endPaced(response, pace);
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
