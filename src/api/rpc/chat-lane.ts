import type { DescMethod } from "@bufbuild/protobuf";
import {
  ChatService,
  type CompleteChatRequest,
  type StreamChatRequest,
} from "../../../gen/ts/everhop/v1/chat_service_pb.ts";
import type { Caller } from "../../gateway/caller.ts";
import type { RequestRecord } from "../../telemetry/request-record.ts";
import { type Access, admit, type Edge, openRecord, visitorOf } from "../edge.ts";
import { traceHeaders } from "../trail-header.ts";
import { statusOf } from "./call.ts";
import { type ChatContext, completeChat, openChat } from "./chat-calls.ts";
import type { LaneCall, LaneMethod } from "./lane-method.ts";
import { refusal } from "./visit.ts";

/** ChatService on the gRPC lane. @param accessOf who may call a method */
export function chatLane(edge: Edge, accessOf: (method: DescMethod) => Access): LaneMethod[] {
  const { machine } = edge;
  const { completeChat: whole, streamChat: streamed } = ChatService.method;
  // Asked once: to read what a method declares costs as much as to read a request.
  const access = { whole: accessOf(whole), streamed: accessOf(streamed) };
  return [
    {
      ...shapeOf(whole),
      kind: "unary",
      begin(call) {
        const visit = letIn(edge, call, access.whole);
        return {
          handle: (request) => completeChat(machine, request as CompleteChatRequest, contextOf(visit, call)),
          statusOf: (error) => statusOf(edge, error, visit),
        };
      },
    },
    {
      ...shapeOf(streamed),
      kind: "server_streaming",
      begin(call) {
        const visit = letIn(edge, call, access.streamed);
        return {
          handle: (request) => openChat(machine, request as StreamChatRequest, contextOf(visit, call)),
          statusOf: (error) => statusOf(edge, error, visit),
        };
      },
    },
  ];
}

/** A caller's call that was let in. */
interface Visit {
  readonly caller: Caller;
  readonly record: RequestRecord;
  readonly seesTrail: boolean;
}

/** @throws ConnectError */
function letIn(edge: Edge, call: LaneCall, access: Access): Visit {
  const { headers, responseHeaders, peer } = call;
  const header = (name: string) => {
    const value = headers[name];
    return typeof value === "string" ? value : value?.[0];
  };
  const path = headers[":path"] as string; // the lane has gone by it
  const record = openRecord(edge, header, {
    wire: "grpc",
    method: "POST",
    path,
    httpVersion: "2.0",
    isEncrypted: call.isEncrypted,
    clientAddress: peer.address,
  });
  call.record = record;
  record.operation = path.slice(1);
  const visitor = visitorOf(header, edge, record);
  const { requestId, traceId, caller } = visitor;
  responseHeaders["x-request-id"] = requestId;
  responseHeaders["x-everhop-trace-id"] = traceId;
  Object.assign(responseHeaders, traceHeaders(record, caller?.seesTrail ?? false));
  try {
    admit(edge, access, visitor, peer);
    if (!caller) throw new Error("a call was let in that no caller makes");
    return { caller, record, seesTrail: caller.seesTrail };
  } catch (error) {
    throw refusal(error, record);
  }
}

function contextOf({ caller, record }: Visit, call: LaneCall): ChatContext {
  const { account, cancellation, responseHeaders } = call;
  return {
    caller,
    record,
    account,
    cancellation,
    timeoutMs: call.timeoutMs(),
    tell: (headers) => void Object.assign(responseHeaders, headers),
  };
}

function shapeOf({ parent, name, input, output }: DescMethod) {
  return { path: `/${parent.typeName}/${name}`, input, output };
}
