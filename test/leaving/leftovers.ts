import { Stream } from "node:stream";
import { queryObjects } from "node:v8";

/** What keeps a process alive, by kind: sockets, servers, timers. */
export type Holdings = Readonly<Record<string, number>>;

/** Passes by themselves, and say nothing. */
const passing = new Set(["Immediate", "TickObject", "PipeWrap", "FSReqCallback", "FSReqPromise"]);

/** Looks at what keeps this process alive. */
export function holdings(): Holdings {
  const held: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) if (!passing.has(kind)) held[kind] = (held[kind] ?? 0) + 1;
  return held;
}

/** Of what there is more now than there was: `Timeout 3 > 1`. */
export function excess(was: Holdings): string[] {
  return Object.entries(holdings()).flatMap(([kind, count]) =>
    count > (was[kind] ?? 0) ? [`${kind} ${count} > ${was[kind] ?? 0}`] : [],
  );
}

/**
 * Counts the requests, answers and sockets that somebody still refers to, by a listener for instance. It takes a second: all
 * garbage is collected first.
 */
export function heldStreams(): number {
  return queryObjects(Stream, { format: "count" });
}

/** Looks again until something is so, or has had its time. @returns the last look */
export async function eventually<T>(look: () => T, isSo: (seen: T) => boolean, withinMs = 5000): Promise<T> {
  const until = performance.now() + withinMs;
  for (let seen = look(); ; seen = look()) {
    if (isSo(seen) || performance.now() > until) return seen;
    await new Promise((later) => setTimeout(later, 10));
  }
}
