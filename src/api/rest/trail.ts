import type { AttemptRecord, SkipRecord, Trail } from "../../routing/trail.ts";

/** A trail as JSON; times in milliseconds, names as in the contract. */
export function trailJson({ model, policy, traceId, attempts, skips, omittedSkips, partial }: Trail) {
  return {
    model,
    policy,
    trace_id: traceId,
    ...(partial && { partial }),
    attempts: attempts.map(attemptJson),
    skips: skips.map(skipJson),
    ...(omittedSkips > 0 && { omitted_skips: omittedSkips }),
  };
}

function attemptJson(attempt: AttemptRecord) {
  const { usage } = attempt;
  return {
    index: attempt.index,
    provider: attempt.provider,
    endpoint: attempt.endpoint,
    upstream_model: attempt.upstreamModel,
    key_name: attempt.keyName || undefined,
    tier: attempt.tier,
    start_time: new Date(attempt.startTimeMs).toISOString(),
    wait_ms: rounded(attempt.waitMs),
    wait_reason: attempt.waitReason,
    purpose: attempt.purpose,
    duration_ms: rounded(attempt.durationMs),
    time_to_first_token_ms: rounded(attempt.firstContentMs),
    outcome: attempt.outcome ?? "running",
    http_status: attempt.httpStatus,
    provider_code: attempt.providerCode,
    upstream_request_id: attempt.upstreamRequestId,
    usage: usage && {
      input_tokens: usage.inputTokens,
      output_tokens: usage.outputTokens,
      cached_input_tokens: usage.cachedInputTokens,
      reasoning_tokens: usage.reasoningTokens,
      estimated: usage.estimated,
    },
    maybe_billed: attempt.maybeBilled,
    hint: attempt.hint,
  };
}

function skipJson({ endpoint, reason, untilTimeMs, detail, beforeAttempt }: SkipRecord) {
  const untilTime = untilTimeMs === undefined ? undefined : new Date(untilTimeMs).toISOString();
  return { endpoint, reason, until_time: untilTime, detail, before_attempt: beforeAttempt };
}

function rounded(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.round(ms * 10) / 10;
}
