import { readFileSync } from "node:fs";
import { totalmem } from "node:os";
import { getHeapStatistics } from "node:v8";
import type { Clock } from "../runtime/clock.ts";

/** Of the memory that the process may use, what requests and answers may hold at once. */
const bufferedShare = 0.25;
/** How full the heap may be before nothing more is taken in. */
const heapShare = 0.85;
/** How old a look at the heap may be: looking is not free, and garbage goes by itself meanwhile. */
const lookMs = 1000;

/** How many bytes requests and answers may hold, by the memory that there is: the container's, else the machine's. */
export function defaultBufferedBytes(): number {
  const constrained = process.constrainedMemory();
  const there = constrained > 0 && constrained < totalmem() ? constrained : totalmem();
  return Math.floor(there * bufferedShare);
}

/** Tells whether the heap has been nearly full at two looks in a row: one alone may have seen mere garbage. */
export function watchHeap(clock: Clock): () => boolean {
  let lookedAt = Number.NEGATIVE_INFINITY;
  let wasFull = false;
  let isShort = false;
  return () => {
    const now = clock.now();
    if (now - lookedAt < lookMs) return isShort;
    lookedAt = now;
    const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics();
    const isFull = used > limit * heapShare;
    isShort = isFull && wasFull;
    wasFull = isFull;
    return isShort;
  };
}

/** How many connections there are files for: half of them, for each may need another toward a provider. */
export function defaultConnections(most: number): number {
  let files = Number.NaN;
  try {
    files = Number(/^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1]);
  } catch {
    // No such file elsewhere.
  }
  return files > 0 ? Math.max(64, Math.min(most, Math.floor(files / 2))) : most;
}
