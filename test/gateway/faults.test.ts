import { describe, expect, test } from "vitest";
import { FaultError } from "../../src/chat/fault.ts";
import { isFinal, requestFault, retryDelayMs, verdictOf } from "../../src/gateway/faults.ts";
import type { SkipReason } from "../../src/routing/endpoint.ts";
import { RouteError } from "../../src/routing/router.ts";
import type { FaultClass } from "../../src/routing/verdict.ts";
import { attempt, endpoint, trail } from "../support/routing.ts";

/** What a request is told whose attempts ended so and whose candidates were passed over so. */
function told(
  outcomes: readonly FaultClass[],
  skips: readonly SkipReason[],
  facts: { retryAfterMs?: number; capped?: boolean } = {},
) {
  const way = trail();
  for (const outcome of outcomes) attempt(way, endpoint("a")).outcome = outcome;
  for (const [index, reason] of skips.entries()) way.skip(`s${index}/m`, reason, 0);
  const last = new FaultError({ kind: "server_error" });
  return requestFault(new RouteError(way, last, outcomes.length > 0 ? verdictOf(last) : undefined, facts));
}

describe("a request that was not served is told", () => {
  test.each<[string, FaultClass[], SkipReason[], string]>([
    ["a limit, when all was a matter of limits", ["rate_limited"], ["rate_limited", "quota_exhausted"], "all_limited"],
    [
      "a limit, whoever else is switched off or does not serve the model",
      ["rate_limited"],
      ["disabled", "model_not_served"],
      "all_limited",
    ],
    ["a limit, when the cap left others out", ["rate_limited", "rate_limited"], ["attempt_cap"], "all_limited"],
    ["that all failed, when one attempt was no limit", ["rate_limited", "transient_fault"], [], "all_failed"],
    ["that all failed, when a breaker kept others out", ["rate_limited"], ["breaker_open"], "all_failed"],
    ["that nothing can be tried, when nothing was", [], ["breaker_open"], "nothing_to_try"],
    [
      "that nothing can be tried, also when a key is refused and another limited",
      [],
      ["no_key", "rate_limited"],
      "nothing_to_try",
    ],
    ["that its time is up, when that left others out", ["transient_fault"], ["deadline"], "deadline_exceeded"],
  ])("%s", (_, outcomes, skips, kind) => {
    expect(told(outcomes, skips).kind).toBe(kind);
  });

  test("when to come back: as soon as something can be tried, within a minute, and in a minute where waiting does not help", () => {
    expect(retryDelayMs(told([], ["breaker_open"], { retryAfterMs: 3000 }))).toBe(3000);
    expect(retryDelayMs(told([], ["no_key"], { retryAfterMs: 900_000 }))).toBe(60_000);
    expect(retryDelayMs(told([], ["disabled"]))).toBe(60_000);
    expect(retryDelayMs(told(["rate_limited"], [], { retryAfterMs: 120_000 }))).toBe(120_000);
  });

  test("not to come back, when as many attempts were made as may be: a client's own would multiply them", () => {
    expect(isFinal(told(["transient_fault"], [], { capped: true }))).toBe(true);
    expect(isFinal(told(["transient_fault"], [], { capped: false }))).toBe(false);
  });
});
