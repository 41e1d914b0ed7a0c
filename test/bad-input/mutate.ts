import type { Rng } from "../../src/runtime/rng.ts";

/** A whole number below `end`. */
export function below(rng: Rng, end: number): number {
  return Math.floor(rng.next() * end);
}

/** One of several. */
export function oneOf<T>(rng: Rng, values: readonly T[]): T {
  return values[below(rng, values.length)] as T; // the index is one of theirs
}

/**
 * Bytes that were good once: some are flipped, put in, left out, doubled, or taken from another sample.
 * @param marks bytes that mean something where the samples are read
 */
export function mutated(rng: Rng, samples: readonly Buffer[], marks: Buffer): Buffer {
  let bytes = oneOf(rng, samples);
  for (let changes = below(rng, 6); changes > 0; changes--) bytes = changed(rng, bytes, samples, marks);
  return bytes;
}

function changed(rng: Rng, bytes: Buffer, samples: readonly Buffer[], marks: Buffer): Buffer {
  const at = below(rng, bytes.length + 1);
  const end = Math.min(bytes.length, at + 1 + below(rng, 8));
  switch (below(rng, 7)) {
    case 0: {
      const copy = Buffer.from(bytes);
      if (at < copy.length) copy[at] = (copy[at] ?? 0) ^ (1 << below(rng, 8));
      return copy;
    }
    case 1:
      return Buffer.concat([bytes.subarray(0, at), Buffer.of(below(rng, 256)), bytes.subarray(at)]);
    case 2:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(end)]);
    case 3:
      return Buffer.concat([bytes.subarray(0, end), bytes.subarray(at)]);
    case 4: {
      const other = oneOf(rng, samples);
      return Buffer.concat([bytes.subarray(0, at), other.subarray(below(rng, other.length + 1))]);
    }
    case 5:
      return bytes.subarray(0, at);
    default:
      return Buffer.concat([
        bytes.subarray(0, at),
        Buffer.of(marks[below(rng, marks.length)] ?? 0),
        bytes.subarray(at),
      ]);
  }
}

/** The same for texts of Latin-1, as headers and paths are. */
export function mutatedText(rng: Rng, samples: readonly string[], marks: string): string {
  return mutated(
    rng,
    samples.map((sample) => Buffer.from(sample, "latin1")),
    Buffer.from(marks, "latin1"),
  ).toString("latin1");
}
