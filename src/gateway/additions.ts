import { type Fault, FaultError } from "../chat/fault.ts";
import type { Additions, LaneRequest } from "../providers/lane.ts";
import type { Target } from "../providers/target.ts";
import type { Clock } from "../runtime/clock.ts";

/** Which endpoints refuse what the gateway asks for by itself. */
export interface AdditionMemory {
  refuses(target: Target): boolean;
  remember(target: Target): void;
}

/** As many endpoints are remembered; more than that are named by callers who make names up. */
const maxRemembered = 10_000;
/** Then they are asked again: a passing refusal must not be held against a server for ever, and servers learn. */
const forgottenAfterMs = 6 * 3_600_000;

/** Makes a memory that forgets after some hours, and the oldest first. */
export function createAdditionMemory(clock: Clock): AdditionMemory {
  const refusedUntil = new Map<string, number>();
  return {
    refuses: ({ id }) => refusedUntil.size > 0 && clock.now() < (refusedUntil.get(id) ?? 0),
    remember({ id }) {
      refusedUntil.delete(id);
      refusedUntil.set(id, clock.now() + forgottenAfterMs);
      const [oldest] = refusedUntil.keys();
      if (refusedUntil.size > maxRemembered && oldest !== undefined) refusedUntil.delete(oldest);
    },
  };
}

/**
 * What the gateway adds to one call's requests. A refusal of a request that holds an addition may be the gateway's own doing: then
 * the same endpoint is asked once more without it. If that succeeds it is remembered; if not, the refusal is the caller's.
 */
export function createAdditions(memory: AdditionMemory) {
  const withheld = new Set<string>();
  return {
    for: (target: Target): Additions => ({ usage: !memory.refuses(target) && !withheld.has(target.id) }),
    /** The fault of a request, or that of its addition. */
    blamed(target: Target, { altered }: LaneRequest, fault: Fault): FaultError {
      if (fault.kind !== "refused_request" || !altered) return new FaultError(fault);
      withheld.add(target.id);
      return new FaultError({ ...fault, kind: "addition_refused" });
    },
    succeeded(target: Target): void {
      if (withheld.has(target.id)) memory.remember(target);
    },
  };
}
