import { type ConnectError, createContextKey, type HandlerContext } from "@connectrpc/connect";
import type { ByteAccount } from "../../gateway/byte-budget.ts";
import { CallError } from "../../gateway/call.ts";
import { recordFault } from "../../gateway/faults.ts";
import type { RequestRecord } from "../../telemetry/request-record.ts";
import { type Access, admit, type Edge, type Peer, type Visitor, visitorOf } from "../edge.ts";
import { traceHeaders } from "../trail-header.ts";
import { connectError } from "./errors.ts";

/** The other end of a call's connection, handed to Connect with the request. */
export const peerKey = createContextKey<Peer>({ address: "", welcome() {} });
/** What a call may hold of the process's memory. */
export const accountKey = createContextKey<ByteAccount>({ take() {}, close() {} });
/** The record of a call, which its request has opened. */
export const recordKey = createContextKey<RequestRecord | undefined>(undefined);
const visitorKey = createContextKey<Visitor | undefined>(undefined);

/** Lets a call in before its body is read. @throws ConnectError */
export function letIn(edge: Edge, context: HandlerContext, access: Access): void {
  const record = context.values.get(recordKey);
  if (!record) throw new Error("a call came in that nobody records");
  const visitor = visitorOf((name) => context.requestHeader.get(name), edge, record);
  const { requestId, traceId } = visitor;
  context.responseHeader.set("x-request-id", requestId);
  context.responseHeader.set("x-everhop-trace-id", traceId);
  const shown = traceHeaders(record, visitor.caller?.seesTrail ?? false);
  for (const [name, value] of Object.entries(shown)) context.responseHeader.set(name, value);
  context.values.set(visitorKey, visitor);
  try {
    admit(edge, access, visitor, context.values.get(peerKey));
  } catch (error) {
    throw refusal(error, record);
  }
}

/** Why a call is not served, before it has been. */
export function refusal(error: unknown, record: RequestRecord | undefined): ConnectError {
  const failed = CallError.from(error);
  if (record) recordFault(record, failed.fault);
  return connectError(failed, { requestId: record?.requestId ?? "", seesTrail: false, headers: {} });
}

/** Takes of an account so that Connect can pass a refusal on. */
export function takeFrom(account: ByteAccount, record: RequestRecord | undefined): (bytes: number) => void {
  return (bytes) => {
    try {
      account.take(bytes);
    } catch (error) {
      throw refusal(error, record);
    }
  };
}

/** Headers by which each protocol says that a message was packed. */
const packings = ["content-encoding", "connect-content-encoding", "grpc-encoding"];

/** Counts what a call's message has become, where it was counted packed. @throws FaultError when there is no room for it */
export function countUnpacked({ requestHeader, values }: HandlerContext, size: () => number): void {
  const isPacked = packings.some((name) => (requestHeader.get(name) ?? "identity") !== "identity");
  if (isPacked) values.get(accountKey).take(size());
}

/** Who makes a call that was let in. */
export function visitorIn({ values }: HandlerContext): Visitor {
  const visitor = values.get(visitorKey);
  if (!visitor) throw new Error("a call was served that nobody let in");
  return visitor;
}
