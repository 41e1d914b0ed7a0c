import { createAdmission } from "../../gateway/admission.ts";
import { CallError, costAt } from "../../gateway/call.ts";
import type { Caller } from "../../gateway/caller.ts";
import type { Catalog } from "../../gateway/catalog.ts";
import { failureOf } from "../../gateway/faults.ts";
import { startHealthChecks } from "../../gateway/health-check.ts";
import { createKeyNames } from "../../gateway/key-names.ts";
import type { Target } from "../../providers/target.ts";
import type { Upstream, UpstreamBody } from "../../providers/upstream.ts";
import { RouteError } from "../../routing/router.ts";
import { seededRng } from "../../runtime/rng.ts";
import { Failure } from "../../simulation/failure.ts";
import type { Refusal } from "../../simulation/observations.ts";
import type { Machine, Surroundings } from "../../simulation/rehearsal.ts";
import {
  type About,
  type CallerProfile,
  placesOf,
  type Scenario,
  type Selection,
  select,
  selectable,
  selectorText,
} from "../../simulation/scenario.ts";
import { buildCatalog, callerEntry, engineSettings, healthChecks, maxDurationMs } from "../compose.ts";
import type { Config, ConfigProblem } from "../config.ts";
import type { ScenarioFile } from "./scenario-file.ts";

/** Characters of a token, as estimates have it. */
const charactersPerToken = 4;

/** Where a scenario is played, or why it cannot be. */
export interface Stage {
  readonly around: Surroundings<Target>;
  /** Models and selectors that mean nothing there. */
  readonly problems: readonly ConfigProblem[];
  /** What a person should know before it is played. */
  readonly notes: readonly string[];
}

/** The gateway of a configuration around the engine, for a rehearsal. */
export function stageOf(config: Config, { scenario, model }: Pick<ScenarioFile, "scenario" | "model">): Stage {
  // Keys are known by a hash; a fixed one, so that a rehearsal is the same each time.
  const { catalog } = buildCatalog(config, createKeyNames(seededRng(1)));
  const configured = new Map(config.auth.callers.map((caller) => [caller.name, callerEntry(caller)]));
  const callerNamed = (name: string): Caller => configured.get(name) ?? { name, models: undefined, seesTrail: true };
  const poolFor = (caller: CallerProfile) => {
    const destination = {
      model: caller.model,
      provider: "",
      fallbackProviders: [],
      fieldPrefix: { routing: "", model: "" },
    };
    return catalog.pool(destination, callerNamed(caller.name));
  };
  const around: Surroundings<Target> = {
    settings: engineSettings(config.routing),
    pool: poolFor,
    about,
    expectedCost: (target, promptTokens) =>
      costAt(target, { promptCharacters: promptTokens * charactersPerToken, maxOutputTokens: 0 }),
    maxDurationMs,
    queueMaxWaitMs: (name) => callerNamed(name).queueMaxWaitMs,
    refusalOf,
    begin(machine) {
      const admission = createAdmission(machine.clock);
      const checks = startHealthChecks(
        { clock: machine.clock, rng: machine.rng, state: machine.router.state, upstream: checkedProviders(machine) },
        healthChecks(config, catalog),
      );
      return { admit: (name) => admission.admit(callerNamed(name)), stop: () => checks.stop() };
    },
  };
  const { pools, problems } = asked(scenario, { poolFor, catalog, callerNamed, model });
  return {
    around,
    problems: [...problems, ...strangers(scenario, pools, problems.length > 0 ? catalog : undefined)],
    notes: forwardedModels(scenario, poolFor, catalog, problems.length > 0),
  };
}

function about({ kind, connectMs, idleMs, prefill }: Target): About<Target> {
  return { kind, connectMs, idleMs, prefill: prefill !== "none" };
}

/** Who may ask for everything. */
const everyone: Caller = { name: "anyone", models: undefined, seesTrail: true };

type PoolFor = (caller: CallerProfile) => ReturnType<Catalog["pool"]>;

