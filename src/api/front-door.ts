import type { IncomingMessage, ServerResponse } from "node:http";
import { createCors } from "./cors.ts";
import type { Edge, Peer } from "./edge.ts";
import { createRestHandler } from "./rest/handler.ts";
import { accessOn } from "./rest/routes.ts";
import { createRpcHandler } from "./rpc/handler.ts";

/** Everything behind the port: RPC by its paths, REST by its routes. */
export function createFrontDoor(edge: Edge): (request: IncomingMessage, response: ServerResponse, peer: Peer) => void {
  const rpc = createRpcHandler(edge);
  const rest = createRestHandler(edge);
  const cors = createCors(edge.corsOrigins);
  return (request, response, peer) => {
    const [path = "/"] = (request.url ?? "/").split("?", 1);
    const access = rpc.accessOn(path);
    if (request.headers.origin !== undefined && cors(request, response, access ?? accessOn(path))) return;
    if (access) rpc.handle(request, response, peer);
    else rest(request, response, peer);
  };
}
