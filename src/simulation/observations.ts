import type { BreakerState } from "../routing/breaker.ts";
import type { Endpoint, SkipReason } from "../routing/endpoint.ts";
import type { FaultClass } from "../routing/verdict.ts";
import type { Place, Scenario } from "./scenario.ts";

/** How a simulated request ended. */
export type RequestOutcome =
  | "served"
  | "failed" // before any content
  | "broken" // after its first content
  | "gave_up" // the caller lost patience before any content
  | "left" // the caller lost interest after its first content
  | "not_admitted"; // the caller is at a limit of its own

/** How a caller sees that it is not served. */
export interface Refusal {
  readonly httpStatus: number;
  readonly code: string;
}

/** One request from its arrival to its end. Times are ms from the rehearsal's beginning. */
export interface RequestRecord {
  readonly at: number;
  readonly caller: string;
  readonly stream: boolean;
  readonly outcome: RequestOutcome;
  /** Whose answer it was, by position among the places; -1: nobody's. */
  readonly by: number;
  readonly attempts: number;
  readonly firstContentMs: number | undefined;
  readonly totalMs: number;
  readonly refusal: Refusal | undefined;
  /** Why endpoints were passed over, when it failed. */
  readonly skips: readonly SkipReason[];
  /** Endpoints that were tried or passed over when it was not served, by position among the places. */
  readonly met: readonly number[];
  /** Whether another endpoint went on with a stream that broke. */
  readonly recovered: boolean;
  /** Whether a second attempt beside a slow one was the quicker. */
  readonly hedgeWon: boolean;
}

/** What became of attempts at one endpoint. */
export interface EndpointTally {
  /** When each began. */
  readonly attemptTimes: number[];
  /** When each answer's first content, or a whole answer, was in hand, and when the call for it had begun. */
  readonly successes: { readonly at: number; readonly calledAt: number }[];
  /** When each call began that took as long as it may and brought nothing. */
  readonly timeouts: number[];
  readonly outcomes: Map<"ok" | FaultClass, number>;
  hedges: number;
  recoveries: number;
  /** Of answers, whole and broken. */
  costUsd: number;
  /** Of attempts that failed after they had been sent: the provider may charge for their prompts. */
  possiblyBilledUsd: number;
}

/** How many of a provider's keys could be used at a time. */
export interface KeySample {
  readonly provider: string;
  readonly total: number;
  least: number;
  atEnd: number;
}

/** A breaker's change. */
export interface BreakerEvent {
  readonly at: number;
  readonly endpoint: string;
  readonly state: BreakerState;
}

/** All that a rehearsal has shown. */
export interface Observations<E extends Endpoint> {
  readonly scenario: Scenario;
  readonly places: readonly Place<E>[];
  /** In the order of their arrival. */
  readonly requests: readonly RequestRecord[];
  /** As the places. */
  readonly tallies: readonly EndpointTally[];
  readonly breakers: readonly BreakerEvent[];
  /** By reason, and by the position of the endpoint that was passed over. */
  readonly skips: ReadonlyMap<SkipReason, ReadonlyMap<string, number>>;
  readonly keys: readonly KeySample[];
  /** The gateway's own limit of a call. */
  readonly maxDurationMs: number;
  /** When the last request had ended. */
  readonly endedAt: number;
}

/** Nothing has been seen of an endpoint yet. */
export function newTally(): EndpointTally {
  return {
    attemptTimes: [],
    successes: [],
    timeouts: [],
    outcomes: new Map(),
    hedges: 0,
    recoveries: 0,
    costUsd: 0,
    possiblyBilledUsd: 0,
  };
}
