import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import { Http2ServerRequest, Http2ServerResponse, type ServerHttp2Stream } from "node:http2";
import { fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { type Compression, compressedFlag } from "@connectrpc/connect/protocol";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import type { ByteAccount, ByteBudget } from "../../gateway/byte-budget.ts";
import { CallerGone, type Cancellation, createCancellation, DeadlineExceeded } from "../../runtime/cancellation.ts";
import type { Peer } from "../edge.ts";
import { cutUnlessTaken, isGone, type Pace, writePaced } from "../pace.ts";
import { dropRestOfStream } from "../rest/handler.ts";
import { dressIfBare, dressTrailer } from "./dress.ts";
import { headBytes, lengthAt } from "./envelope.ts";
import type { LaneCall, LaneMethod, LaneStream } from "./lane-method.ts";
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
  /** Answers a request that it wants. */
  handle(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, rawHeaders: readonly string[], peer: Peer): void;
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
      if (method) new GrpcCall(method, setup, { stream, headers, rawHeaders, peer }).begin();
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
  #serve: ReturnType<LaneMethod["begin"]> | undefined;
  #chunks: Buffer[] = [];
  #length = 0;
  /** Whether there is nothing left to call off. */
  #over = false;
  #letGo: (() => void)[] = [];

  constructor(method: LaneMethod, setup: LaneSetup, { stream, headers, rawHeaders, peer }: Arrival) {
    this.#method = method;
    this.#setup = setup;
    this.#stream = stream;
    this.#rawHeaders = rawHeaders;
    this.headers = headers;
    this.peer = peer;
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
    stream.on("close", this.#onClose);
    this.#letGo.push(shutdown.onCancel((reason) => this.cancellation.cancel(reason)));
    const timeoutMs = this.timeoutMs();
    if (timeoutMs !== undefined) {
      this.#letGo.push(clock.schedule(timeoutMs, () => this.cancellation.cancel(new DeadlineExceeded())));
    }
    try {
      this.#serve = this.#method.begin(this);
    } catch (error) {
      this.#fail(error);
      return;
    }
    stream.on("data", this.#onData);
    stream.on("end", this.#onEnd);
  }

  readonly #onClose = (): void => {
    this.#release();
    if (!this.#over) this.cancellation.cancel(new CallerGone());
  };

  readonly #onData = (chunk: Buffer): void => {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    try {
      takeFrom(this.account)(chunk.length);
    } catch (error) {
      this.#stopReading();
      this.#fail(error);
      return;
    }
    // What is too long already need not be waited for.
    if (this.#length - chunk.length < headBytes && this.#length >= headBytes) {
      const head = Buffer.concat(this.#chunks);
      this.#chunks = [head];
      if (lengthAt(head, 0) > this.#setup.readMaxBytes) this.#handOver(false);
    }
  };

  readonly #onEnd = (): void => {
    const message = this.#message();
    if (message) void this.#answer(message);
    else this.#handOver(true);
  };

  /** The one message, if the request is just that, and as it should be. */
  #message(): Message | undefined {
    const bytes = this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks); // there is one
    if (bytes.length < headBytes || bytes[0] !== 0 || lengthAt(bytes, 0) !== bytes.length - headBytes) return undefined;
    try {
      const message = fromBinary(this.#method.input, bytes.subarray(headBytes));
      this.#chunks = [];
      return message;
    } catch {
      return undefined;
    }
  }

  async #answer(request: Message): Promise<void> {
    let opened: LaneStream | undefined;
    try {
      const answer = await this.#serve?.(request);
      if (this.#method.kind === "unary") {
        if (!(await this.#write([answer as Message]))) return; // by its kind
      } else {
        opened = answer as LaneStream;
        for (let last = false; !last; ) {
          const batch = await opened.next();
          last = batch.last;
          if (batch.items.length === 0 || (await this.#write(batch.items, opened))) continue;
          return;
        }
      }
    } catch (error) {
      opened?.close(() => error);
      this.#fail(error);
      return;
    }
    this.#end({ ...this.responseTrailers, "grpc-status": "0" });
  }

  /**
   * Sends messages at the caller's pace, in one piece.
   * @returns whether the caller takes them; else it is gone
   * @throws ConnectError when one is too long
   */
  async #write(messages: readonly Message[], opened?: LaneStream): Promise<boolean> {
    const { output } = this.#method;
    let length = 0;
    const packed: (Uint8Array | undefined)[] = [];
    const bodies = messages.map((message) => toBinary(output, message));
    for (const [index, body] of bodies.entries()) {
      this.#checkLength(body.length);
      if (this.#packs && body.length >= compressMinBytes) {
        packed[index] = await this.#setup.compression.compress(body);
        this.#checkLength(packed[index].length);
      }
      length += headBytes + (packed[index] ?? body).length;
    }
    const frames = Buffer.allocUnsafe(length);
    let at = 0;
    for (const [index, body] of bodies.entries()) {
      const sent = packed[index] ?? body;
      frames[at] = packed[index] ? compressedFlag : 0;
      frames.writeUInt32BE(sent.length, at + 1);
      frames.set(sent, at + headBytes);
      at += headBytes + sent.length;
    }
    if (isGone(this.#stream)) {
      opened?.close(() => new CallerGone());
      return false;
    }
    this.#begin();
    try {
      await writePaced(this.#stream, frames, this.#setup);
      return true;
    } catch (error) {
      // Whoever makes the answer learns that nobody takes it.
      opened?.close(() => error);
      this.#stream.destroy();
      return false;
    }
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

  #fail(error: unknown): void {
    if (isGone(this.#stream)) return;
    const { dress } = this.#setup;
    const header = new Headers(this.responseHeaders as Record<string, string>); // texts alone
    const trailer = new Headers({ "grpc-status": "0", ...(this.responseTrailers as Record<string, string>) });
    const status =
      error instanceof ConnectError
        ? error
        : new ConnectError("internal error", Code.Internal, undefined, undefined, error);
    setTrailerStatus(trailer, status);
    dressTrailer(trailer, (each) => dressIfBare(each, header, dress));
    this.#end(Object.fromEntries(trailer));
  }

  #end(trailers: OutgoingHttpHeaders): void {
    const stream = this.#stream;
    this.#over = true;
    if (isGone(stream)) return;
    this.#begin();
    stream.on("wantTrailers", () => stream.sendTrailers(trailers));
    stream.end();
    cutUnlessTaken(stream, this.#setup);
  }

  /** Connect knows what to say of a message that is not as it should be. */
  #handOver(isWhole: boolean): void {
    const stream = this.#stream;
    this.#stopReading();
    stream.off("close", this.#onClose);
    this.#release();
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
    for (const letGo of this.#letGo) letGo();
    this.account.close();
  }
}

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
