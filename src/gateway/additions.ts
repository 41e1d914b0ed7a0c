import { type Fault, FaultError } from "../chat/fault.ts";
import type { Additions, LaneRequest } from "../providers/lane.ts";
import type { Target } from "../providers/target.ts";

/** Which endpoints refuse what the gateway asks for by itself. */
export interface AdditionMemory {
  refuses(target: Target): boolean;
  remember(target: Target): void;
}

/** As many endpoints are remembered; more than that are named by callers who make names up. */
const maxRemembered = 10_000;

/** Makes a memory that forgets the oldest first. */
export function createAdditionMemory(): AdditionMemory {
  const refusing = new Set<string>();
  return {
    refuses: ({ id }) => refusing.has(id),
    remember({ id }) {
      refusing.add(id);
      const [oldest] = refusing;
      if (refusing.size > maxRemembered && oldest !== undefined) refusing.delete(oldest);
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
