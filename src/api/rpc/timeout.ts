import type { IncomingMessage } from "node:http";

const unitMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** A timeout beyond the longest becomes the longest before any timer is made: Node's timers overflow and would fire at once. */
export function clampTimeout({ headers }: Pick<IncomingMessage, "headers">, maxTimeoutMs: number): void {
  const grpc = /^(\d{1,8})([HMSmun])$/.exec(String(headers["grpc-timeout"] ?? ""));
  if (grpc && Number(grpc[1]) * (unitMs[grpc[2] ?? ""] ?? 0) > maxTimeoutMs)
    headers["grpc-timeout"] = `${maxTimeoutMs}m`;
  const connect = headers["connect-timeout-ms"];
  if (typeof connect === "string" && /^\d{1,10}$/.test(connect) && Number(connect) > maxTimeoutMs) {
    headers["connect-timeout-ms"] = String(maxTimeoutMs);
  }
}
