import type { Endpoint } from "../routing/endpoint.ts";
import type { Behaviour } from "./behaviour.ts";
import { Failure, failure } from "./failure.ts";
import type { IncomingCall } from "./weather.ts";

/** Two answers need not be alike: then the stream ends as if nobody had tried. */
const diverged = new Failure({ next: "stop", blame: "nobody", class: "local", repeat: "never" });

/**
 * What an endpoint does that is to go on with the stream of another attempt.
 * @param how whether it is given the text that the caller has; else whether it would say the same again
 * @param respond what it does with a call by itself
 */
export function goingOn<E extends Endpoint>(
  call: IncomingCall<E>,
  broken: Behaviour | undefined,
  how: { readonly prefill: boolean; readonly alike: boolean },
  respond: (call: IncomingCall<E>) => Behaviour,
): Behaviour {
  if (broken?.kind !== "serves" || !broken.breaks) return respond(call);
  const { firstContentMs, totalMs, breaks } = broken;
  const done = (breaks.afterMs - firstContentMs) / Math.max(1, totalMs - firstContentMs);
  if (how.prefill) return respond({ ...call, answerTokens: Math.max(1, Math.round(call.answerTokens * (1 - done))) });
  // It answers anew, and is held back until it has said as much again; if it says the same.
  const anew = respond(call);
  if (anew.kind !== "serves") return anew;
  if (!how.alike) return { kind: "fails", failure: diverged, afterMs: anew.firstContentMs };
  const caughtUpMs = anew.firstContentMs + done * (anew.totalMs - anew.firstContentMs);
  if (anew.breaks && anew.breaks.afterMs < caughtUpMs) {
    return { kind: "fails", failure: failure("cut_off"), afterMs: anew.breaks.afterMs };
  }
  return { ...anew, firstContentMs: caughtUpMs };
}
