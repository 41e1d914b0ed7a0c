import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import type { ServerHttp2Stream } from "node:http2";
import { createCors } from "./cors.ts";
import type { Edge, Peer } from "./edge.ts";
import { foreignName } from "./own-names.ts";
import { createRestHandler, endRecord, recordOf, sendRefusal } from "./rest/handler.ts";
import { accessOn } from "./rest/routes.ts";
import { createRpcHandler } from "./rpc/handler.ts";

/** A request's stream of HTTP/2, before anything is made of it. */
export type StreamArrival = [
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  rawHeaders: readonly string[],
  peer: Peer,
];

/** Everything behind the port. */
export interface FrontDoor {
  /** Answers a request. */
  handle(request: IncomingMessage, response: ServerResponse, peer: Peer): void;
  /** Whether a request over HTTP/2 can be answered by its stream alone. */
  wantsStream(headers: IncomingHttpHeaders): boolean;
  /** Answers such a request. @returns what is to be done when its stream has closed */
  handleStream(...arrival: StreamArrival): () => void;
}

/** RPC by its paths, REST by its routes. */
export function createFrontDoor(edge: Edge): FrontDoor {
  const rpc = createRpcHandler(edge);
  const rest = createRestHandler(edge);
  const cors = createCors(edge.corsOrigins);
  const { lane } = rpc;
  return {
    handle(request, response, peer) {
      const [path = "/"] = (request.url ?? "/").split("?", 1);
      const rpcAccess = rpc.accessOn(path);
      // Who is asked for by REST is looked up again where it is served; here only for those who need it sooner.
      const isAskedNow = edge.ownMachineOnly || request.headers.origin !== undefined;
      const access = rpcAccess ?? (isAskedNow ? accessOn(path, edge) : undefined);
      if (request.headers.origin !== undefined && cors(request, response, access)) return;
      // What anybody may know, and what there is not, has no need of it.
      const isGuarded = edge.ownMachineOnly && access !== undefined && access !== "public";
      const foreign = isGuarded ? foreignName(request) : undefined;
      if (foreign) {
        const pair = { request, response };
        const record = recordOf(edge, request, "rest", peer.address);
        response.on("close", () => endRecord(record, response));
        return sendRefusal(edge, pair, { kind: "invalid_request", violations: [foreign] }, record);
      }
      if (rpcAccess) rpc.handle(request, response, peer);
      else rest(request, response, peer);
    },
    wantsStream: (headers) => lane?.wants(headers) === true && !(edge.ownMachineOnly && foreignName({ headers })),
    handleStream: (...arrival) => lane?.handle(...arrival) ?? (() => {}),
  };
}
