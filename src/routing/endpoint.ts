import type { Secret } from "../runtime/secret.ts";

/** A credential of one provider. */
export interface Key {
  /** Tells keys apart without being one: a keyed hash of the secret. What is known of a key stays with its id. */
  readonly id: string;
  /** How people call it; never its value. */
  readonly name: string;
  readonly secret: Secret;
}

/** What may be used of an endpoint or a provider at most; what is missing is unlimited. */
export interface UseLimits {
  /** Requests per second, at once as many as of one second (one at least). */
  readonly maxRps?: number | undefined;
  /** Calls in flight. */
  readonly maxConcurrent?: number | undefined;
}

/** Prices in US dollars for a thousand tokens. */
export interface Prices {
  readonly inputPer1k: number;
  readonly outputPer1k: number;
}

/** What the engine chooses between: a provider and one of its models. Whoever makes the pool may hang more on it. */
export interface Endpoint {
  /** `provider/upstream model`: what is known of an endpoint is known by it, whichever pools it stands in. */
  readonly id: string;
  /** The provider's name. */
  readonly provider: string;
  /** The model asked of the provider. */
  readonly upstreamModel: string;
  /** Priority; lower is tried first. Equals share. */
  readonly tier: number;
  /** Its share among the equals of its tier, 1 to 1000; 0: only when it is named. */
  readonly weight: number;
  /** A switched-off endpoint is skipped. */
  readonly enabled: boolean;
  /** The provider's keys, one list for all of its endpoints; empty when it wants none. */
  readonly keys: readonly Key[];
  /** How long one attempt may take: a stream until its first content, a unary call until its end. */
  readonly limits: { readonly firstContentMs: number; readonly totalMs: number };
  /** Of this endpoint alone. */
  readonly use?: UseLimits | undefined;
  /** Of all endpoints of the provider together. */
  readonly providerUse?: UseLimits | undefined;
  /** Tokens that a prompt and its answer may have together; undefined: not declared. */
  readonly contextWindow?: number | undefined;
  readonly prices?: Prices | undefined;
}

/** How the equals of a tier are chosen between; `ordered` makes every endpoint a tier of its own. */
export type PoolStrategy = "weighted" | "ordered" | "least_latency" | "least_busy" | "cheapest";

/**
 * What becomes of a stream that breaks after its first content: it fails, another answer begins from the start, or another endpoint
 * goes on with the text.
 */
export type StreamRecovery = "fail" | "restart" | "continue";

/** Equals: endpoints of one priority. */
export interface Tier<E extends Endpoint> {
  readonly priority: number;
  readonly members: readonly E[];
}

/** The candidates of one request. A pool that is used again keeps its place in every rotation, so it is made once. */
export interface Pool<E extends Endpoint> {
  /** Public name of the model that was asked for. */
  readonly model: string;
  /** What ordered the candidates, for the trail. */
  readonly policy: string;
  readonly strategy: PoolStrategy;
  /** Lower priority number first. */
  readonly tiers: readonly Tier<E>[];
  /** How many endpoints of all tiers are switched on. */
  readonly size: number;
  /** Where a prompt that is too long for an endpoint may go. */
  readonly onContextOverflow: "larger" | "next" | "stop";
  /** What becomes of broken streams whose callers do not say. */
  readonly streamRecovery: StreamRecovery;
  /** Endpoints ruled out before routing began, for the trail. */
  readonly ruledOut: readonly { readonly endpoint: string; readonly reason: SkipReason }[];
}

/** Why a candidate was passed over. */
export type SkipReason =
  | "breaker_open"
  | "rate_limited" // a limit of ours, or the provider has asked to be left alone
  | "concurrency" // as many calls in flight as it may have
  | "overflow" // more calls in flight than the gateway takes on
  | "quota_exhausted"
  | "no_key" // none that is not refused
  | "disabled"
  | "draining"
  | "forced_open"
  | "unhealthy" // no such API at its base URL
  | "model_off" // the provider refused the model not long ago
  | "model_not_served"
  | "context_window"
  | "returning" // takes only a part of its share yet
  | "deadline"
  | "attempt_cap";
