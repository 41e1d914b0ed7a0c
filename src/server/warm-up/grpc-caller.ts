import { connect } from "node:http2";
import { toBinary } from "@bufbuild/protobuf";
import { create, PromptSchema, Role } from "../../chat/messages.ts";
import { type Caller, question } from "./caller.ts";

/** A caller by gRPC, in frames of its own: a client library would take longer to load than the warm-up may take. */
export function createGrpcCaller(
  { host, port, key }: { host: string; port: number; key: string },
  stream: boolean,
): Caller {
  const session = connect(`http://${host}:${port}`);
  // A call under way hears of it, too.
  session.on("error", () => {});
  const body = frame();
  const headers = {
    ":method": "POST",
    ":path": `/everhop.v1.ChatService/${stream ? "StreamChat" : "CompleteChat"}`,
    authorization: `Bearer ${key}`,
    "content-type": "application/grpc",
    te: "trailers",
  };
  return {
    ask: () =>
      new Promise((resolve, reject) => {
        const call = session.request(headers);
        let status: unknown;
        const read = (each: Readonly<Record<string, unknown>>) => {
          status = each["grpc-status"] ?? status;
        };
        call.on("response", read).on("trailers", read).on("error", reject);
        call.on("close", () => {
          if (status === "0") resolve();
          else reject(new Error(`gRPC was answered by ${status ?? "nothing"}`));
        });
        call.resume().end(body);
      }),
    close: () => session.destroy(),
  };
}

/** One message, which is a request of either method: their first field is the prompt. */
function frame(): Buffer {
  const parts = [{ kind: { case: "text" as const, value: question } }];
  const prompt = toBinary(PromptSchema, create(PromptSchema, { messages: [{ role: Role.USER, parts }] }));
  const message = Buffer.concat([Buffer.from([0x0a, prompt.length]), prompt]);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}
