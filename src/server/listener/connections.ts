import type { ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { Clock } from "../../runtime/clock.ts";
import type { ListenerLimits } from "./limits.ts";

/** One connection of a client, whatever it speaks. */
export interface Connection {
  readonly socket: Socket;
  /** The other end of it: a client, or a proxy in front of many. */
  readonly remoteAddress: string;
  /** When it is asked to go, monotonic ms. */
  readonly agedAt: number;
  /** Since when nothing is open on it; undefined while something is. */
  idleSince: number | undefined;
  /** Requests open on it. */
  open: number;
  /** Whether a request has ever come. */
  used: boolean;
  /** When it was asked to go, monotonic ms; undefined: it has not been. */
  askedAt: number | undefined;
  /** Whether a caller has shown its key on it. */
  welcome: boolean;
  /** What HTTP is spoken on: the socket, or its TLS. Undefined until that is known. */
  channel: Socket | undefined;
  /** Set once it is known to speak HTTP/2. */
  session: ServerHttp2Session | undefined;
}

/** All connections, those with nothing open in the order in which they fell idle. */
export interface Connections extends Iterable<Connection> {
  readonly size: number;
  /** Takes a connection in, at the cost of the longest idle one when there are too many; undefined: there is no room. */
  accept(socket: Socket): Connection | undefined;
  /** A request has begun on it. */
  begin(connection: Connection): void;
  /** A request on it is over. */
  end(connection: Connection): void;
  /** Those with nothing open, the longest idle first. Those that are closed meanwhile drop out. */
  idle(): Iterable<Connection>;
}

/** @param age when a connection made now is asked to go, monotonic ms */
export function createConnections(clock: Clock, { connections: most }: ListenerLimits, age: () => number): Connections {
  const all = new Set<Connection>();
  const idle = new Set<Connection>();
  return {
    get size() {
      return all.size;
    },
    accept(socket) {
      if (all.size >= most) {
        const [longest] = idle;
        if (!longest) return undefined;
        all.delete(longest);
        idle.delete(longest);
        longest.socket.destroy();
      }
      const connection: Connection = {
        socket,
        remoteAddress: socket.remoteAddress ?? "",
        agedAt: age(),
        idleSince: clock.now(),
        open: 0,
        used: false,
        askedAt: undefined,
        welcome: false,
        channel: undefined,
        session: undefined,
      };
      all.add(connection);
      idle.add(connection);
      socket.on("close", () => {
        all.delete(connection);
        idle.delete(connection);
      });
      return connection;
    },
    begin(connection) {
      connection.open += 1;
      connection.used = true;
      connection.idleSince = undefined;
      idle.delete(connection);
    },
    end(connection) {
      connection.open -= 1;
      if (connection.open > 0 || !all.has(connection)) return;
      connection.idleSince = clock.now();
      idle.add(connection);
    },
    idle: () => idle,
    [Symbol.iterator]: () => all[Symbol.iterator](),
  };
}
