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
  /** From its end to the next call. */
  readonly firstAttemptMs: number | undefined;
  /** From its end to the next success. */
  readonly firstSuccessMs: number | undefined;
  /** From its end until it had nine tenths of the share again that it had before; undefined: never, or nothing to compare. */
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
      // What was under way when it ended says nothing of how it is found again.
      const attempt = firstAtLeast(tally.attemptTimes, toMs);
      const success = firstAtLeast(tally.successTimes, toMs);
      return [
        {
          phase: phase.name,
          endpoint: endpoint.id,
          fromMs,
          toMs: Math.min(toMs, scenario.durationMs),
          openedAfterMs: opened && opened.at - fromMs,
          attempts: tally.attemptTimes.filter((at) => at >= fromMs && at < toMs).length,
          firstAttemptMs: attempt === undefined ? undefined : attempt - toMs,
          firstSuccessMs: success === undefined ? undefined : success - toMs,
          fullShareMs: fullShareAfter(around, position, toMs),
        },
      ];
    });
  });
}

/** Shares are counted over so long at least. */
const leastWindowMs = 2000;
/** And over so many requests, so that luck does not decide. */
const leastRequests = 40;
/** What had less than this can hardly be told from luck. */
const leastShare = 0.02;

/** Who answered before a phase, and what was answered after it by whom. */
interface Around {
  readonly before: { readonly total: number; readonly by: readonly number[] };
  readonly after: readonly { readonly at: number; readonly by: number }[];
}

function answersAround<E extends Endpoint>(
  { scenario, requests, places }: Observations<E>,
  { fromMs, toMs }: Phase,
): Around {
  const by = places.map(() => 0);
  let total = 0;
  const after: { at: number; by: number }[] = [];
  for (const request of requests) {
    if (request.by < 0) continue;
    if (request.at < fromMs) {
      by[request.by] = (by[request.by] ?? 0) + 1;
      total += 1;
    } else if (request.at >= toMs && request.at <= scenario.durationMs) after.push(request);
  }
  return { before: { total, by }, after };
}

function fullShareAfter({ before, after }: Around, position: number, toMs: number): number | undefined {
  if (before.total < leastRequests) return undefined;
  const share = (before.by[position] ?? 0) / before.total;
  if (share < leastShare) return undefined;
  // A stretch with so many requests holds about its share of them; one deviation below nine tenths is luck.
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
    const luck = Math.sqrt((share * (1 - share)) / size);
    if (own / size >= share * 0.9 - luck) return startOf(first) - toMs;
  }
  return undefined;
}

/** The first of ascending times from a time on. */
function firstAtLeast(times: readonly number[], from: number): number | undefined {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((times[middle] ?? 0) < from) low = middle + 1;
    else high = middle;
  }
  return times[low];
}
