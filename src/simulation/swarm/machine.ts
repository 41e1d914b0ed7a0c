import type { BreakerState } from "../../routing/breaker.ts";
import { AttemptTimeout, type Lease } from "../../routing/lease.ts";
import type { RouteObserver } from "../../routing/observer.ts";
import { createRouter, type Router } from "../../routing/router.ts";
import type { RoutingSettings } from "../../routing/settings.ts";
import type { EndpointState } from "../../routing/state.ts";
import type { AttemptRecord, Trail } from "../../routing/trail.ts";
import type { Verdict } from "../../routing/verdict.ts";
import type { Clock } from "../../runtime/clock.ts";
import { type Rng, seededRng } from "../../runtime/rng.ts";
import { classify } from "../failure.ts";
import { watchBreaker } from "./breaker-watch.ts";
import { roleOf } from "./call-role.ts";
import { countTimers } from "./counting-clock.ts";
import { keysOf } from "./draw-world.ts";
import type { Asked, Call, Machine, Settlement, Watcher } from "./facts.ts";
import { Grants } from "./grants.ts";
import type { HopLog } from "./hop-log.ts";
import { Oracle, type Rates } from "./oracle.ts";
import { siteIn } from "./pools.ts";
import { type Site, sitesOf, type World } from "./world.ts";

/** How an engine differs from the one that serves: for proofs that the invariants see it. */
export interface Tampering {
  clock?(clock: Clock): Clock;
  rng?(rng: Rng, clock: Clock): Rng;
  settings?(settings: RoutingSettings): RoutingSettings;
  /** Stands between the callers and the router. */
  router?(router: Router, world: World): Router;
  /** Changes parts of the engine that exist once it does, on the side of the engine: what it says there is what is heard. */
  engine?(router: Router, sites: readonly Site[]): void;
}

/** What a machine is set up in. */
export interface Surroundings {
  readonly number: number;
  readonly world: World;
  readonly clock: Clock;
  /** Keys of each provider, now. */
  readonly keys: ReadonlyMap<string, readonly string[]>;
  readonly asked: ReadonlyMap<string, Asked>;
  readonly tell: Required<Watcher>;
  readonly log: HopLog;
  readonly tampering: Tampering;
}

const superseded: Verdict = { next: "stop", blame: "nobody", class: "superseded" };

/** Starts a process: its router, watched from outside through its observer and through what it asks of its parts. */
export function startMachine(surroundings: Surroundings): Machine {
  const { number, world, clock, keys, tell, tampering } = surroundings;
  const { settings, snapshots } = world;
  const oracle = new Oracle(settings, (name) => ratesOf(name, snapshots.flatMap(sitesOf)));
  const grants = new Grants(oracle, () => clock.now());
  const counted = countTimers(clock);
  const engineClock = tampering.clock?.(counted.clock) ?? counted.clock;
  const ownRng = seededRng(world.seed + number);
  const ears = new Ears(surroundings, oracle, grants, () => engineClock.wallTime());
  const engine = createRouter({
    clock: engineClock,
    rng: tampering.rng?.(ownRng, engineClock) ?? ownRng,
    settings: tampering.settings?.(settings) ?? settings,
    observer: ears.observer,
  });
  const { state } = engine;
  const sites = new Map(snapshots.flatMap(sitesOf).map((site) => [site.id, site]));
  // Taken once: whoever asks for one hands in limits, which may be another version's.
  const endpoints = new Map([...sites].map(([id, site]) => [id, state.endpoint(site)]));
  const known = (id: string): EndpointState => {
    const found = endpoints.get(id);
    if (!found) throw new Error(`nobody has heard of ${id}`);
    return found;
  };

  const machine: Machine = {
    ...{ number, oracle, world, sites, known, live: 0, under: 0, underAt: new Map<string, number>() },
    router: tampering.router?.(engine, world) ?? engine,
    timers: () => counted.pending(),
    begin: (request, lease) => ears.begin(request, lease, counted.firing()),
    freeIn: (pool) => grants.freeIn(pool),
    keysOut: (provider) => state.providerNamed(provider)?.ring.counts().failed ?? 0,
    checkSucceeded(id) {
      known(id).checkSucceeded(clock.now());
      oracle.checkSucceeded(id, clock.now());
      tell.edited(machine);
    },
    replaceKeys(provider, ids) {
      state.adoptKeys(provider, keysOf(ids));
      oracle.replaceKeys(provider, ids);
      tell.edited(machine);
    },
    setManual(id, manual) {
      known(id).manual = manual && { state: manual, reason: "drawn", sinceTimeMs: engineClock.wallTime() };
      if (manual) oracle.manual.set(id, manual);
      else oracle.manual.delete(id);
      tell.edited(machine);
    },
  };

  ears.listenTo(machine, engine);
  for (const [provider, ids] of keys) machine.replaceKeys(provider, ids);
  tampering.engine?.(engine, [...sites.values()]);
  return machine;
}

