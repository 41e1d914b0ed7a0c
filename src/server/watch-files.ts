import { statSync } from "node:fs";
import type { Clock } from "../runtime/clock.ts";

/** How often files are looked at, in ms. Looking finds what events of the file system miss: mounted folders, replaced links. */
const lookEveryMs = 500;

/**
 * Tells when one of some files or folders has changed, has come or has gone, and has then been left alone for a moment: nobody wants
 * half a file.
 * @returns how to stop, and how to watch others instead, which have been read since some wall time: one that has been written since
 * then has changed
 */
export function watchFiles(
  clock: Clock,
  first: readonly string[],
  changed: (paths: readonly string[]) => void,
): { watch(paths: readonly string[], readSinceMs: number): void; stop(): void } {
  let seen = new Map(first.map((path) => [path, stampOf(path)]));
  /** Those that changed at the last look, and may be being written. */
  let unsettled = new Set<string>();
  let stopTimer = () => {};
  const again = () => {
    stopTimer = clock.schedule(lookEveryMs, () => {
      const moving = new Set<string>();
      for (const [path, stamp] of seen) {
        const now = stampOf(path);
        if (now === stamp) continue;
        seen.set(path, now);
        moving.add(path);
      }
      const settled = moving.size === 0 ? [...unsettled] : [];
      unsettled = moving.size === 0 ? new Set() : new Set([...unsettled, ...moving]);
      again();
      if (settled.length > 0) changed(settled);
    });
  };
  again();
  return {
    watch(paths, readSinceMs) {
      const added = paths.filter((path) => !seen.has(path));
      seen = new Map(paths.map((path) => [path, seen.get(path) ?? stampOf(path)]));
      // In this order: what is written after its stamp was taken is seen at the next look.
      for (const path of added) if (isYounger(path, readSinceMs - coarsenessMs)) unsettled.add(path);
    },
    stop: () => stopTimer(),
  };
}

/** File systems tell the time of a change this roughly. */
const coarsenessMs = 20;

function isYounger(path: string, timeMs: number): boolean {
  try {
    return statSync(path).ctimeMs >= timeMs;
  } catch {
    return false;
  }
}

/** What changes when a file does. */
function stampOf(path: string): string {
  try {
    const { mtimeMs, size, ino } = statSync(path);
    return `${mtimeMs} ${size} ${ino}`;
  } catch {
    return "none";
  }
}
