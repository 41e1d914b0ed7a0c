import type { Endpoint, SkipReason } from "../routing/endpoint.ts";
import type { RouteObserver } from "../routing/observer.ts";
import type { AttemptRecord, Trail } from "../routing/trail.ts";
import type { Clock } from "../runtime/clock.ts";
import { type BreakerEvent, type EndpointTally, newTally } from "./observations.ts";
import type { RequestUnderWay } from "./request-under-way.ts";
import type { Place } from "./scenario.ts";

/** Sees what the engine does and keeps count of it. */
export interface Witness<E extends Endpoint> {
  readonly observer: RouteObserver;
  /** Requests under way, by their trace ids. */
  readonly underWay: Map<string, RequestUnderWay<E>>;
  /** As the places. */
  readonly tallies: readonly EndpointTally[];
  readonly breakers: readonly BreakerEvent[];
  readonly skips: ReadonlyMap<SkipReason, ReadonlyMap<string, number>>;
  /** Position of an endpoint among the places. */
  positionOf(endpoint: string): number;
  /** Calls of an endpoint in flight. */
  inFlight(endpoint: string): number;
}

/** @param places every endpoint that may be asked */
export function createWitness<E extends Endpoint>(places: readonly Place<E>[], clock: Clock): Witness<E> {
  const positions = new Map(places.map(({ endpoint }, position) => [endpoint.id, position]));
  const tallies = places.map(newTally);
  const inFlight = places.map(() => 0);
  const breakers: BreakerEvent[] = [];
  const skips = new Map<SkipReason, Map<string, number>>();
  const underWay = new Map<string, RequestUnderWay<E>>();
  const positionOf = (endpoint: string) => {
    const position = positions.get(endpoint);
    if (position === undefined) throw new Error(`${endpoint} is no place of this rehearsal`);
    return position;
  };
  const tallyOf = (endpoint: string) => tallies[positionOf(endpoint)] as EndpointTally; // one for each place
  const count = (endpoint: string, by: 1 | -1) => {
    const position = positionOf(endpoint);
    inFlight[position] = (inFlight[position] ?? 0) + by;
  };
  /** When attempts under way began. */
  const begun = new Map<string, number>();
  const nameOf = ({ traceId }: Trail, { index }: AttemptRecord) => `${traceId}/${index}`;
  const succeeded = (trail: Trail, attempt: AttemptRecord) => {
    const at = clock.now();
    tallyOf(attempt.endpoint).successes.push({ at, calledAt: begun.get(nameOf(trail, attempt)) ?? at });
  };
  return {
    underWay,
    tallies,
    breakers,
    skips,
    positionOf,
    inFlight: (endpoint) => inFlight[positionOf(endpoint)] ?? 0,
    observer: {
      attemptStarted(trail, attempt) {
        const { endpoint, purpose } = attempt;
        const tally = tallyOf(endpoint);
        count(endpoint, 1);
        begun.set(nameOf(trail, attempt), clock.now());
        tally.attemptTimes.push(clock.now());
        if (purpose === "hedge") tally.hedges += 1;
        if (purpose === "recovery") tally.recoveries += 1;
      },
      committed(trail, attempt) {
        succeeded(trail, attempt);
        underWay.get(trail.traceId)?.committed(attempt.index);
      },
      attemptEnded(trail, attempt) {
        const { endpoint, outcome = "internal", firstContentMs } = attempt;
        const tally = tallyOf(endpoint);
        count(endpoint, -1);
        tally.outcomes.set(outcome, (tally.outcomes.get(outcome) ?? 0) + 1);
        if (outcome === "ok" && firstContentMs === undefined) succeeded(trail, attempt);
        const calledAt = begun.get(nameOf(trail, attempt)) ?? clock.now();
        const limits = places[positionOf(endpoint)]?.endpoint.limits;
        const failed = outcome === "transient_fault" && firstContentMs === undefined;
        if (failed && limits && clock.now() - calledAt >= Math.min(limits.firstContentMs, limits.totalMs)) {
          tally.timeouts.push(calledAt);
        }
        begun.delete(nameOf(trail, attempt));
        const cost = underWay.get(trail.traceId)?.costOf(attempt);
        tally.costUsd += cost?.sure ?? 0;
        tally.possiblyBilledUsd += cost?.possible ?? 0;
      },
      skipped(_, { reason, endpoint }) {
        const byEndpoint = skips.get(reason) ?? new Map<string, number>();
        skips.set(reason, byEndpoint);
        byEndpoint.set(endpoint, (byEndpoint.get(endpoint) ?? 0) + 1);
      },
      breakerChanged: (endpoint, state) => breakers.push({ at: clock.now(), endpoint, state }),
    },
  };
}
