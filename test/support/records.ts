import { systemClock } from "../../src/runtime/clock.ts";
import { RequestRecord } from "../../src/telemetry/request-record.ts";

/** The record of a request that nobody watches. */
export function unwatchedRecord(traceId = "0".repeat(32)): RequestRecord {
  const recording = { clock: systemClock, watcher: {}, samples: () => false, traces: () => false, content: false };
  return new RequestRecord(recording, {
    requestId: "req_test",
    traceId,
    spanId: "0".repeat(16),
    parent: undefined,
    traceState: undefined,
    wire: "grpc",
    method: "POST",
    path: "/",
    httpVersion: "2.0",
    isEncrypted: false,
    clientAddress: "127.0.0.1",
    host: undefined,
    userAgent: undefined,
  });
}
