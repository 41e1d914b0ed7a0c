import { parseArgs } from "node:util";
import type { Extent } from "./measure.ts";

/** What the command line says. */
export interface Options {
  readonly extent: Extent;
  readonly json: boolean;
  /** The name of a case to measure, or part of the names of several; empty for all. */
  readonly only: string;
  /** Where the gateway leaves a CPU profile; undefined for none. */
  readonly profileFolder: string | undefined;
}

/** A command line that cannot be meant. */
export class OptionsError extends Error {
  override name = "OptionsError";
}

/** How to call it. */
export const usage = `usage: node bench/run.ts [--seconds-per-round N] [--rounds N] [--json] [--only TEXT] [--cpu-prof FOLDER]`;

/** Reads the command line. @throws OptionsError */
export function readOptions(args: readonly string[]): Options {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        // 19 legs, 6 times with the warm-up, make a minute and a quarter.
        "seconds-per-round": { type: "string", default: "0.6" },
        rounds: { type: "string", default: "5" },
        json: { type: "boolean", default: false },
        only: { type: "string", default: "" },
        "cpu-prof": { type: "string" },
      },
    });
    return {
      extent: {
        secondsPerRound: within(values["seconds-per-round"], 0.1, 60),
        rounds: Math.round(within(values.rounds, 1, 100)),
      },
      json: values.json,
      only: values.only,
      profileFolder: values["cpu-prof"],
    };
  } catch (error) {
    throw new OptionsError((error as Error).message);
  }
}

function within(text: string, least: number, most: number): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= least && value <= most))
    throw new OptionsError(`expected a number from ${least} to ${most}, got ${text}`);
  return value;
}
