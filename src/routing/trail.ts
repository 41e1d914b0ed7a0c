import type { Endpoint, Key, SkipReason } from "./endpoint.ts";
import type { FaultClass } from "./verdict.ts";

/** Tokens of one attempt, as the provider counted them. */
export interface TokenCounts {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cachedInputTokens?: number;
  readonly reasoningTokens?: number;
}

/** What only the payload's side of an attempt knows. */
export interface AttemptFacts {
  httpStatus: number;
  upstreamRequestId: string;
  usage: TokenCounts;
}

/** One upstream call. Its end is missing while it runs. */
export interface AttemptRecord extends Partial<AttemptFacts> {
  /** From 1. */
  readonly index: number;
  readonly provider: string;
  readonly endpoint: string;
  readonly upstreamModel: string;
  /** Empty when the provider wants no key. */
  readonly keyName: string;
  readonly tier: number;
  /** Wall time, for people. */
  readonly startTimeMs: number;
  /** From its start to the first content of a stream. */
  firstContentMs?: number;
  /** From its start to its end. */
  durationMs?: number;
  outcome?: "ok" | FaultClass;
  providerCode?: string;
  /** How long the provider asked to be left alone. */
  retryAfterMs?: number;
  hint?: string;
}

/** One candidate that was passed over. */
export interface SkipRecord {
  readonly endpoint: string;
  readonly reason: SkipReason;
  /** Index of the attempt that was chosen past it; one more than the last where none was. */
  readonly beforeAttempt: number;
}

/** A request's way: every attempt and every skip, in order. Live: the attempt of a stream ends after the router has answered. */
export interface Trail {
  readonly model: string;
  readonly policy: string;
  /** W3C trace id, 32 hexadecimal digits. */
  readonly traceId: string;
  readonly attempts: readonly AttemptRecord[];
  readonly skips: readonly SkipRecord[];
  /** Whether the request failed after content had reached the caller. */
  readonly partial: boolean;
}

/** The one writer of a trail. */
export interface TrailWriter extends Trail {
  attempt(endpoint: Endpoint, key: Key | undefined, startTimeMs: number): AttemptRecord;
  skip(endpoint: string, reason: SkipReason): void;
  breakOff(): void;
}

/** Opens the trail of one request. */
export function createTrail(model: string, policy: string, traceId: string): TrailWriter {
  const attempts: AttemptRecord[] = [];
  const skips: SkipRecord[] = [];
  let partial = false;
  return {
    model,
    policy,
    traceId,
    attempts,
    skips,
    get partial() {
      return partial;
    },
    attempt({ provider, id, upstreamModel, tier }, key, startTimeMs) {
      const index = attempts.length + 1;
      const record = { index, provider, endpoint: id, upstreamModel, keyName: key?.name ?? "", tier, startTimeMs };
      attempts.push(record);
      return record;
    },
    skip(endpoint, reason) {
      skips.push({ endpoint, reason, beforeAttempt: attempts.length + 1 });
    },
    breakOff() {
      partial = true;
    },
  };
}
