import { everyone } from "../../../gateway/pool-health.ts";
import type { BreakerState } from "../../../routing/breaker.ts";
import type { HoldReason } from "../../../routing/key-ring.ts";
import type { Gateway } from "../../compose.ts";
import type { Feed } from "./feed.ts";
import { type Beat, pulseSeconds } from "./pulse.ts";

/** How an endpoint is. Times that are left are ms. */
export interface EndpointStanding {
  readonly id: string;
  readonly provider: string;
  readonly tier: number;
  readonly breaker: BreakerState;
  /** Of an open breaker; undefined: not known, or over. */
  readonly openMs: number | undefined;
  readonly inFlight: number;
  /** Calls of the last seconds, the running one last. */
  readonly beats: readonly Readonly<Beat>[];
  /** Of its last streams, the middle one. */
  readonly firstContentMs: number | undefined;
  readonly keys: readonly {
    readonly name: string;
    readonly held: { readonly reason: HoldReason; readonly leftMs: number } | undefined;
  }[];
}

/** Every endpoint behind a model, the first tier first, and those that requests have met beside them. Asks nobody, changes nothing. */
export function endpointStandings(
  { catalog, state }: Pick<Gateway, "catalog" | "state">,
  feed: Feed,
  now: number,
): EndpointStanding[] {
  const known = new Map<string, { provider: string; tier: number; sole: boolean }>();
  for (const { targets, pool } of catalog().list(everyone)) {
    for (const { id, provider, tier } of targets) {
      if (!known.has(id)) known.set(id, { provider, tier, sole: pool.size === 1 });
    }
  }
  for (const [id, { provider, tier }] of feed.endpoints)
    if (!known.has(id)) known.set(id, { provider, tier, sole: false });
  return [...known].map(([id, { provider, tier, sole }]) => {
    const endpoint = state.endpointNamed(id);
    const until = endpoint?.breaker.barred(now, sole)?.until;
    const keys = state.providerNamed(provider)?.ring.standing(now, id) ?? [];
    return {
      ...{ id, provider, tier },
      breaker: endpoint?.breaker.state ?? "closed",
      openMs: until === undefined ? undefined : until - now,
      inFlight: endpoint?.usage.inFlight ?? 0,
      beats: feed.endpoints.get(id)?.pulse.beats(now) ?? silence,
      firstContentMs: endpoint?.firstContents.quantile(0.5),
      keys: keys.map(({ name, held }) => ({ name, held: held && { reason: held.reason, leftMs: held.until - now } })),
    };
  });
}

const silence: readonly Readonly<Beat>[] = Array.from({ length: pulseSeconds }, () => ({ served: 0, failed: 0 }));
