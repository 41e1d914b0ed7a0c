import type { IncomingMessage } from "node:http";

const unitMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** A `grpc-timeout` in ms, clamped; undefined when it is none. */
export function grpcTimeoutMs(text: string, maxTimeoutMs: number): number | undefined {
  const [, amount, unit = ""] = /^(\d{1,8})([HMSmun])$/.exec(text) ?? [];
  return amount === undefined ? undefined : Math.min(Number(amount) * (unitMs[unit] ?? 0), maxTimeoutMs);
}

/** A timeout beyond the longest becomes the longest before any timer is made: Node's timers overflow and would fire at once. */
export function clampTimeout({ headers }: Pick<IncomingMessage, "headers">, maxTimeoutMs: number): void {
  const grpcMs = grpcTimeoutMs(String(headers["grpc-timeout"] ?? ""), Number.POSITIVE_INFINITY);
  if ((grpcMs ?? 0) > maxTimeoutMs) headers["grpc-timeout"] = `${maxTimeoutMs}m`;
  const connect = headers["connect-timeout-ms"];
  if (typeof connect === "string" && /^\d{1,10}$/.test(connect) && Number(connect) > maxTimeoutMs) {
    headers["connect-timeout-ms"] = String(maxTimeoutMs);
  }
}
