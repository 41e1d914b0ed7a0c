import { writeSync } from "node:fs";
import type { IncomingHttpHeaders } from "node:http";
import http2, {
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { Socket } from "node:net";
import type { Clock } from "../../runtime/clock.ts";
import type { Connection } from "./connections.ts";
import type { ListenerLimits } from "./limits.ts";
import { createResetGuard, type ResetGuard } from "./reset-guard.ts";

const { NGHTTP2_NO_ERROR, NGHTTP2_ENHANCE_YOUR_CALM } = http2.constants;

/** A request's stream, as Node tells of it. */
type StreamListener = (
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  flags: number,
  rawHeaders: readonly string[],
) => void;

/**
 * Whoever may take a request before Node makes anything of its stream.
 * @returns what is to be done when the stream has closed; undefined: it is not taken
 */
export type TakeStream = (
  session: ServerHttp2Session,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  rawHeaders: readonly string[],
) => (() => void) | undefined;

/** A server that never listens: sockets are handed to it. */
export function createHttp2(
  limits: ListenerLimits,
  clock: Clock,
  handle: (request: Http2ServerRequest, response: Http2ServerResponse) => void,
  takeStream: TakeStream,
): Http2Server {
  const server = http2.createServer(
    {
      // Node's own are met by honest clients that give up many old streams at once; the guard below knows them apart.
      streamResetBurst: 10_000,
      streamResetRate: 1000,
      settings: {
        maxConcurrentStreams: limits.strangersStreams,
        maxHeaderListSize: limits.headerBytes,
        headerTableSize: 4096,
        initialWindowSize: 65_535,
        enablePush: false,
      },
    },
    handle,
  );
  // Node's own listener makes a request and an answer of a stream, which cost as much as all the rest of a short call.
  const [compatibility] = server.listeners("stream") as StreamListener[];
  if (!compatibility) throw new Error("Node's HTTP/2 server does not listen for streams");
  server.on("sessionError", ignore);
  server.on("session", (session) => {
    const resets = guard(session, limits, clock);
    const offered: StreamListener = (stream, headers, flags, rawHeaders) => {
      const openedAt = resets.opened();
      stream.on("error", ignore);
      const closed = takeStream(session, stream, headers, rawHeaders);
      // One listener for all that have to know: each costs a good part of what a short call does.
      stream.on("close", () => {
        resets.closed(openedAt, stream.rstCode !== NGHTTP2_NO_ERROR || stream.aborted);
        if (!closed) return;
        closed();
        // Node keeps a stream until the next full collection, and with it everything that listens to it.
        stream.removeAllListeners();
        stream.on("error", ignore);
      });
      if (!closed) compatibility.call(server, stream, headers, flags, rawHeaders);
    };
    // In place of Node's, which would ask the server: what a stream is reset by in the same breath has no session any more.
    session.removeAllListeners("stream");
    session.on("stream", offered);
  });
  return server;
}

/** What goes wrong with a stream or a session closes it, and that is heard. */
function ignore(): void {}

function guard(session: ServerHttp2Session, { resetsPerSecond }: ListenerLimits, clock: Clock): ResetGuard {
  session.on("error", () => session.destroy());
  // A client that says goodbye in anger, or a parser that has had enough.
  session.on("goaway", (code) => {
    if (code !== NGHTTP2_NO_ERROR) session.destroy();
  });
  return createResetGuard(clock, resetsPerSecond, () => session.destroy(undefined, NGHTTP2_ENHANCE_YOUR_CALM));
}

/** A frame that asks a client to open no new stream here, while those that are on their way are still served. */
const shutdownNotice = Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);

/** What the notice promises: every stream that is on its way. */
const lastStreamId = 2 ** 31 - 1;

/**
 * Announces that a connection will be closed, as the protocol advises: without it a request that crosses the farewell on its way
 * is lost. Node's own `goaway` stops reading where nothing is open, so the frame is written beside it, to the file itself: Node
 * ends the process over a write on the socket that does not end at once. It lands between two frames when nothing waits to be
 * written. Where something does, or TLS is spoken, Node tells it, to those that have something open.
 */
export function announceClose({ session, channel, socket, open }: Connection): void {
  if (!session || session.closed || session.destroyed) return;
  if (channel === socket && writeAtOnce(socket)) return;
  if (open > 0) session.goaway(NGHTTP2_NO_ERROR, lastStreamId);
}

/** @returns whether the notice is on its way */
function writeAtOnce(socket: Socket): boolean {
  const { _handle: handle } = socket as unknown as {
    readonly _handle?: { readonly fd?: number; writeQueueSize?: number };
  };
  // Other systems than POSIX have no such number.
  if (!handle?.fd || handle.fd < 0 || handle.writeQueueSize !== 0) return false;
  try {
    // Half a frame would be read as the beginning of another.
    if (writeSync(handle.fd, shutdownNotice) < shutdownNotice.length) socket.destroy();
    return true;
  } catch {
    return false;
  }
}
