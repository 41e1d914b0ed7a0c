import { stringify } from "yaml";
import type { Config } from "./config.ts";
import { type Origins, originPath, parentPath, pathText } from "./draft.ts";

/** What a secret is shown as. */
export const masked = "[secret]";

/** Members that hold milliseconds. */
const durations = new Set(
  "timeout connect first_token idle total interval max_wait window open quick_cap slow_cap sole_cap base max patience last_patience pre_stop grace stalled heartbeat stream_total metrics_interval slow_first_token".split(
    " ",
  ),
);
/** Members of `server.limits` and of `log` that hold bytes. */
const sizes = new Set(["body", "buffered", "stream_size", "max_size"]);
/** What holds secrets, whatever it says. */
const secretPath =
  /^providers\[\d+\]\.keys\[\d+\](\.value)?$|^auth\.callers\[\d+\]\.key$|^auth\.admin_keys\[\d+\]$|^telemetry\.otlp\.headers\./;

/** A configuration as a file would say it: with every default, without its secrets. */
export function shown(config: Config): Record<string, unknown> {
  return shownValue(config, []) as Record<string, unknown>; // an object stays one
}

function shownValue(value: unknown, steps: readonly PropertyKey[]): unknown {
  const name = String(steps.at(-1) ?? "");
  const path = pathText(steps);
  // Whatever a vendor's own parameters hold stays as it is, unless its name says that it is none of our business.
  const inParams = /(^|\.)params(\.|\[|$)/.test(path);
  if (typeof value === "string" && secretPath.test(path)) return masked;
  if (inParams && typeof value === "string" && /key|token|secret|password|authorization/i.test(name)) return masked;
  if (typeof value === "number" && !inParams) {
    if (durations.has(name)) return durationText(value);
    if (sizes.has(name) && /^(server\.limits|log)\./.test(path)) return sizeText(value);
  }
  if (Array.isArray(value)) return value.map((each, index) => shownValue(each, [...steps, index]));
  if (typeof value === "object" && value !== null) {
    if (name === "base_url" && "origin" in value && "basePath" in value) return `${value.origin}${value.basePath}`;
    return Object.fromEntries(
      Object.entries(value)
        .filter(([, each]) => each !== undefined)
        .map(([member, each]) => [member, shownValue(each, [...steps, member])]),
    );
  }
  return value;
}

function durationText(ms: number): string {
  if (ms === 0) return "0s";
  for (const [unit, size] of [
    ["h", 3_600_000],
    ["m", 60_000],
    ["s", 1000],
  ] as const) {
    if (ms % size === 0) return `${ms / size}${unit}`;
  }
  return `${ms}ms`;
}

function sizeText(bytes: number): number | string {
  for (const [unit, size] of [
    ["GiB", 2 ** 30],
    ["MiB", 2 ** 20],
    ["KiB", 2 ** 10],
  ] as const) {
    if (bytes % size === 0) return `${bytes / size}${unit}`;
  }
  return bytes;
}

/** One line of a configuration, and where what it says comes from. */
export interface ConfigLine {
  readonly text: string;
  /** Undefined: the line says nothing by itself. `default`: nobody has said it. */
  readonly origin: string | undefined;
}

/** The lines of a configuration in YAML, each value with its origin. */
export function configLines(config: Config, origins: Origins): ConfigLine[] {
  // A file may say thousands of values: each asks whether any of them stands within it.
  const parents = new Set<string>();
  for (const path of origins.keys()) {
    for (let at = parentPath(path); at !== "" && !parents.has(at); at = parentPath(at)) parents.add(at);
  }
  return linesOf(shown(config), [], "", { values: origins, parents });
}

/** Where values stand, and what has any of them within it. */
interface Places {
  readonly values: Origins;
  readonly parents: ReadonlySet<string>;
}

function linesOf(value: unknown, steps: readonly PropertyKey[], indent: string, origins: Places): ConfigLine[] {
  const isEmpty = Array.isArray(value) ? value.length === 0 : isMapping(value) && Object.keys(value).length === 0;
  if (isEmpty) return [{ text: `${indent}${scalarText(value)}`, origin: originText(steps, origins) }];
  if (Array.isArray(value)) {
    return value.flatMap((each, index) => {
      const brief = briefly(each, [...steps, index], origins);
      if (brief) return [{ ...brief, text: `${indent}- ${brief.text}` }];
      const [first, ...rest] = linesOf(each, [...steps, index], `${indent}  `, origins);
      if (!first) return [];
      return [{ ...first, text: `${indent}- ${first.text.trimStart()}` }, ...rest];
    });
  }
  if (isMapping(value)) {
    return Object.entries(value).flatMap(([name, each]) => {
      const at = [...steps, name];
      const key = `${indent}${stringify(name).trim()}:`;
      if (Array.isArray(each) && each.length > 0)
        return [{ text: key, origin: undefined }, ...linesOf(each, at, `${indent}  `, origins)];
      if (isMapping(each) && Object.keys(each).length > 0)
        return [{ text: key, origin: undefined }, ...linesOf(each, at, `${indent}  `, origins)];
      return [{ text: `${key} ${scalarText(each)}`, origin: originText(at, origins) }];
    });
  }
  return [{ text: `${indent}${scalarText(value)}`, origin: originText(steps, origins) }];
}

/** A small mapping on one line, where all that it says comes from one place. */
function briefly(value: unknown, steps: readonly PropertyKey[], origins: Places): ConfigLine | undefined {
  if (!isMapping(value) || Object.values(value).some((each) => typeof each === "object")) return undefined;
  const places = new Set(Object.keys(value).map((name) => originText([...steps, name], origins)));
  const text = scalarText(value);
  return places.size === 1 && text.length <= mostFlow ? { text, origin: [...places][0] } : undefined;
}

/** Longer ones are read more easily line by line. */
const mostFlow = 100;

function originText(steps: readonly PropertyKey[], { values, parents }: Places): string {
  const path = pathText(steps);
  const at = originPath(values, path);
  // What was said as a whole says its parts, too; what has members of its own that were said has defaults for the others.
  const isSaid = at === path || !parents.has(at ?? "");
  return (isSaid && values.get(at ?? "")?.text) || "default";
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function scalarText(value: unknown): string {
  return stringify(value, { collectionStyle: "flow", lineWidth: 0 }).trim();
}
