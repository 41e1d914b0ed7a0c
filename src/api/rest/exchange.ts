import type { IncomingMessage, ServerResponse } from "node:http";
import type { ByteAccount } from "../../gateway/byte-budget.ts";
import type { Cancellation } from "../../runtime/cancellation.ts";
import type { RequestRecord } from "../../telemetry/request-record.ts";
import type { RequestIdentity } from "../edge.ts";
import { type Pace, sliceBytes, writePaced } from "../pace.ts";

/** One request with its answer, as a route's handler sees it. */
export interface Exchange extends RequestIdentity {
  readonly record: RequestRecord;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Path without query, percent-decoded. */
  readonly path: string;
  /** What it may hold of the process's memory. */
  readonly account: ByteAccount;
  /** Called off when the client leaves or the process stops. */
  readonly cancellation: Cancellation;
}

/** The headers by which every answer tells whose it is. */
export function idHeaders({ requestId, traceId }: RequestIdentity) {
  return { "x-request-id": requestId, "x-everhop-trace-id": traceId };
}

/** Sends a JSON answer. */
export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  sendText(response, status, JSON.stringify(body), headers);
}

/** Sends a JSON answer whose text is there already. */
export function sendText(
  response: ServerResponse,
  status: number,
  json: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, headOf(Buffer.byteLength(json), headers));
  response.end(json);
}

/**
 * Sends a JSON answer of whatever length at the client's pace.
 * @returns undefined when it is sent; what is too long for one write resolves when it is
 * @throws CallerGone when the client leaves (rejects); FaultError when it takes nothing for too long
 */
export function sendPaced(
  response: ServerResponse,
  json: string,
  headers: Readonly<Record<string, string>>,
  pace: Pace,
): Promise<void> | undefined {
  const length = Buffer.byteLength(json);
  response.writeHead(200, headOf(length, headers));
  if (length > sliceBytes) return writePaced(response, Buffer.from(json), pace).then(() => void response.end());
  response.end(json);
  return undefined;
}

function headOf(length: number, headers: Readonly<Record<string, string>>) {
  return { "content-type": "application/json; charset=utf-8", "content-length": String(length), ...headers };
}
