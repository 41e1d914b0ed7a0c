import type { IncomingMessage, ServerResponse } from "node:http";
import { type DescMethod, type DescService, getOption } from "@bufbuild/protobuf";
import { createContextValues } from "@connectrpc/connect";
import { compressionGzip } from "@connectrpc/connect-node";
import { access as accessOption, Access as DeclaredAccess } from "../../../gen/ts/everhop/v1/access_pb.ts";
import { ChatService } from "../../../gen/ts/everhop/v1/chat_service_pb.ts";
import { HealthService } from "../../../gen/ts/everhop/v1/health_service_pb.ts";
import { ModelsService } from "../../../gen/ts/everhop/v1/models_service_pb.ts";
import { file_google_rpc_error_details } from "../../../gen/ts/google/rpc/error_details_pb.ts";
import { Health } from "../../../gen/ts/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../../gen/ts/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../../gen/ts/grpc/reflection/v1alpha/reflection_pb.ts";
import type { Fault } from "../../chat/fault.ts";
import type { Wire } from "../../telemetry/request-record.ts";
import { type Access, type Edge, maxTimeoutMs, type Peer } from "../edge.ts";
import { endRecord, recordOf, sendRefusal } from "../rest/handler.ts";
import { createRpcAdapter } from "./adapter.ts";
import { chatService } from "./chat.ts";
import { chatLane } from "./chat-lane.ts";
import { createDescriptorIndex } from "./descriptor-index.ts";
import { ownError } from "./errors.ts";
import { createGrpcLane, type GrpcLane } from "./grpc-lane.ts";
import { healthService } from "./health-service.ts";
import { modelsService } from "./models.ts";
import { serverReflection } from "./reflection.ts";
import { standardHealth } from "./standard-health.ts";
import { accountKey, letIn, peerKey, recordKey, takeFrom } from "./visit.ts";

const maxResponseBytes = 64 << 20;

/** Every service that is served. */
export const services: readonly DescService[] = [
  ChatService,
  ModelsService,
  HealthService,
  Health,
  ServerReflection,
  ServerReflectionAlpha,
];

/** RPC behind the front door. */
export interface RpcHandler {
  /** Who may call what is on a path; undefined when no method is. */
  accessOn(path: string): Access | undefined;
  /** Answers a request to a method. */
  handle(request: IncomingMessage, response: ServerResponse, peer: Peer): void;
  /** The short way for what is asked most; undefined: it is switched off. */
  readonly lane: GrpcLane | undefined;
}

/**
 * Serves gRPC, gRPC-Web and Connect.
 * @throws Error when a method does not declare who may call it
 */
export function createRpcHandler(edge: Edge): RpcHandler {
  const accesses: ReadonlyMap<string, Access> = new Map(
    services.flatMap((service) =>
      service.methods.map(
        (method) => [`/${service.typeName}/${method.name}`, accessOf(method, edge.callers.open)] as const,
      ),
    ),
  );
  const { clock } = edge.machine;
  const { stalledMs, bodyBytes: readMaxBytes } = edge.limits;
  const common = { clock, stalledMs, readMaxBytes, writeMaxBytes: maxResponseBytes, maxTimeoutMs, dress: ownError };
  const adapter = createRpcAdapter(
    (router) => {
      const reflection = serverReflection(edge, createDescriptorIndex(services, [file_google_rpc_error_details]));
      router.service(ChatService, chatService(edge));
      router.service(ModelsService, modelsService(edge));
      router.service(HealthService, healthService(edge));
      router.service(Health, standardHealth(edge, services));
      router.service(ServerReflection, reflection);
      router.service(ServerReflectionAlpha, reflection);
    },
    {
      ...common,
      requestGate: (context) => {
        // What is not in the table is let in by nobody.
        const access = accesses.get(`/${context.service.typeName}/${context.method.name}`) ?? "admin";
        letIn(edge, context, access);
      },
      refuse: (request, response, { status }, record) => {
        sendRefusal(edge, { request, response }, refusalOf(request.method, status), record);
      },
    },
  );

  function handle(
    request: IncomingMessage,
    response: ServerResponse,
    peer: Peer,
    body?: AsyncIterable<Uint8Array>,
  ): void {
    const account = edge.bytes.open();
    const record = recordOf(edge, request, wireOf(request), peer.address);
    response.on("close", () => {
      account.close();
      endRecord(record, response);
    });
    const { path } = record.head;
    record.operation = path.slice(1);
    record.isProbe = accesses.get(path) !== "caller" || isAboutUs.test(path);
    const values = createContextValues().set(peerKey, peer).set(accountKey, account).set(recordKey, record);
    adapter.handle(request, response, { record, values, take: takeFrom(account, record), ...(body && { body }) });
  }

  const lane = () =>
    createGrpcLane(
      chatLane(edge, (method) => accessOf(method, edge.callers.open)),
      { ...common, bytes: edge.bytes, shutdown: edge.shutdown, compression: compressionGzip, handOver: handle },
    );
  return { accessOn: (path) => accesses.get(path), handle, lane: edge.lanes ? lane() : undefined };
}

/** What is asked to see whether the gateway is well, or what it is: of those who have keys, too. */
const isAboutUs = /^\/(grpc\.|everhop\.v1\.HealthService\/)/;

function wireOf({ headers }: IncomingMessage): Wire {
  const type = headers["content-type"] ?? "";
  if (type.startsWith("application/grpc-web")) return "grpc_web";
  return type.startsWith("application/grpc") ? "grpc" : "connect";
}

function refusalOf(method: string | undefined, status: number): Fault {
  if (method !== "POST") return { kind: "method_not_allowed", allowed: "POST" };
  return status === 505 ? { kind: "http2_needed" } : { kind: "unsupported_media_type", expected: rpcMediaTypes };
}

const rpcMediaTypes =
  "content-type application/json or application/proto (Connect; +connect for streams), application/grpc or application/grpc-web";

const declared: ReadonlyMap<DeclaredAccess, Access> = new Map([
  [DeclaredAccess.PUBLIC, "public"],
  [DeclaredAccess.CALLER, "caller"],
  [DeclaredAccess.ADMIN, "admin"],
]);

/** Who may call a method: as the contract declares it, and for what is not of our contract as it is said here. */
export function accessOf(method: DescMethod, open: boolean): Access {
  const { typeName } = method.parent;
  if (typeName === Health.typeName) return "public";
  // It says what there is to call: an operator's to know, unless everybody may call it.
  if (typeName === ServerReflection.typeName || typeName === ServerReflectionAlpha.typeName) {
    return open ? "caller" : "admin";
  }
  const access = declared.get(getOption(method, accessOption));
  if (!access) throw new Error(`${typeName}.${method.name} does not declare who may call it`);
  return access;
}
