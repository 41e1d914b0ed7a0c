import { createAdmission } from "../../gateway/admission.ts";
import { CallError, costAt } from "../../gateway/call.ts";
import type { Caller } from "../../gateway/caller.ts";
import type { Catalog } from "../../gateway/catalog.ts";
import { failureOf, messageOf } from "../../gateway/faults.ts";
import { startHealthChecks } from "../../gateway/health-check.ts";
import { createKeyNames } from "../../gateway/key-names.ts";
import type { Target } from "../../providers/target.ts";
import type { Upstream } from "../../providers/upstream.ts";
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
import { type Config, ConfigError, type ConfigProblem } from "../config.ts";

/** Characters of a token, as estimates have it. */
const charactersPerToken = 4;

/**
 * The gateway of a configuration around the engine, for a rehearsal.
 * @param source what the scenario came from, for what does not fit the configuration
 * @throws ConfigError for models and selectors that mean nothing there
 */
export function stageOf(config: Config, scenario: Scenario, source: string): Surroundings<Target> {
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
  check(scenario, poolFor, catalog, source);
  return {
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
}

function about({ kind, connectMs, idleMs, prefill }: Target): About<Target> {
  return { kind, connectMs, idleMs, prefill: prefill !== "none" };
}

function check(
  scenario: Scenario,
  poolFor: (caller: CallerProfile) => ReturnType<Catalog["pool"]>,
  catalog: Catalog,
  source: string,
): void {
  const problems: ConfigProblem[] = [];
  const everyone: Caller = { name: "anyone", models: undefined, seesTrail: true };
  const pools = scenario.callers.flatMap((caller, index) => {
    try {
      return [poolFor(caller)];
    } catch (error) {
      const { fault } = CallError.from(error);
      if (fault.kind === "internal") throw error;
      const models = catalog.list(everyone).map(({ id }) => id);
      const known = models.length > 0 ? `; there are ${models.slice(0, 10).join(", ")}` : "";
      const why = caller.model === "" ? "expected model: there is no default" : messageOf(fault, true);
      problems.push({
        path: `callers[${index}] (${caller.name})`,
        value: JSON.stringify(caller.model),
        expected: why + known,
      });
      return [];
    }
  });
  if (problems.length > 0) throw new ConfigError(source, problems);
  const places = placesOf(pools, about);
  const verify = (on: Selection | undefined, path: string) => {
    for (const [index, selector] of (on ?? []).entries()) {
      if (select([selector], places)) continue;
      const at = (on?.length ?? 0) > 1 ? `${path}[${index}]` : path;
      problems.push({ path: at, value: selectorText(selector), expected: `expected one of: ${selectable(places)}` });
    }
  };
  for (const [index, { on }] of scenario.profiles.entries()) verify(on, `providers[${index}].on`);
  for (const [index, { on }] of scenario.phases.entries()) verify(on, `phases[${index}].on`);
  if (problems.length > 0) throw new ConfigError(source, problems);
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
          else resolve({ status, headers: {}, body: { read: async () => "end", cancel() {} } });
        });
      });
    },
    async close() {},
  };
}