/** What is heard of one engine, told on in the swarm's terms. */
class Ears {
  readonly #surroundings: Surroundings;
  readonly #oracle: Oracle;
  readonly #grants: Grants;
  readonly #wallTime: () => number;
  readonly #states = new Map<string, BreakerState>();
  #machine: Machine | undefined;
  /** The breaker that is being told of a result, and who else changes meanwhile. */
  #settling: { readonly endpoint: string; readonly others: string[] } | undefined;
  #settlement: Settlement | undefined;
  #starting: AttemptRecord | undefined;

  /** @param wallTime what the engine's wall shows */
  constructor(surroundings: Surroundings, oracle: Oracle, grants: Grants, wallTime: () => number) {
    this.#surroundings = surroundings;
    this.#oracle = oracle;
    this.#grants = grants;
    this.#wallTime = wallTime;
  }

  /** What the engine tells by itself. */
  readonly observer: RouteObserver = {
    attemptStarted: (_, record) => {
      this.#starting = record;
    },
    committed: (trail, record) => this.#committed(this.#callOf(trail, record)),
    attemptEnded: (trail, record) => this.#ended(this.#callOf(trail, record), record),
    skipped: (trail, skip) => {
      const { asked, log, tell } = this.#surroundings;
      const request = asked.get(trail.traceId);
      if (!request) return;
      log.write(`${request.plan.name} passes ${skip.endpoint} ${skip.reason}`);
      request.skips.push(skip);
      tell.skipped(request, skip);
    },
    failed: (trail) => {
      const request = this.#surroundings.asked.get(trail.traceId);
      if (!request) return;
      request.failures += 1;
      this.#narrow(request);
      this.#surroundings.tell.failed(request, trail);
    },
    breakerChanged: (id, to, untilTimeMs) => this.#moved(id, to, untilTimeMs),
  };

  /** Stands around the engine's parts: where breakers, limits and keys are asked. */
  listenTo(machine: Machine, { state }: Router): void {
    this.#machine = machine;
    let asked: Site | undefined;
    const askEndpoint = state.endpoint.bind(state);
    state.endpoint = (endpoint) => {
      asked = endpoint as Site; // pools hold no other endpoints
      return askEndpoint(endpoint);
    };
    // The moment of choice: the endpoint asked last is the one that is taken from.
    const take = state.begin.bind(state);
    state.begin = (endpointState, provider, now) => {
      if (asked) {
        this.#grants.taken(asked, this.#oracle.keysOf(asked.provider)[provider.ring.lastIndex] ?? "");
      }
      take(endpointState, provider, now);
    };
    for (const [id, { provider }] of machine.sites) this.#listenToBreaker(machine, id, provider);
  }

