import type { IncomingMessage, ServerResponse } from "node:http";
import { compressionGzip, connectNodeAdapter } from "@connectrpc/connect-node";
import { ChatService } from "../../../gen/ts/everhop/v1/chat_service_pb.ts";
import { ModelsService } from "../../../gen/ts/everhop/v1/models_service_pb.ts";
import { type Edge, maxTimeoutMs } from "../edge.ts";
import { chatService } from "./chat.ts";
import { modelsService } from "./models.ts";

const maxRequestBytes = 32 << 20;
const maxResponseBytes = 64 << 20;

/** Serves gRPC, gRPC-Web and Connect; what is none of their paths goes to `next`. */
export function createRpcHandler(
  edge: Edge,
  next: (request: IncomingMessage, response: ServerResponse) => void,
): (request: IncomingMessage, response: ServerResponse) => void {
  const handle = connectNodeAdapter({
    routes: (router) => {
      router.service(ChatService, chatService(edge));
      router.service(ModelsService, modelsService(edge));
    },
    acceptCompression: [compressionGzip],
    readMaxBytes: maxRequestBytes,
    writeMaxBytes: maxResponseBytes,
    maxTimeoutMs,
    // The adapter hands over what it was given.
    fallback: (request, response) => next(request as IncomingMessage, response as ServerResponse),
  });
  return (request, response) => {
    clampTimeout(request);
    handle(request, response);
  };
}

const unitMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** A timeout beyond the longest becomes the longest before any timer is made: Node's timers overflow and would fire at once. */
function clampTimeout({ headers }: IncomingMessage): void {
  const grpc = /^(\d{1,8})([HMSmun])$/.exec(String(headers["grpc-timeout"] ?? ""));
  if (grpc && Number(grpc[1]) * (unitMs[grpc[2] ?? ""] ?? 0) > maxTimeoutMs)
    headers["grpc-timeout"] = `${maxTimeoutMs}m`;
  const connect = headers["connect-timeout-ms"];
  if (typeof connect === "string" && /^\d{1,10}$/.test(connect) && Number(connect) > maxTimeoutMs) {
    headers["connect-timeout-ms"] = String(maxTimeoutMs);
  }
}
