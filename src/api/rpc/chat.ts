import { toBinary } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  type ChatService,
  CompleteChatRequestSchema,
  StreamChatRequestSchema,
  type StreamChatResponse,
} from "../../../gen/ts/everhop/v1/chat_service_pb.ts";
import type { OpenStream } from "../../gateway/stream.ts";
import type { Edge } from "../edge.ts";
import { type RpcCall, startCall, unaryCall } from "./call.ts";
import { type ChatContext, completeChat, openChat } from "./chat-calls.ts";
import { accountKey, countUnpacked } from "./visit.ts";

/** ChatService as Connect serves it, by any of its protocols. */
export function chatService(edge: Edge): ServiceImpl<typeof ChatService> {
  const { machine } = edge;
  return {
    completeChat: (request, context) =>
      unaryCall(edge, context, async (rpc) => {
        countUnpacked(context, () => toBinary(CompleteChatRequestSchema, request).length);
        return completeChat(machine, request, chatContext(rpc, context));
      }),

    async *streamChat(request, context) {
      const rpc = startCall(edge, context);
      let stream: OpenStream<StreamChatResponse> | undefined;
      try {
        const opened = await rpc.guard(async () => {
          countUnpacked(context, () => toBinary(StreamChatRequestSchema, request).length);
          return openChat(machine, request, chatContext(rpc, context));
        });
        stream = opened;
        for (let last = false; !last; ) {
          const batch = await rpc.guard(() => opened.next());
          last = batch.last;
          yield* batch.items;
        }
      } finally {
        stream?.close(rpc.gone);
        rpc.release();
      }
    },
  };
}

function chatContext({ caller, record, cancellation }: RpcCall, context: HandlerContext): ChatContext {
  return {
    caller,
    record,
    account: context.values.get(accountKey),
    cancellation,
    timeoutMs: context.timeoutMs(),
    tell(headers) {
      for (const [name, value] of Object.entries(headers)) context.responseHeader.set(name, value);
    },
  };
}
