import type { RequestRecord } from "./request-record.ts";

/** Why a trace is kept. */
export type KeepReason = "sampled" | "failover" | "error" | "slow_first_token";

/** Which traces are kept. */
export interface Keeping {
  /** The part of the quiet ones, 0 to 1. */
  readonly sampleRatio: number;
  /** Whether those that are not quiet are kept whatever the ratio. */
  readonly keepFailovers: boolean;
  readonly slowFirstTokenMs: number;
}

/** By the trace id alone, so that every process that sees the trace decides alike. */
export function sampledByRatio(traceId: string, ratio: number): boolean {
  if (ratio >= 1) return true;
  return ratio > 0 && Number.parseInt(traceId.slice(-8), 16) < ratio * 2 ** 32;
}

/** Why the trace of a request that is over is kept; undefined: it is not. What is loudest is told first. */
export function keepReason(
  record: RequestRecord,
  { keepFailovers, slowFirstTokenMs, sampleRatio }: Keeping,
): KeepReason | undefined {
  const loud = keepFailovers ? loudness(record, slowFirstTokenMs) : undefined;
  if (loud) return loud;
  // Who asks whether all is well asks for ever: of that nobody wants a trace who has not begun one.
  if (record.isProbe && !record.head.parent) return undefined;
  // Strangers do not decide what is kept.
  const isSampled = record.caller === undefined ? sampledByRatio(record.traceId, sampleRatio) : record.sampled;
  return isSampled ? "sampled" : undefined;
}

function loudness(
  { failure, trail, isProbe, startedAt }: RequestRecord,
  slowFirstTokenMs: number,
): KeepReason | undefined {
  if (failure && failure.http >= 500 && !isProbe) return "error";
  if (!trail) return undefined;
  const { attempts, skips } = trail;
  if (attempts.length > 1 || attempts.some(({ outcome }) => outcome !== "ok" && outcome !== "caller_gone"))
    return "failover";
  // It was led past somebody who would else have been asked.
  if (skips.some(({ reason }) => reason === "breaker_open")) return "failover";
  const [first] = attempts;
  if (first?.firstContentMs === undefined) return undefined;
  return first.startedAt + first.firstContentMs - startedAt >= slowFirstTokenMs ? "slow_first_token" : undefined;
}
