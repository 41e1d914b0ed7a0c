import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import { constants, type ServerHttp2Stream } from "node:http2";
import net, { type AddressInfo, type Socket } from "node:net";
import type { Server as TlsServer } from "node:tls";
import type { Peer } from "../../api/edge.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Rng } from "../../runtime/rng.ts";
import { isAuthority } from "./authority.ts";
import { type ClientAddress, createClientAddress } from "./client-address.ts";
import { type Connection, createConnections } from "./connections.ts";
import { createHttp1, refuse } from "./http1.ts";
import { announceClose, createHttp2 } from "./http2.ts";
import { type ListenerLimits, listenerLimits } from "./limits.ts";
import {
  badHost,
  broken,
  headersTooLarge,
  malformed,
  type Refusal,
  rawRefusal,
  refusalBody,
  tlsOnly,
  tooManyHeaders,
} from "./refusal.ts";
import { tellApart } from "./tell-apart.ts";
import { createTlsServer, type TlsSetup } from "./tls.ts";

/** One port for HTTP/1.1 and HTTP/2, in the clear or with TLS. */
export interface Listener {
  /** @returns the port, for port 0 means any. @throws Error when the address cannot be had */
  listen(host: string, port: number): Promise<number>;
  /** Connections open now. */
  readonly connections: number;
  /** Asks clients to go elsewhere with what is next; everything is still served. */
  announce(): void;
  /** Takes no new connection, closes the idle ones, and the others when they fall idle. */
  stop(): void;
  /** Resolves when the last connection is gone. */
  closed(): Promise<void>;
  /** Ends every connection at once. */
  destroy(): void;
  /** Takes another certificate for connections to come. @throws Error when the key is not the certificate's */
  renewTls(setup: TlsSetup): void;
}

/** Whoever answers what the listener lets through. */
export interface Door {
  handle(request: IncomingMessage, response: ServerResponse, peer: Peer): void;
  /** Whether a request over HTTP/2 can be answered by its stream alone, which costs less; missing: none can. */
  wantsStream?(headers: IncomingHttpHeaders): boolean;
  /** @returns what is to be done when the stream has closed */
  handleStream?(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    rawHeaders: readonly string[],
    peer: Peer,
  ): () => void;
}

/** How a port is set up. */
export interface ListenerSetup {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly limits?: Partial<ListenerLimits>;
  /** With it the port speaks TLS, and nothing else. */
  readonly tls?: TlsSetup | undefined;
  /** Addresses and CIDR ranges of proxies that may say whose request it is. */
  readonly trustedProxies?: readonly string[];
  /** Told of what a handler throws. */
  reportBug(error: unknown): void;
}

/** How often idle and aged connections are looked for. */
const sweepMs = 1000;
/** What a client has to say when it connects it has said by then: Node's own would take what is not yet sent for refused. */
const settledMs = 100;
/** How long after the announcement a client may not have heard of it. */
const crossingMs = 500;

