import { AttemptTimeout } from "../routing/lease.ts";
import type { Verdict } from "../routing/verdict.ts";

/** How a simulated call fails: with the verdict that the gateway's table of failure gives of the real one. */
export class Failure extends Error {
  override name = "Failure";
  readonly verdict: Verdict;

  constructor(verdict: Partial<Verdict> = {}) {
    super(verdict.class ?? "transient_fault");
    this.verdict = { next: "other", blame: "endpoint", class: "transient_fault", repeat: "last", ...verdict };
  }
}

/** What providers do wrong, and what it means for a request. */
const verdicts = {
  server_error: { repeat: "soon", httpStatus: 500 },
  overloaded: { class: "overloaded", repeat: "soon", httpStatus: 503 },
  refused_connection: { notSent: true },
  cut_off: { maybeBilled: true },
  stalled: { slow: true, maybeBilled: true },
  rate_limited: { next: "key", blame: "key", class: "rate_limited", httpStatus: 429 },
  bad_key: { next: "key", blame: "key", class: "key_refused", repeat: "never", httpStatus: 401 },
  no_quota: { next: "key", blame: "key", class: "quota_exhausted", repeat: "never", httpStatus: 402 },
  no_model: { blame: "model", class: "model_unavailable", repeat: "never", httpStatus: 404 },
  wrong_path: { class: "misconfigured", repeat: "never", httpStatus: 404 },
  refused_request: { next: "stop", blame: "caller", class: "request_refused", repeat: "never", httpStatus: 400 },
  too_long: { next: "larger", blame: "caller", class: "request_refused", repeat: "never", httpStatus: 400 },
  addition_refused: { next: "same", blame: "nobody", class: "request_refused", repeat: "never", httpStatus: 400 },
  not_sent: { next: "same", blame: "nobody", class: "not_sent", notSent: true },
} as const satisfies Record<string, Partial<Verdict>>;

/** A failure by its name. */
export type FailureKind = keyof typeof verdicts;

/** All of them. */
export const failureKinds = Object.keys(verdicts) as readonly FailureKind[]; // the keys are the kinds

/** @param retryAfterMs how long the provider asks to be left alone */
export function failure(kind: FailureKind, retryAfterMs?: number): Failure {
  return new Failure({ ...verdicts[kind], ...(retryAfterMs !== undefined && { retryAfterMs }) });
}

/** What the router asks of whoever knows the payload. */
export function classify(error: unknown): Verdict {
  if (error instanceof Failure) return error.verdict;
  if (error instanceof AttemptTimeout) {
    return {
      next: "other",
      blame: "endpoint",
      class: "transient_fault",
      repeat: "last",
      slow: true,
      maybeBilled: true,
    };
  }
  return { next: "stop", blame: "nobody", class: "caller_gone" };
}
