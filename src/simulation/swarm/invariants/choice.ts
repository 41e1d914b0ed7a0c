import type { Pool } from "../../../routing/endpoint.ts";
import type { Asked, Invariant } from "../facts.ts";
import { siteIn } from "../pools.ts";
import type { Site, World } from "../world.ts";

/** A tier is used only when no better one had an endpoint that the request could still ask. */
export const bestTierFirst: Invariant = {
  name: "the best tier comes first",
  watch(violated) {
    return {
      started({ asked, site, role, betterFree }) {
        if (role !== "first" || asked.tooLong) return;
        const failed = asked.calls.filter(({ verdict }) => verdict?.class !== "superseded");
        const left = betterFree.find((id) => !failed.some((call) => call.site.id === id));
        if (left) violated(`${asked.plan.name} asks ${site.id} although ${left} of a better tier is free`);
      },
    };
  },
};

/** Who is chosen is switched on, not kept out by hand or by what its provider said, and behind a breaker that lets it through. */
export const chosenMayServe: Invariant = {
  name: "who is chosen may be asked",
  watch(violated) {
    return {
      started({ objection, asked, site, role }) {
        if (objection?.of === "state" || objection?.of === "breaker") {
          violated(`${asked.plan.name} asks ${site.id} (${role}) although ${objection.why}`);
        }
      },
    };
  },
};

/** Rounding, and nothing else. */
const slack = 1e-6;

/**
 * While nobody of a tier is passed over or left out, everybody stays within two turns of its share over any stretch; within three
 * after somebody has come back, for who is away is found out only when its turn comes. What an endpoint takes over from others that
 * have failed is counted apart.
 */
export const fairShares: Invariant = {
  name: "everybody gets its share",
  watch(violated) {
    interface Stretch {
      readonly weights: ReadonlyMap<string, number>;
      readonly total: number;
      readonly picks: Map<string, number>;
      /** Highest and lowest deviation so far, in turns. */
      readonly range: Map<string, { low: number; high: number }>;
      count: number;
      within: number;
    }
    const stretches = new Map<readonly Site[], Map<number, Stretch>>();
    const begin = (members: readonly Site[], within: number): Stretch => {
      const weights = new Map(members.filter(({ weight }) => weight > 0).map(({ id, weight }) => [id, weight]));
      const total = [...weights.values()].reduce((sum, weight) => sum + weight, 0);
      const range = new Map([...weights.keys()].map((id) => [id, { low: 0, high: 0 }]));
      return { weights, total, picks: new Map(), range, count: 0, within };
    };
    return {
      started({ asked: { pool, calls, plan, machine, skips }, site, role, purpose }) {
        if (pool.strategy !== "weighted") return;
        const members = pool.tiers.find((tier) => tier.members.includes(site))?.members;
        if (!members || members.length < 2) return;
        const byMachine = stretches.get(members) ?? new Map<number, Stretch>();
        stretches.set(members, byMachine);
        const plain = role === "first" && purpose === undefined && calls.length === 0 && skips.length === 0;
        if (!plain) {
          // Somebody was passed over: shares are counted anew.
          if (role === "first" && calls.length === 0) byMachine.set(machine.number, begin(members, 3));
          return;
        }
        if (plan.affinityKey !== undefined) return;
        const stretch = byMachine.get(machine.number) ?? begin(members, 2);
        byMachine.set(machine.number, stretch);
        stretch.count += 1;
        stretch.picks.set(site.id, (stretch.picks.get(site.id) ?? 0) + 1);
        for (const [id, weight] of stretch.weights) {
          const range = stretch.range.get(id);
          if (!range) continue;
          const off = (stretch.picks.get(id) ?? 0) - (stretch.count * weight) / stretch.total;
          range.low = Math.min(range.low, off);
          range.high = Math.max(range.high, off);
          // Over any stretch: the distance between any two moments.
          const most = Math.max(off - range.low, range.high - off);
          if (most < stretch.within + slack) continue;
          violated(`${id} is ${most.toFixed(2)} turns off its share of ${stretch.count} picks`);
          byMachine.set(machine.number, begin(members, 3));
          return;
        }
      },
      skipped({ pool, machine }, { endpoint }) {
        if (pool.strategy !== "weighted") return;
        for (const { members } of pool.tiers) {
          if (members.some(({ id }) => id === endpoint)) stretches.get(members)?.set(machine.number, begin(members, 3));
        }
      },
    };
  },
};

/**
 * No request fails before its content while an endpoint that serves everybody could have been asked all the time, as long as fewer
 * endpoints failed than it may make attempts, its caller stays, and its time is enough for all of its pool.
 */
export const neverFails: Invariant = {
  name: "no request fails that could have been served",
  watch(violated, now, world) {
    return {
      told(asked) {
        const { told, plan, pool, calls, standby, cap, leaving } = asked;
        if (told?.outcome !== "failed" || leaving.cancelled || !world.settings.failover || asked.tooLong) return;
        if (calls.some(({ verdict }) => verdict?.next === "stop" || verdict?.class === "caller_gone")) return;
        const hurried = plan.deadlineMs < timeForAll(pool, plan.mode);
        if (hurried) return;
        const failed = new Set(calls.map(({ site }) => site.id));
        if (failed.size > cap - 1) return;
        for (const id of standby) {
          const site = siteIn(pool, id);
          if (!site || site.weight === 0 || failed.has(id)) continue;
          if (!asked.calm && troubled(world, asked, id)) continue;
          violated(`${plan.name} fails at ${now().toFixed(1)} although ${id} could have served it`);
          return;
        }
      },
    };
  },
};

/** A bound on what a pool may take: every endpoint its limit and a short wait, and a long wait once. */
function timeForAll(pool: Pool<Site>, mode: "run" | "open"): number {
  let sum = 8000;
  for (const { members } of pool.tiers) {
    for (const { limits } of members) sum += (mode === "run" ? limits.totalMs : limits.firstContentMs) + 1500;
  }
  return sum;
}

/** Whether anything was wrong with an endpoint during a request. */
function troubled({ spells, keyFaults, walls }: World, { arrivedAt, machine }: Asked, id: string): boolean {
  const from = arrivedAt;
  const provider = machine.sites.get(id)?.provider ?? "";
  const overlaps = (each: { readonly from: number; readonly until: number }) => each.until > from;
  return (
    spells.some((spell) => spell.endpoint === id && overlaps(spell)) ||
    keyFaults.some((fault) => fault.key.startsWith(provider) && overlaps(fault)) ||
    walls.some((wall) => wall.endpoint === id)
  );
}
