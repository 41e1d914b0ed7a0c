/** A message of gRPC or gRPC-Web as it lies on the wire. */
export interface Frame {
  /** Bit 0x80: it holds gRPC-Web's trailers. */
  readonly flags: number;
  readonly body: Buffer;
}

/** The frames in an answer; undefined when the last one is cut. */
export function framesOf(bytes: Buffer): Frame[] | undefined {
  const frames: Frame[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (at + 5 > bytes.length) return undefined;
    const end = at + 5 + bytes.readUInt32BE(at + 1);
    if (end > bytes.length) return undefined;
    frames.push({ flags: bytes.readUInt8(at), body: bytes.subarray(at + 5, end) });
    at = end;
  }
  return frames;
}
