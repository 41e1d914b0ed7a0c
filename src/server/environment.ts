import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";
import type { Origin } from "./draft.ts";

/** The environment, as it is handed in. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Variables, and where each of them stands. */
export interface Variables {
  readonly env: Environment;
  /** The origin of what a variable says. */
  originOf(name: string): Origin;
  /** The names of those that stand in files. */
  readonly fromFiles: ReadonlySet<string>;
  /** Files that were read, or would have been if they were there. */
  readonly files: readonly string[];
  /** Files that are there but cannot be read. */
  readonly notices: readonly string[];
}

/** Read in this order; what an earlier one says counts. The process's own environment comes before them. */
const dotenvNames = [".env.local", ".env"];

/**
 * The environment of the process, and what `.env.local` and `.env` say beside it.
 * @param folder where these files lie
 */
export function readVariables(processEnv: Environment, folder: string): Variables {
  const values = new Map(Object.entries(processEnv).filter(([, value]) => value !== undefined));
  const places = new Map<string, string>();
  const notices: string[] = [];
  for (const name of dotenvNames) {
    let text: string;
    try {
      // Some editors begin a file with a mark that would else be part of the first name.
      text = readFileSync(join(folder, name), "utf8").replace(/^\ufeff/, "");
    } catch (error) {
      const { code } = error as { code?: string };
      if (code !== "ENOENT") notices.push(`${name} cannot be read (${code ?? "unknown error"})`);
      continue;
    }
    for (const [variable, value] of Object.entries(parseEnv(text))) {
      if (values.has(variable)) continue;
      values.set(variable, value);
      places.set(variable, `${name}:${lineOf(text, variable)}`);
    }
  }
  return {
    env: Object.fromEntries(values),
    fromFiles: new Set(places.keys()),
    originOf(name) {
      const place = places.get(name);
      return { text: place ? `${name} (${place})` : name, at: name };
    },
    files: dotenvNames.map((name) => join(folder, name)),
    notices,
  };
}

/** The last line that sets it: that is the one which counts. */
function lineOf(text: string, variable: string): number {
  const lines = text.split(/\r\n|\n|\r/);
  return (
    lines.findLastIndex(
      (line) =>
        line
          .replace(/^\s*(export\s+)?/, "")
          .split("=", 1)[0]
          ?.trim() === variable,
    ) + 1
  );
}

/** A text with its variables filled in. */
export interface Substituted {
  readonly text: string;
  /** Those that it names. */
  readonly names: readonly string[];
  /** Of those the ones that are not set. */
  readonly missing: readonly string[];
  /** Whether it names something in a way that is not ours, such as `${NAME-default}`. */
  readonly isUnclear: boolean;
}

/** Replaces `${NAME}` and `${NAME:-default}` in a text. */
export function substitute(text: string, env: Environment): Substituted {
  const variable = /\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}/g;
  const names: string[] = [];
  const missing: string[] = [];
  const whole = text.replace(variable, (_, name: string, fallback: string | undefined) => {
    const found = env[name] || fallback;
    names.push(name);
    if (found === undefined) missing.push(name);
    return found ?? "";
  });
  const isNested = [...text.matchAll(variable)].some(([, , fallback]) => fallback?.includes("${"));
  const isUnclear = isNested || /\$\{\s*[A-Za-z_]\w*[^}]*\}/.test(text.replace(variable, ""));
  return { text: whole, names, missing, isUnclear };
}
