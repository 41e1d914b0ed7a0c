import { styleText } from "node:util";
import type { RouteObserver } from "../../routing/observer.ts";
import type { AttemptRecord, SkipRecord, Trail } from "../../routing/trail.ts";
import { printable } from "./terminal-text.ts";

/** Which hops are told: all of them, those that failed, or none. */
export type HopLogLevel = "debug" | "info" | "error";

/**
 * Writes a line for each hop as it ends: whose request, which attempt, where, and how it went; a failed one with its remedy. And one
 * for each breaker that opens or closes.
 * @param wallTime the time of lines that belong to no attempt
 */
export function createHopLog(write: (line: string) => void, level: HopLogLevel, wallTime: () => number): RouteObserver {
  if (level === "error") return {};
  return {
    attemptEnded(trail, attempt) {
      if (level === "debug" || attempt.outcome !== "ok") write(attemptLine(trail, attempt));
    },
    skipped(trail, skip) {
      if (level === "debug") write(skipLine(trail, skip, wallTime()));
    },
    failed(trail) {
      // At info an endpoint that was left in peace is worth a line only to a request that was not served.
      if (level === "info") for (const skip of trail.skips) write(skipLine(trail, skip, wallTime()));
      const tries = trail.attempts.length === 1 ? "1 attempt" : `${trail.attempts.length} attempts`;
      const end = trail.partial ? "broken off" : "not served";
      write(`${start(trail, wallTime())}  ${styleText("red", end)}, after ${tries}`);
    },
    breakerChanged(endpoint, state, untilTimeMs) {
      const now = wallTime();
      const until = untilTimeMs === undefined ? "" : `  for ${seconds(untilTimeMs - now)} at most`;
      const colour = state === "open" ? "red" : state === "closed" ? "green" : "yellow";
      const words = {
        open: "breaker opens",
        half_open: "breaker lets a call through to see",
        closed: "breaker closes",
      };
      write(
        `${styleText("dim", clockTime(now))}  ${printable(endpoint, 80)}  ${styleText(colour, words[state])}${until}`,
      );
    },
  };
}

function attemptLine(trail: Trail, attempt: AttemptRecord): string {
  const { index, endpoint, keyName, httpStatus, outcome = "", durationMs = 0, firstContentMs, hint, waitMs } = attempt;
  const good = outcome === "ok" || outcome === "superseded";
  const result = `${httpStatus ?? "-"} ${outcome}`;
  const times = [
    `${Math.round(durationMs)} ms`,
    firstContentMs !== undefined && `first content after ${Math.round(firstContentMs)} ms`,
    waitMs !== undefined && `after ${Math.round(waitMs)} ms of ${attempt.waitReason}`,
    !good && firstContentMs !== undefined && "after its first content",
    attempt.purpose,
  ];
  const cells = [
    start(trail, attempt.startTimeMs + durationMs),
    `hop ${index}`,
    printable(`${endpoint}${keyName && `#${keyName}`}`, 80).padEnd(20),
    styleText(good ? "green" : "red", result.padEnd(20)),
    times.filter(Boolean).join(", "),
  ];
  return cells.join("  ") + (good || !hint ? "" : styleText("dim", `  ${hint}`));
}

function skipLine(trail: Trail, skip: SkipRecord, wallMs: number): string {
  const { endpoint, reason, untilTimeMs, detail, beforeAttempt } = skip;
  const notes = [untilTimeMs !== undefined && `for ${seconds(untilTimeMs - wallMs)}`, detail && `keys: ${detail}`];
  const told = notes.filter(Boolean).join(", ");
  return (
    [
      start(trail, wallMs),
      `skip ${beforeAttempt}`,
      printable(endpoint, 80).padEnd(20),
      styleText("yellow", reason.padEnd(20)),
    ].join("  ") + (told && styleText("dim", `  ${told}`))
  );
}

function seconds(ms: number): string {
  return ms >= 10_000 ? `${Math.round(ms / 1000)} s` : `${(Math.max(0, ms) / 1000).toFixed(1)} s`;
}

/** When, and of which request: the trace id's beginning tells lines of one request. */
function start({ traceId, model }: Trail, wallMs: number): string {
  return `${styleText("dim", `${clockTime(wallMs)}  ${traceId.slice(0, 8)}`)}  ${printable(model, 80)}`;
}

function clockTime(wallMs: number): string {
  return new Date(wallMs).toISOString().slice(11, 23);
}
