import type { Clock } from "../runtime/clock.ts";
import type { Rng } from "../runtime/rng.ts";
import type { Endpoint, Pool, Tier } from "./endpoint.ts";
import type { EngineState } from "./state.ts";
import { withAffinity } from "./strategy/affinity.ts";
import { createPicker } from "./strategy/create-picker.ts";
import type { Gauges, Picker } from "./strategy/picker.ts";

/**
 * Gives every tier of every pool its pickers, one for first choices and one for those who take over, made when it is first needed and kept for as long as the pool is: a rotation that
 * began anew with each request would always begin with the same endpoint.
 */
export function createPickers(
  state: EngineState,
  clock: Clock,
  rng: Rng,
): <E extends Endpoint>(pool: Pool<E>, tier: Tier<E>, takesOver: boolean) => Picker<E> {
  const pickers = { first: new WeakMap<object, Picker<never>>(), next: new WeakMap<object, Picker<never>>() };
  const gauges: Gauges<Endpoint> = {
    weight: ({ weight }) => weight,
    inFlight: (endpoint) => state.endpoint(endpoint).usage.inFlight,
    latencyMs(endpoint) {
      const { stream, unary } = state.endpoint(endpoint).latency;
      const now = clock.now();
      return stream.at(now) ?? unary.at(now);
    },
  };
  return <E extends Endpoint>(pool: Pool<E>, tier: Tier<E>, takesOver: boolean) => {
    const made = takesOver ? pickers.next : pickers.first;
    const known = made.get(tier);
    if (known) return known as Picker<unknown> as Picker<E>; // made for this very tier
    // A tier of one needs no choice, and with `ordered` every tier is one.
    const strategy = pool.strategy === "ordered" ? "weighted" : pool.strategy;
    const picker = withAffinity<E>(
      createPicker<E>(strategy, tier.members, gauges, rng),
      tier.members,
      gauges,
      ({ id }) => id,
    );
    made.set(tier, picker as Picker<unknown> as Picker<never>);
    return picker;
  };
}
