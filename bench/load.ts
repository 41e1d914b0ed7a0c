import type { Client } from "./clients/client.ts";

/** How calls are made. */
export interface Load {
  /** Calls in flight: as soon as one ends the next begins. With `perSecond`: the most there may be. */
  readonly concurrency: number;
  /** Begins calls at this pace instead, whether those before have ended or not. */
  readonly perSecond?: number;
}

/** What one stretch of load brought. */
export interface Stretch {
  readonly calls: number;
  /** From the first call's beginning to the last one's end; at a pace of its own, to the last one's beginning. */
  readonly elapsedMs: number;
  /** Of each call, ascending. */
  readonly latenciesMs: readonly number[];
}

/** How long a stretch may take beyond its time before it counts as stuck. */
const graceMs = 10_000;
/** No stretch needs more calls than this; they bound its memory. */
const maxCalls = 500_000;

/**
 * Makes calls for a time, and waits for the last to end.
 * @throws (rejects) at the first answer that is wrong, or when an answer stays away
 */
export function makeCalls(client: Client, { concurrency, perSecond }: Load, durationMs: number): Promise<Stretch> {
  return new Promise((resolve, reject) => {
    const latenciesMs: number[] = [];
    const startedAt = performance.now();
    let begun = 0;
    let open = 0;
    let lastBegunMs = 0;
    let over = false;
    const stuck = setTimeout(() => stop(new Error(`${open} answers stay away`)), durationMs + graceMs);

    function stop(error?: Error): void {
      if (over) return;
      over = true;
      clearTimeout(stuck);
      latenciesMs.sort((a, b) => a - b);
      const elapsedMs = perSecond === undefined ? performance.now() - startedAt : lastBegunMs;
      if (error) reject(error);
      else resolve({ calls: latenciesMs.length, elapsedMs, latenciesMs });
    }

    function begin(): void {
      begun++;
      lastBegunMs = performance.now() - startedAt;
      open++;
      client.call((result) => {
        open--;
        if (over) return;
        if (typeof result !== "number") return stop(result);
        latenciesMs.push(result);
        if (perSecond === undefined && inTime()) begin();
        else if (open === 0 && !inTime()) stop();
      });
    }
    const inTime = () => performance.now() - startedAt < durationMs && begun < maxCalls;

    /** Catches up with the pace, then waits for the next beat. */
    function keepPace(beatMs: number): void {
      if (over) return;
      if (!inTime()) {
        if (open === 0) stop();
        return;
      }
      while (open < concurrency && begun * beatMs <= performance.now() - startedAt) begin();
      setTimeout(keepPace, Math.max(0, begun * beatMs - (performance.now() - startedAt)), beatMs);
    }

    if (perSecond !== undefined) keepPace(1000 / perSecond);
    else for (let index = 0; index < concurrency; index++) begin();
  });
}
