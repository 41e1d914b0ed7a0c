import { type Fault, FaultError } from "../chat/fault.ts";
import type { Additions, LaneRequest } from "../providers/lane.ts";
import type { Target } from "../providers/target.ts";
import type { Clock } from "../runtime/clock.ts";

/** Something that the gateway asks for by itself. */
export type Addition = keyof Additions;

/** Which endpoints refuse what the gateway asks for by itself. */
export interface AdditionMemory {
  refuses(target: Target, what: Addition): boolean;
  remember(target: Target, what: Addition): void;
}

/** As many endpoints are remembered; more than that are named by callers who make names up. */
const maxRemembered = 10_000;
/** Then they are asked again: a passing refusal must not be held against a server for ever, and servers learn. */
const forgottenAfterMs = 6 * 3_600_000;

/** Makes a memory that forgets after some hours, and the oldest first. */
export function createAdditionMemory(clock: Clock): AdditionMemory {
  const refusedUntil = new Map<string, number>();
  return {
    refuses: ({ id }, what) => refusedUntil.size > 0 && clock.now() < (refusedUntil.get(`${what} ${id}`) ?? 0),
    remember({ id }, what) {
      const name = `${what} ${id}`;
      refusedUntil.delete(name);
      refusedUntil.set(name, clock.now() + forgottenAfterMs);
      const [oldest] = refusedUntil.keys();
      if (refusedUntil.size > maxRemembered && oldest !== undefined) refusedUntil.delete(oldest);
    },
  };
}

/** What the gateway adds to the requests of one call. */
export interface CallAdditions {
  for(target: Target): Additions;
  /** The fault of a request, or that of what the gateway has changed in it; nothing of its answer has been passed on. */
  blamed(target: Target, request: LaneRequest, error: FaultError): FaultError;
  /** A target has answered the call. */
  succeeded(target: Target): void;
}

/** Whether the provider says which parameter it refuses, and that is none which a stream is asked for its cost by. */
function blamesAnother(fault: Fault): boolean {
  const param = "param" in fault ? fault.param : undefined;
  return typeof param === "string" && param !== "" && !/stream|usage/i.test(param);
}

/**
 * What the gateway adds to one call's requests. A refusal of a request that holds an addition may be the gateway's own doing: then
 * the same endpoint is asked once more without it. If that succeeds it is remembered; if not, the refusal is the caller's. An endpoint
 * that was given a text and did not go on with it is asked once more, too: it may answer anew, or take half an answer for a whole one.
 * What is refused without additions may still be the doing of configured parameters: then another endpoint is asked.
 */
export function createAdditions(memory: AdditionMemory): CallAdditions {
  /** What an endpoint refused with the last request, and so is not asked for again: of two things that one which is refused more often. */
  let withheld: Map<string, { readonly what: Addition; readonly isRefused: boolean }> | undefined;
  const asks = (target: Target, what: Addition) => !memory.refuses(target, what) && !withheld?.has(target.id);
  return {
    for: (target) => ({ usage: asks(target, "usage"), prefill: asks(target, "prefill") }),
    blamed(target, { altered, prefilled, configured }, error) {
      const { fault } = error;
      const isUnheeded = prefilled && fault.kind === "diverged";
      const isOurs = altered && (prefilled || !blamesAnother(fault));
      if (!isUnheeded && (fault.kind !== "refused_request" || !isOurs)) {
        if (!configured || fault.kind !== "refused_request") return error;
        return new FaultError({ ...fault, configured }, { cause: error });
      }
      // An endpoint that had nothing to add may have been right, for the text may have been whole; one that answers anew was not.
      const isRefused = !isUnheeded || fault.anew;
      withheld ??= new Map();
      withheld.set(target.id, { what: prefilled ? "prefill" : "usage", isRefused });
      return new FaultError({ ...fault, kind: "addition_refused" }, { cause: error });
    },
    succeeded(target) {
      const held = withheld?.get(target.id);
      if (held?.isRefused) memory.remember(target, held.what);
    },
  };
}
