import type { AttemptRecord, SkipRecord, TokenCounts, Trail } from "../../routing/trail.ts";
import type { RequestRecord } from "../request-record.ts";
import { skipFix } from "../skip-fixes.ts";

/** A pool may have thousands of endpoints. */
const maxSkips = 20;

/**
 * What is written of a request that is over, by name: nothing else of it can get into a line. Never a header, a prompt, an answer, a
 * provider's message or an address. What is undefined is left out.
 */
export function requestFields(record: RequestRecord) {
  const { head, failure, trail, startedAt } = record;
  const { wire, requestId, traceId, method } = head;
  const attempts = trail?.attempts ?? noAttempts;
  const usage = attempts.length === 1 ? attempts[0]?.usage : totalUsage(attempts);
  return {
    request_id: requestId,
    trace_id: traceId,
    protocol: wire,
    method,
    operation: record.operation,
    caller: record.caller,
    model: trail?.model,
    stream: record.streams,
    http_status: record.httpStatus || undefined,
    rpc_status: wire === "rest" ? undefined : (failure?.rpc ?? "ok"),
    // Of a probe that is answered as it should be, but that something is not well.
    outcome: failure?.kind ?? (record.httpStatus >= 500 ? "unavailable" : "ok"),
    duration_ms: rounded(record.endedAt - startedAt),
    first_token_ms: firstTokenMs(attempts, startedAt),
    provider: servedBy(attempts)?.provider,
    hops: attempts.length,
    input_tokens: usage?.inputTokens,
    output_tokens: usage?.outputTokens,
    cached_input_tokens: usage?.cachedInputTokens,
    reasoning_tokens: usage?.reasoningTokens,
    tokens_estimated: usage?.estimated,
    cost_micros: totalCost(attempts),
    partial: trail?.partial || undefined,
    fix: failure && trail && (fixOf(attempts) ?? skipFix(trail.skips)),
    trail: trail && attempts.map((attempt) => hopFields(attempt, startedAt)),
    ...(trail && trail.skips.length > 0 && skipsOf(trail)),
  };
}

const noAttempts: readonly AttemptRecord[] = [];

/** One hop, in the words of the trail that callers are told. */
export function hopFields(attempt: AttemptRecord, requestStartedAt: number) {
  const { durationMs, firstContentMs, waitMs, verdict } = attempt;
  return {
    attempt: attempt.index,
    endpoint: attempt.endpoint,
    key: attempt.keyName || undefined,
    tier: attempt.tier,
    outcome: attempt.outcome ?? "running",
    http_status: attempt.httpStatus,
    start_ms: rounded(attempt.startedAt - requestStartedAt),
    duration_ms: durationMs === undefined ? undefined : rounded(durationMs),
    first_token_ms: firstContentMs === undefined ? undefined : rounded(firstContentMs),
    wait_ms: waitMs === undefined ? undefined : rounded(waitMs),
    wait_reason: attempt.waitReason,
    purpose: attempt.purpose,
    provider_code: codeWord(attempt.providerCode),
    retry_after_ms: attempt.retryAfterMs,
    next: attempt.outcome === "superseded" ? undefined : verdict?.next,
    hint: attempt.hint,
  };
}

/** One endpoint that was passed over. */
export function skipFields({ endpoint, reason, untilTimeMs, detail, openedBy, beforeAttempt }: SkipRecord) {
  return {
    endpoint,
    reason,
    before_attempt: beforeAttempt,
    until: untilTimeMs === undefined ? undefined : new Date(untilTimeMs).toISOString(),
    detail,
    opened_by: openedBy?.traceId,
  };
}

function skipsOf({ skips, omittedSkips }: Trail) {
  const omitted = omittedSkips + Math.max(0, skips.length - maxSkips);
  return { skips: skips.slice(0, maxSkips).map(skipFields), skips_omitted: omitted || undefined };
}

/**
 * A provider's code, if it is one: a word. Some put whole sentences there, and what those may hold nobody knows.
 */
export function codeWord(code: string | undefined): string | undefined {
  return code !== undefined && /^[\w.:[\]-]{1,64}$/.test(code) ? code : undefined;
}

/** To a tenth. */
export function rounded(ms: number): number {
  return Math.round(ms * 10) / 10;
}

/** Who has served: the last whose answer came, to its end or in part. */
export function servedBy(attempts: readonly AttemptRecord[]): AttemptRecord | undefined {
  const last = attempts.at(-1);
  if (last?.outcome === "ok") return last;
  return attempts.findLast(
    ({ outcome, firstContentMs }) => outcome === "ok" || (firstContentMs !== undefined && outcome !== "superseded"),
  );
}

function firstTokenMs(attempts: readonly AttemptRecord[], requestStartedAt: number): number | undefined {
  for (const { startedAt, firstContentMs } of attempts) {
    if (firstContentMs !== undefined) return rounded(startedAt + firstContentMs - requestStartedAt);
  }
  return undefined;
}

/** What an operator might do about the failure that was the last. */
function fixOf(attempts: readonly AttemptRecord[]): string | undefined {
  return attempts.findLast(({ outcome }) => outcome !== "ok" && outcome !== "superseded")?.hint;
}

function totalCost(attempts: readonly AttemptRecord[]): number | undefined {
  let total: number | undefined;
  for (const { costMicros } of attempts) if (costMicros !== undefined) total = (total ?? 0) + costMicros;
  return total;
}

/** All that may be charged for, of every attempt. */
function totalUsage(attempts: readonly AttemptRecord[]): TokenCounts | undefined {
  const all = attempts.flatMap(({ usage }) => usage ?? []);
  if (all.length < 2) return all[0];
  const sum = (of: (usage: TokenCounts) => number | undefined) =>
    all.reduce((total, each) => total + (of(each) ?? 0), 0);
  return {
    inputTokens: sum(({ inputTokens }) => inputTokens),
    outputTokens: sum(({ outputTokens }) => outputTokens),
    ...(all.some(({ cachedInputTokens }) => cachedInputTokens !== undefined) && {
      cachedInputTokens: sum(({ cachedInputTokens }) => cachedInputTokens),
    }),
    ...(all.some(({ reasoningTokens }) => reasoningTokens !== undefined) && {
      reasoningTokens: sum(({ reasoningTokens }) => reasoningTokens),
    }),
    ...(all.some(({ estimated }) => estimated) && { estimated: true }),
  };
}
