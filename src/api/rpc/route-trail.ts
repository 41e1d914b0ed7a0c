import { toBinary } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import {
  AttemptOutcome,
  AttemptSchema,
  create,
  type RouteTrail,
  RouteTrailSchema,
  SkipReason,
  SkipSchema,
  timestampFromMs,
  UsageSchema,
} from "../../chat/messages.ts";
import type { AttemptRecord, SkipRecord, Trail } from "../../routing/trail.ts";

const outcomes: Readonly<Record<NonNullable<AttemptRecord["outcome"]>, AttemptOutcome>> = {
  ok: AttemptOutcome.OK,
  request_refused: AttemptOutcome.REQUEST_REFUSED,
  model_unavailable: AttemptOutcome.MODEL_UNAVAILABLE,
  key_refused: AttemptOutcome.KEY_REFUSED,
  quota_exhausted: AttemptOutcome.QUOTA_EXHAUSTED,
  rate_limited: AttemptOutcome.RATE_LIMITED,
  overloaded: AttemptOutcome.OVERLOADED,
  transient_fault: AttemptOutcome.TRANSIENT_FAULT,
  caller_gone: AttemptOutcome.CALLER_GONE,
  misconfigured: AttemptOutcome.MISCONFIGURED,
  local: AttemptOutcome.LOCAL,
  internal: AttemptOutcome.INTERNAL,
};

const skipReasons: Readonly<Record<SkipRecord["reason"], SkipReason>> = {
  disabled: SkipReason.DISABLED,
  model_not_served: SkipReason.MODEL_NOT_SERVED,
  deadline: SkipReason.DEADLINE,
  attempt_cap: SkipReason.ATTEMPT_CAP,
};

/** The trail in the contract's words. */
export function routeTrail(trail: Trail): RouteTrail {
  const { model, policy, traceId, partial } = trail;
  return create(RouteTrailSchema, {
    attempts: trail.attempts.map(attemptMessage),
    skips: trail.skips.map(({ endpoint, reason, beforeAttempt }) =>
      create(SkipSchema, { endpoint, reason: skipReasons[reason], beforeAttempt }),
    ),
    model,
    policy,
    traceId,
    partial,
  });
}

function attemptMessage(attempt: AttemptRecord) {
  const { durationMs, firstContentMs, outcome, usage } = attempt;
  return create(AttemptSchema, {
    index: attempt.index,
    provider: attempt.provider,
    endpoint: attempt.endpoint,
    upstreamModel: attempt.upstreamModel,
    keyName: attempt.keyName,
    tier: attempt.tier,
    startTime: timestampFromMs(attempt.startTimeMs),
    ...(durationMs !== undefined && { duration: durationFromMs(Math.round(durationMs)) }),
    ...(firstContentMs !== undefined && { timeToFirstToken: durationFromMs(Math.round(firstContentMs)) }),
    outcome: outcome ? outcomes[outcome] : AttemptOutcome.UNSPECIFIED,
    httpStatus: attempt.httpStatus ?? 0,
    providerCode: attempt.providerCode ?? "",
    ...(usage && { usage: create(UsageSchema, usage) }),
    upstreamRequestId: attempt.upstreamRequestId ?? "",
    hint: attempt.hint ?? "",
  });
}

/** Several clients cap all metadata near 8 KiB, base64 included. */
const maxStatusBytes = 3 * 1024;

/** The trail as it fits into a status: hints go first, then skips, then attempts from the end; what is left out is counted. */
export function boundedRouteTrail(trail: Trail): RouteTrail {
  const message = routeTrail(trail);
  const fits = () => toBinary(RouteTrailSchema, message).length <= maxStatusBytes;
  if (!fits()) for (const attempt of message.attempts) attempt.hint = "";
  while (!fits() && message.skips.pop()) message.omittedSkips += 1;
  while (!fits() && message.attempts.pop()) message.omittedAttempts += 1;
  return message;
}
