import http, { type IncomingMessage, type ServerResponse } from "node:http";
import http2 from "node:http2";
import net, { type AddressInfo, type Socket } from "node:net";
import type { Clock } from "../runtime/clock.ts";

/** One port for HTTP/1.1 and HTTP/2 in the clear. */
export interface Listener {
  /** @returns the port, for port 0 means any. @throws Error when the address cannot be had */
  listen(host: string, port: number): Promise<number>;
  /** Takes no new connection, asks those there are to go, and closes the idle ones. */
  stop(): void;
  /** Resolves when the last connection is gone. */
  closed(): Promise<void>;
  /** Ends every connection at once. */
  destroy(): void;
}

/** What an HTTP/2 client that knows the server says first. */
const preface = Buffer.from("PRI * HTTP/2.0");
/** A connection that says nothing for so long is closed. */
const firstBytesMs = 10_000;

/** What HTTP/1.1 that cannot be read is answered, by Node's error; anything else is a plain 400. */
const malformed: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: "431 Request Header Fields Too Large",
  ERR_HTTP_REQUEST_TIMEOUT: "408 Request Timeout",
};

/** Makes a listener that hands every request of either version to one handler. */
export function createListener(
  handle: (request: IncomingMessage, response: ServerResponse) => void,
  clock: Clock,
): Listener {
  let stopping = false;
  const sockets = new Set<Socket>();
  /** Connections that have not said yet what they speak. */
  const undecided = new Set<Socket>();
  const guarded = guard(handle, (request, response) => {
    if (request.httpVersionMajor !== 1) return;
    if (stopping) response.setHeader("connection", "close");
    // An answer that was under way when the stop came leaves its connection open and idle.
    response.on("close", () => {
      if (stopping) clock.schedule(0, () => h1.closeIdleConnections());
    });
  });
  const sessions = new Set<http2.ServerHttp2Session>();
  const h1 = http.createServer(
    {
      maxHeaderSize: 16 * 1024,
      headersTimeout: 10_000,
      requestTimeout: 60_000,
      keepAliveTimeout: 65_000,
      connectionsCheckingInterval: 5000,
      noDelay: true,
    },
    guarded,
  );
  const h2 = http2.createServer(
    { settings: { maxConcurrentStreams: 100, enablePush: false, maxHeaderListSize: 16 * 1024 } },
    // The compatibility API has the same shape as HTTP/1.1's, as far as it is used here.
    (request, response) => guarded(request as unknown as IncomingMessage, response as unknown as ServerResponse),
  );
  h2.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
    session.on("error", () => session.destroy());
  });
  h2.on("sessionError", () => {});
  h1.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    // Malformed HTTP gets the plainest answer there is, if anything can still be said.
    const status = malformed[error.code ?? ""] ?? "400 Bad Request";
    // Where an answer is under way it would land in the middle of that. (Node keeps the answer there, and does the same itself.)
    const underWay = (socket as { _httpMessage?: ServerResponse | null })._httpMessage?.headersSent;
    if (socket.writable && !underWay)
      socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
    else socket.destroy();
  });
  // A server that does not listen by itself enforces its time limits only when told that it does.
  h1.emit("listening");

  const port = net.createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on("close", () => {
      sockets.delete(socket);
      undecided.delete(socket);
    });
    socket.on("error", () => socket.destroy());
    undecided.add(socket);
    tellApart(socket, clock, (isHttp2) => {
      undecided.delete(socket);
      (isHttp2 ? h2 : h1).emit("connection", socket);
    });
  });

  return {
    listen: (host, wanted) =>
      new Promise((resolve, reject) => {
        port.once("error", reject);
        port.listen(wanted, host, () => {
          port.off("error", reject);
          resolve((port.address() as AddressInfo).port); // a TCP server's address is one
        });
      }),
    stop() {
      stopping = true;
      port.close();
      h1.closeIdleConnections();
      for (const socket of undecided) socket.destroy();
      for (const session of sessions) session.close();
    },
    closed: () =>
      new Promise((resolve) => {
        if (sockets.size === 0 && !port.listening) resolve();
        else port.once("close", () => resolve());
      }),
    destroy() {
      for (const session of sessions) session.destroy();
      for (const socket of sockets) socket.destroy();
      h1.close();
      h2.close();
    },
  };
}

/** Reads as many bytes as it takes to tell HTTP/2 from anything else, and puts them back. */
function tellApart(socket: Socket, clock: Clock, decide: (isHttp2: boolean) => void): void {
  let head = Buffer.alloc(0);
  const disarm = clock.schedule(firstBytesMs, () => socket.destroy());
  const onReadable = () => {
    const bytes: Buffer | null = socket.read();
    if (bytes === null) return;
    head = Buffer.concat([head, bytes]);
    const length = Math.min(head.length, preface.length);
    const matches = head.subarray(0, length).equals(preface.subarray(0, length));
    if (matches && length < preface.length) return;
    disarm();
    socket.off("readable", onReadable);
    socket.unshift(head);
    decide(matches);
  };
  socket.on("readable", onReadable);
  socket.on("close", disarm);
}

/**
 * Stands in front of every handler. A malformed `Host` or `:authority` would throw inside of the RPC adapter's listener and take
 * the process with it.
 */
function guard(
  handle: (request: IncomingMessage, response: ServerResponse) => void,
  prepare: (request: IncomingMessage, response: ServerResponse) => void,
): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    response.on("error", () => {});
    prepare(request, response);
    // HTTP/1.0 need not say whom it asks, and some balancers' checks do not.
    if (request.httpVersion === "1.0") request.headers.host ??= "localhost";
    const authority = request.headers[":authority"] ?? request.headers.host;
    try {
      if (typeof authority !== "string" || !URL.canParse(`http://${authority}/`)) {
        response.writeHead(400, { "content-length": "0" }).end();
        return;
      }
      handle(request, response);
    } catch {
      if (!response.headersSent) response.writeHead(400, { "content-length": "0" });
      response.end();
    }
  };
}
