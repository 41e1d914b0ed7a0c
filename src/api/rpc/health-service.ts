import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  BreakerState,
  ComponentHealthSchema,
  EndpointHealthSchema,
  GetHealthResponseSchema,
  type HealthService,
  HealthStatus,
} from "../../../gen/ts/everhop/v1/health_service_pb.ts";
import { SkipReason } from "../../chat/messages.ts";
import { timestampFromMs } from "../../chat/times.ts";
import { type EndpointHealth, endpointHealth } from "../../gateway/endpoint-health.ts";
import { createPoolHealth } from "../../gateway/pool-health.ts";
import type { Edge } from "../edge.ts";
import { unaryVisit } from "./call.ts";
import { skipReasons } from "./route-trail.ts";

/** HealthService on what the gateway has learnt. */
export function healthService(edge: Edge): ServiceImpl<typeof HealthService> {
  const pools = createPoolHealth(edge.machine);
  return {
    getHealth: (_, context) =>
      unaryVisit(edge, context, async ({ isAdmin }) => {
        const models = pools.counts();
        const { total, available } = edge.keyStats();
        const leaving = edge.stage() !== "serving";
        const components = [
          component("process", leaving ? HealthStatus.DRAINING : HealthStatus.SERVING, leaving ? "leaving" : ""),
          component(
            "models",
            partly(models.serving, models.total),
            `${of(models.serving, models.total)} can be served`,
          ),
          component("keys", partly(available, total), `${of(available, total)} can be used`),
        ];
        return create(GetHealthResponseSchema, {
          status: allInAll(leaving, models, components),
          version: edge.version,
          components,
          endpoints: isAdmin ? endpointHealth(edge.machine).map(endpointMessage) : [],
        });
      }),
  };
}

function allInAll(
  leaving: boolean,
  { total, serving }: { readonly total: number; readonly serving: number },
  components: readonly { readonly status: HealthStatus }[],
): HealthStatus {
  if (leaving) return HealthStatus.DRAINING;
  if (total > 0 && serving === 0) return HealthStatus.NOT_SERVING;
  return components.every(({ status }) => status === HealthStatus.SERVING)
    ? HealthStatus.SERVING
    : HealthStatus.DEGRADED;
}

function component(name: string, status: HealthStatus, detail: string) {
  return create(ComponentHealthSchema, { name, status, detail });
}

/** None of none is well: a gateway may forward any model, and a provider may want no key. */
function partly(well: number, total: number): HealthStatus {
  if (well === total) return HealthStatus.SERVING;
  return well === 0 ? HealthStatus.NOT_SERVING : HealthStatus.DEGRADED;
}

function of(well: number, total: number): string {
  return `${well} of ${total}`;
}

const breakerStates: Readonly<Record<EndpointHealth["breaker"], BreakerState>> = {
  closed: BreakerState.CLOSED,
  open: BreakerState.OPEN,
  half_open: BreakerState.HALF_OPEN,
};

function endpointMessage({ endpoint, breaker, keys, inFlight, skip }: EndpointHealth) {
  const { untilTimeMs } = skip ?? {};
  return create(EndpointHealthSchema, {
    endpoint,
    breaker: breakerStates[breaker],
    keys: keys.total,
    usableKeys: keys.available,
    inFlight,
    skipReason: skip ? skipReasons[skip.reason] : SkipReason.UNSPECIFIED,
    ...(untilTimeMs !== undefined && { untilTime: timestampFromMs(untilTimeMs) }),
    detail: skip?.detail ?? "",
  });
}
