import { styleText } from "node:util";
import type { RouteObserver } from "../../routing/observer.ts";
import type { AttemptRecord, SkipRecord, Trail } from "../../routing/trail.ts";

/** Which hops are told: all of them, those that failed, or none. */
export type HopLogLevel = "debug" | "info" | "error";

/** Writes a line for each hop as it ends: whose request, which attempt, where, and how it went; a failed one with its remedy. */
export function createHopLog(write: (line: string) => void, level: HopLogLevel): RouteObserver {
  if (level === "error") return {};
  return {
    attemptEnded(trail, attempt) {
      if (level === "debug" || attempt.outcome !== "ok") write(attemptLine(trail, attempt));
    },
    skipped(trail, skip) {
      write(skipLine(trail, skip));
    },
  };
}

function attemptLine(trail: Trail, attempt: AttemptRecord): string {
  const { index, endpoint, keyName, httpStatus, outcome = "", durationMs = 0, firstContentMs, hint } = attempt;
  const good = outcome === "ok";
  const result = `${httpStatus ?? "-"} ${outcome}`;
  const times = [
    `${Math.round(durationMs)} ms`,
    firstContentMs !== undefined && `first content after ${Math.round(firstContentMs)} ms`,
    trail.partial && "after its first content",
  ];
  const cells = [
    start(trail, attempt.startTimeMs + durationMs),
    `hop ${index}`,
    printable(`${endpoint}${keyName && `#${keyName}`}`).padEnd(20),
    styleText(good ? "green" : "red", result.padEnd(20)),
    times.filter(Boolean).join(", "),
  ];
  return cells.join("  ") + (good || !hint ? "" : styleText("dim", `  ${hint}`));
}

function skipLine(trail: Trail, { endpoint, reason, beforeAttempt }: SkipRecord): string {
  const last = trail.attempts.at(-1);
  const wallMs = last ? last.startTimeMs + (last.durationMs ?? 0) : undefined;
  return [
    start(trail, wallMs),
    `skip ${beforeAttempt}`,
    printable(endpoint).padEnd(20),
    styleText("yellow", reason),
  ].join("  ");
}

/** When, and of which request: the trace id's beginning tells lines of one request. */
function start({ traceId, model }: Trail, wallMs: number | undefined): string {
  const time = wallMs === undefined ? "--:--:--.---" : new Date(wallMs).toISOString().slice(11, 23);
  return `${styleText("dim", `${time}  ${traceId.slice(0, 8)}`)}  ${printable(model)}`;
}

/** A caller may put anything into a model's name; a terminal obeys some of it. */
function printable(name: string): string {
  return name.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "?").slice(0, 80);
}
