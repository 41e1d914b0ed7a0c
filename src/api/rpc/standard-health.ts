import { create, type DescService } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import {
  type Health,
  HealthCheckResponseSchema,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../../../gen/ts/grpc/health/v1/health_pb.ts";
import { createPoolHealth } from "../../gateway/pool-health.ts";
import type { Edge } from "../edge.ts";
import { peerKey, visitorIn } from "./visit.ts";
import { createWatched } from "./watched.ts";

const modelPrefix = "model/";
/** Names are kept for as long as somebody watches them, known or not. */
const maxNameLength = 1024;
/** Of one address. */
const mostStrangers = 100;

/**
 * The standard health service of gRPC. It knows the process by the empty name, each service by its own, and each public model as
 * `model/NAME`. The process and its services are well until it leaves: what providers do must not make an orchestrator restart it.
 * @param services all that are served, this one included
 */
export function standardHealth(edge: Edge, services: readonly DescService[]): ServiceImpl<typeof Health> {
  const names = new Set(["", ...services.map(({ typeName }) => typeName)]);
  const pools = createPoolHealth(edge.machine);

  function statusOf(name: string): ServingStatus {
    const model = name.startsWith(modelPrefix) ? pools.serves(name.slice(modelPrefix.length)) : undefined;
    const serving = names.has(name) || model;
    if (serving === undefined) return ServingStatus.SERVICE_UNKNOWN;
    return serving && edge.stage() === "serving" ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
  }

  const statuses = createWatched(edge.machine.clock, statusOf);

  /** Watchers without a key, by address: they cost nothing but the room they take, and would take all. */
  const strangers = new Map<string, number>();
  function takeRoom(context: HandlerContext): () => void {
    const { caller, isAdmin } = visitorIn(context);
    if (caller || isAdmin) return () => {};
    const { address } = context.values.get(peerKey);
    const watching = strangers.get(address) ?? 0;
    if (watching >= mostStrangers) {
      throw new ConnectError(`at most ${mostStrangers} watchers without a key`, Code.ResourceExhausted);
    }
    strangers.set(address, watching + 1);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      const others = (strangers.get(address) ?? 1) - 1;
      if (others > 0) strangers.set(address, others);
      else strangers.delete(address);
    };
  }

  return {
    check({ service }) {
      const status = statusOf(service);
      if (status === ServingStatus.SERVICE_UNKNOWN) throw new ConnectError("no such service", Code.NotFound);
      return create(HealthCheckResponseSchema, { status });
    },

    async *watch({ service }, context) {
      const { signal } = context;
      if (service.length > maxNameLength) {
        throw new ConnectError(`service: expected at most ${maxNameLength} characters`, Code.InvalidArgument);
      }
      const leaveRoom = takeRoom(context);
      let told: ServingStatus | undefined;
      let status: ServingStatus | undefined;
      let wake = () => {};
      const stops = [
        statuses.watch(service, (changed) => {
          status = changed;
          wake();
        }),
        edge.onStage(() => {
          statuses.look();
          wake();
        }),
      ];
      // At once when the caller has gone: the loop below may be held up by a reader that does not read.
      const leave = () => {
        for (const stop of stops) stop();
        leaveRoom();
        signal.removeEventListener("abort", leave);
        wake();
      };
      signal.addEventListener("abort", leave);
      try {
        while (true) {
          signal.throwIfAborted();
          if (status !== undefined && status !== told) {
            told = status;
            yield create(HealthCheckResponseSchema, { status });
          } else if (edge.stage() === "closing") {
            // A stream without an end would hold up the leaving for all of its grace.
            throw new ConnectError("the gateway is shutting down", Code.Unavailable);
          } else {
            await new Promise<void>((resolve) => {
              wake = resolve;
            });
          }
        }
      } finally {
        leave();
      }
    },
  };
}
