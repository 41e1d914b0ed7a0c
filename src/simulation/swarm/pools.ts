import type { Pool } from "../../routing/endpoint.ts";
import { type Site, sitesOf } from "./world.ts";

const pools = new WeakMap<Site, Pool<Site>>();

/** Makes a pool's endpoints known as its own. */
export function announce(pool: Pool<Site>): Pool<Site> {
  for (const site of sitesOf(pool)) pools.set(site, pool);
  return pool;
}

/** The pool that an endpoint stands in: each version of one stands in one pool. */
export function poolOf(site: Site): Pool<Site> {
  const pool = pools.get(site);
  if (!pool) throw new Error(`${site.id} is in no pool that was announced`);
  return pool;
}

/** An endpoint as a pool has it. */
export function siteIn(pool: Pool<Site>, id: string): Site | undefined {
  for (const { members } of pool.tiers) for (const member of members) if (member.id === id) return member;
  return undefined;
}
