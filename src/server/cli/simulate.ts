import { styleText } from "node:util";
import { systemClock } from "../../runtime/clock.ts";
import { type Progress, rehearse } from "../../simulation/rehearsal.ts";
import { reportOf, timelineOf } from "../../simulation/report.ts";
import { clockText } from "../../simulation/time-text.ts";
import { type Config, ConfigError } from "../config.ts";
import { loadConfig } from "../load-config.ts";
import { comparedJson, comparedReport } from "../simulate/compared-report.ts";
import { htmlReport } from "../simulate/html-report.ts";
import { rehearsalJson } from "../simulate/json-report.ts";
import { pageFile } from "../simulate/page-file.ts";
import { readScenario, type ScenarioFile } from "../simulate/scenario-file.ts";
import { type Stage, stageOf } from "../simulate/stage.ts";
import { type Paint, type Rehearsed, terminalReport } from "../simulate/terminal-report.ts";
import { countText, plainText } from "../simulate/words.ts";

/** Flags of `simulate`. */
export interface SimulateFlags {
  readonly config?: string;
  readonly seed?: number;
  readonly json?: boolean;
  readonly html?: string;
  readonly compare?: string;
}

/**
 * Rehearses a scenario against a configuration, on a virtual clock: the routing is the real one, the providers are not there.
 * @throws ConfigError for a scenario or a configuration that cannot be used, or that do not fit
 */
export async function simulate(path: string, flags: SimulateFlags): Promise<void> {
  const file = readScenario(path, process.env);
  // All that can be wrong is told before anything is played.
  const stages = stagesOf(path, file, flags);
  const page = flags.html === undefined ? undefined : pageFile(flags.html);
  const seed = flags.seed ?? file.seed;
  const rehearsed: Rehearsed[] = [];
  for (const { source, around, notes } of stages) {
    const label = stages.length > 1 ? `${source}: ` : "";
    for (const note of notes) process.stderr.write(`${label}${plainText(note)}\n`);
    const watch = progressLine(label);
    const observed = await rehearse(file.scenario, around, { seed, onProgress: watch.tell });
    watch.end();
    rehearsed.push({
      scenario: file.scenario.name,
      configuration: source,
      models: [...new Set(file.scenario.callers.map((caller) => around.pool(caller).model))],
      seed,
      notes,
      report: reportOf(observed),
      timeline: (most) => timelineOf(observed, most),
    });
  }
  const [first, second] = rehearsed;
  if (!first) return;
  const document = () => (second ? comparedJson(first, second) : rehearsalJson(first));
  const text = () => (second ? comparedReport(first, second, paint) : terminalReport(first, paint));
  try {
    page?.write(htmlReport(first, second));
    await print(flags.json ? JSON.stringify(document(), undefined, 2) : text());
  } catch (error) {
    const { code } = error as { code?: string }; // what Node throws has one
    if (code === undefined) throw error;
    process.stderr.write(`the report cannot be written (${code})\n`);
    process.exit(1);
  }
}

/** The configurations as stages for the scenario. @throws ConfigError with all that does not fit */
function stagesOf(path: string, file: ScenarioFile, flags: SimulateFlags): (Stage & { readonly source: string })[] {
  const configurations = configurationsOf(path, file, flags);
  const stages = configurations.map(({ config, source }) => ({ source, ...stageOf(config, file) }));
  const misfits = stages.flatMap(({ problems, source }) =>
    problems.map((problem) => (stages.length > 1 ? { ...problem, path: `${source}: ${problem.path}` } : problem)),
  );
  const problems = [...file.problems, ...misfits];
  if (problems.length === 0) return stages;
  const sources = misfits.length > 0 ? ` with ${stages.map(({ source }) => source).join(" and ")}` : "";
  throw new ConfigError(`${path}${sources}`, problems);
}

function configurationsOf(path: string, file: ScenarioFile, { config, compare }: SimulateFlags): Configuration[] {
  try {
    return [configurationOf(file, config), ...(compare === undefined ? [] : [configurationAt(compare)])];
  } catch (error) {
    if (!(error instanceof ConfigError) || file.problems.length === 0) throw error;
    throw new ConfigError(path, [...file.problems, ...error.problems]);
  }
}

/** Writes to stdout, and waits until it is written. @throws what the system says where it cannot be */
function print(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.once("error", reject);
    process.stdout.write(`${text}\n`, (error) => (error ? reject(error) : resolve()));
  });
}

interface Configuration {
  readonly config: Config;
  readonly source: string;
}

/** `--config`, `EVERHOP_CONFIG` or `./everhop.yaml`; else what the scenario brings along; else the providers of the environment. */
function configurationOf(file: ScenarioFile, path: string | undefined): Configuration {
  const ownFileOnly = file.config !== undefined;
  const { config, source } = loadConfig({ path, env: process.env, overrides: {}, ownFileOnly });
  if (config) return { config, source };
  if (file.config) return { config: file.config, source: "the scenario's own" };
  const expected = "nothing is configured: expected an everhop.yaml, --config FILE, or config: in the scenario";
  throw new ConfigError("simulate", [{ path: "(configuration)", value: "", expected }]);
}

function configurationAt(path: string): Configuration {
  const { config, source } = loadConfig({ path, env: process.env, overrides: {} });
  if (config) return { config, source };
  throw new ConfigError(path, [{ path: "(the file)", value: "", expected: "expected a configuration" }]);
}

const paint: Paint = (style, text) => styleText(style, text, { stream: process.stdout });

/** A line that is written anew so often. */
const refreshMs = 100;

/** Tells on stderr how far it is: that is real time, which no report may hold. */
function progressLine(label: string): { tell(progress: Progress): void; end(): void } {
  const beganAt = systemClock.now();
  let toldAt = beganAt;
  let last: Progress | undefined;
  const terminal = process.stderr.isTTY;
  return {
    tell(progress) {
      last = progress;
      const now = systemClock.now();
      if (!terminal || now - toldAt < refreshMs) return;
      toldAt = now;
      const { nowMs, untilMs, requests } = progress;
      const speed = Math.round(nowMs / Math.max(1, now - beganAt));
      process.stderr.write(
        `\r${label}${clockText(nowMs)} of ${clockText(untilMs)}, ${countText(speed)} × real time, ${countText(requests)} requests\u001b[K`,
      );
    },
    end() {
      const elapsedMs = systemClock.now() - beganAt;
      const requests = last?.requests ?? 0;
      const rate = countText(Math.round((requests * 1000) / Math.max(1, elapsedMs)));
      process.stderr.write(
        `${terminal ? "\r\u001b[K" : ""}${label}${countText(requests)} requests rehearsed in ${(elapsedMs / 1000).toFixed(1)} s, ${rate} a second\n`,
      );
    },
  };
}
