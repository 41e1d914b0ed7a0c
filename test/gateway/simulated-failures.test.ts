import { describe, expect, test } from "vitest";
import { type Fault, FaultError } from "../../src/chat/fault.ts";
import { verdictOf } from "../../src/gateway/faults.ts";
import { AttemptTimeout } from "../../src/routing/lease.ts";
import type { Verdict } from "../../src/routing/verdict.ts";
import { CallerGone, DeadlineExceeded } from "../../src/runtime/cancellation.ts";
import { classify, type FailureKind, failure, failureKinds } from "../../src/simulation/failure.ts";

/** What the simulation's failures stand for. */
const real: Readonly<Record<FailureKind, Fault>> = {
  server_error: { kind: "server_error", status: 500 },
  overloaded: { kind: "overloaded", status: 503 },
  refused_connection: { kind: "unreachable", cause: "refused" },
  cut_off: { kind: "truncated" },
  stalled: { kind: "timed_out", phase: "idle" },
  rate_limited: { kind: "rate_limited", status: 429 },
  bad_key: { kind: "key_refused", status: 401 },
  no_quota: { kind: "quota_exhausted", status: 402 },
  no_model: { kind: "model_unavailable", status: 404 },
  wrong_path: { kind: "misconfigured", status: 404 },
  refused_request: { kind: "refused_request", status: 400 },
  too_long: { kind: "context_length_exceeded", status: 400 },
  addition_refused: { kind: "addition_refused", status: 400 },
  not_sent: { kind: "not_sent" },
};

/** What routing and the trail make of a verdict; hints are for people. */
function meaningOf({ hint: _, repeat = "never", ...verdict }: Verdict) {
  return { ...verdict, repeat };
}

describe("the simulation's failures mean what the gateway's table of failure says", () => {
  test.each(failureKinds)("%s", (kind) => {
    expect(meaningOf(failure(kind).verdict)).toEqual(meaningOf(verdictOf(new FaultError(real[kind]))));
  });

  test.each(["overloaded", "rate_limited", "no_quota"] as const)("%s, with a time that the provider states", (kind) => {
    const fault = { ...real[kind], retryAfterMs: 1500 };
    expect(meaningOf(failure(kind, 1500).verdict)).toEqual(meaningOf(verdictOf(new FaultError(fault))));
  });

  test.each([
    ["a timeout", new AttemptTimeout("first_content")],
    ["a caller that left", new CallerGone()],
    ["a deadline that passed", new DeadlineExceeded()],
  ])("%s", (_, error) => {
    expect(meaningOf(classify(error))).toEqual(meaningOf(verdictOf(error)));
  });
});