  #listenToBreaker(machine: Machine, endpoint: string, provider: string): void {
    const { tell, clock } = this.#surroundings;
    watchBreaker(machine.known(endpoint).breaker, this.#oracle.breaker(endpoint), {
      beforePermit: () => this.#grants.beforePermit(endpoint),
      permitted: (permit, bypasses) => this.#grants.permitted(permit, bypasses),
      taken: (permit, now) => tell.permitTaken(machine, endpoint, permit, now),
      during: (act) => {
        this.#settling = { endpoint, others: [] };
        act();
        const { others } = this.#settling;
        this.#settling = undefined;
        return others;
      },
      settled: (what) => {
        // Nothing is held against keys before their endpoint's breaker has heard.
        this.#settlement = { ...what, machine, endpoint, keysOut: machine.keysOut(provider) };
        tell.permitSettled(this.#settlement);
        const unused = what.permit && this.#grants.unused(what.permit);
        if (!what.permit || !unused) return;
        this.#settlement = undefined;
        this.#oracle.released(unused.site, unused.key, what.permit.startedAt);
        this.#oracle.over(unused.site, clock.now(), what.permit.startedAt);
      },
    });
  }

  /** A call begins, as its provider sees it. @param timerMs the delay of the timer that fired in this moment */
  begin(request: Asked, { endpoint: site, key }: Lease<Site>, timerMs: number | undefined): Call {
    const { clock, log, tell } = this.#surroundings;
    const { purpose, waitReason, waitMs = 0 } = this.#starting ?? {};
    this.#starting = undefined;
    const id = key?.id ?? "";
    const waited = waitReason && { ms: waitMs, reason: waitReason };
    const call: Call = {
      ...{ asked: request, index: request.calls.length + 1, site, key: id, startedAt: clock.now() },
      ...{ purpose, waited, timerMs, previous: request.lastEnded, beside: request.live.size },
      ...this.#grants.claim(site, id),
      ...{ nothingLeftForMs: undefined, committedAt: undefined, endedAt: undefined },
      ...{ error: undefined, verdict: undefined },
      role: roleOf(request, { endpoint: site.id, key: id, waited: waitReason, hedges: purpose === "hedge" }),
    };
    const why = waited ? ` after ${waited.ms.toFixed(1)} ms (${waited.reason})` : "";
    log.write(`${request.plan.name} ${call.index} asks ${site.id}#${id}${why}${purpose ? ` ${purpose}` : ""}`);
    tell.started(call);
    request.calls.push(call);
    request.live.add(call);
    if (call.role === "first" || call.role === "repeat") request.counted += 1;
    this.#count(site, 1);
    return call;
  }

  #committed(call: Call): void {
    const { clock, log, tell } = this.#surroundings;
    const { asked: request, site, key, startedAt } = call;
    call.committedAt = clock.now();
    log.write(`${request.plan.name} ${call.index} content`);
    tell.committed(call, this.#settlementOf(call));
    request.committed ??= call;
    this.#oracle.served(site, key, startedAt, clock.now(), call.nothingLeftForMs);
  }

  #ended(call: Call, { outcome }: AttemptRecord): void {
    const { clock, log, tell } = this.#surroundings;
    const { asked: request, site, key, startedAt, committedAt } = call;
    const now = clock.now();
    if (outcome === "superseded") call.verdict = superseded;
    else if (outcome !== "ok") {
      call.error = request.lastError;
      call.verdict = meaning(call.error);
    }
    const { verdict } = call;
    log.write(`${request.plan.name} ${call.index} ends ${outcome}`);
    tell.ended(call, this.#settlementOf(call));
    this.#settlement = undefined;
    call.endedAt = now;
    request.lastEnded = call;
    request.live.delete(call);
    if (verdict?.next === "larger") request.tooLong = true;
    if (committedAt !== undefined && verdict) request.brokeAt = now;
    this.#count(site, -1);
    this.#oracle.over(site, now, verdict?.notSent ? startedAt : undefined);
    if (committedAt === undefined) {
      if (verdict) this.#oracle.failed(site, key, startedAt, now, verdict);
      else this.#oracle.served(site, key, startedAt, now, call.nothingLeftForMs);
    }
    if (verdict) this.#narrow(request);
  }

  #moved(id: string, to: BreakerState, untilTimeMs: number | undefined): void {
    const { clock, log, tell } = this.#surroundings;
    const from = this.#states.get(id) ?? "closed";
    this.#states.set(id, to);
    const now = clock.now();
    const until = untilTimeMs === undefined ? undefined : untilTimeMs - this.#wallTime() + now;
    log.write(`${id} ${to}${until === undefined ? "" : ` until ${until.toFixed(1)}`}`);
    const inRange = until === undefined || this.#oracle.breaker(id).openedUntil(now, until);
    if (this.#settling && this.#settling.endpoint !== id) this.#settling.others.push(id);
    if (this.#machine) tell.moved(this.#machine, id, from, to, inRange);
  }

  /** Who could surely be asked whenever something had to be decided: only those who still can. */
  #narrow({ standby, pool }: Asked): void {
    for (const id of standby) {
      const site = siteIn(pool, id);
      if (!site || !this.#grants.isFree(site, pool)) standby.delete(id);
    }
  }

  #count({ id, provider }: Site, by: number): void {
    const machine = this.#machine;
    if (!machine) return;
    machine.under += by;
    machine.underAt.set(id, (machine.underAt.get(id) ?? 0) + by);
    machine.underAt.set(provider, (machine.underAt.get(provider) ?? 0) + by);
  }

  #callOf({ traceId }: Trail, { index }: AttemptRecord): Call {
    const call = this.#surroundings.asked.get(traceId)?.calls[index - 1];
    if (!call) throw new Error(`${traceId} has no call ${index}`);
    return call;
  }

  /** What a call's breaker was told just now. */
  #settlementOf({ site }: Call): Settlement | undefined {
    return this.#settlement?.endpoint === site.id ? this.#settlement : undefined;
  }
}

/** Every rate that a limit has in any version. */
function ratesOf(name: string, sites: readonly Site[]): Rates {
  const rates = sites.flatMap(({ id, provider, use, providerUse }) =>
    id === name ? [use?.maxRps] : provider === name ? [providerUse?.maxRps] : [],
  );
  const known = rates.filter((rate) => rate !== undefined);
  return {
    least: Math.min(...known, Number.POSITIVE_INFINITY),
    most: rates.length > known.length ? Number.POSITIVE_INFINITY : Math.max(...known),
  };
}

/** What an error means; a timeout may be nobody's fault. */
function meaning(error: unknown): Verdict {
  const verdict = classify(error);
  return error instanceof AttemptTimeout && error.blameless ? { ...verdict, blame: "nobody" } : verdict;
}
