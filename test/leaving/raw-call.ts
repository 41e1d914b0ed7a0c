import net from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  ChatService,
  CompleteChatRequestSchema,
  StreamChatRequestSchema,
} from "../../gen/ts/everhop/v1/chat_service_pb.ts";
import { httpRequest } from "../bad-input/http1.ts";
import { fieldBlock, flag, frame, preface, pseudo, settings, type, uint32 } from "../bad-input/http2-frames.ts";
import { envelope } from "../bad-input/rpc.ts";
import { type Ask, bodyOf, type Mode, requestOf } from "../support/wires.ts";

/** A protocol on a version of HTTP. */
export interface Way {
  readonly name: string;
  readonly protocol: "REST" | "gRPC" | "gRPC-Web" | "Connect";
  readonly http2: boolean;
}

const way = (protocol: Way["protocol"], http2: boolean): Way => ({
  name: `${protocol} over HTTP/${http2 ? "2" : "1.1"}`,
  protocol,
  http2,
});

/** Every way in which a call may come. */
export const ways: readonly Way[] = [
  way("REST", false),
  way("REST", true),
  way("gRPC", true),
  way("gRPC-Web", false),
  way("gRPC-Web", true),
  way("Connect", false),
  way("Connect", true),
];

/** How a client goes: it closes its connection, resets it, or takes back the one call (HTTP/2). */
export type Manner = "FIN" | "RST" | "RST_STREAM";

/** How clients may go that came by a way. */
export function mannersOf({ http2 }: Way): readonly Manner[] {
  return http2 ? ["FIN", "RST", "RST_STREAM"] : ["FIN", "RST"];
}

/** What providers say in the tests of leaving, so that it can be counted on any wire. */
export const word = "kangaroo";

/** How a call is made. */
export interface RawManner {
  readonly mode: Mode;
  /**
   * What a client does that does not read. `socket`: it takes nothing from the system; `window` (HTTP/2): it takes all, and
   * never says that more may come.
   */
  readonly unread?: "socket" | "window" | undefined;
}

/** One call on a connection of its own, made by hand, so that nothing of a client's comfort stands between the test and the wire. */
export interface RawCall {
  /** Bytes of the answer, heads left out on HTTP/2. */
  readonly heardBytes: number;
  /** Resolves when so many of the provider's words have come; rejects when the connection closes before. */
  words(count: number): Promise<void>;
  /** Whether an answer has begun. */
  readonly answered: boolean;
  /** Takes at most so many bytes, and no more until it is told again. Of a client that does not read by itself. */
  take(bytes: number): void;
  /** Resolves when the answer or the connection has ended. */
  readonly over: Promise<void>;
  /** Leaves, after having read or not. */
  leave(manner: Manner): void;
  /** Says that nothing more will be said, and neither reads nor closes. */
  halfClose(): void;
}

/** The largest window there is. */
const widest = 2 ** 31 - 1;
const windowSetting = 4;
const cancelCode = 8;

