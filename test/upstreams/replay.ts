import { createServer, type Socket } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";
import { onTestFinished } from "vitest";

/** How the bytes of an answer are cut into writes of their own. */
export type Cut = (bytes: Buffer) => readonly Buffer[];

/** Ways to cut an answer, each of which tears something else apart. */
export const cuts = {
  "in one piece": (bytes) => [bytes],
  "byte by byte": (bytes) => Array.from(bytes, (_, at) => bytes.subarray(at, at + 1)),
  "between CR and LF": (bytes) => cutAfter(bytes, 0x0d),
  "in the middle of each character that has several bytes": (bytes) => cutInside(bytes),
  "in pieces of 1 to 13 bytes": (bytes) => cutUnevenly(bytes),
} as const satisfies Record<string, Cut>;

export type CutName = keyof typeof cuts;
export const cutNames = Object.keys(cuts) as readonly CutName[]; // the table has no other keys

function cutAfter(bytes: Buffer, mark: number): Buffer[] {
  const pieces: Buffer[] = [];
  let from = 0;
  for (let at = bytes.indexOf(mark); at !== -1; at = bytes.indexOf(mark, at + 1)) {
    pieces.push(bytes.subarray(from, at + 1));
    from = at + 1;
  }
  return [...pieces, bytes.subarray(from)];
}

function cutInside(bytes: Buffer): Buffer[] {
  const pieces: Buffer[] = [];
  let from = 0;
  for (const [at, byte] of bytes.entries()) {
    if (byte < 0xc0) continue; // the first byte of a character of several
    pieces.push(bytes.subarray(from, at + 1));
    from = at + 1;
  }
  return [...pieces, bytes.subarray(from)];
}

function cutUnevenly(bytes: Buffer): Buffer[] {
  const pieces: Buffer[] = [];
  for (let from = 0, size = 1; from < bytes.length; from += size, size = (size * 5) % 13 || 1) {
    pieces.push(bytes.subarray(from, from + size));
  }
  return pieces;
}

/** A server that answers every request with the same bytes, HTTP head and framing included. */
export interface Replay {
  readonly baseUrl: string;
  /** The requests that came, as they stood on the wire. */
  readonly seen: readonly string[];
}

/** Starts one. It closes a connection after its answer exactly when the answer says so; it closes itself with the test. */
export async function startReplay(bytes: Buffer, cut: Cut = cuts["in one piece"]): Promise<Replay> {
  const seen: string[] = [];
  const sockets = new Set<Socket>();
  const closes = /^connection: close\r?$/im.test(bytes.toString("latin1").split("\r\n\r\n")[0] ?? "");
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("error", () => {}); // whoever has its answer may leave as it likes
    socket.on("close", () => sockets.delete(socket));
    let heard = Buffer.alloc(0);
    socket.on("data", (piece) => {
      heard = Buffer.concat([heard, piece]);
      const end = requestEnd(heard);
      if (end === undefined) return;
      seen.push(heard.subarray(0, end).toString());
      heard = heard.subarray(end);
      void answer(socket);
    });
  });
  const answer = async (socket: Socket) => {
    for (const piece of cut(bytes)) {
      if (socket.destroyed) return;
      socket.write(piece);
      await nextTurn();
    }
    if (closes) socket.end();
  };
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("a TCP server without a port");
  return { baseUrl: `http://127.0.0.1:${address.port}/v1`, seen };
}

/** Where the first request in `bytes` ends, as soon as it is whole. */
function requestEnd(bytes: Buffer): number | undefined {
  const head = bytes.indexOf("\r\n\r\n");
  if (head === -1) return undefined;
  const length = /^content-length: (\d+)/im.exec(bytes.subarray(0, head).toString("latin1"))?.[1] ?? "0";
  const end = head + 4 + Number(length);
  return bytes.length < end ? undefined : end;
}
