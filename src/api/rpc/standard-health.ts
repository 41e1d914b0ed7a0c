import { create, type DescService } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import {
  type Health,
  HealthCheckResponseSchema,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../../../gen/ts/grpc/health/v1/health_pb.ts";
import { createPoolHealth } from "../../gateway/pool-health.ts";
import type { Edge } from "../edge.ts";
import { createWatched } from "./watched.ts";

const modelPrefix = "model/";
/** Names are kept for as long as somebody watches them, known or not. */
const maxNameLength = 1024;

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
  // For as long as the process lives, as the service does.
  edge.onStage(() => statuses.look());

  return {
    check({ service }) {
      const status = statusOf(service);
      if (status === ServingStatus.SERVICE_UNKNOWN) throw new ConnectError("no such service", Code.NotFound);
      return create(HealthCheckResponseSchema, { status });
    },

    async *watch({ service }, { signal }) {
      if (service.length > maxNameLength) {
        throw new ConnectError(`service: expected at most ${maxNameLength} characters`, Code.InvalidArgument);
      }
      let told: ServingStatus | undefined;
      let status: ServingStatus | undefined;
      let wake = () => {};
      const stops = [
        statuses.watch(service, (changed) => {
          status = changed;
          wake();
        }),
        edge.onStage(() => wake()),
      ];
      // At once when the caller has gone: the loop below may be held up by a reader that does not read.
      const leave = () => {
        for (const stop of stops) stop();
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
