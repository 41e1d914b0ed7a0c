import { create, type DescMessage, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Client, credentials, type Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { describe, expect, onTestFinished, test } from "vitest";
import {
  CompleteChatRequestSchema,
  CompleteChatResponseSchema,
  type StreamChatResponse,
  StreamChatResponseSchema,
} from "../../../gen/ts/everhop/v1/chat_service_pb.ts";
import { requestOf, textOf } from "../../support/wires.ts";
import { echo, type Port, ports, startPair, trailHeader } from "./pair.ts";

type Request = MessageInitShape<typeof CompleteChatRequestSchema>;

/** grpc-js by itself, as a program uses it. */
function open({ certificate }: Port, address: string) {
  const trust = certificate ? credentials.createSsl(Buffer.from(certificate.cert)) : credentials.createInsecure();
  const client = new Client(new URL(address).host, trust, { "grpc.use_local_subchannel_pool": 1 });
  onTestFinished(() => client.close());
  const path = (method: string) => `/everhop.v1.ChatService/${method}`;
  // Both methods' requests are alike on the wire.
  const encode = (request: Request) =>
    Buffer.from(toBinary(CompleteChatRequestSchema, create(CompleteChatRequestSchema, request)));
  const decode =
    <Desc extends DescMessage>(type: Desc) =>
    (bytes: Buffer) =>
      fromBinary(type, bytes);
  return {
    complete: (request: Request) =>
      new Promise<{ text: string; header: Metadata }>((resolve, reject) => {
        let header: Metadata | undefined;
        const done = (error: ServiceError | null, answer?: { completion?: Parameters<typeof textOf>[0] }) => {
          if (error || !header) reject(error ?? new Error("an answer without metadata"));
          else resolve({ text: textOf(answer?.completion), header });
        };
        client
          .makeUnaryRequest(path("CompleteChat"), encode, decode(CompleteChatResponseSchema), request, done)
          .on("metadata", (metadata) => {
            header = metadata;
          });
      }),
    async stream(request: Request) {
      const call = client.makeServerStreamRequest(
        path("StreamChat"),
        encode,
        decode(StreamChatResponseSchema),
        request,
      );
      const header = new Promise<Metadata>((resolve) => call.on("metadata", resolve));
      const ended = new Promise<number>((resolve) => call.on("status", ({ code }) => resolve(code)));
      const pieces: string[] = [];
      let last: string | undefined;
      for await (const { event } of call as AsyncIterable<StreamChatResponse>) {
        last = event?.kind.case;
        const delta = event?.kind.case === "partDelta" ? event.kind.value.delta : undefined;
        if (delta?.case === "text") pieces.push(delta.value);
      }
      return { pieces, last, header: await header, status: await ended };
    },
  };
}

describe.each(ports)("grpc-js $name", (port) => {
  test("gets a completion", async () => {
    const { address, trails } = await startPair(port);
    const { text, header } = await open(port, address).complete(requestOf({ text: "a nonce for grpc-js 🦘" }));
    expect(text).toBe(echo("a nonce for grpc-js 🦘"));
    expect(header.get("x-everhop-trail")).toEqual([trailHeader]);
    expect(trails.map(({ attempts }) => attempts.length)).toEqual([2]);
  });

  test("gets a stream", async () => {
    const { address } = await startPair(port);
    const told = await open(port, address).stream(requestOf({ text: "a nonce for grpc-js 🦘" }));
    expect(told.pieces.join("")).toBe(echo("a nonce for grpc-js 🦘"));
    expect(told.pieces.length).toBeGreaterThan(1);
    expect(told.last).toBe("end");
    expect(told.status).toBe(status.OK);
    expect(told.header.get("x-everhop-trail")).toEqual([trailHeader]);
  });

  test("asks many things at once on its one connection", async () => {
    const { address, listener } = await startPair(port);
    const client = open(port, address);
    const texts = Array.from({ length: 40 }, (_, index) => `nonce ${index}`);
    const answers = await Promise.all(texts.map((text) => client.complete(requestOf({ text }))));
    expect(answers.map(({ text }) => text)).toEqual(texts.map(echo));
    expect(listener.connections).toBe(1);
  });
});
