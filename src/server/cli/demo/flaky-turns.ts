import type { Fault } from "../../../providers/simulated/fault.ts";
import type { IntermittentProvider } from "./intermittent-provider.ts";

const healthy: Fault = { kind: "none" };
/** So many seconds its key rests: long enough to be seen, short enough to be seen returning. */
const limited: Fault = { kind: "status", status: 429, headers: { "retry-after": "6" } };
const broken: Fault = { kind: "status", status: 500 };
/** After the role and some words. */
const cut: Fault = { kind: "cut_after", events: 5 };

/** What goes wrong with one request after the other. Fewer than half of the calls fail: its breaker leaves it in play. */
const turns: readonly Fault[] = [limited, broken, healthy, cut, healthy, healthy];

/** For so long before another provider leaves nothing is cut: who goes on with a text has one attempt, and it should find somebody. */
const caution = { beforeMs: 5000, afterMs: 2000 };

/**
 * How a provider fails in turns: a limit, an error, good answers, and now and then an answer that breaks off. While the other one
 * leaves it behaves, for it may be the one to go on with what that one had begun.
 */
export function flakyTurns(other: Pick<IntermittentProvider, "presence">): () => Fault {
  let turn = 0;
  return () => {
    const { there, sinceMs, leftMs } = other.presence;
    const isLeaving = there ? leftMs < caution.afterMs : sinceMs < caution.afterMs;
    if (isLeaving) return healthy;
    const fault = turns[turn++ % turns.length] ?? healthy;
    return fault === cut && (!there || leftMs < caution.beforeMs) ? healthy : fault;
  };
}
