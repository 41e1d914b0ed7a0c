/** What goes before each message of a stream: flags in one byte, and the length of what follows in four. */
export const headBytes = 5;

/** The length that the head at an offset promises. */
export function lengthAt(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset + at + 1, 4).getUint32(0);
}
