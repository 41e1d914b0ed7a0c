import type { SkipReason } from "../routing/endpoint.ts";
import type { SkipRecord } from "../routing/trail.ts";

/** What might be done about an endpoint that is passed over; where it is as it should be, nothing. */
const fixes: Readonly<Partial<Record<SkipReason, string>>> = {
  breaker_open:
    "it failed too often and is left alone: the trace that opened its breaker tells why; add a target meanwhile",
  rate_limited: "add keys or providers, or raise the limit that is reached (max_rps, or the provider's own)",
  concurrency: "as many calls as it may have are under way: raise max_concurrent, or add a target",
  overflow: "more calls are under way than routing.in_flight allows: raise it, or run another gateway",
  quota_exhausted: "no quota left: top the account up, or add another account's key",
  no_key: "the provider has refused every key: check providers[].keys; a changed file of keys is taken at once",
  disabled: "it is switched off: providers[].enabled",
  unhealthy: "the provider has no such API: check its base_url",
  model_off: "the provider does not serve this model to this key: check models[].targets[].model",
  model_not_served: "the provider declares no such model: add it to providers[].models, or ask for another",
  context_window: "the prompt is too long for it: give the model a target with a larger context_window",
  deadline: "no time was left to ask it: give the caller a longer timeout, or targets shorter ones",
  attempt_cap: "as many attempts were made as may be: routing.max_attempts",
};

/** What might be done about a request that nobody could be asked for: by what kept it from the first that had a reason to be mended. */
export function skipFix(skips: readonly SkipRecord[]): string | undefined {
  for (const { endpoint, reason } of skips) {
    const fix = fixes[reason];
    if (fix) return `${endpoint}: ${fix}`;
  }
  return undefined;
}
