import type { AttemptRecord, Trail } from "../../routing/trail.ts";
import type { FaultClass } from "../../routing/verdict.ts";

/** Where a request went on: the next key, the same again, an endpoint of the same tier or of another, beside or after a stream. */
export type SwitchKind = "key" | "same" | "endpoint" | "tier" | "hedge" | "recovery";

/** From which attempt a request went on to one that begins now. */
export interface Switch {
  readonly kind: SwitchKind;
  readonly from: AttemptRecord;
}

/** What an attempt that begins has come after; undefined: it is the first. */
export function switchTo(trail: Trail, to: AttemptRecord): Switch | undefined {
  if (to.index === 1) return undefined;
  const before = trail.attempts.slice(0, to.index - 1);
  if (to.purpose === "hedge") {
    const slow = before.findLast(({ outcome }) => outcome === undefined);
    return slow && { kind: "hedge", from: slow };
  }
  const from = before.findLast(({ outcome }) => outcome !== undefined && outcome !== "ok" && outcome !== "superseded");
  return from && { kind: to.purpose ?? kindOf(from, to), from };
}

function kindOf(from: AttemptRecord, to: AttemptRecord): SwitchKind {
  if (from.endpoint === to.endpoint) return from.keyName === to.keyName ? "same" : "key";
  return from.tier === to.tier ? "endpoint" : "tier";
}

const words: Readonly<Partial<Record<FaultClass, string>>> = {
  request_refused: "it refused the request",
  model_unavailable: "it does not serve the model",
  key_refused: "it refused the key",
  quota_exhausted: "the key's quota is spent",
  rate_limited: "it limits the key's rate",
  overloaded: "it is overloaded",
  transient_fault: "it failed",
  not_sent: "it never saw the request",
  misconfigured: "it has no such API",
};

/** Why a request went on elsewhere, for people. */
export function switchReason({ kind, from }: Switch): string {
  if (kind === "hedge") return "it is slow";
  if (kind === "recovery") return "its answer broke off";
  return (from.outcome && from.outcome !== "ok" && words[from.outcome]) || "it failed";
}

/** An attempt in a word: `openai/gpt-4o#k1`. */
export function placeOf({ endpoint, keyName }: AttemptRecord): string {
  return keyName ? `${endpoint}#${keyName}` : endpoint;
}
