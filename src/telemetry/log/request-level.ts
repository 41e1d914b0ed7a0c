import type { RequestRecord } from "../request-record.ts";
import type { LogLevel } from "./gate.ts";

/** Statuses of what is not there to be asked: that is the caller's matter. */
const notThere: ReadonlySet<number> = new Set([501, 505]);

/**
 * How much a request's line matters: `error` is a bug of ours; `warn` a request that was not served, or not to its end, although nothing
 * was wrong with it; `info` everything else, what callers have done wrong included. Probes are `debug`, as long as all is well.
 */
export function requestLevel({ failure, httpStatus, isProbe }: RequestRecord): LogLevel {
  const { kind, rpc, http = httpStatus } = failure ?? {};
  if (rpc === "internal" || rpc === "unknown" || rpc === "data_loss") return "error";
  if ((http >= 500 && !notThere.has(http)) || kind === "all_limited") return "warn";
  return isProbe ? "debug" : "info";
}