/** Calls. The connection is open from the next turn on. */
export function callRaw(port: number, { protocol, http2 }: Way, ask: Ask, { mode, unread }: RawManner): RawCall {
  const socket = net.connect({ port, host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
  const { promise: over, resolve: end } = Promise.withResolvers<void>();
  let heardBytes = 0;
  let counted = 0;
  let answered = false;
  let tail = "";
  let gone = false;
  let waiting: { readonly count: number; resolve(): void; reject(error: Error): void }[] = [];

  function count(bytes: Buffer): void {
    heardBytes += bytes.length;
    answered = true;
    const text = tail + bytes.toString("latin1");
    counted += text.split(word).length - 1;
    // A word may be cut in two by the pieces in which it comes.
    tail = text.slice(Math.max(text.lastIndexOf(word) + word.length, text.length - word.length + 1));
    const [done, rest] = [waiting.filter((each) => counted >= each.count), waiting.filter((w) => counted < w.count)];
    waiting = rest;
    for (const each of done) each.resolve();
  }

  let frames: Buffer = Buffer.alloc(0);
  function hear(bytes: Buffer): void {
    if (!http2) {
      count(bytes);
      return;
    }
    frames = frames.length === 0 ? bytes : Buffer.concat([frames, bytes]);
    for (;;) {
      const length = frames.length < 9 ? Number.POSITIVE_INFINITY : frames.readUIntBE(0, 3);
      if (frames.length < 9 + length) return;
      const kind = frames[3];
      const ended = kind === type.reset || kind === type.goAway;
      const last = (kind === type.headers || kind === type.data) && ((frames[4] ?? 0) & flag.endStream) !== 0;
      if (kind === type.headers) answered = true;
      if (kind === type.data) count(frames.subarray(9, 9 + length));
      frames = frames.subarray(9 + length);
      if (ended || last) end();
    }
  }

  const paused = unread === "socket";
  socket.on("error", () => {});
  socket.on("close", () => {
    gone = true;
    end();
    for (const { reject } of waiting) reject(new Error(`closed after ${counted} words and ${heardBytes} bytes`));
    waiting = [];
  });
  socket.on("end", () => {
    if (!http2) end();
    socket.end();
  });
  if (paused) socket.pause();
  else socket.on("data", hear);
  const request = requestBytes(protocol, ask, mode);
  socket.on("connect", () => {
    if (!http2) {
      const fields = Object.entries(request.fields).map(([name, value]) => `${name}: ${value}`);
      socket.write(httpRequest(`POST ${request.path}`, fields, request.body.toString("latin1")), "latin1");
      return;
    }
    const open = unread !== "window";
    const fields = fieldBlock([...pseudo("POST", request.path), ...Object.entries(request.fields)]);
    const pieces = [preface, settings(open ? [[windowSetting, widest]] : [])];
    if (open) pieces.push(frame(type.window, 0, 0, uint32(widest - 65_535)));
    pieces.push(frame(type.headers, flag.endHeaders, 1, fields));
    for (let at = 0; at < request.body.length; at += 16_384) {
      const piece = request.body.subarray(at, at + 16_384);
      pieces.push(frame(type.data, at + 16_384 >= request.body.length ? flag.endStream : 0, 1, piece));
    }
    socket.write(Buffer.concat(pieces.map((piece) => (typeof piece === "string" ? Buffer.from(piece) : piece))));
  });
  return {
    get heardBytes() {
      return heardBytes;
    },
    get answered() {
      return answered;
    },
    words(wanted) {
      if (counted >= wanted) return Promise.resolve();
      if (gone) return Promise.reject(new Error(`closed after ${counted} words`));
      return new Promise((resolve, reject) => waiting.push({ count: wanted, resolve, reject }));
    },
    take(bytes) {
      const piece: Buffer | null = socket.read(Math.min(bytes, socket.readableLength)) ?? socket.read();
      if (piece) hear(piece);
    },
    over,
    leave(manner) {
      if (manner === "RST") socket.resetAndDestroy();
      else if (manner === "RST_STREAM") socket.write(frame(type.reset, 0, 1, uint32(cancelCode)));
      else socket.destroy();
    },
    halfClose: () => void socket.end(),
  };
}

/** A question's request on a protocol. */
function requestBytes(
  protocol: Way["protocol"],
  ask: Ask,
  mode: Mode,
): { path: string; fields: Readonly<Record<string, string>>; body: Buffer } {
  if (protocol === "REST") {
    const body = Buffer.from(JSON.stringify({ ...bodyOf(ask), ...(mode === "stream" && { stream: true }) }));
    return { path: "/v1/chat/completions", fields: { "content-type": "application/json" }, body };
  }
  const message = Buffer.from(
    mode === "stream"
      ? toBinary(StreamChatRequestSchema, create(StreamChatRequestSchema, requestOf(ask)))
      : toBinary(CompleteChatRequestSchema, create(CompleteChatRequestSchema, requestOf(ask))),
  );
  const path = `/${ChatService.typeName}/${mode === "stream" ? "StreamChat" : "CompleteChat"}`;
  if (protocol === "Connect" && mode === "unary") {
    const fields = { "content-type": "application/proto", "connect-protocol-version": "1" };
    return { path, fields, body: message };
  }
  const types = { gRPC: "application/grpc+proto", "gRPC-Web": "application/grpc-web+proto" } as const;
  const contentType = protocol === "Connect" ? "application/connect+proto" : types[protocol];
  const fields = { "content-type": contentType, ...(protocol === "gRPC" && { te: "trailers" }) };
  return { path, fields, body: envelope(0, message) };
}
