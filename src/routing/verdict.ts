/** What kind of failure an attempt had: what the trail says of it and, later, what breakers and keys learn from it. */
export type FaultClass =
  | "request_refused"
  | "model_unavailable"
  | "key_refused"
  | "quota_exhausted"
  | "rate_limited"
  | "overloaded"
  | "transient_fault" // errors, resets, timeouts, nonsense
  | "caller_gone" // the caller left or its deadline passed
  | "misconfigured" // wrong base URL and the like
  | "local" // ended by the gateway itself: it is shutting down
  | "internal"; // a bug of ours

/** What a failed attempt means for the request. */
export interface Verdict {
  /** Where to go: another key of this endpoint, the same target again, another endpoint, or nowhere. */
  readonly next: "key" | "same" | "other" | "stop";
  /** Who is at fault, and so whose record it stains. */
  readonly blame: "endpoint" | "model" | "key" | "caller" | "nobody";
  readonly class: FaultClass;
  /** How long the provider asked to be left alone. */
  readonly retryAfterMs?: number;
  /** HTTP status of its answer, when one came. */
  readonly httpStatus?: number;
  /** The provider's own error code. */
  readonly providerCode?: string;
  /** What an operator might do about it. */
  readonly hint?: string;
}
