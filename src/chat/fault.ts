/** One wrong field of a request. */
export interface Violation {
  /** Path of the field in the words of the surface it came by: `temperature`, `prompt.sampling.temperature`. */
  readonly field: string;
  /** What was wrong and what was expected. */
  readonly description: string;
}

/** What an upstream said with its refusal, as far as it said anything. */
export interface UpstreamWords {
  /** HTTP status of its answer. */
  readonly status?: number;
  /** Its own error code or type, as text. */
  readonly providerCode?: string;
  /** Its own words, cut to a length that is fit to show. */
  readonly message?: string;
  /** How long it asked to be left alone. */
  readonly retryAfterMs?: number;
  /** Whether it said that trying again may help; undefined when it said nothing of it. */
  readonly shouldRetry?: boolean;
  /** The request's field that it complains of, in its dialect. */
  readonly param?: string;
}

/** Something that an upstream did, or that happened on the way to it: how one attempt can fail. */
export type UpstreamFault = UpstreamWords &
  // The request itself is wrong: no other endpoint would take it, unless parameters of the configuration have changed it
  (
    | { readonly kind: "refused_request"; readonly configured?: boolean }
    | { readonly kind: "addition_refused" } // refused as long as it holds something that the gateway has added
    | { readonly kind: "content_filtered" }
    | { readonly kind: "context_length_exceeded" }
    | { readonly kind: "model_unavailable" }
    | { readonly kind: "key_refused" }
    | { readonly kind: "quota_exhausted" }
    | { readonly kind: "rate_limited" }
    | { readonly kind: "overloaded" }
    | { readonly kind: "server_error" }
    | { readonly kind: "unreachable"; readonly cause: "refused" | "dns" | "tls" | "connect_timeout" | "network" }
    | { readonly kind: "not_sent" } // a pooled connection turned out closed: the request was certainly not processed
    | { readonly kind: "connection_lost"; readonly afterBytes?: boolean } // whether the upstream had begun to answer
    | { readonly kind: "timed_out"; readonly phase: "first_content" | "idle" | "total" }
    | { readonly kind: "truncated" }
    | { readonly kind: "malformed" }
    | { readonly kind: "too_large" }
    | { readonly kind: "misconfigured" }
  );

/** Why a call ended without an answer although no upstream is to blame. */
export type LocalFault =
  | { readonly kind: "invalid_request"; readonly violations: readonly Violation[] }
  | { readonly kind: "unknown_model"; readonly model: string }
  | { readonly kind: "unknown_route"; readonly route: string }
  | { readonly kind: "method_not_allowed"; readonly allowed: string }
  | { readonly kind: "unsupported_media_type"; readonly expected: string }
  | { readonly kind: "http2_needed" } // both sides of the call stream at once
  | { readonly kind: "request_too_large"; readonly limitBytes: number }
  | { readonly kind: "unauthorized"; readonly admin?: boolean } // admin: where only an operator may come in
  | { readonly kind: "forbidden"; readonly admin?: boolean } // whose key it is may not do this
  | { readonly kind: "too_many_failures"; readonly retryAfterMs: number } // of one address, to show a right key
  | { readonly kind: "out_of_memory"; readonly retryAfterMs: number } // the process holds as much as it may
  | { readonly kind: "client_stalled" } // the caller takes nothing of what it is sent
  | { readonly kind: "stream_limit"; readonly limit: "duration" | "size" } // a stream that would not end
  | { readonly kind: "caller_gone" }
  | { readonly kind: "deadline_exceeded" }
  | { readonly kind: "shutting_down" }
  | {
      readonly kind: "caller_limited";
      readonly caller: string;
      readonly limit: "rpm" | "max_concurrent";
      readonly most: number;
      readonly retryAfterMs: number;
    }
  // Asked to go on with a text, a provider says another one; anew: it was given the text and began its answer again
  | { readonly kind: "diverged"; readonly anew: boolean }
  | { readonly kind: "all_failed"; readonly summary: string; readonly capped: boolean } // capped: as many attempts as may be
  | { readonly kind: "all_limited"; readonly summary: string; readonly retryAfterMs?: number }
  | { readonly kind: "nothing_to_try"; readonly summary: string; readonly retryAfterMs?: number }
  | { readonly kind: "internal" };

/** Everything that can go wrong, closed: the gateway's table of failure has a row for each kind, and the compiler checks it. */
export type Fault = UpstreamFault | LocalFault;

/** A fault on its way up. */
export class FaultError extends Error {
  override name = "FaultError";
  readonly fault: Fault;

  constructor(fault: Fault, options?: ErrorOptions) {
    super(fault.kind, options);
    this.fault = fault;
  }
}
