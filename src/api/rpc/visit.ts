import { createContextKey, type HandlerContext } from "@connectrpc/connect";
import { CallError } from "../../gateway/call.ts";
import { type Access, admit, type Edge, type Peer, type Visitor, visitorOf } from "../edge.ts";
import { connectError } from "./errors.ts";

/** The other end of a call's connection, handed to Connect with the request. */
export const peerKey = createContextKey<Peer>({ address: "", welcome() {} });
const visitorKey = createContextKey<Visitor | undefined>(undefined);

/** Lets a call in before its body is read. @throws ConnectError */
export function letIn(edge: Edge, context: HandlerContext, access: Access): void {
  const visitor = visitorOf((name) => context.requestHeader.get(name), edge);
  const { requestId, traceId } = visitor;
  context.responseHeader.set("x-request-id", requestId);
  context.responseHeader.set("x-everhop-trace-id", traceId);
  context.values.set(visitorKey, visitor);
  try {
    admit(edge, access, visitor, context.values.get(peerKey));
  } catch (error) {
    throw connectError(CallError.from(error), { requestId, seesTrail: false, headers: {} });
  }
}

/** Who makes a call that was let in. */
export function visitorIn({ values }: HandlerContext): Visitor {
  const visitor = values.get(visitorKey);
  if (!visitor) throw new Error("a call was served that nobody let in");
  return visitor;
}
