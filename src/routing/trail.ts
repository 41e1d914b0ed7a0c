import type { Permit } from "./breaker.ts";
import type { Endpoint, Key, Pool, SkipReason } from "./endpoint.ts";
import type { FaultClass, Verdict } from "./verdict.ts";

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
  /** What it cost by the endpoint's prices, in millionths of a US dollar, rounded. */
  costMicros: number;
  /** The model that answered, in the provider's words. */
  responseModel: string;
  /** How each candidate of the answer ended, in the provider's words. */
  finishReasons: readonly string[];
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

/** One wait of a request. */
export interface WaitRecord {
  readonly reason: WaitReason;
  /** Monotonic ms. */
  readonly startedAt: number;
  readonly durationMs: number;
  /** Index of the attempt that it was before; one more than the last where none came of it. */
  readonly beforeAttempt: number;
}

/** An attempt that others are told of: by the trace that it stands in, and its span. */
export interface AttemptRef {
  readonly traceId: string;
  readonly spanId: string;
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
  /** The same moment in monotonic ms. */
  readonly startedAt: number;
  /** How the endpoint's breaker let it through: as always, to see how it fares, or because nothing else was left. */
  readonly permit: Permit["kind"];
  /** How long the request waited just before it; undefined: not at all. */
  readonly waitMs?: number;
  readonly waitReason?: WaitReason;
  readonly purpose?: Purpose;
  /** From its start to the first content of a stream. */
  firstContentMs?: number;
  /** From its start to its end. */
  durationMs?: number;
  outcome?: "ok" | FaultClass;
  /** What its failure meant for the request, and who was to blame. */
  verdict?: Pick<Verdict, "next" | "blame">;
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
  /** The attempt that opened the breaker. */
  readonly openedBy?: AttemptRef;
  /** Monotonic ms. */
  readonly at: number;
  /** Index of the attempt that was chosen past it; one more than the last where none was. */
  readonly beforeAttempt: number;
}

/** A request's way: every attempt and every skip, in order. Live: the attempt of a stream ends after the router has answered. */
export interface Trail {
  readonly model: string;
  readonly policy: string;
  /** W3C trace id, 32 hexadecimal digits. */
  readonly traceId: string;
  /** The request's own span, of whose id those of its hops are made: `hopSpanId`. */
  readonly spanId: string;
  /** Those it could choose between. */
  readonly pool: Pool<Endpoint>;
  /** When routing began, monotonic ms. */
  readonly startedAt: number;
  readonly attempts: readonly AttemptRecord[];
  /** The first hundred; nobody reads more. */
  readonly skips: readonly SkipRecord[];
  /** Skips beyond those. */
  readonly omittedSkips: number;
  readonly waits: readonly WaitRecord[];
  /** Whether the request failed after content had reached the caller. */
  readonly partial: boolean;
}

/** A wait that lies behind a request. */
export interface Waited {
  readonly ms: number;
  readonly reason: WaitReason;
}

/** What a trail tells of a skip beside its endpoint and its reason. */
export type SkipFacts = Pick<SkipRecord, "untilTimeMs" | "detail" | "openedBy">;

/** The one writer of a trail. */
export interface TrailWriter extends Trail {
  attempt(
    grant: { readonly endpoint: Endpoint; readonly key: Key | undefined; readonly permit: Permit["kind"] },
    begun: { readonly startTimeMs: number; readonly startedAt: number },
    waited: Waited | undefined,
    purpose?: Purpose,
  ): AttemptRecord;
  /** Told once for each endpoint and reason. @returns the new record; undefined when it has been told */
  skip(endpoint: string, reason: SkipReason, at: number, facts?: SkipFacts): SkipRecord | undefined;
  wait(reason: WaitReason, startedAt: number, now: number): WaitRecord | undefined;
  breakOff(): void;
}

/** Which request a trail is of. */
export interface TrailOf {
  readonly traceId: string;
  readonly spanId: string;
  readonly startedAt: number;
}

/** A pool may have thousands of endpoints. */
const maxSkips = 100;
/** Each is followed by an attempt or by the end, but for those of a queue that moves. */
const maxWaits = 100;

/** Opens the trail of one request. */
export function createTrail(pool: Pool<Endpoint>, of: TrailOf): TrailWriter {
  return new RequestTrail(pool, of);
}

const noWaits: WaitRecord[] = [];

/** A class, for every request makes one: closures and accessors of each one's own would cost several times as much. */
class RequestTrail implements TrailWriter {
  readonly pool: Pool<Endpoint>;
  readonly traceId: string;
  readonly spanId: string;
  readonly startedAt: number;
  readonly attempts: AttemptRecord[] = [];
  readonly skips: SkipRecord[] = [];
  waits = noWaits;
  partial = false;
  /** Made when something is passed over. */
  #told: Set<string> | undefined;

  constructor(pool: Pool<Endpoint>, { traceId, spanId, startedAt }: TrailOf) {
    this.pool = pool;
    this.traceId = traceId;
    this.spanId = spanId;
    this.startedAt = startedAt;
  }

  get model(): string {
    return this.pool.model;
  }

  get policy(): string {
    return this.pool.policy;
  }

  get omittedSkips(): number {
    return (this.#told?.size ?? 0) - this.skips.length;
  }

  attempt(
    {
      endpoint: { provider, id, upstreamModel, tier },
      key,
      permit,
    }: { readonly endpoint: Endpoint; readonly key: Key | undefined; readonly permit: Permit["kind"] },
    { startTimeMs, startedAt }: { readonly startTimeMs: number; readonly startedAt: number },
    waited: Waited | undefined,
    purpose?: Purpose,
  ): AttemptRecord {
    const index = this.attempts.length + 1;
    const keyName = key?.name ?? "";
    const record: AttemptRecord = {
      index,
      provider,
      endpoint: id,
      upstreamModel,
      keyName,
      tier,
      startTimeMs,
      startedAt,
      permit,
    };
    const whole =
      waited || purpose
        ? { ...record, ...(waited && { waitMs: waited.ms, waitReason: waited.reason }), ...(purpose && { purpose }) }
        : record;
    this.attempts.push(whole);
    return whole;
  }

  skip(endpoint: string, reason: SkipReason, at: number, facts?: SkipFacts): SkipRecord | undefined {
    this.#told ??= new Set();
    const { size } = this.#told;
    if (this.#told.add(`${reason} ${endpoint}`).size === size || size >= maxSkips) return undefined;
    const record = { endpoint, reason, ...facts, at, beforeAttempt: this.attempts.length + 1 };
    this.skips.push(record);
    return record;
  }

  wait(reason: WaitReason, startedAt: number, now: number): WaitRecord | undefined {
    if (this.waits.length >= maxWaits) return undefined;
    const record = { reason, startedAt, durationMs: now - startedAt, beforeAttempt: this.attempts.length + 1 };
    this.waits = [...this.waits, record];
    return record;
  }

  breakOff(): void {
    this.partial = true;
  }
}
