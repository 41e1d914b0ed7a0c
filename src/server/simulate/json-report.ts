import type { Rehearsed } from "./terminal-report.ts";

/** Version of the document's shape: it grows, and this number grows when something in it means something else. */
const version = 1;

/** One rehearsal as a document for programs: stable names, units in the names, absent where nothing was measured. */
export function rehearsalJson({
  scenario,
  configuration,
  models,
  seed,
  notes,
  report,
}: Rehearsed): Record<string, unknown> {
  const document = { version, scenario, configuration, models, seed, notes, ...report };
  return snakeCase(document) as Record<string, unknown>; // an object stays one
}

/** Names as the rest of the API has them, and numbers no finer than anybody can use. */
function snakeCase(value: unknown): unknown {
  if (typeof value === "number") return Math.round(value * 1e6) / 1e6;
  if (Array.isArray(value)) return value.map(snakeCase);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .map(([name, member]) => [snakeName(name), snakeCase(member)]),
  );
}

/** `p99Ms` is `p99_ms`. */
function snakeName(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
