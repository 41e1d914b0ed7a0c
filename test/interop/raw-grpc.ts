import http2 from "node:http2";
import net from "node:net";
import { Duplex } from "node:stream";
import { create, createRegistry, fromBinary, toBinary, toJson } from "@bufbuild/protobuf";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import { findTrailerError } from "@connectrpc/connect/protocol-grpc";
import { compressionGzip } from "@connectrpc/connect-node";
import {
  ChatService,
  CompleteChatRequestSchema,
  CompleteChatResponseSchema,
  StreamChatRequestSchema,
  StreamChatResponseSchema,
} from "../../gen/ts/everhop/v1/chat_service_pb.ts";
import { file_everhop_v1_route_trail } from "../../gen/ts/everhop/v1/route_trail_pb.ts";
import { file_google_rpc_error_details } from "../../gen/ts/google/rpc/error_details_pb.ts";
import { type Bytes, bytesOf } from "../bad-input/http1.ts";
import { flag, type as frameType } from "../bad-input/http2-frames.ts";
import { envelope } from "../bad-input/rpc.ts";
import { type Ask, type Mode, requestOf } from "../support/wires.ts";

/** A gRPC call as it goes over the wire, nothing of it left to a client. */
export interface Sent {
  /** Default: `unary`. */
  readonly mode?: Mode;
  readonly method?: string;
  /** Default: the mode's method. */
  readonly path?: string;
  /** In place of the usual ones, or beside them; undefined leaves one out. */
  readonly headers?: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** Pieces of the request, each in a frame of its own; a number is a pause in ms. Default: a question that may be asked. */
  readonly body?: readonly (Bytes | number)[];
  /** What follows the request. */
  readonly trailers?: Readonly<Record<string, string>>;
  /** Ends the request with its headers. */
  readonly bare?: boolean;
  /** Does not end the request. */
  readonly open?: boolean;
  /** How many bytes may be sent without being asked for. */
  readonly window?: number;
  /** Reads nothing until the server has taken its answer back. */
  readonly unread?: boolean;
  /** What happens meanwhile. */
  during?(call: LiveCall): unknown;
}

/** A call under way. */
export interface LiveCall {
  readonly stream: http2.ClientHttp2Stream;
  /** Resolves when so many messages have come; rejects when the stream closes before. */
  messages(count: number): Promise<void>;
}

/** All that a client can see of a call, but for what differs from call to call. */
export interface Recording {
  /** How it ended, in a word or two. */
  readonly ending: string;
  /** The server's frames in their order; DATA in one go counts once. */
  readonly frames: readonly string[];
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** Each with how it was packed. */
  readonly messages: readonly unknown[];
  /** What follows the last whole message. */
  readonly rest: string;
  readonly trailers: Readonly<Record<string, string>>;
  /** What `grpc-status-details-bin` holds. */
  readonly details: readonly unknown[];
  /** The code that the stream was closed with, as the client's library tells. */
  readonly closeCode: number | undefined;
  readonly events: readonly string[];
}

const methods = {
  unary: {
    path: `/${ChatService.typeName}/${ChatService.method.completeChat.name}`,
    input: CompleteChatRequestSchema,
    output: CompleteChatResponseSchema,
  },
  stream: {
    path: `/${ChatService.typeName}/${ChatService.method.streamChat.name}`,
    input: StreamChatRequestSchema,
    output: StreamChatResponseSchema,
  },
} as const;

const registry = createRegistry(file_google_rpc_error_details, file_everhop_v1_route_trail);

/** The path of a mode's method. */
export const pathOf = (mode: Mode): string => methods[mode].path;

/** A question's message in bytes. */
export function messageOf(mode: Mode, ask: Ask): Uint8Array {
  return mode === "unary"
    ? toBinary(CompleteChatRequestSchema, create(CompleteChatRequestSchema, requestOf(ask)))
    : toBinary(StreamChatRequestSchema, create(StreamChatRequestSchema, requestOf(ask)));
}

/** A question as the whole body of a request. */
export function bodyOf(mode: Mode, ask: Ask): Buffer {
  return envelope(0, messageOf(mode, ask));
}

const usualHeaders: Readonly<Record<string, string>> = {
  "content-type": "application/grpc",
  te: "trailers",
  "x-request-id": "the-request",
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
};

