import { styleText } from "node:util";
import { anyone } from "../../gateway/caller.ts";
import type { RouteObserver } from "../../routing/observer.ts";
import type { AttemptRecord, SkipRecord, Trail } from "../../routing/trail.ts";
import type { Clock } from "../../runtime/clock.ts";
import { type LogGate, type LogLevel, ranks } from "../../telemetry/log/gate.ts";
import type { Namespace } from "../../telemetry/log/namespaces.ts";
import { servedBy } from "../../telemetry/log/request-fields.ts";
import { requestLevel } from "../../telemetry/log/request-level.ts";
import { placeOf } from "../../telemetry/log/switches.ts";
import type { RequestRecord, RequestWatcher } from "../../telemetry/request-record.ts";
import { skipFix } from "../../telemetry/skip-fixes.ts";
import { printable } from "./terminal-text.ts";

/** What happens, in lines for people. */
export interface TextLog extends RequestWatcher, RouteObserver {
  /** Writes a line that is of no request. */
  tell(level: LogLevel, namespace: Namespace, message: string): void;
}

/**
 * Writes a line for each request, and one for each hop as it ends: whose request, which attempt, where, and how it went; a failed one
 * with its remedy. And one for each breaker that opens or closes.
 * @param servedToo whether a request is worth a line of its own that has been served
 */
export function createTextLog(
  { write, gate, clock }: { write(line: string): void; readonly gate: LogGate; readonly clock: Clock },
  { servedToo }: { readonly servedToo: boolean },
): TextLog {
  const writeLine = (line: string) => write(`${line}\n`);
  return {
    ended(record) {
      if (gate.request > ranks.error) return;
      const level = requestLevel(record);
      if (ranks[level] < gate.request || (!servedToo && ranks[level] < ranks.warn)) return;
      writeLine(requestLine(record, level, clock.wallTime()));
    },
    attemptEnded(trail, attempt) {
      if (ranks[attempt.outcome === "ok" ? "debug" : "warn"] >= gate.hop) writeLine(attemptLine(trail, attempt));
    },
    skipped(trail, skip) {
      if (ranks.debug >= gate.routing) writeLine(skipLine(trail, skip, clock.wallTime()));
    },
    failed(trail) {
      // An endpoint that was left in peace is else worth a line only to a request that was not served.
      if (ranks.warn < gate.hop || ranks.debug >= gate.routing) return;
      for (const skip of trail.skips) writeLine(skipLine(trail, skip, clock.wallTime()));
    },
    breakerChanged(endpoint, state, untilTimeMs) {
      if (ranks[state === "open" ? "warn" : "info"] < gate.breaker) return;
      const now = clock.wallTime();
      const until = untilTimeMs === undefined ? "" : `  for ${seconds(untilTimeMs - now)} at most`;
      const colour = state === "open" ? "red" : state === "closed" ? "green" : "yellow";
      const words = {
        open: "breaker opens",
        half_open: "breaker lets a call through to see",
        closed: "breaker closes",
      };
      const told = [styleText("dim", clockTime(now)), printable(endpoint, 80), styleText(colour, words[state])];
      writeLine(told.join("  ") + until);
    },
    tell(level, namespace, message) {
      if (ranks[level] < gate[namespace]) return;
      const shown =
        level === "error" ? styleText("red", message) : level === "warn" ? styleText("yellow", message) : message;
      writeLine(`${styleText("dim", clockTime(clock.wallTime()))}  ${shown}`);
    },
  };
}

const colours = { debug: "green", info: "green", warn: "red", error: "red" } as const;

function requestLine(record: RequestRecord, level: LogLevel, wallMs: number): string {
  const { head, trail, failure, httpStatus, operation } = record;
  const attempts = trail?.attempts ?? [];
  const server = servedBy(attempts);
  const firstContentAt = attempts.find(({ firstContentMs }) => firstContentMs !== undefined);
  const { startedAt = 0, firstContentMs = 0 } = firstContentAt ?? {};
  const result = `${httpStatus || failure?.http || "-"} ${failure?.kind ?? "ok"}`;
  const colour = failure && level === "info" ? "yellow" : colours[level];
  const notes = [
    `${Math.round(record.endedAt - record.startedAt)} ms`,
    attempts.length !== 1 && trail && `${attempts.length} hops`,
    firstContentAt && `first content after ${Math.round(startedAt + firstContentMs - record.startedAt)} ms`,
    server && !failure && `by ${printable(placeOf(server), 80)}`,
    failure &&
      record.caller !== undefined &&
      record.caller !== anyone.name &&
      `asked by ${printable(record.caller, 80)}`,
    trail?.partial ? "broken off" : failure && failure.rpc !== "canceled" && level !== "info" && "not served",
  ];
  const asked = [
    head.wire,
    operation === undefined ? head.method : printable(operation.replace(/^everhop\.v1\./, ""), 80),
  ];
  const cells = [
    `${styleText("dim", `${clockTime(wallMs)}  ${head.traceId.slice(0, 8)}`)}  ${trail ? printable(trail.model, 80) : "-"}`,
    asked.join(" ").padEnd(27),
    styleText(colour, result.padEnd(20)),
    notes.filter(Boolean).join(", "),
  ];
  // What its hops came to is told by their own lines.
  const fix = failure && attempts.length === 0 ? skipFix(trail?.skips ?? []) : undefined;
  return cells.join("  ") + (fix ? styleText("dim", `  ${printable(fix, 250)}`) : "");
}

function attemptLine(trail: Trail, attempt: AttemptRecord): string {
  const { index, httpStatus, outcome = "", durationMs = 0, firstContentMs, hint, waitMs } = attempt;
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
    printable(placeOf(attempt), 80).padEnd(20),
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