/** Makes a listener that hands every request of either version to one door. */
export function createListener(door: Door, setup: ListenerSetup): Listener {
  const { clock, rng, reportBug } = setup;
  const limits: ListenerLimits = { ...listenerLimits, ...setup.limits };
  const addressOf = createClientAddress(setup.trustedProxies ?? []);
  const connections = createConnections(clock, limits, () => clock.now() + limits.ageMs * (0.9 + 0.2 * rng.next()));
  /** By what a request can name: the socket of HTTP/1.1, the session of HTTP/2. */
  const byOwner = new WeakMap<object, Connection>();
  let leaving = false;
  let stopped = false;

  const h1 = createHttp1(limits, (request, response) => {
    const connection = byOwner.get(request.socket);
    if (!connection) return void request.socket.destroy();
    begin(connection, response);
    if (leaving || clock.now() >= connection.agedAt) response.setHeader("connection", "close");
    if (request.httpVersionMajor !== 1) {
      // Whoever says that it speaks another version here means to be misunderstood.
      refuseRequest(response, malformed);
      return;
    }
    // HTTP/1.0 need not say whom it asks, and some balancers' checks do not.
    if (request.httpVersion === "1.0") request.headers.host ??= "localhost";
    guarded(request, response, connection);
  });
  const h2 = createHttp2(
    limits,
    clock,
    (request, response) => {
      const connection = byOwner.get(request.stream.session ?? request);
      if (!connection) return void request.stream.destroy();
      begin(connection, response);
      if (!request.complete) request.stream.on("close", boundArrival(request.stream, clock, limits.requestMs));
      // The compatibility API has the same shape as HTTP/1.1's, as far as it is used here.
      guarded(request as unknown as IncomingMessage, response as unknown as ServerResponse, connection);
    },
    (session, stream, headers, rawHeaders) => {
      const connection = byOwner.get(session);
      if (!connection || !door.wantsStream?.(headers)) return undefined;
      if (refusalOf({ headers, rawHeaders, httpVersionMajor: 2 }, limits)) return undefined;
      beginOn(connection);
      const disarm = boundArrival(stream, clock, limits.requestMs);
      unite(headers, rawHeaders);
      const peer = new ConnectedPeer(connection, headers, addressOf, limits);
      let closed: (() => void) | undefined;
      try {
        closed = door.handleStream?.(stream, headers, rawHeaders, peer);
      } catch (error) {
        reportBug(error);
        stream.close(constants.NGHTTP2_INTERNAL_ERROR);
      }
      return () => {
        disarm();
        endOn(connection);
        closed?.();
      };
    },
  );
  h2.on("session", (session) => {
    const connection = speaking;
    if (!connection) return void session.destroy();
    connection.session = session;
    // Whatever it was asked before, it could not have heard.
    connection.askedAt = undefined;
    byOwner.set(session, connection);
  });
  /** The connection that is being handed to a server: its session is made before that call is over. */
  let speaking: Connection | undefined;

  /** Sockets on which TLS is being agreed on, by the other end: Node does not say which one has come so far. */
  const handshakes = new Map<string, Connection>();
  /** A server for handshakes. Whether clients must show a certificate is for good, so each setup has a server of its own. */
  function serverFor(tls: TlsSetup): TlsServer {
    const server = createTlsServer(tls, limits.tlsHandshakeMs);
    server.on("tlsClientError", (_error, socket) => socket.destroy());
    server.on("secureConnection", (socket) => {
      const connection = handshakes.get(otherEnd(socket));
      socket.on("error", () => socket.destroy());
      if (connection) speak(connection, socket, socket.alpnProtocol === "h2");
      else socket.destroy();
    });
    return server;
  }
  let secure = setup.tls && serverFor(setup.tls);

  function agreeOnTls(connection: Connection, server: TlsServer): void {
    const { socket } = connection;
    const end = otherEnd(socket);
    handshakes.set(end, connection);
    socket.on("close", () => handshakes.delete(end));
    server.emit("connection", socket);
  }

  const port = net.createServer({ noDelay: true }, (socket) => {
    socket.on("error", () => socket.destroy());
    const connection = connections.accept(socket);
    if (!connection) return void socket.destroy();
    const disarm = clock.schedule(limits.firstBytesMs, () => socket.destroy());
    socket.on("close", disarm);
    tellApart(socket, (protocol) => {
      disarm();
      if (!secure) return speak(connection, socket, protocol === "http2");
      if (protocol !== "tls") return refuse(socket, rawRefusal(tlsOnly));
      agreeOnTls(connection, secure);
    });
  });

  function speak(connection: Connection, channel: Socket, isHttp2: boolean): void {
    connection.channel = channel;
    byOwner.set(channel, connection);
    speaking = connection;
    (isHttp2 ? h2 : h1).emit("connection", channel);
    speaking = undefined;
  }

  function begin(connection: Connection, response: { on(event: "close", listener: () => void): unknown }): void {
    beginOn(connection);
    response.on("close", () => endOn(connection));
  }

  function beginOn(connection: Connection): void {
    connections.begin(connection);
    // Whoever has come although we leave, by a balancer that has yet to notice, is served once and asked to go.
    if (leaving && connection.askedAt === undefined) clock.schedule(settledMs, () => ask(connection));
  }

  function endOn(connection: Connection): void {
    connections.end(connection);
    if (stopped && connection.open === 0) closeSoon(connection);
  }

  function guarded(request: IncomingMessage, response: ServerResponse, connection: Connection): void {
    response.on("error", () => {});
    const { headers, rawHeaders } = request;
    const refused = refusalOf(request, limits);
    if (refused) {
      refuseRequest(response, refused);
      return;
    }
    unite(headers, rawHeaders);
    try {
      door.handle(request, response, new ConnectedPeer(connection, headers, addressOf, limits));
    } catch (error) {
      reportBug(error);
      refuseRequest(response, broken);
    }
  }

  function refuseRequest(response: ServerResponse, refused: Refusal): void {
    sendRefusal(response, refused);
    response.on(
      "close",
      clock.schedule(limits.requestMs, () => response.destroy()),
    );
  }

  /** Lets go of a connection that has just fallen idle. Of HTTP/1.1 its last bytes may still be on their way. */
  function closeSoon({ session, askedAt }: Connection): void {
    if (!session) clock.schedule(0, () => h1.closeIdleConnections());
    // Until then a request may cross what it has been asked on its way.
    else if (askedAt !== undefined && clock.now() - askedAt >= crossingMs) session.close();
  }

  const stopSweeping = repeat(clock, sweepMs, () => {
    const now = clock.now();
    for (const connection of connections) {
      const { session, socket, used, agedAt, idleSince } = connection;
      const isOld = now >= agedAt;
      if (idleSince === undefined) {
        if (isOld) ask(connection);
        continue;
      }
      const idleMs = now - idleSince;
      // It was told to go and has had its time: a client may never close its end, or be in the middle of a frame for ever.
      if (session?.closed && idleMs >= sweepMs) socket.destroy();
      // Of HTTP/1.1 Node itself counts what is idle.
      else if (session && idleMs >= (used ? limits.idleMs : limits.headersMs)) session.close();
      else if (isOld && idleMs >= sweepMs) session ? session.close() : socket.destroySoon();
    }
  });

  /** HTTP/1.1 is asked with its next answer. */
  function ask(connection: Connection): void {
    if (connection.askedAt !== undefined) return;
    connection.askedAt = clock.now();
    announceClose(connection);
  }

  return {
    listen: (host, wanted) =>
      new Promise((resolve, reject) => {
        port.once("error", reject);
        port.listen(wanted, host, () => {
          port.off("error", reject);
          resolve((port.address() as AddressInfo).port); // a TCP server's address is one
        });
      }),
    get connections() {
      return connections.size;
    },
    announce() {
      if (leaving) return;
      leaving = true;
      for (const connection of connections) ask(connection);
    },
    stop() {
      this.announce();
      stopped = true;
      port.close();
      h1.closeIdleConnections();
      /** What crosses the announcement on its way is still served. */
      const closeSessions = () => {
        let nextMs: number | undefined;
        for (const connection of connections) {
          const { session, used, open, socket } = connection;
          ask(connection);
          const leftMs = (connection.askedAt ?? 0) + crossingMs - clock.now();
          if (session?.closed || (!session && (used || open > 0))) continue;
          if (leftMs > 0) nextMs = Math.min(nextMs ?? leftMs, leftMs);
          else if (session) session.close();
          else socket.destroy();
        }
        if (nextMs !== undefined) clock.schedule(nextMs, closeSessions);
      };
      closeSessions();
    },
    closed: () =>
      new Promise((resolve) => {
        if (connections.size === 0 && !port.listening) resolve();
        else port.once("close", () => resolve());
      }),
    destroy() {
      stopSweeping();
      for (const { session, socket } of [...connections]) {
        session?.destroy();
        socket.destroy();
      }
      h1.close();
      h2.close();
      secure?.close();
    },
    renewTls(next) {
      if (secure) secure = serverFor(next);
    },
  };
}

