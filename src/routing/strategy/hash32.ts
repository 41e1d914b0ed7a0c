/**
 * A 32-bit hash of a text, unsigned. Formula: FNV-1a over its UTF-16 code units (Fowler, Noll, Vo; public domain), finished with
 * `mix32`, because FNV alone hardly moves the upper bits for short texts. Not for secrets.
 */
export function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (let position = 0; position < text.length; position++) {
    hash = Math.imul(hash ^ text.charCodeAt(position), 0x01000193);
  }
  return mix32(hash);
}

/** Spreads every bit over all bits, unsigned. Formula: finaliser of MurmurHash3 (Austin Appleby, public domain). */
export function mix32(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
