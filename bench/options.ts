import { parseArgs } from "node:util";
import type { Extent } from "./measure.ts";

/** What the command line says. */
export interface Options {
  readonly extent: Extent;
  /** Only what says most, beside the floor and direct calls. */
  readonly quick: boolean;
  readonly json: boolean;
  /** Whether the result is kept. */
  readonly keep: boolean;
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
export const usage = `usage: node bench/run.ts [--quick] [--seconds-per-round N] [--rounds N] [--json] [--only TEXT] [--[no-]keep] [--cpu-prof FOLDER]`;

/** Reads the command line. @throws OptionsError */
export function readOptions(args: readonly string[]): Options {
  const { values } = parse(args);
  const rounds = Math.round(within(values.rounds ?? (values.quick ? "3" : "5"), 1, 100));
  return {
    extent: {
      secondsPerRound: within(values["seconds-per-round"], 0.1, 60),
      rounds,
      openRounds: Math.min(mostOpenRounds, rounds),
    },
    quick: values.quick,
    json: values.json,
    keep: values.keep ?? (!values.quick && values.only === "" && values["cpu-prof"] === undefined),
    only: values.only,
    profileFolder: values["cpu-prof"],
  };
}

/** Each takes a program's start and some seconds of waiting until its memory has settled. */
const mostOpenRounds = 2;

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowNegative: true,
      options: {
        "seconds-per-round": { type: "string", default: "0.6" },
        rounds: { type: "string" },
        quick: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        keep: { type: "boolean" },
        only: { type: "string", default: "" },
        "cpu-prof": { type: "string" },
      },
    });
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
