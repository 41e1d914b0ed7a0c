/** What kind of failure an attempt had: what the trail says of it, and what breakers and keys learn from it. */
export type FaultClass =
  | "request_refused"
  | "model_unavailable"
  | "key_refused"
  | "quota_exhausted"
  | "rate_limited"
  | "overloaded"
  | "transient_fault" // errors, resets, timeouts, nonsense
  | "not_sent" // the provider cannot have seen the request
  | "superseded" // another attempt of the same request was quicker
  | "caller_gone" // the caller left or its deadline passed
  | "misconfigured" // wrong base URL and the like
  | "local" // ended by the gateway itself: it is shutting down
  | "internal"; // a bug of ours

/** What a failed attempt means for the request. */
export interface Verdict {
  /**
   * Where to go: another key of this endpoint, the same endpoint and key once more, another endpoint, one with a larger context
   * window, or nowhere.
   */
  readonly next: "key" | "same" | "other" | "larger" | "stop";
  /** Who is at fault, and so whose record it stains. */
  readonly blame: "endpoint" | "model" | "key" | "caller" | "nobody";
  readonly class: FaultClass;
  /**
   * Whether the same endpoint may be asked again in this request: `soon`, already before a worse tier is; `last`, only when
   * nothing else is left; `never`. Default `never`.
   */
  readonly repeat?: "soon" | "last" | "never";
  /** A timeout: what it cost a caller is time, so the breaker tries again less often. */
  readonly slow?: boolean;
  /** The provider cannot have counted it against a limit. */
  readonly notSent?: boolean;
  /** The provider may have worked before it failed, and may charge for it. */
  readonly maybeBilled?: boolean;
  /** How long the provider asked to be left alone. */
  readonly retryAfterMs?: number;
  /** HTTP status of its answer, when one came. */
  readonly httpStatus?: number;
  /** The provider's own error code. */
  readonly providerCode?: string;
  /** What an operator might do about it. */
  readonly hint?: string;
}
