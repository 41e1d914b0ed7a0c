import type { Endpoint, Pool } from "../../routing/endpoint.ts";
import type { Lease } from "../../routing/lease.ts";
import { createPool } from "../../routing/pool.ts";
import type { Attempt, Routed, Router } from "../../routing/router.ts";
import { hardMaxAttempts } from "../../routing/settings.ts";
import {
  CallerGone,
  type Cancellation,
  type CancellationSource,
  createCancellation,
} from "../../runtime/cancellation.ts";
import type { Clock } from "../../runtime/clock.ts";
import { seededRng } from "../../runtime/rng.ts";
import { createDice } from "../dice.ts";
import { classify } from "../failure.ts";
import { ask } from "../request.ts";
import { createVirtualClock, type VirtualClock } from "../virtual-clock.ts";
import type { Asked, Call, Convergence, Invariant, Machine, Watcher } from "./facts.ts";
import { FakeProviders } from "./fake-provider.ts";
import { HopLog } from "./hop-log.ts";
import { startMachine, type Tampering } from "./machine.ts";
import { announce } from "./pools.ts";
import { spread } from "./spread.ts";
import { type Edit, type RequestPlan, recoveryMs, type Site, sitesOf, type World } from "./world.ts";

/** Something did not hold. */
export interface Violation {
  readonly invariant: string;
  /** Virtual ms. */
  readonly at: number;
  readonly what: string;
}

/** What came of a run. */
export interface Run {
  readonly violations: readonly Violation[];
  /** Identity of the run. */
  readonly hash: string;
  /** The hop log, when it was wanted. */
  readonly log: string;
  /** Requests, those of the calm included. */
  readonly requests: number;
  readonly attempts: number;
}

/** So long silence in a stream is waited through. */
const idleMs = 2000;
/** Nothing that came before lasts longer: the longest deadline, a recovery, and a stream. */
const restMs = 60_000 + recoveryMs + 20_000;
/** For so long all may take to be well again. */
const longestCalmMs = 10 * 60_000;
/** So many of one invariant; more would not be read. */
const mostViolations = 5;
const dayMs = 24 * 3_600_000;

/** Plays a world from its first request to the calm after the storm, and watches that everything holds. */
export async function play(
  world: World,
  invariants: readonly Invariant[],
  { keepLog = false, tampering = {} }: { readonly keepLog?: boolean; readonly tampering?: Tampering } = {},
): Promise<Run> {
  const clock = createVirtualClock();
  const violations: Violation[] = [];
  const log = new HopLog(() => clock.now(), keepLog);
  const watchers = invariants.map((invariant) => {
    let count = 0;
    return invariant.watch(
      (what) => {
        if (++count > mostViolations) return;
        violations.push({ invariant: invariant.name, at: clock.now(), what });
        log.write(`! ${invariant.name}: ${what}`);
      },
      () => clock.now(),
      world,
    );
  });
  const stage = new Stage(world, clock, log, spread(watchers), tampering);
  await stage.storm();
  await stage.calm();
  return {
    violations,
    hash: log.hash,
    log: log.text,
    requests: stage.asked.size,
    attempts: [...stage.asked.values()].reduce((sum, { calls }) => sum + calls.length, 0),
  };
}

/** Where a world is played: its processes, its requests, and what is done to them. */
class Stage {
  readonly asked = new Map<string, Asked>();
  readonly #world: World;
  readonly #clock: VirtualClock;
  readonly #log: HopLog;
  readonly #tell: Required<Watcher>;
  readonly #tampering: Tampering;
  readonly #providers: FakeProviders;
  readonly #machines: Machine[] = [];
  readonly #keys: Map<string, readonly string[]>;
  readonly #manual = new Map<string, Parameters<Machine["setManual"]>[1]>();
  readonly #connections = Array.from({ length: 6 }, createCancellation);
  /** Requests of users who are at it that have not ended. */
  #left = 0;
  /** What the wall shows beyond the time that has passed. */
  #wallJumpMs = 0;
  #pool: Pool<Site>;

  constructor(world: World, clock: VirtualClock, log: HopLog, tell: Required<Watcher>, tampering: Tampering) {
    this.#world = world;
    this.#clock = clock;
    this.#log = log;
    this.#tell = tell;
    this.#tampering = tampering;
    this.#providers = new FakeProviders(clock, world);
    this.#keys = new Map(world.keys);
    const [first] = world.snapshots.map(announce);
    if (!first) throw new Error("a world has a snapshot at least");
    this.#pool = first;
    this.#restart();
  }

