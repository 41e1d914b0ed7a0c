import { closeSync, openSync, writeFileSync } from "node:fs";
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
import { readScenario, type ScenarioFile } from "../simulate/scenario-file.ts";
import { stageOf } from "../simulate/stage.ts";
import { type Paint, type Rehearsed, terminalReport } from "../simulate/terminal-report.ts";
import { countText } from "../simulate/words.ts";

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
  const configurations = [configurationOf(file, flags.config)];
  if (flags.compare !== undefined) configurations.push(configurationAt(flags.compare));
  // All that can be wrong is told before anything is played.
  const stages = configurations.map(({ config, source }) => ({
    source,
    stage: stageOf(config, file.scenario, `${path} with ${source}`),
  }));
  if (flags.html !== undefined) checkWritable(flags.html);
  const seed = flags.seed ?? file.seed;
  const rehearsed: Rehearsed[] = [];
  for (const { source, stage } of stages) {
    const watch = progressLine(stages.length > 1 ? `${source}: ` : "");
    const observed = await rehearse(file.scenario, stage, { seed, onProgress: watch.tell });
    watch.end();
    rehearsed.push({
      scenario: file.scenario.name,
      configuration: source,
      models: [...new Set(file.scenario.callers.map((caller) => stage.pool(caller).model))],
      seed,
      report: reportOf(observed),
      timeline: (most) => timelineOf(observed, most),
    });
  }
  const [first, second] = rehearsed;
  if (!first) return;
  if (flags.html !== undefined) writeFileSync(flags.html, htmlReport(first, second));
  if (flags.json) {
    const document = second ? comparedJson(first, second) : rehearsalJson(first);
    process.stdout.write(`${JSON.stringify(document, undefined, 2)}\n`);
  } else {
    process.stdout.write(`${second ? comparedReport(first, second, paint) : terminalReport(first, paint)}\n`);
  }
}

/** Whether the page can be written is known before anything is played. */
function checkWritable(path: string): void {
  try {
    closeSync(openSync(path, "a"));
  } catch (error) {
    const { code = "unknown error" } = error as { code?: string }; // what Node throws has one
    throw new ConfigError("simulate", [
      { path: "--html", value: JSON.stringify(path), expected: `expected a file that can be written (${code})` },
    ]);
  }
}

interface Configuration {
  readonly config: Config;
  readonly source: string;
}

/** `--config`, `EVERHOP_CONFIG` or `./everhop.yaml`; else what the scenario brings along; else the providers of the environment. */
function configurationOf(file: ScenarioFile, path: string | undefined): Configuration {
  const withoutProviders = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith("OPENAI_")),
  );
  const env = file.config ? withoutProviders : process.env;
  const { config, source } = loadConfig({ path, env, overrides: {} });
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
