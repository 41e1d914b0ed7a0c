import type { DebugPatterns, Namespace } from "./namespaces.ts";
import { namespaces } from "./namespaces.ts";

/** How much a line matters. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/** The order of levels. */
export const ranks: Readonly<Record<LogLevel, number>> = { debug: 1, info: 2, warn: 3, error: 4 };

/**
 * What is written: for each namespace the least rank. Whoever has something to tell compares two numbers first, and does nothing more
 * for what nobody reads.
 */
export type LogGate = Record<Namespace, number>;

/** A gate that lets nothing through. */
export function closedGate(): LogGate {
  return Object.fromEntries(namespaces.map((each) => [each, Number.POSITIVE_INFINITY])) as LogGate; // one for each name
}

/**
 * Sets a gate: a level for all, but every line of a namespace that is wanted by name, and of one that is excluded by name only what is
 * worth telling without `debug`.
 * @param level undefined: nothing at all is written
 */
export function setGate(gate: LogGate, level: LogLevel | undefined, debug: DebugPatterns): void {
  for (const each of namespaces) {
    if (level === undefined) gate[each] = Number.POSITIVE_INFINITY;
    else if (debug.excludes(each)) gate[each] = Math.max(ranks[level], ranks.info);
    else gate[each] = debug.includes(each) ? ranks.debug : ranks[level];
  }
}
