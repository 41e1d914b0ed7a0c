import { headBytes, lengthAt } from "./envelope.ts";

/**
 * The bytes of a stream of messages, each passed on when all of it is there: whoever reads them sets aside as much as a message's head
 * promises. A message longer than `most` is passed on as it comes, to be refused.
 */
export async function* wholeMessages(body: AsyncIterable<Uint8Array>, most: number): AsyncIterable<Uint8Array> {
  let pieces: Uint8Array[] = [];
  let held = 0;
  /** Held bytes at which there is more to tell: a head, then the end of its message. */
  let wanted = headBytes;
  for await (const piece of body) {
    pieces.push(piece);
    held += piece.length;
    if (held < wanted) continue;
    const bytes = pieces.length === 1 ? piece : Buffer.concat(pieces);
    const end = wholeUntil(bytes, most);
    if (end > 0) yield bytes.subarray(0, end);
    const rest = bytes.subarray(end);
    pieces = rest.length > 0 ? [rest] : [];
    held = rest.length;
    wanted = held < headBytes ? headBytes : headBytes + lengthAt(rest, 0);
  }
  if (held > 0) yield Buffer.concat(pieces);
}

/** Up to where there are whole messages, or one that is too long. */
function wholeUntil(bytes: Uint8Array, most: number): number {
  let at = 0;
  while (at + headBytes <= bytes.length) {
    const length = lengthAt(bytes, at);
    if (length > most) return bytes.length;
    if (at + headBytes + length > bytes.length) return at;
    at += headBytes + length;
  }
  return at;
}