/** A request's other end. */
class ConnectedPeer implements Peer {
  readonly #connection: Connection;
  readonly #headers: IncomingHttpHeaders;
  readonly #addressOf: ClientAddress;
  readonly #streams: number;

  constructor(
    connection: Connection,
    headers: IncomingHttpHeaders,
    addressOf: ClientAddress,
    { callersStreams }: ListenerLimits,
  ) {
    this.#connection = connection;
    this.#headers = headers;
    this.#addressOf = addressOf;
    this.#streams = callersStreams;
  }

  get address(): string {
    return this.#addressOf(this.#connection.remoteAddress, this.#headers);
  }

  welcome(): void {
    const connection = this.#connection;
    if (connection.welcome) return;
    connection.welcome = true;
    connection.session?.settings({ maxConcurrentStreams: this.#streams });
  }
}

/** The authority that was last found to be one: nearly every request names the same. */
let lastHost: string | undefined;

/** What is looked at of a request before anybody answers it. */
interface RequestHead {
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly httpVersionMajor: number;
}

function refusalOf(head: RequestHead, { headerCount, headerBytes }: ListenerLimits): Refusal | undefined {
  const { headers, rawHeaders, httpVersionMajor } = head;
  if (rawHeaders.length > headerCount * 2) return tooManyHeaders;
  if (httpVersionMajor === 1) {
    const coding = headers["transfer-encoding"];
    if (coding !== undefined && coding.toLowerCase() !== "chunked") return malformed;
  } else if (sizeOf(rawHeaders) > headerBytes) {
    // Node only announces the limit.
    return headersTooLarge;
  }
  return refusalOfHost(head);
}

/** As HTTP/2 counts it: each field and 32 bytes beside it. */
function sizeOf(rawHeaders: readonly string[]): number {
  let size = rawHeaders.length * 16;
  for (const text of rawHeaders) size += text.length;
  return size;
}

function refusalOfHost({ headers, rawHeaders, httpVersionMajor }: RequestHead): Refusal | undefined {
  const host = headers[":authority"] ?? headers.host;
  // Of several `Host` Node keeps the first; somebody in between may have gone by the last.
  if (httpVersionMajor === 1 ? countOf(rawHeaders, "host") > 1 : (headers.host ?? host) !== host) return badHost;
  if (host === lastHost && host !== undefined) return undefined;
  if (typeof host !== "string" || !isAuthority(host)) return badHost;
  lastHost = host;
  return undefined;
}

/** Node keeps the first of several `Authorization`; two that disagree are to be seen as what they are. */
function unite(headers: IncomingHttpHeaders, rawHeaders: readonly string[]): void {
  if (headers.authorization === undefined || countOf(rawHeaders, "authorization") < 2) return;
  const values = rawHeaders.filter((_, index) => index % 2 === 1 && isName(rawHeaders[index - 1], "authorization"));
  headers.authorization = values.join(", ");
}

function countOf(rawHeaders: readonly string[], name: string): number {
  let count = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) if (isName(rawHeaders[index], name)) count += 1;
  return count;
}

function isName(text: string | undefined, name: string): boolean {
  return text !== undefined && text.length === name.length && text.toLowerCase() === name;
}

function sendRefusal(response: ServerResponse, refused: Refusal): void {
  if (response.headersSent) return void response.destroy();
  const body = refusalBody(refused);
  // Whoever speaks HTTP like this is not to be understood a second time.
  if (response.req.httpVersionMajor === 1) response.setHeader("connection", "close");
  response.writeHead(refused.status, {
    "content-type": "application/json; charset=utf-8",
    "content-length": String(Buffer.byteLength(body)),
  });
  response.end(body);
}

/**
 * HTTP/2 has no time limit of its own for a request that never becomes whole. One that is answered meanwhile may take its time.
 * @returns how to let go of it
 */
function boundArrival(stream: ServerHttp2Stream, clock: Clock, requestMs: number): () => void {
  return clock.schedule(requestMs, () => {
    if (stream.readableEnded || stream.headersSent) return;
    stream.close(constants.NGHTTP2_CANCEL);
    stream.destroy();
  });
}

/** The address and port at the other end, which may reach this port by several addresses of ours. */
function otherEnd({ remoteAddress, remotePort, localAddress }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress}`;
}

/** @returns how to stop */
function repeat(clock: Clock, everyMs: number, work: () => void): () => void {
  let disarm = clock.schedule(everyMs, again);
  function again(): void {
    disarm = clock.schedule(everyMs, again);
    work();
  }
  return () => disarm();
}
