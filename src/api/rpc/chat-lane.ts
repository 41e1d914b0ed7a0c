import type { DescMethod } from "@bufbuild/protobuf";
import {
  ChatService,
  type CompleteChatRequest,
  type StreamChatRequest,
} from "../../../gen/ts/everhop/v1/chat_service_pb.ts";
import type { Caller } from "../../gateway/caller.ts";
import { type Access, admit, type Edge, visitorOf } from "../edge.ts";
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
  readonly requestId: string;
  readonly traceId: string;
  readonly seesTrail: boolean;
}

/** @throws ConnectError */
function letIn(edge: Edge, { headers, responseHeaders, peer }: LaneCall, access: Access): Visit {
  const visitor = visitorOf((name) => {
    const value = headers[name];
    return typeof value === "string" ? value : value?.[0];
  }, edge);
  const { requestId, traceId, caller } = visitor;
  responseHeaders["x-request-id"] = requestId;
  responseHeaders["x-everhop-trace-id"] = traceId;
  try {
    admit(edge, access, visitor, peer);
    if (!caller) throw new Error("a call was let in that no caller makes");
    return { caller, requestId, traceId, seesTrail: caller.seesTrail };
  } catch (error) {
    throw refusal(error, requestId);
  }
}

function contextOf({ caller, traceId }: Visit, call: LaneCall): ChatContext {
  const { account, cancellation, responseHeaders } = call;
  return {
    caller,
    traceId,
    account,
    cancellation,
    timeoutMs: call.timeoutMs(),
    tell: (headers) => void Object.assign(responseHeaders, headers),
  };
}

function shapeOf({ parent, name, input, output }: DescMethod) {
  return { path: `/${parent.typeName}/${name}`, input, output };
}
