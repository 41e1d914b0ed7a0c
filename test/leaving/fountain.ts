import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { word } from "./raw-call.ts";

/** A provider whose streams never end, as fast as they are taken, and which knows what was taken. */
export interface Fountain {
  /** `http://127.0.0.1:PORT/v1` */
  readonly baseUrl: string;
  /** Streams that are open now. */
  readonly open: number;
  /** Bytes that the system took of the last stream that began. */
  readonly bytes: number;
  /** Resolves when so many streams that are open at once have not been taken from for a while. */
  stuck(count: number): Promise<void>;
  /** Resolves when no stream is open. */
  idle(): Promise<void>;
  close(): Promise<void>;
}

/** So long nothing was taken of a stream that is called stuck. */
const stuckMs = 40;
/** How often that is looked at. */
const lookMs = 10;

const text = `${word} `.repeat(40);
const chunk = Buffer.from(
  `data: ${JSON.stringify({
    id: "chatcmpl-fountain",
    object: "chat.completion.chunk",
    created: 1_700_000_000,
    model: "fountain",
    choices: [{ index: 0, delta: { content: text }, finish_reason: null }],
  })}\n\n`.repeat(40),
);

/** Starts a fountain on 127.0.0.1. @param everyMs pours a portion so often, where it would else pour all that is taken */
export async function startFountain(everyMs?: number): Promise<Fountain> {
  const streams = new Map<ServerResponse, { bytes: number; takenAt: number; blocked: boolean }>();
  let last = { bytes: 0 };
  let waiting: (() => void)[] = [];
  const server = createServer({ noDelay: true }, (request, response) => {
    const stream = { bytes: 0, takenAt: performance.now(), blocked: false };
    streams.set(response, stream);
    last = stream;
    let timer: NodeJS.Timeout | undefined;
    request.resume();
    request.on("end", () => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      pour();
    });
    response.on("drain", pour);
    response.on("error", () => {});
    response.on("close", () => {
      clearTimeout(timer);
      streams.delete(response);
      if (streams.size > 0) return;
      const woken = waiting;
      waiting = [];
      for (const wake of woken) wake();
    });

    function pour(): void {
      stream.blocked = false;
      stream.takenAt = performance.now();
      // A portion for a turn, so that others have theirs.
      if (response.destroyed) return;
      stream.bytes += chunk.length;
      if (!response.write(chunk)) stream.blocked = true;
      else if (everyMs === undefined) setImmediate(pour);
      if (everyMs !== undefined && !stream.blocked) timer = setTimeout(pour, everyMs);
    }
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo; // a TCP server's address is one
  return {
    baseUrl: `http://127.0.0.1:${port}/v1`,
    get open() {
      return streams.size;
    },
    get bytes() {
      return last.bytes;
    },
    async stuck(count) {
      const isStuck = ({ blocked, takenAt }: { blocked: boolean; takenAt: number }) =>
        blocked && performance.now() - takenAt >= stuckMs;
      while ([...streams.values()].filter(isStuck).length < count) {
        await new Promise((later) => setTimeout(later, lookMs));
      }
    },
    idle: () => (streams.size === 0 ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve))),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
