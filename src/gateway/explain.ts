import type { Target } from "../providers/target.ts";
import type { Candidate } from "../routing/explain.ts";
import { costAt, type Machine, type PromptSize } from "./call.ts";
import type { Caller } from "./caller.ts";
import type { Destination } from "./catalog.ts";

/** How a request would be routed, were it made now. */
export interface Explanation {
  /** Public name of the model. */
  readonly model: string;
  /** What orders its endpoints. */
  readonly policy: string;
  /** In the order in which they would be tried; those that would be passed over stand behind the others of their tier. */
  readonly candidates: readonly Candidate<Target>[];
  /** Providers that were named but do not serve the model. */
  readonly ruledOut: readonly { readonly endpoint: string; readonly reason: string }[];
}

/** A prompt of middling length, for whoever asks without one. */
const typicalSize: PromptSize = { promptCharacters: 4000, maxOutputTokens: 0 };

/**
 * Says who would be tried for a prompt now, in which order, and who would be passed over and why. Asks nobody and changes nothing.
 * @param destination a model's name, or all that a call says of where it wants to go
 * @throws FaultError for an unknown model or provider
 */
export function explain(
  { catalog, router }: Pick<Machine, "catalog" | "router">,
  destination: string | Destination,
  caller: Caller,
  size: PromptSize = typicalSize,
): Explanation {
  const fieldPrefix = { routing: "", model: "" };
  const where =
    typeof destination === "string"
      ? { model: destination, provider: "", fallbackProviders: [], fieldPrefix }
      : destination;
  const pool = catalog().pool(where, caller);
  const candidates = router.explain(pool, { cost: (target) => costAt(target, size) });
  return { model: pool.model, policy: pool.policy, candidates, ruledOut: pool.ruledOut };
}
