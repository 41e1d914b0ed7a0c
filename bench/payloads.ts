import { create, type MessageInitShape, toBinary, toJsonString } from "@bufbuild/protobuf";
import { CompleteChatRequestSchema, StreamChatRequestSchema } from "../gen/ts/everhop/v1/chat_service_pb.ts";
import { Role } from "../gen/ts/everhop/v1/prompt_pb.ts";
import { nonceBlank, nonceLength } from "./nonce.ts";

/** The model that the upstream serves at once. */
export const plainModel = "bench-plain";
/** The model that the upstream serves only to calls that it has failed before, at its other address. */
export const failoverModel = "bench-failover";

/** The model that streams at a model's pace instead of back to back. */
export const pacedModel = "bench-paced";

/** The model whose streams fall silent after their first content. */
export const silentModel = "bench-silent";

/** A payload encoded beforehand, into which each call writes its nonce. */
export type Payload = (nonce: string) => Buffer;

const smallText = `Say this again, if you please: ${nonceBlank}`;
/** A prompt of 16 KiB, the nonce at its very end. */
const largeText = "All happy families are alike. ".repeat(547).slice(0, 16 * 1024 - nonceLength) + nonceBlank;

/** An OpenAI chat request. */
export function chatBody(options: { model?: string; large?: boolean; stream?: boolean } = {}): Payload {
  const { model = plainModel, large = false, stream = false } = options;
  const messages = [
    { role: "system", content: "You are terse." },
    { role: "user", content: large ? largeText : smallText },
  ];
  return payloadOf(Buffer.from(JSON.stringify({ model, messages, temperature: 0.5, ...(stream && { stream }) })));
}

function rpcRequest(model: string) {
  return {
    prompt: {
      model,
      messages: [
        { role: Role.SYSTEM, parts: [{ kind: { case: "text", value: "You are terse." } }] },
        { role: Role.USER, parts: [{ kind: { case: "text", value: smallText } }] },
      ],
      sampling: { temperature: 0.5 },
    },
  } satisfies MessageInitShape<typeof CompleteChatRequestSchema>;
}

/** A `CompleteChatRequest` as one frame of gRPC, or of gRPC-Web. */
export function completeChatFrame(): Payload {
  const request = create(CompleteChatRequestSchema, rpcRequest(plainModel));
  return payloadOf(frameOf(toBinary(CompleteChatRequestSchema, request)));
}

/** A `StreamChatRequest` as one gRPC frame. */
export function streamChatFrame(model = plainModel): Payload {
  const request = create(StreamChatRequestSchema, rpcRequest(model));
  return payloadOf(frameOf(toBinary(StreamChatRequestSchema, request)));
}

/** A `CompleteChatRequest` as JSON, as the Connect protocol wants it. */
export function completeChatJson(): Payload {
  const request = create(CompleteChatRequestSchema, rpcRequest(plainModel));
  return payloadOf(Buffer.from(toJsonString(CompleteChatRequestSchema, request)));
}

/** A gRPC frame: no compression, four bytes of length, the message. */
function frameOf(message: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

function payloadOf(template: Buffer): Payload {
  const at = template.indexOf(nonceBlank);
  if (at < 0) throw new Error("the payload has no room for a nonce");
  return (nonce) => {
    // A copy: the call before may still be on its way to the socket.
    const bytes = Buffer.from(template);
    bytes.write(nonce, at, "latin1");
    return bytes;
  };
}
