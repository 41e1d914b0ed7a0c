import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { ChatService } from "../../../gen/ts/everhop/v1/chat_service_pb.ts";

/** A client of ChatService, for rooms that have nothing to do with generated code. */
export function createChatClient(transport: Transport): Client<typeof ChatService> {
  return createClient(ChatService, transport);
}
