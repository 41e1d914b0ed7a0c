import { durationMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { AttemptOutcome, type RouteTrail, SkipReason } from "../../../chat/messages.ts";
import { printable } from "../terminal-text.ts";
import type { Paint } from "./paint.ts";

type Attempt = RouteTrail["attempts"][number];
type Skip = RouteTrail["skips"][number];

/** Values of the contract in the words of the log; those of a later version have none. */
const outcomes = wordsOf(AttemptOutcome);
const reasons = wordsOf(SkipReason);

function wordsOf(values: Readonly<Record<string, number>>): ReadonlyMap<number, string> {
  return new Map(Object.entries(values).map(([name, value]) => [value, name.toLowerCase()]));
}

/** A stream's second beginning: where it was, when it broke. */
export interface Recovered {
  readonly case: "restarted" | "resumed";
  readonly provider: string;
  /** 0: not told. */
  readonly attemptIndex: number;
}

/**
 * The way of a request, a line for each attempt and each endpoint that was passed over, in order.
 * @param wallMs now, for how long an endpoint will still be passed over
 */
export function hopLines(
  { attempts, skips, omittedAttempts, omittedSkips }: RouteTrail,
  recovered: Recovered | undefined,
  paint: Paint,
  wallMs: number,
): string[] {
  const names = [...attempts.map(nameOf), ...skips.map(({ endpoint }) => printable(endpoint))];
  const width = Math.min(44, Math.max(...names.map((name) => name.length)));
  const steps = [
    ...skips.map((skip) => ({ at: skip.beforeAttempt - 0.5, line: skipLine(skip, width, paint, wallMs) })),
    ...attempts.map((attempt) => ({ at: attempt.index, line: attemptLine(attempt, width, paint, recovered) })),
  ];
  const omitted = [
    omittedAttempts > 0 && `${omittedAttempts} more hops`,
    omittedSkips > 0 && `${omittedSkips} more skips`,
  ];
  const rest = omitted.filter(Boolean).join(", ");
  return [...steps.sort((a, b) => a.at - b.at).map(({ line }) => line), ...(rest ? [paint("dim", `and ${rest}`)] : [])];
}

function nameOf({ endpoint, keyName }: Attempt): string {
  return printable(`${endpoint}${keyName && `#${keyName}`}`);
}

function attemptLine(attempt: Attempt, width: number, paint: Paint, recovered: Recovered | undefined): string {
  const { index, httpStatus, outcome, duration, timeToFirstToken, wait, waitReason, purpose, hint, maybeBilled } =
    attempt;
  const good = outcome === AttemptOutcome.OK || outcome === AttemptOutcome.SUPERSEDED;
  const result = `${httpStatus || "-"} ${outcomes.get(outcome) ?? "?"}`;
  const notes = [
    duration && `${durationMs(duration)} ms`,
    timeToFirstToken && `first content after ${durationMs(timeToFirstToken)} ms`,
    wait && `waited ${durationMs(wait)} ms for ${printable(waitReason)}`,
    recovered?.attemptIndex === index ? recovered.case : printable(purpose),
    maybeBilled && "may be charged",
    !good && printable(hint),
  ];
  const cells = [`hop ${index}`.padEnd(6), nameOf(attempt).padEnd(width)];
  const told = paint("dim", notes.filter(Boolean).join(", "));
  return `${paint("dim", cells.join("  "))}  ${paint(good ? "green" : "red", result.padEnd(19))}  ${told}`;
}

function skipLine({ endpoint, reason, untilTime, detail }: Skip, width: number, paint: Paint, wallMs: number): string {
  const seconds = untilTime && Math.max(0, timestampMs(untilTime) - wallMs) / 1000;
  const notes = [seconds !== undefined && `for ${seconds.toFixed(1)} s`, detail && `keys: ${printable(detail)}`];
  const cells = ["skip".padEnd(6), printable(endpoint).padEnd(width)];
  const told = paint("dim", notes.filter(Boolean).join(", "));
  return `${paint("dim", cells.join("  "))}  ${paint("yellow", (reasons.get(reason) ?? "?").padEnd(19))}  ${told}`.trimEnd();
}
