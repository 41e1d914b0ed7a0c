import type { Target } from "../providers/target.ts";
import type { Pool } from "../routing/endpoint.ts";
import type { EngineState } from "../routing/state.ts";
import type { Machine } from "./call.ts";
import type { Caller } from "./caller.ts";
import type { Catalog } from "./catalog.ts";

/** Whether public models can be served now, from what calls have taught. Asks nobody. */
export interface PoolHealth {
  /** Undefined: there is no public model of that name. */
  serves(model: string): boolean | undefined;
  /** How many public models there are, and how many of them can be served. */
  counts(): { readonly total: number; readonly serving: number };
}

/** Looks after the models of a catalog, whichever snapshot is in force. */
export function createPoolHealth({
  catalog,
  router,
  clock,
}: Pick<Machine, "catalog" | "router" | "clock">): PoolHealth {
  let snapshot: Catalog | undefined;
  let pools: ReadonlyMap<string, Pool<Target>> = new Map();

  /** Made once for each snapshot: thousands may watch. */
  function publicPools(): ReadonlyMap<string, Pool<Target>> {
    const current = catalog();
    if (current !== snapshot) {
      snapshot = current;
      // Direct models are a provider's own: their names tell who the providers are.
      const named = current.list(everyone).filter(({ pool }) => pool.policy !== "direct");
      pools = new Map(named.map(({ id, pool }) => [id, pool]));
    }
    return pools;
  }

  return {
    serves(model) {
      const pool = publicPools().get(model);
      return pool && canServe(pool, router.state, clock.now());
    },
    counts() {
      const all = [...publicPools().values()];
      const now = clock.now();
      return { total: all.length, serving: all.filter((pool) => canServe(pool, router.state, now)).length };
    },
  };
}

/** Health is of the gateway, so it is told of every model. */
export const everyone: Caller = { name: "health", models: undefined, seesTrail: true };

/** Whether any endpoint of a pool would be asked by a call that names none. */
function canServe(pool: Pool<Target>, state: EngineState, now: number): boolean {
  return pool.tiers.some(({ members }) => members.some((member) => !isOut(member, state, now, pool.size === 1)));
}

/**
 * Whether an endpoint is out: switched off, kept out by its breaker, or without a key. One that is at a limit is not, neither at its
 * provider's nor at ours: a balancer that took such a gateway out would send the same calls to the next, until none is left.
 */
function isOut(endpoint: Target, state: EngineState, now: number, sole: boolean): boolean {
  const { manual, breaker } = state.endpoint(endpoint);
  if (!endpoint.enabled || endpoint.weight === 0) return true;
  if (manual && manual.state !== "forced_closed") return true;
  // An open breaker whose time is over is not out: it waits for a call, and none would come to a gateway that says it cannot serve.
  if (breaker.state === "open" && state.barred(endpoint, now, sole)) return true;
  const noKey = state.provider(endpoint).ring.blocked(now, endpoint.id);
  return noKey !== undefined && noKey.reason !== "rate_limited";
}
