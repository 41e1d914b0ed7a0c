import type { Endpoint, Key, Pool, PoolStrategy } from "../../routing/endpoint.ts";
import { createPool } from "../../routing/pool.ts";
import { type RoutingSettings, routingSettings } from "../../routing/settings.ts";
import { seededRng } from "../../runtime/rng.ts";
import { Secret } from "../../runtime/secret.ts";
import { createDice, type Dice } from "../dice.ts";
import { type FailureKind, failureKinds } from "../failure.ts";
import {
  type Edit,
  type Feature,
  features,
  type KeyFault,
  type RequestPlan,
  type Site,
  type Spell,
  sitesOf,
  type Wall,
  type World,
} from "./world.ts";

/** No endpoint has more spells than this, however long a world is. */
const mostSpells = 40;
const providerNames = ["a", "b", "c", "d", "e"];
const dayMs = 24 * 3_600_000;

/** Kinds that only come where their feature is on. */
const featureOf: Partial<Record<FailureKind, Feature>> = {
  addition_refused: "additions",
  too_long: "contexts",
  refused_request: "refusals",
  bad_key: "key faults",
  no_quota: "key faults",
  no_model: "wrong models",
  wrong_path: "wrong models",
  cut_off: "breaking streams",
  stalled: "breaking streams",
};

/** What a provider may say with that it wants to be left alone for so long. */
const statesATime: ReadonlySet<string> = new Set(["server_error", "overloaded", "rate_limited", "no_quota"]);

/** The world of a seed. @param requestCount how many requests come to it while things go wrong */
export function drawWorld(seed: number, requestCount: number): World {
  const dice = createDice(seededRng(seed));
  const on = new Set(features.filter(() => dice.chance(0.5)));
  // From one every second to a hundred and more.
  const perSecond = Math.exp(dice.between(Math.log(1), Math.log(120)));
  const badMs = Math.min(Math.max((requestCount / perSecond) * 1000, 5000), 15 * 60_000);
  const keys = new Map(
    providerNames
      .slice(0, dice.from(1, 5))
      .map((name) => [name, Array.from({ length: dice.from(0, 5) }, (_, index) => `${name}${index + 1}`)]),
  );
  const snapshots = drawSnapshots(dice, on, keys);
  const endpoints = [...new Map(snapshots.flatMap(sitesOf).map((site) => [site.id, site])).values()];
  return {
    seed,
    on,
    badMs,
    keys,
    snapshots,
    settings: drawSettings(dice, on),
    spells: endpoints.flatMap((endpoint) => drawSpells(dice, on, badMs, endpoint.id)),
    keyFaults: on.has("key faults") ? drawKeyFaults(dice, [...keys.values()].flat(), badMs) : [],
    walls: on.has("walls") ? drawWalls(dice, endpoints) : [],
    edits: drawEdits(dice, { on, badMs, keys, snapshots, endpoints }),
    checks: on.has("health checks")
      ? endpoints.filter(() => dice.chance(0.6)).map(({ id }) => ({ endpoint: id, everyMs: dice.between(500, 5000) }))
      : [],
    requests: drawRequests(dice, on, badMs, requestCount),
  };
}

/** Keys by their ids; a key's name is its id. */
export function keysOf(ids: readonly string[]): Key[] {
  return ids.map((id) => ({ id, name: id, secret: new Secret(`sk-test-canary-${id}`) }));
}

function drawSettings(dice: Dice, on: ReadonlySet<Feature>): RoutingSettings {
  return routingSettings({
    failover: !dice.chance(0.1),
    maxAttempts: dice.from(1, 6),
    patienceMs: on.has("patience") ? dice.one([500, 3000]) : 0,
    lastPatienceMs: dice.one([0, 2000, 10_000]),
    keyRotations: { rate: dice.from(0, 3), auth: dice.one([0, 2, 64]) },
    queue: { maxWaitMs: dice.one([0, 200, 1000, 5000]), bound: dice.one([3, 1000]) },
    inFlight: on.has("small process")
      ? { endpoint: dice.from(3, 20), process: dice.from(4, 30) }
      : { endpoint: 256, process: 10_000 },
    retryBudget: dice.one([0, 0.2, 1]),
    hedge: { enabled: on.has("hedging"), quantile: dice.one([0.5, 0.95]), share: dice.one([0.05, 0.05, 0.2]) },
    ...(dice.chance(0.2) && {
      breaker: { successesToClose: dice.from(1, 3), consecutive: dice.from(2, 8), openMs: dice.one([1000, 5000]) },
    }),
  });
}

type Limits = Pick<Endpoint, "use" | "providerUse">;

