import type { Target } from "../providers/target.ts";
import type { BreakerState } from "../routing/breaker.ts";
import type { SkipReason } from "../routing/endpoint.ts";
import type { Machine } from "./call.ts";
import { everyone } from "./pool-health.ts";

/** How one endpoint is, from what calls have taught. */
export interface EndpointHealth {
  /** `provider/upstream model` */
  readonly endpoint: string;
  readonly breaker: BreakerState;
  /** Of its provider; available: neither refused nor without quota. */
  readonly keys: { readonly total: number; readonly available: number };
  readonly inFlight: number;
  /** Why a call would pass it over now; undefined: it would not. */
  readonly skip:
    | { readonly reason: SkipReason; readonly untilTimeMs: number | undefined; readonly detail: string | undefined }
    | undefined;
}

/** Every endpoint behind any model, in the order of the models and their tiers, each once. Asks nobody and changes nothing. */
export function endpointHealth({
  catalog,
  router: { state },
  clock,
}: Pick<Machine, "catalog" | "router" | "clock">): readonly EndpointHealth[] {
  const now = clock.now();
  return [...endpointsOf(catalog())].map(([endpoint, { target, sole }]) => {
    const known = state.endpoint(target);
    const { total, available } = state.provider(target).ring.counts();
    const hindrance = state.hindrance(target, now) ?? state.barred(target, now, sole);
    return {
      endpoint,
      breaker: known.breaker.state,
      keys: { total, available },
      inFlight: known.usage.inFlight,
      skip: hindrance && {
        reason: hindrance.reason,
        untilTimeMs: hindrance.until === undefined ? undefined : Math.round(clock.wallTime() + hindrance.until - now),
        detail: hindrance.detail,
      },
    };
  });
}

/** Endpoints by id, and whether each is all that its public models have: then its breaker keeps nothing out for long. */
function endpointsOf(catalog: ReturnType<Machine["catalog"]>): Map<string, { target: Target; sole: boolean }> {
  const endpoints = new Map<string, { target: Target; sole: boolean }>();
  for (const { targets, pool } of catalog.list(everyone)) {
    for (const target of targets) {
      const known = endpoints.get(target.id);
      if (!known) endpoints.set(target.id, { target, sole: pool.size === 1 });
      // Under the provider's own name every endpoint is alone.
      else if (pool.policy !== "direct" && pool.size > 1) known.sole = false;
    }
  }
  return endpoints;
}
