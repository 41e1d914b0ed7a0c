import http2 from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import { codeToString, errorFromJson } from "@connectrpc/connect/protocol-connect";
import { findTrailerError } from "@connectrpc/connect/protocol-grpc";
import { ErrorInfoSchema } from "../../gen/ts/google/rpc/error_details_pb.ts";
import { type Bytes, bytesOf } from "./http1.ts";

/** One frame of a stream's body: flags, length, data. @param told the length it says, where that is a lie */
export function envelope(flags: number, data: Bytes, told?: number): Buffer {
  const bytes = bytesOf(data);
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(told ?? bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

/** A number as protobuf has it. */
export function varint(value: number | bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest >= 128n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return Buffer.from([...bytes, Number(rest)]);
}

/** The tag of a field. */
export function tag(field: number, wireType: number): Buffer {
  return varint((BigInt(field) << 3n) | BigInt(wireType));
}

/** A field with a length: a text, bytes, a message in its parts. @param told the length it says, where that is a lie */
export function sized(field: number, data: Bytes | readonly Bytes[], told?: number | bigint): Buffer {
  const bytes = Buffer.concat((typeof data === "string" || data instanceof Uint8Array ? [data] : data).map(bytesOf));
  return Buffer.concat([tag(field, 2), varint(told ?? bytes.length), bytes]);
}

/** A field that is a number. */
export function numbered(field: number, value: number | bigint): Buffer {
  return Buffer.concat([tag(field, 0), varint(value)]);
}

/** The message of a user that says hello, in the parts of a Message. */
export const helloMessage: readonly Bytes[] = [numbered(1, 2), sized(2, [sized(1, "hello")])];
/** The parts of a Prompt that may go. */
export const goodPrompt: readonly Bytes[] = [sized(1, "think"), sized(2, helloMessage)];
/** A CompleteChatRequest, or StreamChatRequest, that may go. */
export const goodRequest = sized(1, goodPrompt);

/** What came of a call. */
export interface RpcAnswer {
  /** Undefined: no answer began. */
  readonly status: number | undefined;
  readonly headers: http2.IncomingHttpHeaders;
  readonly trailers: http2.IncomingHttpHeaders;
  readonly body: Buffer;
}

/** How a call ends that does not end well. */
export interface CallEnd {
  /** Does not end the request. */
  readonly open?: boolean;
  /** Takes the call back with this code once its body is out. */
  readonly reset?: number;
}

/** Calls over HTTP/2 with a body as it is, each piece in a frame of its own; resolves when the stream is closed. */
export function callHttp2(
  address: string,
  path: string,
  fields: http2.OutgoingHttpHeaders,
  body: readonly Bytes[],
  { open, reset }: CallEnd = {},
): Promise<RpcAnswer> {
  return new Promise((resolve) => {
    const session = http2.connect(address);
    session.on("error", () => {});
    const stream = session.request({ ":method": "POST", ":path": path, ...fields });
    let headers: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader = {};
    let trailers: http2.IncomingHttpHeaders = {};
    const pieces: Buffer[] = [];
    stream.on("response", (told) => {
      headers = told;
    });
    stream.on("trailers", (told) => {
      trailers = told;
    });
    stream.on("data", (piece) => pieces.push(piece));
    stream.on("end", () => open && stream.close());
    stream.on("error", () => {});
    stream.on("close", () => {
      session.destroy();
      resolve({ status: headers[":status"], headers, trailers, body: Buffer.concat(pieces) });
    });
    for (const piece of body) stream.write(bytesOf(piece));
    if (reset !== undefined) setImmediate(() => stream.close(reset));
    else if (!open) stream.end();
  });
}

/** What a client makes of an answer. */
export interface Outcome {
  /** `ok`, or the code's name; `none` when the stream was reset before it said anything. */
  readonly code: string;
  /** Of the ErrorInfo in our domain; empty when there is none. */
  readonly reason: string;
  readonly message: string;
}

/** Statuses of HTTP as gRPC's clients read them where no status of gRPC is told. */
const codeOfHttp: Readonly<Record<number, Code>> = {
  400: Code.Internal,
  401: Code.Unauthenticated,
  403: Code.PermissionDenied,
  404: Code.Unimplemented,
  429: Code.Unavailable,
  502: Code.Unavailable,
  503: Code.Unavailable,
  504: Code.Unavailable,
};

/** Reads an answer as a client of its protocol does. */
export function outcomeOf({ status, headers, trailers, body }: RpcAnswer): Outcome {
  if (status === undefined) return { code: "none", reason: "", message: "" };
  const type = headers["content-type"] ?? "";
  if (type.startsWith("application/connect+")) return told(endOfConnect(body));
  if (type.startsWith("application/grpc-web")) return told(findTrailerError(new Headers(trailersOfWeb(body))));
  if (type.startsWith("application/grpc")) {
    const fields = "grpc-status" in trailers ? trailers : headers;
    return told(
      findTrailerError(
        new Headers(Object.entries(fields).filter(([name]) => !name.startsWith(":")) as [string, string][]),
      ),
    );
  }
  if (status === 200) return told(undefined);
  return told(new ConnectError(`HTTP ${status}`, codeOfHttp[status] ?? Code.Unknown));
}

/** The last frame of a body. */
function lastFrame(body: Buffer): { flags: number; data: Buffer } {
  let found: { flags: number; data: Buffer } = { flags: 0, data: Buffer.alloc(0) };
  for (let at = 0; at + 5 <= body.length; at += 5 + body.readUInt32BE(at + 1)) {
    found = { flags: body[at] ?? 0, data: body.subarray(at + 5, at + 5 + body.readUInt32BE(at + 1)) };
  }
  return found;
}

function endOfConnect(body: Buffer): ConnectError | undefined {
  const { flags, data } = lastFrame(body);
  if (flags !== 2) return new ConnectError("no end of the stream", Code.DataLoss);
  const { error } = JSON.parse(data.toString()) as { error?: Parameters<typeof errorFromJson>[0] };
  return error ? errorFromJson(error, undefined, new ConnectError("unreadable", Code.DataLoss)) : undefined;
}

function trailersOfWeb(body: Buffer): [string, string][] {
  const { flags, data } = lastFrame(body);
  if (flags !== 128) return [["grpc-status", String(Code.DataLoss)]];
  const lines = data
    .toString("latin1")
    .split("\r\n")
    .filter((line) => line.includes(":"));
  return lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]);
}

function told(error: ConnectError | undefined): Outcome {
  if (!error) return { code: "ok", reason: "", message: "" };
  const [info] = error.findDetails(ErrorInfoSchema);
  return {
    code: codeToString(error.code),
    reason: info?.domain === "everhop" ? info.reason : "",
    message: error.rawMessage,
  };
}