/** Makes a call on a connection of its own and records what comes of it, until the stream is closed. */
export async function record(port: number, sent: Sent): Promise<Recording> {
  const { mode = "unary", method = "POST", path = pathOf(mode), bare = false, open = false } = sent;
  // Node's client does not tell of a reset before all that came before it was read.
  const frames = createFrameLog(() => sent.unread && read());
  const options: http2.ClientSessionOptions & { strictSingleValueFields: boolean } = {
    createConnection: () => tapped(port, frames.hear),
    // What a client should not send is sent here.
    strictSingleValueFields: false,
    ...(sent.window !== undefined && { settings: { initialWindowSize: sent.window } }),
  };
  const session = http2.connect(`http://127.0.0.1:${port}`, options);
  session.on("error", () => {});
  const given = { ":method": method, ":path": path, ...usualHeaders, ...sent.headers };
  const headers: http2.OutgoingHttpHeaders = {};
  for (const [name, value] of Object.entries(given)) {
    if (value !== undefined) headers[name] = typeof value === "string" ? value : [...value];
  }
  const stream = session.request(headers, { endStream: bare, waitForTrailers: sent.trailers !== undefined });
  stream.on("wantTrailers", () => stream.sendTrailers({ ...sent.trailers }));

  const events: string[] = [];
  const note = (event: string) => void (events.at(-1) !== event && events.push(event));
  let status: number | undefined;
  let head: http2.IncomingHttpHeaders = {};
  let trailers: http2.IncomingHttpHeaders = {};
  let body: Buffer = Buffer.alloc(0);
  const waiting = new Set<() => void>();
  stream.on("response", (told) => {
    note("head");
    ({ ":status": status, ...head } = told);
  });
  stream.on("trailers", (told) => {
    note("trailers");
    trailers = told;
  });
  const read = () =>
    stream.on("data", (bytes: Buffer) => {
      note("data");
      body = Buffer.concat([body, bytes]);
      for (const look of waiting) look();
    });
  if (!sent.unread) read();
  stream.on("end", () => note("end"));
  stream.on("aborted", () => note("aborted"));
  stream.on("error", ({ code, message }: NodeJS.ErrnoException) => note(`error ${code} ${message}`));
  let toldFrames: readonly string[] = [];
  const closed = new Promise<void>((resolve) =>
    stream.on("close", () => {
      note("close");
      // What comes from now on has crossed the client's farewell.
      toldFrames = [...frames.told];
      resolve();
    }),
  );
  const live: LiveCall = {
    stream,
    messages: (count) =>
      new Promise((resolve, reject) => {
        const look = () => split(body).messages.length >= count && resolve();
        waiting.add(look);
        look();
        void closed.then(() => reject(new Error(`the stream closed before ${count} messages had come`)));
      }),
  };
  const meanwhile = Promise.resolve(sent.during?.(live));
  if (!bare) await send(stream, sent.body ?? [bodyOf(mode, { text: "hop over é 🦘" })], open);
  await meanwhile;
  await closed;
  session.destroy();
  return recordingOf({ mode, status, head, trailers, body, frames: toldFrames, events, closeCode: stream.rstCode });
}

async function send(stream: http2.ClientHttp2Stream, body: readonly (Bytes | number)[], open: boolean): Promise<void> {
  for (const piece of body) {
    if (stream.destroyed) return;
    if (typeof piece === "number") await new Promise((later) => setTimeout(later, piece));
    else if (bytesOf(piece).length > 0) await new Promise((next) => stream.write(bytesOf(piece), next));
  }
  if (!open) stream.end();
}

interface Came {
  readonly mode: Mode;
  readonly status: number | undefined;
  readonly head: http2.IncomingHttpHeaders;
  readonly trailers: http2.IncomingHttpHeaders;
  readonly body: Buffer;
  readonly frames: readonly string[];
  readonly events: readonly string[];
  readonly closeCode: number | undefined;
}

async function recordingOf({ mode, head, trailers: ownTrailers, body, ...seen }: Came): Promise<Recording> {
  const { messages: came, rest } = split(body);
  const messages = came.filter(({ flags }) => flags < webTrailers);
  const web = came.find(({ flags }) => flags === webTrailers);
  const trailers = web ? Object.fromEntries(linesOf(web.data)) : ownTrailers;
  const isGrpc = head["content-type"]?.startsWith("application/grpc") === true;
  const error = findTrailerError(new Headers(fieldsOf(trailers)));
  const details = (error?.details ?? []).map((detail) => {
    if (!("value" in detail) || !(detail.value instanceof Uint8Array)) throw new Error("a detail that came by no wire");
    const desc = registry.getMessage((detail as { type: string }).type); // what comes by a wire is told by its name
    if (!desc) throw new Error(`a detail of an unknown type ${JSON.stringify(detail)}`);
    return { type: desc.typeName, ...(settled(toJson(desc, fromBinary(desc, detail.value), { registry })) as object) };
  });
  const reason = details.find(({ type }) => type === "google.rpc.ErrorInfo") as { reason?: string } | undefined;
  const answered = error ? `${codeToString(error.code)} ${reason?.reason}` : "ok";
  return {
    ...seen,
    ending: endingOf(seen, isGrpc ? ("grpc-status" in trailers ? answered : "cut") : undefined),
    headers: settledFields(head),
    messages: isGrpc ? await Promise.all(messages.map((each) => decoded(mode, each))) : [],
    rest: isGrpc ? rest.toString("hex") : settledText(body.toString()),
    trailers: settledFields(trailers),
    details,
  };
}

function endingOf({ status, closeCode }: Pick<Came, "status" | "closeCode">, grpc: string | undefined): string {
  if (status === undefined) return `reset ${closeCode}`;
  if (grpc === undefined) return `HTTP ${status}`;
  return grpc === "cut" ? `cut ${closeCode}` : grpc;
}

