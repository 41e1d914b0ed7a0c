import http, { type RequestListener, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { ListenerLimits } from "./limits.ts";
import { noSuchMethod, rawRefusal, refusalOf } from "./refusal.ts";

/** A server that never listens: sockets are handed to it. It reads HTTP/1.1 strictly and keeps its time limits. */
export function createHttp1(limits: ListenerLimits, handle: RequestListener): http.Server {
  const server = http.createServer(
    {
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: limits.keepAliveMs,
      // How late a limit may be noticed.
      connectionsCheckingInterval: Math.min(1000, limits.headersMs),
      noDelay: true,
    },
    handle,
  );
  // Node would leave out what is beyond a count of its own, a key for instance; the guard counts and refuses.
  server.maxHeadersCount = 0;
  server.maxRequestsPerSocket = limits.requestsPerConnection;
  server.on("clientError", (error: NodeJS.ErrnoException & { readonly rawPacket?: Buffer }, socket) => {
    // Node keeps the answer that is under way there, and looks at it itself.
    const answer = (socket as { _httpMessage?: ServerResponse | null })._httpMessage;
    // What comes behind a whole request has no part in its answer, if that has yet to begin; one that has begun is cut short.
    if (socket.writable && answer?.req.complete && !answer.headersSent) {
      answer.on("finish", () => (socket as Socket).destroySoon());
    } else if (socket.writable && !answer?.headersSent) refuse(socket as Socket, rawRefusal(refusalOf(error)));
    else socket.destroy();
  });
  server.on("connect", (_request, socket) => refuse(socket as Socket, rawRefusal(noSuchMethod)));
  // A server that does not listen by itself enforces its time limits only when told that it does.
  server.emit("listening");
  return server;
}

/** Says a last word and is done with the client, whatever it still sends. */
export function refuse(socket: Socket, words: string): void {
  socket.on("error", () => {});
  socket.end(words, () => socket.destroy());
}
