import type { BreakerState } from "../routing/breaker.ts";
import type { FaultReport } from "./fault-report.ts";
import type { Refusal, RequestRecord } from "./observations.ts";

/** Two percentiles of a time; undefined: nothing was measured. */
export interface Percentiles {
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
}

/** A phase as it fell on this configuration. */
export interface PhaseReport {
  readonly name: string;
  readonly fromMs: number;
  readonly toMs: number;
  /** Whom it touched; empty: the callers alone. */
  readonly endpoints: readonly string[];
  /** What it did, in words. */
  readonly does: string;
}

/** A stretch of the timeline; requests belong to the one in which they arrived. */
export interface Bucket {
  readonly fromMs: number;
  readonly requests: number;
  readonly unserved: number;
  /** Undefined: nobody came. */
  readonly availabilityPercent: number | undefined;
  readonly firstContent: Percentiles;
  readonly total: Percentiles;
  /** Answers by endpoint, in the endpoints' order. */
  readonly answers: readonly number[];
}

/** The whole stretch in equal parts. */
export interface Timeline {
  readonly bucketMs: number;
  readonly buckets: readonly Bucket[];
}

/** What one endpoint did. */
export interface EndpointReport {
  readonly endpoint: string;
  readonly provider: string;
  /** From 1, in the first model that has it. */
  readonly tier: number;
  /** That callers got, whole or as far as they wanted. */
  readonly answers: number;
  readonly sharePercent: number;
  readonly attempts: number;
  readonly failures: number;
  readonly failuresByOutcome: readonly { readonly outcome: string; readonly count: number }[];
  readonly hedges: number;
  readonly recoveries: number;
  /** Undefined: it has no prices. */
  readonly costUsd: number | undefined;
  readonly possiblyBilledUsd: number | undefined;
  readonly breaker: { readonly opened: number; readonly openMs: number; readonly atEnd: BreakerState };
  /** Undefined: its provider wants none. */
  readonly keys: { readonly total: number; readonly least: number; readonly atEnd: number } | undefined;
}

/** A count of one way in which requests were not served. */
export interface RefusalReport extends Refusal {
  readonly outcome: RequestRecord["outcome"];
  readonly count: number;
  readonly firstMs: number;
  readonly lastMs: number;
}

/** Everything that a rehearsal says. */
export interface Report {
  readonly headline: {
    readonly requests: number;
    readonly served: number;
    readonly failed: number;
    readonly broken: number;
    readonly gaveUp: number;
    readonly left: number;
    readonly notAdmitted: number;
    /** Of requests that were let in: those that were served, or that their callers left after content had come; undefined: nobody was. */
    readonly availabilityPercent: number | undefined;
    readonly attempts: number;
    readonly hopsPerRequest: number;
    readonly firstContent: Percentiles;
    readonly total: Percentiles;
    /** Of endpoints with prices; undefined: none has any. */
    readonly costUsd: number | undefined;
    readonly possiblyBilledUsd: number | undefined;
    readonly unpriced: readonly string[];
  };
  readonly streams: {
    readonly requests: number;
    readonly whole: number;
    readonly broken: number;
    /** That their callers left after content had come. */
    readonly left: number;
    /** That failed, or were given up, before any content. */
    readonly withoutContent: number;
    readonly recovered: number;
    readonly hedges: number;
    readonly hedgesWon: number;
  };
  readonly durationMs: number;
  readonly phases: readonly PhaseReport[];
  readonly timeline: Timeline;
  readonly endpoints: readonly EndpointReport[];
  readonly faults: readonly FaultReport[];
  readonly refusals: readonly RefusalReport[];
  readonly skips: readonly { readonly reason: string; readonly count: number; readonly endpoints: readonly string[] }[];
  readonly breakerEvents: readonly { readonly atMs: number; readonly endpoint: string; readonly state: BreakerState }[];
  readonly findings: readonly string[];
}
