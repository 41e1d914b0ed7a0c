import { toBinary } from "@bufbuild/protobuf";
import { messageMaker } from "../../chat/message-maker.ts";
import {
  AttemptOutcome,
  AttemptSchema,
  create,
  type RouteTrail,
  RouteTrailSchema,
  SkipReason,
  SkipSchema,
  UsageSchema,
} from "../../chat/messages.ts";
import { durationFromMs, timestampFromMs } from "../../chat/times.ts";
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
  not_sent: AttemptOutcome.NOT_SENT,
  superseded: AttemptOutcome.SUPERSEDED,
  caller_gone: AttemptOutcome.CALLER_GONE,
  misconfigured: AttemptOutcome.MISCONFIGURED,
  local: AttemptOutcome.LOCAL,
  internal: AttemptOutcome.INTERNAL,
};

/** Why endpoints are passed over, in the contract's words. */
export const skipReasons: Readonly<Record<SkipRecord["reason"], SkipReason>> = {
  breaker_open: SkipReason.BREAKER_OPEN,
  rate_limited: SkipReason.RATE_LIMITED,
  concurrency: SkipReason.CONCURRENCY,
  overflow: SkipReason.OVERFLOW,
  quota_exhausted: SkipReason.QUOTA_EXHAUSTED,
  no_key: SkipReason.NO_KEY,
  disabled: SkipReason.DISABLED,
  draining: SkipReason.DRAINING,
  forced_open: SkipReason.FORCED_OPEN,
  unhealthy: SkipReason.UNHEALTHY,
  model_off: SkipReason.MODEL_OFF,
  model_not_served: SkipReason.MODEL_NOT_SERVED,
  context_window: SkipReason.CONTEXT_WINDOW,
  returning: SkipReason.RETURNING,
  deadline: SkipReason.DEADLINE,
  attempt_cap: SkipReason.ATTEMPT_CAP,
};

const makeTrail = messageMaker(RouteTrailSchema);
const makeAttempt = messageMaker(AttemptSchema);
const makeUsage = messageMaker(UsageSchema);

/** The trail in the contract's words. */
export function routeTrail(trail: Trail): RouteTrail {
  const { model, policy, traceId, partial } = trail;
  return makeTrail({
    attempts: trail.attempts.map(attemptMessage),
    skips: trail.skips.map(skipMessage),
    omittedSkips: trail.omittedSkips,
    model,
    policy,
    traceId,
    partial,
  });
}

function skipMessage({ endpoint, reason, untilTimeMs, detail = "", beforeAttempt }: SkipRecord) {
  const untilTime = untilTimeMs !== undefined && { untilTime: timestampFromMs(untilTimeMs) };
  return create(SkipSchema, { endpoint, reason: skipReasons[reason], detail, beforeAttempt, ...untilTime });
}

function attemptMessage(attempt: AttemptRecord) {
  const { durationMs, firstContentMs, outcome, usage, waitMs } = attempt;
  return makeAttempt({
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
    ...(waitMs !== undefined && { wait: durationFromMs(Math.round(waitMs)) }),
    waitReason: attempt.waitReason ?? "",
    purpose: attempt.purpose ?? "",
    maybeBilled: attempt.maybeBilled ?? false,
    ...(usage && { usage: makeUsage(usage) }),
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
