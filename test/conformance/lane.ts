import type { OutgoingHttpHeaders } from "node:http";
import type { Message } from "@bufbuild/protobuf";
import { Code, ConnectError, createContextValues, type HandlerContext } from "@connectrpc/connect";
import type { LaneCall, LaneMethod } from "../../src/api/rpc/lane-method.ts";
import { DeadlineExceeded } from "../../src/runtime/cancellation.ts";
import { conformanceService } from "./schema.ts";
import { oneRequest } from "./service.ts";

/** The judge's methods with one request, as the lane takes ChatService's. */
export function conformanceLane(): LaneMethod[] {
  const service = conformanceService();
  return service.methods.flatMap((method): LaneMethod[] => {
    const { name, localName, input, output } = method;
    const shape = { path: `/${service.typeName}/${name}`, input, output };
    if (localName === "serverStream") {
      const begin = (call: LaneCall) => ({ handle: async (request: Message) => streamed(request, call), statusOf });
      return [{ ...shape, kind: "server_streaming", begin }];
    }
    const implementation = oneRequest[localName as "unary" | "idempotentUnary"]; // others have none
    return implementation
      ? [{ ...shape, kind: "unary", begin: (call) => ({ handle: answered(implementation, call), statusOf }) }]
      : [];
  });
}

function statusOf(error: unknown): ConnectError {
  return error instanceof ConnectError ? error : new ConnectError("internal error", Code.Internal);
}

function answered(
  implementation: (request: Message, context: HandlerContext) => Promise<Message>,
  call: LaneCall,
): (request: Message) => Promise<Message> {
  const context = contextOf(call);
  return (request) => implementation(request, context).finally(() => tell(context, call));
}

function streamed(request: Message, call: LaneCall) {
  const context = contextOf(call);
  const messages = oneRequest.serverStream(request, context);
  return {
    async next() {
      const { value, done } = await messages.next().finally(() => tell(context, call));
      return { items: value ? [value] : [], last: done === true };
    },
    close: () => void messages.return(undefined),
  };
}

/** As much of Connect's context as the service looks at. */
function contextOf(call: LaneCall): HandlerContext {
  const controller = new AbortController();
  call.cancellation.onCancel((reason) =>
    controller.abort(
      reason instanceof DeadlineExceeded
        ? new ConnectError("the operation timed out", Code.DeadlineExceeded)
        : new ConnectError("the caller is gone", Code.Canceled),
    ),
  );
  const pairs = Object.entries(call.headers).flatMap(([name, value]) =>
    name.startsWith(":") || value === undefined ? [] : [[name, String(value)] as [string, string]],
  );
  return {
    requestMethod: "POST",
    url: call.headers[":path"],
    requestHeader: new Headers(pairs),
    responseHeader: new Headers(),
    responseTrailer: new Headers(),
    signal: controller.signal,
    timeoutMs: () => call.timeoutMs(),
    values: createContextValues(),
  } as unknown as HandlerContext; // the rest is not asked for
}

function tell({ responseHeader, responseTrailer }: HandlerContext, call: LaneCall): void {
  const into = (target: OutgoingHttpHeaders, headers: Headers) =>
    void Object.assign(target, Object.fromEntries(headers));
  into(call.responseHeaders, responseHeader);
  into(call.responseTrailers, responseTrailer);
}
