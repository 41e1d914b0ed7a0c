import type { Rng } from "../../runtime/rng.ts";

/** A copy in random order. Formula: Fisher–Yates (Durstenfeld 1964). */
export function shuffled<T>(items: readonly T[], rng: Rng): T[] {
  const copy = [...items];
  for (let position = 0; position < copy.length; position++) swap(copy, position, drawFrom(position, copy.length, rng));
  return copy;
}

/** A random position from `first` to before `end`. */
export function drawFrom(first: number, end: number, rng: Rng): number {
  return first + Math.floor(rng.next() * (end - first));
}

/** Exchanges two items; both positions are in range. */
export function swap<T>(items: T[], a: number, b: number): void {
  const item = items[a] as T;
  items[a] = items[b] as T;
  items[b] = item;
}
