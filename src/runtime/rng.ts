import { randomFillSync } from "node:crypto";

/** Chance as an argument: a seeded one makes a run repeatable. */
export interface Rng {
  /** A number in [0, 1). */
  next(): number;
}

const pool = new Uint32Array(1024);
let used = pool.length;

/** The machine's own randomness, good enough for ids that must not be guessed; drawn in blocks because each draw costs a system call. */
export const systemRng: Rng = {
  next() {
    if (used === pool.length) {
      randomFillSync(pool);
      used = 0;
    }
    return (pool[used++] ?? 0) / 2 ** 32;
  },
};

/**
 * A repeatable source: the same seed gives the same sequence.
 * Formula: mulberry32 (Tommy Ettinger, public domain), one 32-bit word of state.
 */
export function seededRng(seed: number): Rng {
  let state = seed >>> 0;
  return {
    next() {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    },
  };
}

/** Two hexadecimal digits for each byte. */
const hexOfByte = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** `digits` lower-case hexadecimal digits, for ids: 32 make a W3C trace id. */
export function randomHex(rng: Rng, digits: number): string {
  let text = "";
  while (text.length < digits) {
    const word = Math.floor(rng.next() * 2 ** 32);
    text += `${hexOfByte[word >>> 24]}${hexOfByte[(word >>> 16) & 255]}${hexOfByte[(word >>> 8) & 255]}${hexOfByte[word & 255]}`;
  }
  return text.length === digits ? text : text.slice(0, digits);
}
