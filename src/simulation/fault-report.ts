import type { Endpoint } from "../routing/endpoint.ts";
import type { Observations } from "./observations.ts";
import { type Phase, select } from "./scenario.ts";

/** How one endpoint was lost and found again in one phase. Times are counted from the phase's beginning or end. */
export interface FaultReport {
  readonly phase: string;
  readonly endpoint: string;
  readonly fromMs: number;
  readonly toMs: number;
  /** From its beginning to the breaker's opening; undefined: it did not open. */
  readonly openedAfterMs: number | undefined;
  /** Calls that it got while the phase lasted. */
  readonly attempts: number;
  /** From its end to the next call; undefined: none came, or nothing had been lost. */
  readonly firstAttemptMs: number | undefined;
  /** From its end to the first success of a call that came after it; undefined: none came, or nothing had been lost. */
  readonly firstSuccessMs: number | undefined;
  /** From its end until it had nine tenths of the share again that it had before, no sooner than that success; undefined: never, or nothing to compare. */
  readonly fullShareMs: number | undefined;
}

/** All phases in which something fails, each with every endpoint that it touches. */
export function faultReports<E extends Endpoint>(observed: Observations<E>): FaultReport[] {
  const { scenario, places, tallies, breakers } = observed;
  const phases = scenario.phases.filter(
    ({ on, fails, slower, rateLimit, capacity }) => on && (fails.length > 0 || slower > 1 || rateLimit || capacity),
  );
  const touched = phases.map(({ on }) => select(on ?? [], places)?.endpoints);
  /** Whether a phase that began later explains better what happened then. */
  const isAnothers = (own: Phase, at: number, position: number) =>
    phases.some(
      ({ fromMs, toMs }, index) =>
        fromMs > own.fromMs && at >= fromMs && at < toMs && touched[index]?.has(places[position]?.endpoint.id ?? ""),
    );
  return phases.flatMap((phase, index) => {
    const endpoints = touched[index];
    const around = answersAround(observed, phase);
    return places.flatMap(({ endpoint }, position) => {
      const tally = tallies[position];
      if (!endpoints?.has(endpoint.id) || !tally) return [];
      const { fromMs, toMs } = phase;
      const opened = breakers.find(
        ({ endpoint: id, state, at }) =>
          id === endpoint.id && state === "open" && at >= fromMs && at < toMs && !isAnothers(phase, at, position),
      );
      const calls = tally.attemptTimes.filter((at) => at >= fromMs && at < toMs).length;
      const good = tally.successes.filter(({ calledAt }) => calledAt >= fromMs && calledAt < toMs).length;
      // What was never away cannot be found again.
      const lost = opened !== undefined || good < calls * fullShare || lostShare(around, position);
      const attempt = lost ? tally.attemptTimes[firstIndex(tally.attemptTimes, toMs, (at) => at)] : undefined;
      // What was under way when it ended says nothing of how it is found again.
      const since = lost ? firstIndex(tally.successes, toMs, ({ at }) => at) : tally.successes.length;
      const success = tally.successes.slice(since).find(({ calledAt }) => calledAt >= toMs)?.at;
      return [
        {
          phase: phase.name,
          endpoint: endpoint.id,
          fromMs,
          toMs: Math.min(toMs, scenario.durationMs),
          openedAfterMs: opened && opened.at - fromMs,
          attempts: calls,
          firstAttemptMs: attempt === undefined ? undefined : attempt - toMs,
          firstSuccessMs: success === undefined ? undefined : success - toMs,
          fullShareMs: success === undefined ? undefined : fullShareAfter(around, position, success, toMs),
        },
      ];
    });
  });
}

/** So much of what it had before is as good as all. */
const fullShare = 0.9;
/** Shares are counted over so long at least. */
const leastWindowMs = 2000;
/** And over so many requests, so that luck does not decide. */
const leastRequests = 40;
/** What had less than this can hardly be told from luck. */
const leastShare = 0.02;

/** How many requests ended in a stretch, and whose answers they got. */
interface Answers {
  total: number;
  readonly by: number[];
}

/** Who answered before a phase, in it and after it, by the times of the answers. */
interface Around {
  readonly before: Answers;
  readonly during: Answers;
  /** In their order; -1: nobody's answer. */
  readonly after: readonly { readonly at: number; readonly by: number }[];
}

function answersAround<E extends Endpoint>(
  { scenario, requests, places }: Observations<E>,
  { fromMs, toMs }: Phase,
): Around {
  const none = (): Answers => ({ total: 0, by: places.map(() => 0) });
  const [before, during] = [none(), none()];
  const after: { at: number; by: number }[] = [];
  for (const { at: arrivedAt, by, outcome, firstContentMs, totalMs } of requests) {
    if (outcome === "not_admitted") continue;
    const at = arrivedAt + (firstContentMs ?? totalMs);
    if (at >= toMs) {
      // What failed had perhaps been asked in the phase: then that is the phase's doing.
      if (at <= scenario.durationMs && (by >= 0 || arrivedAt >= toMs)) after.push({ at, by });
      continue;
    }
    const stretch = at < fromMs ? before : during;
    stretch.total += 1;
    if (by >= 0) stretch.by[by] = (stretch.by[by] ?? 0) + 1;
  }
  return { before, during, after: after.sort((a, b) => a.at - b.at) };
}

/** The share that an endpoint had before; undefined: too little to go by. */
function usualShare({ before }: Around, position: number): number | undefined {
  const share = before.total < leastRequests ? 0 : (before.by[position] ?? 0) / before.total;
  return share < leastShare ? undefined : share;
}

/** Whether so many of so many requests are a share that is as good as full: one deviation below nine tenths is luck. */
function isFull(own: number, size: number, share: number): boolean {
  const luck = Math.sqrt((share * (1 - share)) / size);
  return own / size >= share * fullShare - luck;
}

/** Whether an endpoint had less than its share while a phase lasted. */
function lostShare(around: Around, position: number): boolean {
  const share = usualShare(around, position);
  const { total, by } = around.during;
  return share !== undefined && total > 0 && !isFull(by[position] ?? 0, total, share);
}

/** When an endpoint has its share again. @param from when it serves again. @param toMs what the time is counted from */
function fullShareAfter(around: Around, position: number, from: number, toMs: number): number | undefined {
  const share = usualShare(around, position);
  if (share === undefined) return undefined;
  const after = around.after.slice(firstIndex(around.after, from, ({ at }) => at));
  let own = 0;
  let first = 0;
  for (const [last, { at, by }] of after.entries()) {
    if (by === position) own += 1;
    const startOf = (index: number) => after[index]?.at ?? 0;
    while (last - first + 1 > leastRequests && at - startOf(first + 1) >= leastWindowMs) {
      if (after[first]?.by === position) own -= 1;
      first += 1;
    }
    const size = last - first + 1;
    if (size < leastRequests || at - startOf(first) < leastWindowMs) continue;
    if (isFull(own, size, share)) return startOf(first) - toMs;
  }
  return undefined;
}

/** Where in a list in the order of time something is from a time on; its length: nowhere. */
function firstIndex<T>(list: readonly T[], from: number, timeOf: (each: T) => number): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (timeOf(list[middle] as T) < from)
      low = middle + 1; // between its ends
    else high = middle;
  }
  return low;
}
