import type { IncomingMessage, ServerResponse } from "node:http";
import { constants, type Http2ServerResponse, type ServerHttp2Stream } from "node:http2";
import { type Fault, FaultError } from "../../chat/fault.ts";
import { CallError } from "../../gateway/call.ts";
import { recordEnd, recordFault } from "../../gateway/faults.ts";
import { CallerGone, createCancellation } from "../../runtime/cancellation.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { RequestRecord, Wire } from "../../telemetry/request-record.ts";
import { admit, type Edge, type HeaderOf, openRecord, type Peer, visitorOf } from "../edge.ts";
import { cutUnlessTaken } from "../pace.ts";
import { allowanceHeaders } from "../trail-header.ts";
import { sendError } from "./errors.ts";
import { type Exchange, idHeaders } from "./exchange.ts";
import { accessTo, type Route, templateOf } from "./route.ts";
import { decoded, routesOn } from "./routes.ts";

/** Serves the REST surface. */
export function createRestHandler(
  edge: Edge,
): (request: IncomingMessage, response: ServerResponse, peer: Peer) => void {
  return (request, response, peer) => void answer(edge, { request, response }, peer);
}

type Pair = Pick<Exchange, "request" | "response">;

function answer(edge: Edge, { request, response }: Pair, peer: Peer): void {
  const { clock } = edge.machine;
  const header = headersOf(request);
  const record = recordOf(edge, request, "rest", peer.address, header);
  const visitor = visitorOf(header, edge, record);
  const { requestId, traceId, caller } = visitor;
  const source = createCancellation();
  const account = edge.bytes.open();
  const unlink = edge.shutdown.onCancel((reason) => source.cancel(reason));
  let ended = false;
  response.on("close", () => {
    unlink();
    account.close();
    if (!ended) source.cancel(new CallerGone());
    endRecord(record, response);
  });

  function failed(error: unknown): void {
    const failure = CallError.from(error);
    recordFault(record, failure.fault);
    if (failure.fault.kind === "internal" && !source.cancelled) edge.reportBug(failure.cause, requestId);
    // Half an answer must not look like a whole one.
    if (response.headersSent) response.destroy();
    dropRest(request, response, clock);
    const headers = caller ? allowanceHeaders(edge, caller) : {};
    const seesTrail = caller?.seesTrail ?? false;
    const traceUrl = seesTrail ? record.traceUrl : undefined;
    sendError(response, failure, { requestId, traceId, traceUrl, seesTrail, wallTimeMs: clock.wallTime(), headers });
    over();
  }

  function over(): void {
    ended = response.writableEnded;
    // What the system has taken whole needs nobody to look after it.
    const isHandedOver = request.httpVersionMajor === 1 && response.writableLength === 0;
    if (ended && !isHandedOver) cutUnlessTaken(response, { clock, stalledMs: edge.limits.stalledMs });
  }

  try {
    const path = decoded((request.url ?? "/").split("?", 1)[0] ?? "/");
    if (path === undefined) throw new FaultError({ kind: "unknown_route", route: "such path" });
    if (path === "/" && isBrowser(request)) {
      record.isProbe = true;
      response.writeHead(302, { location: "/docs", vary: "Accept", ...idHeaders(record) }).end();
      over();
      return;
    }
    const route = routeOf(request.method ?? "GET", path);
    record.operation = templateOf(route);
    record.isProbe = route.access !== "caller";
    admit(edge, accessTo(route, edge), visitor, peer);
    const exchange: Exchange = { record, requestId, traceId, request, response, path, account, cancellation: source };
    if (route.access !== "caller") route.handle(edge, exchange).then(over, failed);
    // Only a caller is let in where one is needed.
    else if (caller) route.handle(edge, exchange, caller).then(over, failed);
  } catch (error) {
    failed(error);
  }
}

/** Answers a request that is none of any protocol. */
export function sendRefusal(edge: Edge, { request, response }: Pair, fault: Fault, record: RequestRecord): void {
  recordFault(record, fault);
  dropRest(request, response, edge.machine.clock);
  const { requestId, traceId } = record;
  const shown = { requestId, traceId, seesTrail: false };
  sendError(response, new CallError(fault, undefined), { ...shown, wallTimeMs: edge.machine.clock.wallTime() });
  cutUnlessTaken(response, { clock: edge.machine.clock, stalledMs: edge.limits.stalledMs });
}

/** Ends the record of a request: its answer is closed. */
export function endRecord(record: RequestRecord, response: ServerResponse): void {
  recordEnd(record, response.headersSent ? response.statusCode : 0, response.writableEnded);
}

/** Opens the record of a request; whoever opens it ends it with its answer. */
export function recordOf(
  edge: Edge,
  request: IncomingMessage,
  wire: Wire,
  clientAddress: string,
  header: HeaderOf = headersOf(request),
): RequestRecord {
  const { method = "GET", url = "/", httpVersion, socket } = request;
  const query = url.indexOf("?");
  return openRecord(edge, header, {
    wire,
    method,
    path: query < 0 ? url : url.slice(0, query),
    httpVersion,
    isEncrypted: "encrypted" in socket,
    clientAddress,
  });
}

function headersOf({ headers }: IncomingMessage): HeaderOf {
  return (name) => {
    const value = headers[name];
    return typeof value === "string" ? value : value?.[0];
  };
}

/**
 * What is left of a request when its answer ends is not read. Over HTTP/1.1 the connection cannot serve another then; over HTTP/2 the
 * stream is over, which it would not be before the client says so, and it may wait for us.
 */
export function dropRest(request: IncomingMessage, response: ServerResponse, clock: Clock): void {
  if (response.headersSent) return;
  if (request.httpVersionMajor !== 1) {
    const { stream } = response as unknown as Http2ServerResponse; // that is what there is beside HTTP/1.1
    dropRestOfStream(stream, clock);
    return;
  }
  if (request.complete) return;
  const hasBody = Number(request.headers["content-length"] ?? 0) > 0 || "transfer-encoding" in request.headers;
  if (hasBody) response.setHeader("connection", "close");
}

/** The same for HTTP/2 alone. */
export function dropRestOfStream(stream: ServerHttp2Stream, clock: Clock): void {
  // Whoever has stopped reading the request may call it complete; the stream knows better.
  if (!stream.readableEnded) stream.once("finish", () => endStream(stream, clock));
}

/** The answer's end must be on its way before the reset is. */
const resetMs = 50;

function endStream(stream: ServerHttp2Stream, clock: Clock): void {
  if (stream.readableEnded || stream.destroyed) return;
  // Unread bytes would keep the stream, and take of what the connection may send.
  stream.removeAllListeners("data");
  stream.resume();
  clock.schedule(resetMs, () => stream.close(constants.NGHTTP2_NO_ERROR));
}

/** Whether somebody opens an address to look at it. */
function isBrowser({ method, headers }: IncomingMessage): boolean {
  return (method === "GET" || method === "HEAD") && /\btext\/html\b/i.test(headers.accept ?? "");
}

/** @throws FaultError when there is no such route, or not with this method */
function routeOf(method: string, path: string): Route {
  const candidates = routesOn(path);
  const wanted = method === "HEAD" ? "GET" : method;
  const route = candidates.find((each) => each.method === wanted);
  if (route) return route;
  if (candidates.length === 0) throw new FaultError({ kind: "unknown_route", route: `${method} ${path}` });
  throw new FaultError({ kind: "method_not_allowed", allowed: candidates.map((each) => each.method).join(", ") });
}
