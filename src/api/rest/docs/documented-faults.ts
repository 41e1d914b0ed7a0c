import type { Fault } from "../../../chat/fault.ts";
import { CallError } from "../../../gateway/call.ts";
import { type Failure, failureOf, isFinal, retryDelayMs } from "../../../gateway/faults.ts";
import { createPool } from "../../../routing/pool.ts";
import type { AttemptRecord, Trail } from "../../../routing/trail.ts";
import { errorBody } from "../errors.ts";

type Kind = Fault["kind"];

/** A failure that a caller may be told of, with an instance of it. */
interface Told<Known extends Fault = Fault> {
  readonly fault: Known;
  /** When it happens, as the end of a sentence. */
  readonly when: string;
  /** The way of the request, where it matters. */
  readonly trail?: Trail;
  /** It ends a stream that has begun. */
  readonly partial?: true;
}

const startTimeMs = Date.UTC(2025, 0, 1);
const pool = createPool({ model: "gpt-3.5-turbo", endpoints: [] });

function failedTrail(attempts: readonly Partial<AttemptRecord>[], skips: Trail["skips"] = [], partial = false): Trail {
  return {
    model: pool.model,
    policy: pool.policy,
    traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
    spanId: "00f067aa0ba90000",
    pool,
    startedAt: 0,
    waits: [],
    attempts: attempts.map((attempt, index) => ({
      index: index + 1,
      provider: "openai-primary",
      endpoint: "openai-primary/gpt-3.5-turbo",
      upstreamModel: "gpt-3.5-turbo",
      keyName: "k1",
      tier: index + 1,
      startTimeMs,
      startedAt: 0,
      permit: "normal",
      ...attempt,
    })),
    skips,
    omittedSkips: 0,
    partial,
  };
}

const second = { provider: "openai-backup", endpoint: "openai-backup/gpt-3.5-turbo" };
const brokenTrail = failedTrail(
  [{ httpStatus: 200, outcome: "transient_fault", firstContentMs: 310, durationMs: 1250, maybeBilled: true }],
  [],
  true,
);

function broken<Known extends Fault>(fault: Known): Told<Known> {
  return {
    fault,
    when: "a stream broke after its first content, and did not go on elsewhere",
    trail: brokenTrail,
    partial: true,
  };
}

