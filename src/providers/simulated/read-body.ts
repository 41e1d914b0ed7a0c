import type { IncomingMessage } from "node:http";

/** The longest body that is read, in bytes. */
const mostBytes = 64 * 2 ** 20;

/**
 * Reads a request's body. Calls back once with the text, or with undefined when it is too long; never when the client
 * leaves in the middle. A callback, as a promise per request is dearer.
 */
export function readBody(request: IncomingMessage, done: (text: string | undefined) => void): void {
  const pieces: Uint8Array[] = [];
  let length = 0;
  request.on("data", (piece: Uint8Array) => {
    if (length > mostBytes) return;
    length += piece.length;
    pieces.push(piece);
    if (length <= mostBytes) return;
    pieces.length = 0;
    done(undefined);
  });
  request.on("end", () => {
    if (length <= mostBytes) done(Buffer.concat(pieces, length).toString("utf8"));
  });
}