  get #machine(): Machine {
    return this.#machines.at(-1) as Machine; // the constructor starts one
  }

  /** Things go wrong; then all that was begun ends. */
  async storm(): Promise<void> {
    const { requests, edits, checks, badMs } = this.#world;
    for (const edit of edits) this.#clock.schedule(edit.at, () => this.#apply(edit));
    for (const { endpoint, everyMs } of checks) this.#check(endpoint, everyMs);
    const byUser = Map.groupBy(requests, ({ user, name }) => (user === undefined ? name : `user ${user}`));
    for (const plans of byUser.values())
      this.#clock.schedule(plans[0]?.at ?? 0, () => void this.#oneAfterAnother(plans));
    await this.#pass(badMs);
    // Users whose requests come after each other may be at it for longer.
    await this.#pass(restMs);
    for (let turns = 1000; turns > 0 && this.#left > 0; turns--) await this.#pass(restMs);
    this.#tell.rested(this.#machines, [...this.asked.values()], "after the storm");
  }

  /** Nothing goes wrong any more, and everything must become well again. */
  async calm(): Promise<void> {
    for (const id of this.#manual.keys()) this.#machine.setManual(id, undefined);
    const pool = this.#pool;
    const machine = this.#machine;
    const usable = sitesOf(pool).filter(({ enabled }) => enabled);
    // What rests by the rules, for a day at most, may do so.
    await this.#pass(Math.min(dayMs, Math.max(0, machine.oracle.restsUntil() - this.#clock.now())) + 1);
    if (usable.length > 0) this.#tell.converged(await this.#converge(machine, pool, usable));
    await this.#pass(restMs);
    this.#tell.rested(this.#machines, [...this.asked.values()], "in the end");
  }

  async #converge(machine: Machine, pool: Pool<Site>, usable: readonly Site[]): Promise<Convergence> {
    const clock = this.#clock;
    const { state } = machine.router;
    const best = pool.tiers.find(({ members }) => members.some(({ enabled, weight }) => enabled && weight > 0));
    const singles = usable.map((site) =>
      announce(createPool({ model: site.id, endpoints: [{ ...site, weight: Math.max(1, site.weight) }] })),
    );
    const rates = usable.flatMap(({ use, providerUse }) => [use?.maxRps ?? 10, providerUse?.maxRps ?? 10]);
    const paceMs = Math.max(500, 1100 / Math.min(...rates));
    const keysOf = new Map(usable.map(({ provider }) => [provider, new Set(machine.oracle.keysOf(provider))]));
    const from = clock.now();
    let breakersMs: number | undefined;
    let homeMs: number | undefined;
    let keysMs: number | undefined;
    let inOrder = 0;
    const ended = (asked: Asked) => {
      for (const { site, key, committedAt, verdict } of asked.calls) {
        if (committedAt !== undefined || !verdict) keysOf.get(site.provider)?.delete(key);
      }
    };
    for (let step = 0; clock.now() < from + longestCalmMs; step++) {
      const since = clock.now() - from;
      const open = usable.filter((site) => state.endpoint(site).breaker.state !== "closed");
      const ramping = usable.filter((site) => state.endpoint(site).share(clock.now()) < 1);
      if (open.length === 0) breakersMs ??= since;
      if ((inOrder >= 10 || !best) && open.length === 0 && ramping.length === 0) homeMs ??= since;
      if ([...keysOf.values()].every(({ size }) => size === 0)) keysMs ??= since;
      if (breakersMs !== undefined && homeMs !== undefined && keysMs !== undefined) break;
      const asked = await this.#askAndWait(calmPlan(`c${step}`, step), pool, paceMs);
      ended(asked);
      const [first, ...others] = asked.calls;
      const alone = others.every(({ purpose }) => purpose === "hedge");
      const home = first && alone && best?.members.includes(first.site) && asked.told?.outcome === "served";
      inOrder = home ? inOrder + 1 : 0;
      ended(await this.#askAndWait(calmPlan(`s${step}`, step), singles[step % singles.length] ?? pool, paceMs));
    }
    const missing = [
      ...usable.filter((site) => state.endpoint(site).breaker.state !== "closed").map(({ id }) => `breaker of ${id}`),
      ...(homeMs === undefined ? [`${inOrder} in a row at the best tier`] : []),
      ...[...keysOf].flatMap(([, keys]) => [...keys].map((key) => `key ${key}`)),
    ];
    const done = [breakersMs, homeMs, keysMs].every((ms) => ms !== undefined);
    const tookMs = done ? clock.now() - from : undefined;
    return { machine, tookMs, breakersMs, homeMs, keysMs, missing, paceMs: 2 * paceMs, endpoints: usable.length };
  }

  /** One request of the calm, and the time until the next: when it has ended, or should have. */
  async #askAndWait(plan: RequestPlan, pool: Pool<Site>, ms: number): Promise<Asked> {
    void this.#ask(plan, pool, true);
    const asked = this.asked.get(plan.name) as Asked; // it has come
    await this.#pass(ms);
    while (!asked.told && asked.crash === undefined && this.#clock.now() < asked.deadline + restMs)
      await this.#pass(ms);
    return asked;
  }

  /** Lets time pass, and has everything looked at now and then when nothing is half done. */
  async #pass(ms: number): Promise<void> {
    const steps = Math.max(1, Math.min(400, Math.ceil(ms / 250)));
    for (let step = 0; step < steps; step++) {
      await this.#clock.advance(ms / steps);
      for (const machine of this.#machines) this.#tell.passed(machine, this.#clock.now());
    }
  }

  async #oneAfterAnother(plans: readonly RequestPlan[]): Promise<void> {
    this.#left += plans.length;
    for (const plan of plans) {
      if (plan.thinkMs > 0) await new Promise<void>((resolve) => void this.#clock.schedule(plan.thinkMs, resolve));
      await this.#ask(plan, this.#pool, false);
      this.#left -= 1;
    }
  }

  async #ask(plan: RequestPlan, pool: Pool<Site>, calm: boolean): Promise<Asked> {
    const clock = this.#clock;
    const machine = this.#machine;
    const { settings } = this.#world;
    const now = clock.now();
    const connection = plan.connection === undefined ? undefined : this.#connections[plan.connection];
    const leaving = connection && !connection.cancelled ? connection : createCancellation();
    const own = pool.strategy === "ordered" ? Math.max(settings.maxAttempts, pool.size) : settings.maxAttempts;
    const asked: Asked = {
      ...{ plan, machine, pool, calm, leaving, arrivedAt: now, deadline: now + plan.deadlineMs },
      ...{ calls: [], skips: [], live: new Set<Call>(), counted: 0, listeners: 0, failures: 0, tooLong: false },
      ...{ lastEnded: undefined, committed: undefined, brokeAt: undefined, lastError: undefined },
      ...{ told: undefined, crash: undefined },
      cap: Math.min(own, hardMaxAttempts, plan.maxAttempts),
      dice: createDice(seededRng(plan.seed)),
      standby: machine.freeIn(pool),
    };
    this.asked.set(plan.name, asked);
    machine.live += 1;
    this.#log.write(`${plan.name} comes (${plan.mode}, version ${pool.tiers[0]?.members[0]?.version ?? "none"})`);
    this.#tell.arrived(asked);
    const stopLeaving =
      plan.leavesAfterMs === undefined
        ? () => {}
        : clock.schedule(plan.leavesAfterMs, () => leaving.cancel(new CallerGone()));
    try {
      const work = ask<Site>(this.#heard(machine.router, asked), clock, {
        ...{ mode: plan.mode, pool, idleMs },
        recovery: plan.recovers ? { withinMs: recoveryMs } : undefined,
        options: {
          classify(error) {
            asked.lastError = error;
            return classify(error);
          },
          cancellation: listened(leaving, asked),
          ...{ deadline: asked.deadline, maxAttempts: plan.maxAttempts, traceId: plan.name, caller: plan.caller },
          queueMaxWaitMs: plan.queueMaxWaitMs,
          request: { cost: priceOf, ...(plan.affinityKey !== undefined && { affinityKey: plan.affinityKey }) },
        },
        respond: (lease) => this.#respond(asked, lease),
      });
      this.#tell.placed(asked);
      asked.told = await work;
    } catch (error) {
      asked.crash = error;
    }
    stopLeaving();
    machine.live -= 1;
    this.#log.write(`${plan.name} is ${asked.told?.outcome ?? `crashed: ${asked.crash}`}`);
    this.#tell.told(asked);
    return asked;
  }

  #respond(asked: Asked, lease: Lease<Site>) {
    const call = asked.machine.begin(asked, lease);
    const behaviour = this.#providers.respond(call);
    if (call.nothingLeftForMs !== undefined) lease.noteLimit(call.nothingLeftForMs);
    return behaviour;
  }

  /** Hears what reaches a caller, and from which of its calls. */
  #heard(router: Router, asked: Asked): Router {
    const madeBy = new Map<unknown, Call>();
    const noted =
      <T, E extends Endpoint>(attempt: Attempt<T, E>): Attempt<T, E> =>
      async (lease) => {
        const work = attempt(lease);
        const call = asked.calls.at(-1);
        const value = await work;
        if (call) madeBy.set(value, call);
        return value;
      };
    const delivered = <T, E extends Endpoint>({ value, lease }: Routed<T, E>) =>
      this.#tell.delivered(asked, madeBy.get(value), lease.attempt);
    return {
      ...router,
      async run(pool, attempt, options) {
        const routed = await router.run(pool, noted(attempt), options);
        delivered(routed);
        return routed;
      },
      async open(pool, attempt, options) {
        const opened = await router.open(pool, noted(attempt), options);
        delivered(opened);
        return {
          ...opened,
          async recover(error, again, deadline) {
            const next = await opened.recover(error, noted(again), deadline);
            if (next) delivered(next);
            return next;
          },
        };
      },
    };
  }

  #apply(edit: Edit): void {
    const { at: _, ...what } = edit;
    // The wall clock is nobody's business: runs that differ in it alone must not differ.
    if (edit.kind !== "wall_clock") this.#log.write(`edit ${Object.values(what).flat().join(" ")}`);
    switch (edit.kind) {
      case "snapshot":
        this.#pool = this.#world.snapshots[edit.version] ?? this.#pool;
        break;
      case "keys":
        this.#keys.set(edit.provider, edit.keys);
        for (const machine of this.#machines) machine.replaceKeys(edit.provider, edit.keys);
        break;
      case "manual":
        this.#manual.set(edit.endpoint, edit.state);
        for (const machine of this.#machines) machine.setManual(edit.endpoint, edit.state);
        break;
      case "wall_clock":
        this.#wallJumpMs += edit.jumpMs;
        break;
      case "restart":
        this.#restart();
        break;
      case "connection_closed":
        this.#connections[edit.connection]?.cancel(new CallerGone());
        break;
      default:
    }
  }

  /** A new process: it knows the configuration and what operators have set, and nothing else. */
  #restart(): void {
    const clock: Clock = {
      now: () => this.#clock.now(),
      wallTime: () => this.#clock.wallTime() + this.#wallJumpMs,
      schedule: (delayMs, callback) => this.#clock.schedule(delayMs, callback),
    };
    const machine = startMachine({
      ...{ number: this.#machines.length + 1, world: this.#world, clock, keys: this.#keys, asked: this.asked },
      ...{ tell: this.#tell, log: this.#log, tampering: this.#tampering },
    });
    for (const [id, state] of this.#manual) machine.setManual(id, state);
    this.#machines.push(machine);
  }

  #check(endpoint: string, everyMs: number): void {
    this.#clock.schedule(everyMs, () => {
      if (this.#clock.now() > this.#world.badMs) return;
      if (this.#providers.answersCheck(endpoint)) this.#machine.checkSucceeded(endpoint);
      this.#check(endpoint, everyMs);
    });
  }
}

/** A request of the calm. */
function calmPlan(name: string, seed: number): RequestPlan {
  return {
    ...{ name, at: 0, user: undefined, thinkMs: 0, mode: seed % 2 === 0 ? "open" : "run", deadlineMs: 30_000 },
    ...{ maxAttempts: Number.POSITIVE_INFINITY, leavesAfterMs: undefined, connection: undefined, caller: "x" },
    ...{ queueMaxWaitMs: undefined, affinityKey: undefined, recovers: false, seed },
  };
}

/** Any prices will do, as long as they differ. */
function priceOf({ id }: { readonly id: string }): number {
  return id.charCodeAt(id.length - 1) % 3;
}

/** The same cancellation, with a count of who listens to it on behalf of one request. */
function listened(source: CancellationSource, asked: Asked): Cancellation {
  return {
    get cancelled() {
      return source.cancelled;
    },
    get reason() {
      return source.reason;
    },
    onCancel(listener) {
      let over = false;
      asked.listeners += 1;
      const end = () => {
        if (!over) asked.listeners -= 1;
        over = true;
      };
      const unlink = source.onCancel((reason) => {
        end();
        listener(reason);
      });
      return () => {
        end();
        unlink();
      };
    },
  };
}
