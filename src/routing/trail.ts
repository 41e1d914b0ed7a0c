import type { Endpoint, Key, SkipReason } from "./endpoint.ts";
import type { FaultClass } from "./verdict.ts";

/** Tokens of one attempt, as the provider counted them. */
export interface TokenCounts {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cachedInputTokens?: number;
  readonly reasoningTokens?: number;
  /** The provider did not count: these are a guess from the lengths of texts. */
  readonly estimated?: boolean;
}

/** What only the payload's side of an attempt knows. */
export interface AttemptFacts {
  httpStatus: number;
  upstreamRequestId: string;
  usage: TokenCounts;
  /** What an operator might do about its end, or might want to know of it. */
  hint: string;
}

/** Why a request waited before an attempt. */
export type WaitReason =
  | "backoff" // before it asks an endpoint again
  | "retry_after" // the provider asked to be left alone for so long
  | "queue"; // for a limit of ours

/** Why an attempt was made, beside the ordinary reason that the request had none yet or the one before it failed. */
export type Purpose =
  | "hedge" // beside one that was slow: the first content of the two counts
  | "recovery"; // to go on with a stream that broke after its first content

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
  /** How long the request waited just before it; undefined: not at all. */
  readonly waitMs?: number;
  readonly waitReason?: WaitReason;
  readonly purpose?: Purpose;
  /** From its start to the first content of a stream. */
  firstContentMs?: number;
  /** From its start to its end. */
  durationMs?: number;
  outcome?: "ok" | FaultClass;
  providerCode?: string;
  /** How long the provider asked to be left alone. */
  retryAfterMs?: number;
  /** Whether it failed after the request had been written: the provider may charge for it. */
  maybeBilled?: boolean;
}

/** One candidate that was passed over. */
export interface SkipRecord {
  readonly endpoint: string;
  readonly reason: SkipReason;
  /** Wall time until which the reason holds; undefined: not known, or for this request only. */
  readonly untilTimeMs?: number;
  /** More about the reason, for people: `2 limited, 1 refused` of keys. */
  readonly detail?: string;
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
  /** The first hundred; nobody reads more. */
  readonly skips: readonly SkipRecord[];
  /** Skips beyond those. */
  readonly omittedSkips: number;
  /** Whether the request failed after content had reached the caller. */
  readonly partial: boolean;
}

/** A wait that lies behind a request. */
export interface Waited {
  readonly ms: number;
  readonly reason: WaitReason;
}

/** The one writer of a trail. */
export interface TrailWriter extends Trail {
  attempt(
    endpoint: Endpoint,
    key: Key | undefined,
    startTimeMs: number,
    waited: Waited | undefined,
    purpose?: Purpose,
  ): AttemptRecord;
  /** Told once for each endpoint and reason. @returns the new record; undefined when it has been told */
  skip(
    endpoint: string,
    reason: SkipReason,
    facts?: { readonly untilTimeMs?: number; readonly detail?: string },
  ): SkipRecord | undefined;
  breakOff(): void;
}

/** A pool may have thousands of endpoints. */
const maxSkips = 100;

/** Opens the trail of one request. */
export function createTrail(model: string, policy: string, traceId: string): TrailWriter {
  return new RequestTrail(model, policy, traceId);
}

/** A class, for every request makes one: closures and accessors of each one's own would cost several times as much. */
class RequestTrail implements TrailWriter {
  readonly model: string;
  readonly policy: string;
  readonly traceId: string;
  readonly attempts: AttemptRecord[] = [];
  readonly skips: SkipRecord[] = [];
  partial = false;
  /** Made when something is passed over. */
  #told: Set<string> | undefined;

  constructor(model: string, policy: string, traceId: string) {
    this.model = model;
    this.policy = policy;
    this.traceId = traceId;
  }

  get omittedSkips(): number {
    return (this.#told?.size ?? 0) - this.skips.length;
  }

  attempt(
    { provider, id, upstreamModel, tier }: Endpoint,
    key: Key | undefined,
    startTimeMs: number,
    waited: Waited | undefined,
    purpose?: Purpose,
  ): AttemptRecord {
    const index = this.attempts.length + 1;
    const keyName = key?.name ?? "";
    const record: AttemptRecord = { index, provider, endpoint: id, upstreamModel, keyName, tier, startTimeMs };
    const whole =
      waited || purpose
        ? { ...record, ...(waited && { waitMs: waited.ms, waitReason: waited.reason }), ...(purpose && { purpose }) }
        : record;
    this.attempts.push(whole);
    return whole;
  }

  skip(
    endpoint: string,
    reason: SkipReason,
    facts?: { readonly untilTimeMs?: number; readonly detail?: string },
  ): SkipRecord | undefined {
    this.#told ??= new Set();
    const { size } = this.#told;
    if (this.#told.add(`${reason} ${endpoint}`).size === size || size >= maxSkips) return undefined;
    const record = { endpoint, reason, ...facts, beforeAttempt: this.attempts.length + 1 };
    this.skips.push(record);
    return record;
  }

  breakOff(): void {
    this.partial = true;
  }
}