function drawSnapshots(dice: Dice, on: ReadonlySet<Feature>, keys: ReadonlyMap<string, readonly string[]>) {
  const providers = [...keys].map(([name, ids]) => ({
    name,
    keys: keysOf(ids),
    providerUse: drawUse(dice, on, 30, 12),
  }));
  const tiers = dice.from(1, 4);
  const drawSite = (_: unknown, index: number): Site => {
    const { name, keys: own, providerUse } = dice.one(providers);
    return {
      id: `${name}/m${index}`,
      provider: name,
      upstreamModel: `m${index}`,
      tier: dice.from(1, tiers),
      weight: dice.chance(0.05) ? 0 : dice.from(1, 10),
      enabled: !dice.chance(0.05),
      keys: own,
      limits: { firstContentMs: dice.from(500, 4000), totalMs: dice.from(1000, 8000) },
      contextWindow: dice.one([undefined, 8000, 8000, 32_000, 128_000]),
      version: 0,
      providerUse,
      use: drawUse(dice, on, 20, 8),
    };
  };
  const sites = Array.from({ length: dice.from(1, 6) }, drawSite);
  const strategy = on.has("strategies")
    ? dice.one<PoolStrategy>(["ordered", "ordered", "least_latency", "least_busy", "cheapest"])
    : "weighted";
  const onContextOverflow = dice.one(["larger", "larger", "next", "stop"] as const);
  const snapshots: Pool<Site>[] = [];
  let current = sites;
  const versions = on.has("new snapshots") ? dice.from(2, 4) : 1;
  for (let version = 0; version < versions; version++) {
    if (version > 0) current = changed(dice, on, current, drawSite, tiers);
    const endpoints = current.map((site) => ({ ...site, version }));
    snapshots.push(createPool({ model: "think", endpoints, strategy, onContextOverflow }));
  }
  return snapshots;
}

function drawUse(
  dice: Dice,
  on: ReadonlySet<Feature>,
  mostRps: number,
  mostPlaces: number,
): NonNullable<Limits["use"]> {
  return {
    ...(on.has("rates") && dice.chance(0.35) && { maxRps: dice.between(1, mostRps) }),
    ...(on.has("places") && dice.chance(0.35) && { maxConcurrent: dice.from(1, mostPlaces) }),
  };
}

/** The configuration after somebody has worked on it. */
function changed(
  dice: Dice,
  on: ReadonlySet<Feature>,
  sites: readonly Site[],
  drawSite: (_: unknown, index: number) => Site,
  tiers: number,
): Site[] {
  const kept = sites.filter(() => sites.length === 1 || !dice.chance(0.2));
  const uses = new Map<string, Limits["providerUse"]>();
  const edited = (kept.length > 0 ? kept : sites.slice(0, 1)).map((site) => {
    // One provider has one limit, whichever of its endpoints one looks at.
    if (!uses.has(site.provider)) {
      uses.set(site.provider, dice.chance(0.3) ? drawUse(dice, on, 30, 12) : site.providerUse);
    }
    return {
      ...site,
      providerUse: uses.get(site.provider),
      ...(dice.chance(0.3) && { tier: dice.from(1, tiers) }),
      ...(dice.chance(0.3) && { weight: dice.from(1, 10) }),
      ...(dice.chance(0.2) && { enabled: dice.chance(0.8) }),
      ...(dice.chance(0.3) && { use: drawUse(dice, on, 20, 8) }),
      ...(site.use?.maxRps !== undefined && dice.chance(0.5) && { use: { ...site.use, maxRps: dice.between(1, 20) } }),
    };
  });
  const highest = Math.max(...sites.map(({ upstreamModel }) => Number(upstreamModel.slice(1))));
  if (edited.length < 6 && dice.chance(0.3)) {
    const added = drawSite(undefined, highest + 1);
    edited.push({ ...added, providerUse: uses.has(added.provider) ? uses.get(added.provider) : added.providerUse });
  }
  return edited;
}

function drawSpells(dice: Dice, on: ReadonlySet<Feature>, badMs: number, endpoint: string): Spell[] {
  const kinds = failureKinds.filter((kind) => {
    const feature = featureOf[kind];
    return feature === undefined || on.has(feature);
  });
  const choices: (Spell["kind"] | "serves")[] = [
    ...["serves" as const, "serves" as const, "server_error" as const, "rate_limited" as const],
    ...(on.has("silence") ? ["silent" as const, "silent" as const] : []),
    ...(on.has("slowness") ? ["slow" as const] : []),
    ...(on.has("breaking streams") ? ["breaks" as const, "breaks" as const] : []),
    ...kinds,
  ];
  const spells: Spell[] = [];
  const longest = Math.max(10_000, badMs / mostSpells);
  const shortest = on.has("flapping") ? 100 : 500;
  const length = () => (on.has("flapping") ? dice.between(shortest, longest / 5) : dice.between(shortest, longest));
  let from = 0;
  for (let until = dice.between(0, 5000); until < badMs && spells.length < mostSpells; until += length()) {
    const kind = dice.one(choices);
    const retryAfterMs = dice.one([undefined, undefined, dice.between(50, 1000), dice.between(1000, 12_000)]);
    const share = dice.one([1, 1, 0.5, 0.2]);
    if (kind !== "serves") {
      const stated = statesATime.has(kind) ? retryAfterMs : undefined;
      spells.push({ endpoint, from, until, kind, share, retryAfterMs: stated });
    }
    from = until;
  }
  return spells;
}

