import type { Endpoint, Pool, PoolStrategy, StreamRecovery, Tier } from "./endpoint.ts";

/**
 * Makes a pool: groups its endpoints into tiers by priority.
 * @param endpoints with the tier as their priority; for `ordered` and the caller's own lists their position decides
 */
export function createPool<E extends Endpoint>({
  model,
  endpoints,
  strategy = "weighted",
  policy = strategy,
  onContextOverflow = "larger",
  streamRecovery = "fail",
  ruledOut = [],
}: {
  readonly model: string;
  readonly endpoints: readonly E[];
  readonly strategy?: PoolStrategy;
  readonly policy?: string;
  readonly onContextOverflow?: Pool<E>["onContextOverflow"];
  readonly streamRecovery?: StreamRecovery;
  readonly ruledOut?: Pool<E>["ruledOut"];
}): Pool<E> {
  const sorted = [...endpoints].sort((a, b) => a.tier - b.tier);
  const tiers: { priority: number; members: E[] }[] = [];
  for (const endpoint of sorted) {
    const last = tiers.at(-1);
    if (strategy !== "ordered" && last?.priority === endpoint.tier) last.members.push(endpoint);
    else tiers.push({ priority: endpoint.tier, members: [endpoint] });
  }
  return poolOfTiers({ model, policy, strategy, tiers, onContextOverflow, streamRecovery, ruledOut });
}

/** Makes a pool whose tiers are known already, such as a caller's own list of providers. */
export function poolOfTiers<E extends Endpoint>(
  parts: Omit<Pool<E>, "size"> & { readonly tiers: readonly Tier<E>[] },
): Pool<E> {
  const on = parts.tiers.flatMap(({ members }) => members.filter(({ enabled }) => enabled));
  return { ...parts, size: on.length };
}
