import type { IncomingMessage } from "node:http";

/** The longest body that is read, in bytes. */
const mostBytes = 64 * 2 ** 20;

/** What has come of a body. */
export type ReadBody = { kind: "whole"; text: string } | { kind: "too_long" } | { kind: "broken"; text: string };

/** Reads a request's body; calls back exactly once, also when the client leaves in the middle. A callback, as a promise per request is dearer. */
export function readBody(request: IncomingMessage, done: (body: ReadBody) => void): void {
  const pieces: Uint8Array[] = [];
  let length = 0;
  let over = false;
  const finish = (kind: "whole" | "broken") => {
    if (over) return;
    over = true;
    done({ kind, text: Buffer.concat(pieces, length).toString("utf8") });
  };
  request.on("data", (piece: Uint8Array) => {
    if (over) return;
    length += piece.length;
    pieces.push(piece);
    if (length <= mostBytes) return;
    over = true;
    pieces.length = 0;
    done({ kind: "too_long" });
  });
  request.on("end", () => finish("whole"));
  request.on("error", () => finish("broken"));
  request.on("close", () => finish("broken"));
}
