import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import { constants, Http2ServerRequest, Http2ServerResponse, type ServerHttp2Stream } from "node:http2";
import { fromBinary, type Message } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { type Compression, compressedFlag } from "@connectrpc/connect/protocol";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import type { ByteAccount, ByteBudget } from "../../gateway/byte-budget.ts";
import { recordEnd } from "../../gateway/faults.ts";
import { CallerGone, type Cancellation, createCancellation, DeadlineExceeded } from "../../runtime/cancellation.ts";
import type { RequestRecord } from "../../telemetry/request-record.ts";
import type { Peer } from "../edge.ts";
import { drained, type Pace, sliceBytes, writePaced } from "../pace.ts";
import { dropRestOfStream } from "../rest/handler.ts";
import { dressIfBare, dressTrailer } from "./dress.ts";
import { headBytes, lengthAt } from "./envelope.ts";
import { recordStatus } from "./errors.ts";
import type { LaneCall, LaneHandler, LaneMethod, LaneStream } from "./lane-method.ts";
import { framesOf } from "./message-encoder.ts";
import { grpcTimeoutMs } from "./timeout.ts";
import { takeFrom } from "./visit.ts";

/** What the lane takes beside its methods. What both have must be the same as the adapter's: which of the two has answered is not to be told. */
export interface LaneSetup extends Pace {
  readonly bytes: ByteBudget;
  readonly shutdown: Cancellation;
  /** A request's message, in bytes. */
  readonly readMaxBytes: number;
  readonly writeMaxBytes: number;
  readonly maxTimeoutMs: number;
  readonly compression: Compression;
  readonly dress: (error: ConnectError, headers: Headers) => ConnectError;
  /** Takes a call whose message is not what the lane knows how to read, with that message. */
  handOver(request: IncomingMessage, response: ServerResponse, peer: Peer, body: AsyncIterable<Uint8Array>): void;
}

/** gRPC by the shortest way, for requests of the plainest shape; everything else is Connect's. */
export interface GrpcLane {
  /** Whether a request's head is of that shape. */
  wants(headers: IncomingHttpHeaders): boolean;
  /** Answers a request that it wants. @returns what is to be done when the stream has closed */
  handle(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    rawHeaders: readonly string[],
    peer: Peer,
  ): () => void;
}

/** Messages below this are not worth packing; Connect's own limit. */
const compressMinBytes = 1024;

/** Serves methods over gRPC on the bare streams of HTTP/2. What it answers is what Connect's handlers would have answered. */
export function createGrpcLane(methods: readonly LaneMethod[], setup: LaneSetup): GrpcLane {
  const byPath = new Map(methods.map((method) => [method.path, method]));
  return {
    wants: (headers) => byPath.has(headers[":path"] as string) && isPlain(headers, setup), // a request has a path
    handle(stream, headers, rawHeaders, peer) {
      const method = byPath.get(headers[":path"] as string);
      if (!method) throw new Error("the lane was given what it does not want");
      const call = new GrpcCall(method, setup, { stream, headers, rawHeaders, peer });
      call.begin();
      return call.closed;
    },
  };
}

function isPlain(headers: IncomingHttpHeaders, { readMaxBytes, maxTimeoutMs }: LaneSetup): boolean {
  const type = headers["content-type"];
  const timeout = headers["grpc-timeout"];
  return (
    headers[":method"] === "POST" &&
    (type === "application/grpc" || type === "application/grpc+proto") &&
    (headers["grpc-encoding"] ?? "identity") === "identity" &&
    (timeout === undefined || grpcTimeoutMs(String(timeout), maxTimeoutMs) !== undefined) &&
    !(Number(headers["content-length"]) > readMaxBytes) &&
    headers.expect === undefined &&
    headers.origin === undefined
  );
}

/** What a request comes with. */
interface Arrival {
  readonly stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly peer: Peer;
}