/** Every failure there is; what no caller of REST is ever told of is undefined. */
const failures: { readonly [K in Kind]: Told<Extract<Fault, { kind: K }>> | undefined } = {
  invalid_request: {
    fault: {
      kind: "invalid_request",
      violations: [{ field: "temperature", description: "expected a number from 0 to 2, got 3" }],
    },
    when: "the body cannot be read, or a member of it is wrong",
  },
  refused_request: {
    fault: { kind: "refused_request", status: 400, providerCode: "invalid_value", message: "Unknown role." },
    when: "the provider found the request wrong",
    trail: failedTrail([{ httpStatus: 400, outcome: "request_refused", durationMs: 41 }]),
  },
  addition_refused: undefined,
  content_filtered: {
    fault: { kind: "content_filtered", status: 400, providerCode: "content_filter" },
    when: "the provider refused the content",
    trail: failedTrail([{ httpStatus: 400, outcome: "request_refused", durationMs: 41 }]),
  },
  context_length_exceeded: {
    fault: { kind: "context_length_exceeded", status: 400, providerCode: "context_length_exceeded" },
    when: "the prompt is too long for every model behind the name",
    trail: failedTrail([{ httpStatus: 400, outcome: "request_refused", durationMs: 41 }]),
  },
  unauthorized: { fault: { kind: "unauthorized" }, when: "there is no key, or a wrong one" },
  forbidden: { fault: { kind: "forbidden" }, when: "the key may not do this" },
  unknown_model: {
    fault: { kind: "unknown_model", model: "gpt-5-turbo" },
    when: "there is no such model, or not for this caller",
  },
  unknown_route: { fault: { kind: "unknown_route", route: "GET /v1/nowhere" }, when: "there is no such route" },
  method_not_allowed: {
    fault: { kind: "method_not_allowed", allowed: "POST" },
    when: "the route takes another method; `allow` says which",
  },
  request_too_large: {
    fault: { kind: "request_too_large", limitBytes: 32 << 20 },
    when: "the request is larger than the gateway or the provider takes",
  },
  unsupported_media_type: {
    fault: { kind: "unsupported_media_type", expected: "content-type: application/json, in UTF-8" },
    when: "the body is not announced as JSON, or is compressed",
  },
  caller_limited: {
    fault: { kind: "caller_limited", caller: "team-a", limit: "rpm", most: 600, retryAfterMs: 1350 },
    when: "the caller's own limit is used up",
  },
  all_limited: {
    fault: {
      kind: "all_limited",
      summary: "openai-primary/gpt-3.5-turbo 429 rate_limited",
      retryAfterMs: 1350,
    },
    when: "every provider is out of rate or quota",
    trail: failedTrail([{ httpStatus: 429, outcome: "rate_limited", durationMs: 62 }]),
  },
  too_many_failures: {
    fault: { kind: "too_many_failures", retryAfterMs: 1000 },
    when: "too many wrong keys came from one address",
  },
  all_failed: {
    fault: {
      kind: "all_failed",
      summary: "openai-primary/gpt-3.5-turbo 500 transient_fault, openai-backup/gpt-3.5-turbo transient_fault",
      capped: false,
    },
    when: "attempts were made, and all of them failed; with `x-should-retry: false` when as many were made as may be",
    trail: failedTrail([
      {
        httpStatus: 500,
        outcome: "transient_fault",
        durationMs: 118,
        hint: "the provider failed by itself: where it lasts, add a target to the model",
      },
      { ...second, outcome: "transient_fault", durationMs: 5, hint: "nothing listens there: is the provider up?" },
    ]),
  },
  nothing_to_try: {
    fault: {
      kind: "nothing_to_try",
      summary: "skipped: openai-primary/gpt-3.5-turbo breaker_open",
      retryAfterMs: 4200,
    },
    when: "nothing could be tried",
    trail: failedTrail(
      [],
      [
        {
          endpoint: "openai-primary/gpt-3.5-turbo",
          reason: "breaker_open",
          untilTimeMs: startTimeMs + 4200,
          at: 0,
          beforeAttempt: 1,
        },
      ],
    ),
  },
  out_of_memory: {
    fault: { kind: "out_of_memory", retryAfterMs: 1000 },
    when: "the gateway holds as many requests as its memory allows",
  },
  shutting_down: { fault: { kind: "shutting_down" }, when: "the gateway is leaving" },
  deadline_exceeded: {
    fault: { kind: "deadline_exceeded" },
    when: "the caller's own time passed",
    trail: failedTrail([{ outcome: "caller_gone", durationMs: 2000 }]),
  },
  internal: { fault: { kind: "internal" }, when: "the gateway has a bug; the request id finds it in the log" },
  // What happens to an attempt sends the request elsewhere, and is told of only when there is no way back.
  truncated: broken({ kind: "truncated" }),
  malformed: broken({ kind: "malformed" }),
  connection_lost: broken({ kind: "connection_lost" }),
  timed_out: broken({ kind: "timed_out", phase: "idle" }),
  server_error: broken({ kind: "server_error" }),
  overloaded: broken({ kind: "overloaded" }),
  rate_limited: broken({ kind: "rate_limited" }),
  quota_exhausted: broken({ kind: "quota_exhausted" }),
  key_refused: broken({ kind: "key_refused" }),
  model_unavailable: broken({ kind: "model_unavailable" }),
  diverged: broken({ kind: "diverged", anew: false }),
  too_large: broken({ kind: "too_large" }),
  misconfigured: broken({ kind: "misconfigured" }),
  stream_limit: broken({ kind: "stream_limit", limit: "duration" }),
  unreachable: undefined,
  not_sent: undefined,
  // Nobody is there to be told, or it is not REST.
  caller_gone: undefined,
  client_stalled: undefined,
  http2_needed: undefined,
};

/** A failure as the document shows it. */
export interface DocumentedFault extends Failure {
  readonly kind: Kind;
  readonly when: string;
  /** Whether a `retry-after` comes with it. */
  readonly hasWait: boolean;
  /** Whether `x-should-retry: false` comes with it. */
  readonly isFinal: boolean;
  /** It ends a stream that has begun; its HTTP status is then that of the head. */
  readonly endsStream: boolean;
  /** Its body, as the gateway would write it. */
  readonly body: unknown;
}

/** Shows a failure. @throws Error for one that no caller is told of */
export function documentedFault(kind: Kind): DocumentedFault {
  const told: Told | undefined = failures[kind];
  if (!told) throw new Error(`no caller is told of ${kind}`);
  const { fault, when, trail, partial = false } = told;
  const identity = { requestId: "req_5b0e2f6a9c1d4e7f8a3b6c90", traceId: "4bf92f3577b34da6a3ce929d0e0e4736" };
  const shown = { ...identity, seesTrail: true, wallTimeMs: startTimeMs };
  return {
    kind,
    ...failureOf(fault),
    when,
    hasWait: retryDelayMs(fault) !== undefined,
    isFinal: isFinal(fault),
    endsStream: partial,
    body: errorBody(new CallError(fault, trail), shown, partial),
  };
}

/** Every failure that a caller may be told of, by status and code; of those that are told alike the first. */
export function documentedFaults(): DocumentedFault[] {
  const all = (Object.keys(failures) as Kind[]) // the table has no other keys
    .filter((kind) => failures[kind] !== undefined)
    .map(documentedFault);
  const first = new Map<string, DocumentedFault>();
  for (const fault of all) {
    const key = `${fault.http} ${fault.code} ${fault.when}`;
    if (!first.has(key)) first.set(key, fault);
  }
  return [...first.values()].sort((a, b) => a.http - b.http);
}
