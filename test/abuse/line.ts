import net from "node:net";
import tls from "node:tls";
import { onTestFinished } from "vitest";
import { type Bytes, bytesOf } from "../bad-input/http1.ts";

/** How a connection behaves towards the other side. */
export interface Manners {
  /** Reads nothing. Default: everything. */
  readonly deaf?: boolean;
  /** Never closes its own end, also when the other side has. */
  readonly stubborn?: boolean;
  /** Speaks TLS, as these options have it. */
  readonly secure?: tls.ConnectionOptions;
}

/** A connection on which nothing is said but what is told, and which is let go with the test. */
export interface Line {
  /** What came, as Latin-1. */
  heard(): string;
  /** Resolves when what came matches. */
  hears(pattern: RegExp): Promise<RegExpExecArray>;
  /** Says something; resolves when it is with the system, or the connection is gone. */
  say(...said: readonly Bytes[]): Promise<void>;
  /** Says something again and again until the connection is gone. */
  drip(said: Bytes, everyMs: number): void;
  /** Resolves when the other side has closed. A deaf line notices only by what it says. */
  readonly closed: Promise<void>;
  readonly isClosed: boolean;
  /** Whether nothing can be said any more, either. */
  readonly isGone: boolean;
  /** Begins to read. */
  listen(): void;
  leave(): void;
}

/** Opens a line to this machine. */
export function openLine(port: number, { deaf, stubborn, secure }: Manners = {}): Line {
  const options = { port, host: "127.0.0.1", allowHalfOpen: stubborn ?? false, noDelay: true };
  const socket = secure ? tls.connect({ ...options, rejectUnauthorized: false, ...secure }) : net.connect(options);
  onTestFinished(() => void socket.destroy());
  let heard = "";
  let isClosed = false;
  const waiting = new Set<() => void>();
  const wake = () => {
    for (const look of waiting) look();
  };
  const listen = () => {
    socket.on("data", (bytes: Buffer) => {
      heard += bytes.toString("latin1");
      wake();
    });
  };
  const closed = new Promise<void>((resolve) => {
    const end = () => {
      isClosed = true;
      resolve();
      wake();
    };
    socket.on("end", end);
    socket.on("close", end);
  });
  socket.on("error", () => {}); // a reset is a close, too
  let sent = () => {};
  socket.on("close", () => sent());
  if (!deaf) listen();
  return {
    heard: () => heard,
    hears: (pattern) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const match = pattern.exec(heard);
          if (!match && !isClosed) return;
          waiting.delete(look);
          if (match) resolve(match);
          else reject(new Error(`the connection was closed before ${pattern} came: ${JSON.stringify(heard)}`));
        };
        waiting.add(look);
        look();
      }),
    async say(...said) {
      for (const each of said) {
        if (socket.destroyed) return;
        await new Promise<void>((resolve) => {
          sent = resolve;
          socket.write(bytesOf(each), () => resolve());
        });
      }
    },
    drip(said, everyMs) {
      const timer = setInterval(() => {
        if (socket.destroyed) clearInterval(timer);
        else socket.write(bytesOf(said));
      }, everyMs);
      onTestFinished(() => clearInterval(timer));
    },
    closed,
    get isClosed() {
      return isClosed;
    },
    get isGone() {
      return socket.destroyed;
    },
    listen,
    leave: () => socket.destroy(),
  };
}
