import type { IncomingMessage, ServerResponse } from "node:http";
import { createCors } from "./cors.ts";
import type { Edge, Peer } from "./edge.ts";
import { foreignName } from "./own-names.ts";
import { createRestHandler, sendRefusal } from "./rest/handler.ts";
import { accessOn } from "./rest/routes.ts";
import { createRpcHandler } from "./rpc/handler.ts";

/** Everything behind the port: RPC by its paths, REST by its routes. */
export function createFrontDoor(edge: Edge): (request: IncomingMessage, response: ServerResponse, peer: Peer) => void {
  const rpc = createRpcHandler(edge);
  const rest = createRestHandler(edge);
  const cors = createCors(edge.corsOrigins);
  return (request, response, peer) => {
    const [path = "/"] = (request.url ?? "/").split("?", 1);
    const rpcAccess = rpc.accessOn(path);
    // Who is asked for by REST is looked up again where it is served; here only for those who need it sooner.
    const isAskedNow = edge.ownMachineOnly || request.headers.origin !== undefined;
    const access = rpcAccess ?? (isAskedNow ? accessOn(path) : undefined);
    if (request.headers.origin !== undefined && cors(request, response, access)) return;
    // What anybody may know, and what there is not, has no need of it.
    const isGuarded = edge.ownMachineOnly && access !== undefined && access !== "public";
    const foreign = isGuarded ? foreignName(request) : undefined;
    if (foreign) return sendRefusal(edge, { request, response }, { kind: "invalid_request", violations: [foreign] });
    if (rpcAccess) rpc.handle(request, response, peer);
    else rest(request, response, peer);
  };
}