function drawKeyFaults(dice: Dice, ids: readonly string[], badMs: number): KeyFault[] {
  return ids
    .filter(() => dice.chance(0.4))
    .map((key) => {
      const lasting = dice.chance(0.5);
      const from = lasting ? 0 : dice.between(0, badMs);
      return {
        key,
        from,
        until: lasting ? badMs : from + dice.between(500, 20_000),
        kind: dice.one(["bad_key", "no_quota", "rate_limited"] as const),
        retryAfterMs: dice.one([undefined, undefined, 3000]),
      };
    });
}

function drawWalls(dice: Dice, sites: readonly Site[]): Wall[] {
  return sites
    .filter(() => dice.chance(0.5))
    .map(({ id }) => ({
      endpoint: id,
      perSecond: dice.from(1, 20),
      retryAfterMs: dice.one([undefined, 1000, dice.between(200, 5000)]),
    }));
}

function drawEdits(
  dice: Dice,
  {
    on,
    badMs,
    keys,
    snapshots,
    endpoints,
  }: Pick<World, "on" | "badMs" | "keys" | "snapshots"> & { readonly endpoints: readonly Site[] },
): Edit[] {
  const edits: Edit[] = [];
  const at = () => dice.between(0, badMs);
  const times = snapshots
    .slice(1)
    .map(at)
    .sort((a, b) => a - b);
  for (const [index, when] of times.entries()) edits.push({ kind: "snapshot", at: when, version: index + 1 });
  if (on.has("key edits")) {
    const keyed = [...keys].filter(([, ids]) => ids.length > 0);
    for (const [provider, ids] of keyed) {
      let current = ids;
      const changes = dice.from(0, 2);
      const moments = Array.from({ length: changes }, at).sort((a, b) => a - b);
      for (const [index, when] of moments.entries()) {
        const kept = current.filter(() => dice.chance(0.7));
        const added = dice.chance(0.6) || kept.length === 0 ? [`${provider}${ids.length + index + 1}`] : [];
        current = dice.chance(0.5) ? [...added, ...kept] : [...kept.reverse(), ...added];
        edits.push({ kind: "keys", at: when, provider, keys: current });
      }
    }
  }
  if (on.has("manual states")) {
    for (const { id } of endpoints.filter(() => dice.chance(0.5))) {
      const from = at();
      const state = dice.one(["forced_open", "forced_closed", "draining", "disabled"] as const);
      edits.push({ kind: "manual", at: from, endpoint: id, state });
      edits.push({ kind: "manual", at: from + dice.between(100, badMs / 2), endpoint: id, state: undefined });
    }
  }
  if (on.has("wall clock jumps")) {
    for (let jump = dice.from(1, 4); jump > 0; jump--) {
      edits.push({ kind: "wall_clock", at: at(), jumpMs: dice.one([-1, 1]) * dice.between(1000, dayMs) });
    }
  }
  if (on.has("restarts")) for (let left = dice.from(1, 2); left > 0; left--) edits.push({ kind: "restart", at: at() });
  if (on.has("connections")) {
    for (let connection = 0; connection < 6; connection++)
      edits.push({ kind: "connection_closed", at: at(), connection });
  }
  return edits.filter((edit) => edit.at < badMs).sort((a, b) => a.at - b.at);
}

/** Evenly, as independent events, in crowds, or each user after its last answer. */
function drawRequests(dice: Dice, on: ReadonlySet<Feature>, badMs: number, count: number): RequestPlan[] {
  const crowds = Array.from({ length: dice.from(1, 6) }, () => dice.between(0, badMs));
  const users = on.has("users") ? dice.from(1, 20) : 0;
  const even = dice.chance(0.3);
  const drawAt = (index: number): number => {
    if (on.has("crowds") && dice.chance(0.7)) return dice.one(crowds) + dice.one([0, dice.between(0, 500)]);
    return even ? (index * badMs) / count : dice.between(0, badMs);
  };
  return Array.from({ length: count }, (_, index) => {
    const hurried = on.has("hurry") && dice.chance(0.4);
    const user = users > 0 && dice.chance(0.6) ? dice.from(1, users) : undefined;
    return {
      name: `r${index}`,
      at: drawAt(index),
      user,
      thinkMs: user === undefined ? 0 : dice.one([0, dice.gap(300)]),
      mode: dice.one(["run", "open"] as const),
      deadlineMs: hurried ? dice.between(1, 2000) : dice.between(2000, 60_000),
      maxAttempts: dice.chance(0.2) ? dice.from(1, 4) : Number.POSITIVE_INFINITY,
      leavesAfterMs: on.has("leaving") && dice.chance(0.3) ? dice.between(0, 3000) : undefined,
      connection: on.has("connections") && dice.chance(0.5) ? dice.from(0, 5) : undefined,
      caller: dice.one(["x", "y", "z"]),
      queueMaxWaitMs: dice.one([undefined, undefined, 0, 20_000]),
      affinityKey: on.has("affinity") && dice.chance(0.5) ? `k${dice.from(1, 5)}` : undefined,
      recovers: on.has("recovery") && dice.chance(0.7),
      seed: dice.from(0, 2 ** 32 - 1),
    };
  });
}
