import type { Rng } from "../../runtime/rng.ts";
import { CheapestPicker } from "./cheapest.ts";
import { LeastBusyPicker } from "./least-busy.ts";
import { LeastLatencyPicker } from "./least-latency.ts";
import type { Gauges, Picker, Strategy } from "./picker.ts";
import { WeightedPicker } from "./weighted.ts";

/** Makes the picker of one tier. Members of weight 0 are never offered. */
export function createPicker<E>(strategy: Strategy, members: readonly E[], gauges: Gauges<E>, rng: Rng): Picker<E> {
  switch (strategy) {
    case "weighted":
      return new WeightedPicker(members, gauges, rng);
    case "least_latency":
      return new LeastLatencyPicker(members, gauges, rng);
    case "least_busy":
      return new LeastBusyPicker(members, gauges, rng);
    case "cheapest":
      return new CheapestPicker(members, gauges, rng);
  }
}