/** The pools that callers ask, and the models that they ask for and that are not there. */
function asked(
  { callers }: Scenario,
  {
    poolFor,
    catalog,
    callerNamed,
    model,
  }: { poolFor: PoolFor; catalog: Catalog; callerNamed: (name: string) => Caller; model: string },
): { pools: ReturnType<PoolFor>[]; problems: ConfigProblem[] } {
  const problems = new Map<string, ConfigProblem>();
  const pools = callers.flatMap((caller, index) => {
    try {
      return [poolFor(caller)];
    } catch (error) {
      const { fault } = CallError.from(error);
      if (fault.kind === "internal") throw error;
      const who = callerNamed(caller.name);
      const known = catalog.list(who).map(({ id }) => id);
      const limited = who.models !== undefined;
      const list = `${known.slice(0, mostNamed).join(", ")}${known.length > mostNamed ? ", …" : ""}`;
      const expected = known.length > 0 ? `expected one of: ${list}` : "expected a model: none is configured";
      const problem = {
        path: caller.model === model ? "model" : `callers[${index}].model`,
        value: JSON.stringify(caller.model.slice(0, 200)),
        expected: limited && known.length > 0 ? `${expected} (all that caller ${caller.name} may ask for)` : expected,
      };
      // What stands in one place is wrong once.
      problems.set(`${problem.path} ${problem.expected}`, problem);
      return [];
    }
  });
  return { pools, problems: [...problems.values()] };
}

/** More models than these are not listed. */
const mostNamed = 10;

/**
 * Selectors that mean nobody.
 * @param catalog of whose models any may have been meant; undefined: those of the pools were
 */
function strangers(scenario: Scenario, pools: ReturnType<PoolFor>[], catalog: Catalog | undefined): ConfigProblem[] {
  const meant = catalog ? [...pools, ...catalog.list(everyone).map(({ pool }) => pool)] : pools;
  const places = placesOf([...new Set(meant)], about);
  const verify = (on: Selection | undefined, path: string) =>
    (on ?? []).flatMap((selector, index) => {
      if (select([selector], places)) return [];
      const at = (on?.length ?? 0) > 1 ? `${path}[${index}]` : path;
      return [{ path: at, value: selectorText(selector), expected: `expected one of: ${selectable(places)}` }];
    });
  return [
    ...scenario.profiles.flatMap(({ on }, index) => verify(on, `providers[${index}].on`)),
    ...scenario.phases.flatMap(({ on }, index) => verify(on, `phases[${index}].on`)),
  ];
}

/** Models that are asked for by name and that nobody has configured, but that a provider without a list takes. */
function forwardedModels({ callers }: Scenario, poolFor: PoolFor, catalog: Catalog, hopeless: boolean): string[] {
  if (hopeless) return [];
  const named = callers.filter(({ model }) => model !== "" && !catalog.list(everyone).some(({ id }) => id === model));
  return [
    ...new Set(
      named.map((caller) => {
        const { tiers } = poolFor(caller);
        const providers = new Set(tiers.flatMap(({ members }) => members.map(({ provider }) => provider)));
        return `no model ${JSON.stringify(caller.model)} is configured: rehearsing what ${[...providers].join(", ")} forwards`;
      }),
    ),
  ];
}

/** How a failure is told to a caller; simulated refusals carry their status with them. */
function refusalOf(error: unknown): Refusal {
  if (error instanceof RouteError && error.cause instanceof Failure && error.verdict?.class === "request_refused") {
    return { httpStatus: 400, code: "invalid_request" };
  }
  if (error instanceof Failure) return { httpStatus: 502, code: "stream_interrupted" };
  const { fault } = error instanceof RouteError ? CallError.ofRoute(error) : CallError.from(error);
  const { http, code } = failureOf(fault);
  return { httpStatus: http, code };
}

const emptyBody: UpstreamBody = { read: async () => "end", whole: async () => Buffer.alloc(0), cancel() {} };

/** Providers as health checks meet them: an answer without a body, by the weather of the time. */
function checkedProviders({ clock, weather }: Machine<Target>): Upstream {
  let count = 0;
  return {
    send(endpoint, key, _request, cancellation) {
      const luck = `check ${++count}`;
      const behaviour = weather.respondToCheck({ endpoint, key, now: clock.now(), luck });
      return new Promise((resolve, reject) => {
        const unlink = cancellation.onCancel(reject);
        if (behaviour.kind === "silent") return;
        const afterMs = behaviour.kind === "serves" ? behaviour.totalMs : behaviour.afterMs;
        const status = behaviour.kind === "serves" ? 200 : (behaviour.failure.verdict.httpStatus ?? 0);
        clock.schedule(afterMs, () => {
          unlink();
          if (status === 0) reject(new Error("no connection"));
          else resolve({ status, headers: {}, body: emptyBody });
        });
      });
    },
    keepOnly() {},
    async close() {},
  };
}
