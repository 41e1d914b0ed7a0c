import type { IncomingMessage, ServerResponse } from "node:http";
import { FaultError } from "../../chat/fault.ts";
import { CallError } from "../../gateway/call.ts";
import { CallerGone, createCancellation } from "../../runtime/cancellation.ts";
import { callerOf, type Edge, identityOf } from "../edge.ts";
import { allowanceHeaders } from "../trail-header.ts";
import { sendError } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { type Route, routesOn } from "./routes.ts";

/** Serves the REST surface. */
export function createRestHandler(edge: Edge): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => void answer(edge, request, response);
}

async function answer(edge: Edge, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const header = (name: string) => {
    const value = request.headers[name];
    return typeof value === "string" ? value : value?.[0];
  };
  const identity = identityOf(header, edge.rng);
  const caller = callerOf(header, edge.callers);
  const source = createCancellation();
  const unlink = edge.shutdown.onCancel((reason) => source.cancel(reason));
  let ended = false;
  response.on("close", () => {
    unlink();
    if (!ended) source.cancel(new CallerGone());
  });
  try {
    const path = decodedPath(request.url ?? "/");
    const route = routeOf(request.method ?? "GET", path);
    const exchange: Exchange = { ...identity, request, response, path, cancellation: source };
    if (route.access === "public") {
      await route.handle(edge, exchange);
    } else {
      if (edge.stage() === "closing") throw new FaultError({ kind: "shutting_down" });
      if (!caller) throw new FaultError({ kind: "unauthorized" });
      await route.handle(edge, exchange, caller);
    }
  } catch (error) {
    const failed = CallError.from(error);
    if (failed.fault.kind === "internal" && !source.cancelled) edge.reportBug(failed.cause, identity.requestId);
    // What is left of the request is not read: the connection cannot serve another.
    const hasBody = Number(request.headers["content-length"] ?? 0) > 0 || "transfer-encoding" in request.headers;
    if (hasBody && !request.complete && request.httpVersionMajor === 1) response.setHeader("connection", "close");
    const wallTimeMs = edge.machine.clock.wallTime();
    const headers = caller ? allowanceHeaders(edge, caller) : {};
    sendError(response, failed, { ...identity, seesTrail: caller?.seesTrail ?? false, wallTimeMs, headers });
  } finally {
    ended = response.writableEnded;
  }
}

/** @throws FaultError when the path is no path */
function decodedPath(url: string): string {
  const [path = "/"] = url.split("?", 1);
  try {
    return decodeURIComponent(path);
  } catch {
    throw new FaultError({ kind: "unknown_route", route: "such path" });
  }
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
