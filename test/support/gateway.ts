import { expect, onTestFinished } from "vitest";
import type { Behaviour } from "../../src/providers/simulated/behaviour.ts";
import { type SimulatedProvider, startSimulatedProvider } from "../../src/providers/simulated/simulated-provider.ts";
import type { RouteObserver } from "../../src/routing/observer.ts";
import type { AttemptRecord, Trail } from "../../src/routing/trail.ts";
import type { Clock } from "../../src/runtime/clock.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { seededRng, systemRng } from "../../src/runtime/rng.ts";
import { compose, type Gateway, type MachineParts } from "../../src/server/compose.ts";
import { checkConfig } from "../../src/server/config.ts";
import { createListener, type Door, type Listener, type ListenerSetup } from "../../src/server/listener/listener.ts";

/** A gateway on a real port of its own. It closes itself, and its providers must be idle by then. */
export interface TestGateway {
  /** `http://127.0.0.1:PORT` */
  readonly address: string;
  readonly port: number;
  /** Every request's way, in the order in which their first attempts (or skips) were made. Live. */
  readonly trails: readonly Trail[];
  /** Every change of a breaker: `endpoint state`. */
  readonly breakers: readonly string[];
  /** Resolves with the first so many attempts that have ended, in the order of their ends. */
  ended(count: number): Promise<readonly AttemptRecord[]>;
  readonly gateway: Gateway;
  readonly listener: Listener;
  readonly clock: Clock;
  /** Requests that took the short way. */
  readonly laneCalls: number;
}

/** Always the same time of day, so that answers made at different times may be equal; intervals are real. */
const frozenWallClock: Clock = { ...systemClock, wallTime: () => 1_700_000_000_000 };

/** Starts a provider by each name. Two that were started alike give the same answers, ids included. */
export async function startProviders<Name extends string>(
  behaviours: Readonly<Record<Name, Partial<Behaviour>>>,
): Promise<Record<Name, SimulatedProvider>> {
  const started = await Promise.all(
    Object.entries<Partial<Behaviour>>(behaviours).map(async ([name, behaviour]) => {
      const provider = await startSimulatedProvider({ name, clock: frozenWallClock, rng: seededRng(7), ...behaviour });
      onTestFinished(() => provider.close());
      return [name, provider] as const;
    }),
  );
  return Object.fromEntries(started) as Record<Name, SimulatedProvider>; // the names are those that came in
}

/** What a test says of one provider beside its address, in the words of the file. */
export type ProviderConfig = Readonly<Record<string, unknown>>;

/** A configuration as the file has it: the providers in their order behind one model, `think`; `NAME-model` is asked of each. */
export function poolConfig(
  providers: Readonly<Record<string, { readonly baseUrl: string }>>,
  changes: { readonly each?: ProviderConfig; readonly [name: string]: ProviderConfig | undefined } = {},
) {
  const names = Object.keys(providers);
  return {
    providers: names.map((name, index) => ({
      name,
      base_url: providers[name]?.baseUrl,
      keys: [`secret-of-${name}`],
      priority: index + 1,
      ...changes.each,
      ...changes[name],
    })),
    models: [{ name: "think", targets: names.map((provider) => ({ provider, model: `${provider}-model` })) }],
  };
}

/**
 * Starts a gateway from a configuration as the file has it.
 * @param providers those that must be idle before it closes: nothing of a call may outlive the call
 * @param setup what of its port is not as everywhere
 * @param parts what of the machine behind it is not
 */
export async function startGateway(
  config: object,
  providers: Readonly<Record<string, SimulatedProvider>> = {},
  setup: Partial<ListenerSetup> = {},
  parts: Partial<MachineParts> = {},
): Promise<TestGateway> {
  const trails: Trail[] = [];
  const met = new Set<Trail>();
  const ends: AttemptRecord[] = [];
  const breakers: string[] = [];
  const bugs: unknown[] = [];
  let waiting: (() => void)[] = [];
  const meet = (trail: Trail) => {
    if (met.has(trail)) return;
    met.add(trail);
    trails.push(trail);
  };
  const observer: RouteObserver = {
    attemptStarted: meet,
    skipped: meet,
    breakerChanged: (endpoint, state) => breakers.push(`${endpoint} ${state}`),
    attemptEnded(_trail, attempt) {
      ends.push(attempt);
      const woken = waiting;
      waiting = [];
      for (const wake of woken) wake();
    },
  };
  const clock = systemClock;
  const checked = checkConfig(withLanes(config), "the test");
  const gateway = compose(checked, {
    clock,
    rng: systemRng,
    observer,
    reportBug: (error) => bugs.push(error),
    ...parts,
  });
  let laneCalls = 0;
  const door: Door = {
    ...gateway,
    handleStream(...arrival) {
      laneCalls += 1;
      return gateway.handleStream(...arrival);
    },
  };
  const listener = createListener(door, {
    clock,
    rng: systemRng,
    trustedProxies: checked.server.trusted_proxies,
    reportBug: (error) => bugs.push(error),
    ...setup,
  });
  const port = await listener.listen("127.0.0.1", 0);
  onTestFinished(async () => {
    await Promise.all(Object.values(providers).map((provider) => provider.idle()));
    listener.stop();
    listener.destroy();
    await gateway.close();
    expect(bugs).toEqual([]);
    // Health checks go on to the very end.
    await Promise.all(Object.values(providers).map((provider) => provider.idle()));
    expect(gateway.state.inFlight).toBe(0);
    expect(Object.values(providers).map(({ open }) => open)).toEqual(Object.values(providers).map(() => 0));
  });
  return {
    address: `${setup.tls ? "https" : "http"}://127.0.0.1:${port}`,
    port,
    trails,
    breakers,
    async ended(count) {
      while (ends.length < count) await new Promise<void>((resolve) => waiting.push(resolve));
      return ends.slice(0, count);
    },
    gateway,
    listener,
    clock,
    get laneCalls() {
      return laneCalls;
    },
  };
}

/** A configuration with the lanes that `EVERHOP_LANES` asks for, `on` or `off`, unless it says itself: every test goes either way. */
export function withLanes(config: object): object {
  const { server } = config as { readonly server?: object };
  const asked = process.env["EVERHOP_LANES"];
  return asked === undefined ? config : { ...config, server: { lanes: asked, ...server } };
}