/** What gRPC-Web says in place of trailers begins with this. */
const webTrailers = 0x80;

function linesOf(data: Buffer): [string, string][] {
  const lines = data.toString().trimEnd().split("\r\n");
  return lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]);
}

interface Frame {
  readonly flags: number;
  readonly data: Buffer;
}

function split(body: Buffer): { readonly messages: readonly Frame[]; readonly rest: Buffer } {
  const messages: Frame[] = [];
  let at = 0;
  while (at + 5 <= body.length) {
    const end = at + 5 + body.readUInt32BE(at + 1);
    if (end > body.length) break;
    messages.push({ flags: body[at] ?? 0, data: body.subarray(at + 5, end) });
    at = end;
  }
  return { messages, rest: body.subarray(at) };
}

async function decoded(mode: Mode, { flags, data }: Frame): Promise<unknown> {
  const bytes = flags === 1 ? await compressionGzip.decompress(data, 2 ** 30) : data;
  const { output } = methods[mode];
  return { flags, ...(settled(toJson(output, fromBinary(output, bytes), { registry })) as object) };
}

/** What is of its moment alone. */
const momentary = /^(?:startTime|duration|timeToFirstToken|wait|untilTime|retryDelay)$/;

/** A value of JSON without what differs from call to call. */
function settled(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(settled);
  if (typeof value === "string") return settledText(value);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => {
      if (name === "traceId") return [name, settledField("x-everhop-trace-id", String(each))];
      return [name, momentary.test(name) ? "some" : settled(each)];
    }),
  );
}

function settledText(text: string): string {
  return text
    .replace(/127\.0\.0\.1:\d+/g, "127.0.0.1:PORT")
    .replace(/"timestamp":"[^"]+"/g, '"timestamp":"some"')
    .replace(/\breq_[\da-f]{24}\b/g, "req_some");
}

function settledFields(headers: http2.IncomingHttpHeaders): Record<string, string> {
  const told = fieldsOf(headers).filter(([name]) => name !== "grpc-status-details-bin"); // decoded beside
  return Object.fromEntries(
    told
      .map(([name, value]): [string, string] => [name, settledField(name, value)])
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

function settledField(name: string, value: string): string {
  if (name === "date") return new Date(value).toString() === "Invalid Date" ? value : "some";
  if (name === "x-everhop-trail") return value.replace(/\d+ms\b/g, "some ms");
  if (name === "grpc-retry-pushback-ms") return value.replace(/^[1-9]\d*$/, "some");
  if (name === "x-everhop-trace-id") return value.startsWith("0af7651916cd43dd") ? value : "another";
  return settledText(value);
}

function fieldsOf(headers: http2.IncomingHttpHeaders): [string, string][] {
  return Object.entries(headers).map(([name, value]): [string, string] => [name, String(value)]);
}

/** Writes down which frames come, in the order of the wire. */
function createFrameLog(onReset: () => unknown): { readonly told: readonly string[]; hear(bytes: Buffer): void } {
  const told: string[] = [];
  let heard: Buffer = Buffer.alloc(0);
  return {
    told,
    hear(bytes) {
      heard = Buffer.concat([heard, bytes]);
      while (heard.length >= 9 && heard.length >= 9 + heard.readUIntBE(0, 3)) {
        const payload = heard.subarray(9, 9 + heard.readUIntBE(0, 3));
        const name = frameName(heard[3] ?? 0, heard[4] ?? 0, payload);
        if (name && (name !== "DATA" || told.at(-1) !== name)) told.push(name);
        if (name?.startsWith("RST_STREAM")) setImmediate(onReset);
        heard = heard.subarray(9 + payload.length);
      }
    },
  };
}

function frameName(kind: number, flags: number, payload: Buffer): string | undefined {
  const last = (flags & flag.endStream) !== 0 ? " and end" : "";
  if (kind === frameType.headers) return `HEADERS${last}`;
  if (kind === frameType.data) return `${payload.length > 0 ? "" : "empty "}DATA${last}`;
  if (kind === frameType.reset) return `RST_STREAM ${payload.readUInt32BE(0)}`;
  if (kind === frameType.goAway) return `GOAWAY ${payload.readUInt32BE(4)}`;
  if (kind === frameType.settings && (flags & flag.ack) === 0) return `SETTINGS of ${payload.length / 6}`;
  return undefined;
}

/** A connection whose other end is overheard. */
function tapped(port: number, hear: (bytes: Buffer) => void): Duplex {
  const socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
  const duplex = new Duplex({
    read: () => void socket.resume(),
    write: (bytes: Buffer, _encoding, done) => void socket.write(bytes, done),
    final: (done) => void socket.end(done),
    destroy(error, done) {
      socket.destroy();
      done(error);
    },
  });
  socket.on("data", (bytes) => {
    hear(bytes);
    if (!duplex.push(bytes)) socket.pause();
  });
  socket.on("end", () => duplex.push(null));
  socket.on("error", () => duplex.destroy());
  socket.on("close", () => duplex.destroy());
  return duplex;
}