/** One call from its head to its trailers. A class, for closures would cost more than it does. */
class GrpcCall implements LaneCall {
  readonly headers: IncomingHttpHeaders;
  readonly peer: Peer;
  readonly isEncrypted: boolean;
  record: RequestRecord | undefined;
  readonly account: ByteAccount;
  readonly responseHeaders: OutgoingHttpHeaders;
  readonly responseTrailers: OutgoingHttpHeaders = {};
  readonly cancellation = createCancellation();
  readonly #method: LaneMethod;
  readonly #setup: LaneSetup;
  readonly #stream: ServerHttp2Stream;
  readonly #rawHeaders: readonly string[];
  readonly #packs: boolean;
  readonly #deadline: number | undefined;
  #handler: LaneHandler<Message | LaneStream> | undefined;
  #chunks: Buffer[] = [];
  #length = 0;
  /** Length at which there is more to tell: a head, then the end of its message. */
  #wanted = headBytes;
  #request: Message | undefined;
  /** Whether there is nothing left to call off. */
  #over = false;
  #unlink = nothing;
  #disarmDeadline = nothing;
  #disarmCut = nothing;

  constructor(method: LaneMethod, setup: LaneSetup, { stream, headers, rawHeaders, peer }: Arrival) {
    this.#method = method;
    this.#setup = setup;
    this.#stream = stream;
    this.#rawHeaders = rawHeaders;
    this.headers = headers;
    this.peer = peer;
    this.isEncrypted = stream.session?.encrypted ?? false;
    this.account = setup.bytes.open();
    this.#packs = accepts(headers, setup.compression);
    this.responseHeaders = {
      "content-type": "application/grpc+proto",
      ...(this.#packs && { "grpc-encoding": setup.compression.name }),
    };
    const timeout = headers["grpc-timeout"];
    const timeoutMs = timeout === undefined ? undefined : grpcTimeoutMs(String(timeout), setup.maxTimeoutMs);
    this.#deadline = timeoutMs === undefined ? undefined : setup.clock.now() + timeoutMs;
  }

  timeoutMs(): number | undefined {
    return this.#deadline === undefined ? undefined : this.#deadline - this.#setup.clock.now();
  }

  begin(): void {
    const { clock, shutdown } = this.#setup;
    const stream = this.#stream;
    this.#unlink = shutdown.onCancel((reason) => this.cancellation.cancel(reason));
    const timeoutMs = this.timeoutMs();
    if (timeoutMs !== undefined) {
      this.#disarmDeadline = clock.schedule(timeoutMs, () => this.cancellation.cancel(new DeadlineExceeded()));
    }
    try {
      this.#handler = this.#method.begin(this);
    } catch (error) {
      this.#fail(error);
      return;
    }
    stream.on("data", this.#onData);
    stream.on("end", this.#onEnd);
  }

  /** An arrow, for it is handed on: to be called when the stream has closed. */
  readonly closed = (): void => {
    this.#release();
    this.#disarmCut();
    if (!this.#over) this.cancellation.cancel(new CallerGone());
    const { record } = this;
    if (record) recordEnd(record, this.#stream.headersSent ? 200 : 0, this.#over);
  };

  readonly #onData = (chunk: Buffer): void => {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    try {
      takeFrom(this.account, this.record)(chunk.length);
    } catch (error) {
      this.#stopReading();
      this.#fail(error);
      return;
    }
    // What is wrong already need not be waited for.
    if (this.#length >= this.#wanted && !this.#read()) this.#handOver(false);
  };

  readonly #onEnd = (): void => {
    const request = this.#request;
    if (!request) {
      this.#handOver(true);
      return;
    }
    this.#chunks = [];
    this.#answer(request);
  };

  /**
   * Reads the one message when all of it is there.
   * @returns whether the request may still be just that, and as it should be
   */
  #read(): boolean {
    const bytes = this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks); // there is one
    this.#chunks = [bytes];
    const length = lengthAt(bytes, 0);
    this.#wanted = headBytes + length;
    if (length > this.#setup.readMaxBytes || bytes.length > this.#wanted) return false;
    if (bytes.length < this.#wanted) return true;
    if (bytes[0] !== 0) return false;
    try {
      this.#request = fromBinary(this.#method.input, bytes.subarray(headBytes));
      return true;
    } catch {
      return false;
    }
  }

  #answer(request: Message): void {
    const { kind } = this.#method;
    try {
      this.#handler?.handle(request).then(
        (answer) => {
          if (kind === "unary")
            void this.#sendOnly(answer as Message); // by its kind
          else void this.#sendAll(answer as LaneStream);
        },
        (error) => this.#fail(error),
      );
    } catch (error) {
      this.#fail(error);
    }
  }

  async #sendOnly(message: Message): Promise<void> {
    try {
      const frames = this.#framed([message]);
      await this.#finish(frames instanceof Buffer ? frames : await frames, undefined);
    } catch (error) {
      this.#fail(error);
    }
  }

