import type { Endpoint, Pool, SkipReason } from "./endpoint.ts";
import type { Engine } from "./plan.ts";
import type { Hindrance, ManualState } from "./state.ts";
import type { PickRequest } from "./strategy/picker.ts";

/** One endpoint of a pool, as it stands now. */
export interface Candidate<E extends Endpoint> {
  readonly endpoint: E;
  /** Position among those that would be tried, from 1; undefined: it would be passed over. */
  readonly position: number | undefined;
  /** The part of its tier's requests that it would get now, 0 to 1, as far as weights decide. */
  readonly share: number;
  /** Why it would be passed over. */
  readonly skip: { readonly reason: SkipReason | "weight_0"; readonly untilTimeMs?: number } | undefined;
  readonly breaker: "closed" | "open" | "half_open";
  /** Failures and ended calls of the last seconds. */
  readonly tally: { readonly failures: number; readonly ended: number };
  readonly inFlight: number;
  readonly keys: { readonly total: number; readonly available: number };
  /** What an operator has set by hand. */
  readonly manual: ManualState | undefined;
}

/** The order in which a pool would be tried now: tier by tier, those that can serve first. Changes nothing. */
export function explain<E extends Endpoint>(
  { clock, state, pickerOf }: Engine,
  pool: Pool<E>,
  request: PickRequest<E> = {},
): readonly Candidate<E>[] {
  const now = clock.now();
  const candidates: Candidate<E>[] = [];
  let position = 0;
  const hindranceOf = (endpoint: E): (Omit<Hindrance, "reason"> & { reason: SkipReason | "weight_0" }) | undefined =>
    endpoint.weight === 0
      ? { reason: "weight_0" }
      : (state.hindrance(endpoint, now) ?? state.barred(endpoint, now, pool.size === 1));
  for (const tier of pool.tiers) {
    const order = pickerOf(pool, tier, false).order(request);
    const members = [...order, ...tier.members.filter((member) => !order.includes(member))];
    const hindrances = new Map(members.map((member) => [member, hindranceOf(member)]));
    const weights = members.reduce((sum, member) => (hindrances.get(member) ? sum : sum + member.weight), 0);
    const free = members.filter((member) => !hindrances.get(member));
    for (const endpoint of [...free, ...members.filter((member) => hindrances.get(member))]) {
      const hindrance = hindrances.get(endpoint);
      const known = state.endpoint(endpoint);
      const { total, available } = state.provider(endpoint).ring.counts();
      const untilTimeMs =
        hindrance?.until === undefined ? undefined : Math.round(clock.wallTime() + hindrance.until - now);
      candidates.push({
        endpoint,
        position: hindrance ? undefined : ++position,
        share: hindrance || weights === 0 ? 0 : endpoint.weight / weights,
        skip: hindrance && { reason: hindrance.reason, ...(untilTimeMs !== undefined && { untilTimeMs }) },
        breaker: known.breaker.state,
        tally: known.breaker.tally(now),
        inFlight: known.usage.inFlight,
        keys: { total, available },
        manual: known.manual,
      });
    }
  }
  return candidates;
}
