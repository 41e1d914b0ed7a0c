import type { Lease } from "../routing/lease.ts";
import type { Clock } from "../runtime/clock.ts";
import { type Failure, failure } from "./failure.ts";

/** What a provider makes of one call. Milliseconds from the call's beginning. */
export type Behaviour =
  | { readonly kind: "fails"; readonly failure: Failure; readonly afterMs: number }
  /** It never says anything. */
  | { readonly kind: "silent" }
  /** `break`: after its first content the stream fails so, or goes silent until its owner gives up. A unary call fails instead. */
  | {
      readonly kind: "serves";
      readonly firstContentMs: number;
      readonly totalMs: number;
      /** What the provider would charge for; undefined: nobody asks. */
      readonly answerTokens?: number;
      /** `silenceMs`: how long its silence is waited through; undefined: as its owner says. */
      readonly breaks?: {
        readonly afterMs: number;
        readonly how: "cut_off" | "stalled";
        readonly silenceMs?: number | undefined;
      };
    };

/** What an attempt at an in-memory provider brings. */
export interface Answer {
  readonly behaviour: Extract<Behaviour, { kind: "serves" }>;
  /** When the call began, monotonic ms. */
  readonly startedAt: number;
}

/** Plays one call up to its first content, or to its end when it is unary. Calls nobody wants any more end at once. */
export function play(clock: Clock, lease: Lease, behaviour: Behaviour, mode: "run" | "open"): Promise<Answer> {
  const startedAt = clock.now();
  return new Promise((resolve, reject) => {
    if (behaviour.kind === "silent") return;
    const stop = clock.schedule(untilTold(behaviour, mode), () => {
      unlink();
      if (behaviour.kind === "fails") reject(behaviour.failure);
      else if (mode === "run" && behaviour.breaks) reject(failure(behaviour.breaks.how));
      else resolve({ behaviour, startedAt });
    });
    const unlink = lease.cancellation.onCancel(stop);
  });
}

function untilTold(behaviour: Exclude<Behaviour, { kind: "silent" }>, mode: "run" | "open"): number {
  if (behaviour.kind === "fails") return behaviour.afterMs;
  if (mode === "open") return behaviour.firstContentMs;
  return behaviour.breaks?.afterMs ?? behaviour.totalMs;
}

/** Content comes so often while a stream goes on. */
const progressMs = 1000;

/**
 * Plays a committed stream to its end and settles nothing: whoever owns the lease does.
 * @param idleMs how long silence is waited through
 * @throws Failure when it breaks off; the lease's own reason when it is called off
 */
export function goOn(clock: Clock, lease: Lease, { behaviour, startedAt }: Answer, idleMs: number): Promise<void> {
  const { breaks, totalMs } = behaviour;
  const endMs = breaks ? breaks.afterMs + (breaks.how === "stalled" ? (breaks.silenceMs ?? idleMs) : 0) : totalMs;
  const contentUntil = startedAt + (breaks?.afterMs ?? totalMs);
  return new Promise((resolve, reject) => {
    let stopProgress = () => {};
    const progress = () => {
      lease.progressed();
      if (clock.now() + progressMs < contentUntil) stopProgress = clock.schedule(progressMs, progress);
    };
    progress();
    const stop = clock.schedule(startedAt + endMs - clock.now(), () => {
      unlink();
      stopProgress();
      if (breaks) reject(failure(breaks.how));
      else resolve();
    });
    const unlink = lease.cancellation.onCancel((reason) => {
      stop();
      stopProgress();
      reject(reason);
    });
  });
}