  async #sendAll(opened: LaneStream): Promise<void> {
    try {
      for (;;) {
        const { items, last } = await opened.next();
        const framed = items.length > 0 ? this.#framed(items) : undefined;
        const frames = framed instanceof Promise ? await framed : framed;
        if (last) {
          await this.#finish(frames, opened);
          return;
        }
        if (!frames) continue;
        const taken = this.#write(frames, opened);
        if (!(typeof taken === "boolean" ? taken : await taken)) return;
      }
    } catch (error) {
      opened.close(() => error);
      this.#fail(error);
    }
  }

  /** Messages as they are sent, in one piece; a promise where some of them are packed. @throws ConnectError when one is too long */
  #framed(messages: readonly Message[]): Buffer | Promise<Buffer> {
    const frames = framesOf(this.#method.output, messages);
    // One head alone tells nothing that its length does not.
    if (frames.length - headBytes > this.#setup.writeMaxBytes)
      for (const { length } of bodiesOf(frames)) this.#checkLength(length);
    const mayPack = this.#packs && frames.length >= compressMinBytes;
    return mayPack ? this.#packed(bodiesOf(frames)) : frames;
  }

  /** Those that are long enough, packed. */
  async #packed(bodies: readonly Buffer[]): Promise<Buffer> {
    const frames: Uint8Array[] = [];
    for (const body of bodies) {
      const isPacked = body.length >= compressMinBytes;
      const sent = isPacked ? await this.#setup.compression.compress(body) : body;
      this.#checkLength(sent.length);
      frames.push(headOf(sent.length, isPacked), sent);
    }
    return Buffer.concat(frames);
  }

  /** Sends at the caller's pace. @returns whether the caller takes it; else it is gone */
  #write(frames: Buffer, opened: LaneStream | undefined): boolean | Promise<boolean> {
    const stream = this.#stream;
    if (this.#isGone) {
      opened?.close(() => new CallerGone());
      return false;
    }
    this.#begin();
    if (frames.length <= sliceBytes && stream.write(frames)) return true;
    const rest = frames.length <= sliceBytes ? drained(stream, this.#setup) : writePaced(stream, frames, this.#setup);
    return rest.then(
      () => true,
      (error) => {
        // Whoever makes the answer learns that nobody takes it.
        opened?.close(() => error);
        stream.destroy();
        return false;
      },
    );
  }

  /** Sends what is left, and the trailers. */
  async #finish(frames: Buffer | undefined, opened: LaneStream | undefined): Promise<void> {
    // More than one piece: at the caller's pace.
    const isLong = frames !== undefined && frames.length > sliceBytes;
    if (isLong && !(await this.#write(frames, opened))) return;
    this.#end({ ...this.responseTrailers, "grpc-status": "0" }, isLong ? undefined : frames);
  }

  #checkLength(length: number): void {
    const { writeMaxBytes } = this.#setup;
    if (length <= writeMaxBytes) return;
    const message = `message size ${length} is larger than configured writeMaxBytes ${writeMaxBytes}`;
    throw new ConnectError(message, Code.ResourceExhausted);
  }

  /** The head goes with the first message, or with the trailers: until then the method may still add to it. */
  #begin(): void {
    const stream = this.#stream;
    if (stream.headersSent) return;
    dropRestOfStream(stream, this.#setup.clock);
    stream.respond({ ":status": 200, ...this.responseHeaders }, { waitForTrailers: true });
  }

  /** A stream that was reset lives on while something of its request is unread, and takes nothing any more. */
  get #isGone(): boolean {
    return this.#stream.destroyed || this.#stream.closed;
  }

  #fail(error: unknown): void {
    if (this.#isGone) return;
    try {
      this.#end(this.#trailersOf(error));
    } catch {
      // What goes wrong with one call must not go wrong with all.
      this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    }
  }

  #trailersOf(error: unknown): OutgoingHttpHeaders {
    const { dress } = this.#setup;
    const header = new Headers(this.responseHeaders as Record<string, string>); // texts alone
    const trailer = new Headers({ "grpc-status": "0", ...(this.responseTrailers as Record<string, string>) });
    const internal = () => new ConnectError("internal error", Code.Internal, undefined, undefined, error);
    const status = error instanceof ConnectError ? error : (this.#handler?.statusOf(error) ?? internal());
    if (this.record) recordStatus(this.record, status.code);
    setTrailerStatus(trailer, status);
    dressTrailer(trailer, (each) => dressIfBare(each, header, dress));
    return Object.fromEntries(trailer);
  }

  /** @param last what is still to be sent before the trailers */
  #end(trailers: OutgoingHttpHeaders, last?: Buffer): void {
    const stream = this.#stream;
    this.#over = true;
    if (this.#isGone) return;
    this.#begin();
    stream.on("wantTrailers", () => stream.sendTrailers(trailers));
    if (last) stream.end(last);
    else stream.end();
    // Whoever does not take the rest is cut.
    this.#disarmCut = this.#setup.clock.schedule(this.#setup.stalledMs, () => stream.destroy());
  }

  /** Connect knows what to say of a message that is not as it should be. */
  #handOver(isWhole: boolean): void {
    const stream = this.#stream;
    this.#stopReading();
    this.#over = true;
    this.#release();
    this.record?.abandon();
    this.record = undefined;
    // Connect takes the time from when it is handed the call; the caller, from when it made it.
    const timeoutMs = this.timeoutMs();
    if (timeoutMs !== undefined) this.headers["grpc-timeout"] = `${Math.max(0, Math.floor(timeoutMs))}m`;
    const request = new Http2ServerRequest(stream, this.headers, {}, this.#rawHeaders);
    const response = new Http2ServerResponse(stream);
    const body = replayed(this.#chunks, isWhole ? undefined : stream);
    // The compatibility API has the same shape as HTTP/1.1's, as far as it is used here.
    this.#setup.handOver(request as unknown as IncomingMessage, response as unknown as ServerResponse, this.peer, body);
  }

  #stopReading(): void {
    const stream = this.#stream;
    stream.off("data", this.#onData);
    stream.off("end", this.#onEnd);
    stream.pause();
  }

  #release(): void {
    this.#unlink();
    this.#disarmDeadline();
    this.account.close();
  }
}

/** What stands behind each head. */
function bodiesOf(frames: Buffer): Buffer[] {
  const bodies: Buffer[] = [];
  for (let at = 0; at < frames.length; ) {
    const end = at + headBytes + lengthAt(frames, at);
    bodies.push(frames.subarray(at + headBytes, end));
    at = end;
  }
  return bodies;
}

function headOf(length: number, isPacked: boolean): Buffer {
  const head = Buffer.alloc(headBytes);
  head[0] = isPacked ? compressedFlag : 0;
  head.writeUInt32BE(length, 1);
  return head;
}

function nothing(): void {}

async function* replayed(chunks: readonly Buffer[], rest: ServerHttp2Stream | undefined): AsyncIterable<Uint8Array> {
  yield* chunks;
  if (rest) yield* rest as AsyncIterable<Uint8Array>; // a stream without an encoding gives bytes
}

/** Whether the caller takes what is packed so. */
function accepts(headers: IncomingHttpHeaders, { name }: Compression): boolean {
  const accepted = headers["grpc-accept-encoding"];
  return (
    typeof accepted === "string" && accepted.includes(name) && accepted.split(",").some((each) => each.trim() === name)
  );
}
