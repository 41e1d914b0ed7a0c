import { poolOfTiers } from "../../routing/pool.ts";
import { routingDefaults } from "../../routing/settings.ts";
import { sitesOf, type World } from "./world.ts";

/** Tries at most: a shrink that takes longer than somebody's patience is none. */
const mostTries = 400;

/**
 * The smallest world that still goes wrong: fewer requests by halves, then nothing that is not needed for it: edits, spells, faults
 * of keys, walls, checks, settings that are not as usual, endpoints, features.
 * @param fails whether a world goes wrong in the same way
 */
export async function shrink(world: World, fails: (world: World) => Promise<boolean>): Promise<World> {
  let smallest = world;
  let tries = 0;
  const accept = async (candidate: World): Promise<boolean> => {
    if (tries >= mostTries) return false;
    tries += 1;
    if (!(await fails(candidate))) return false;
    smallest = candidate;
    return true;
  };
  for (let before = Number.POSITIVE_INFINITY; size(smallest) < before; ) {
    before = size(smallest);
    await halve(smallest.requests, (requests) => accept({ ...smallest, requests }));
    await halve(smallest.edits, (edits) => accept({ ...smallest, edits }));
    await halve(smallest.spells, (spells) => accept({ ...smallest, spells }));
    await halve(smallest.keyFaults, (keyFaults) => accept({ ...smallest, keyFaults }));
    await halve(smallest.walls, (walls) => accept({ ...smallest, walls }));
    await halve(smallest.checks, (checks) => accept({ ...smallest, checks }));
    for (const [name, usual] of Object.entries(routingDefaults)) {
      const settings = { ...smallest.settings, [name]: usual };
      if (JSON.stringify(settings) !== JSON.stringify(smallest.settings)) await accept({ ...smallest, settings });
    }
    const ids = [...new Set(smallest.snapshots.flatMap(sitesOf).map(({ id }) => id))];
    for (const id of ids) await accept(withoutEndpoint(smallest, id));
    for (const feature of smallest.on) {
      await accept({ ...smallest, on: new Set([...smallest.on].filter((other) => other !== feature)) });
    }
  }
  return smallest;
}

/** Leaves out parts of a list, large ones first, for as long as what is left is accepted. */
async function halve<T>(items: readonly T[], accept: (left: readonly T[]) => Promise<boolean>): Promise<void> {
  let left = items;
  for (let length = Math.ceil(left.length / 2); length >= 1; length = length === 1 ? 0 : Math.ceil(length / 2)) {
    for (let start = 0; start < left.length; ) {
      const candidate = [...left.slice(0, start), ...left.slice(start + length)];
      if (await accept(candidate)) left = candidate;
      else start += length;
    }
  }
}

function withoutEndpoint(world: World, id: string): World {
  const snapshots = world.snapshots.map((pool) =>
    poolOfTiers({
      ...pool,
      tiers: pool.tiers
        .map(({ priority, members }) => ({ priority, members: members.filter((member) => member.id !== id) }))
        .filter(({ members }) => members.length > 0),
    }),
  );
  return {
    ...world,
    snapshots,
    spells: world.spells.filter(({ endpoint }) => endpoint !== id),
    walls: world.walls.filter(({ endpoint }) => endpoint !== id),
    checks: world.checks.filter(({ endpoint }) => endpoint !== id),
    edits: world.edits.filter((edit) => edit.kind !== "manual" || edit.endpoint !== id),
  };
}

function size({ requests, edits, spells, keyFaults, walls, checks, snapshots, on }: World): number {
  const lists = [requests, edits, spells, keyFaults, walls, checks, snapshots.flatMap(sitesOf), [...on]];
  return lists.reduce((sum, { length }) => sum + length, 0);
}
