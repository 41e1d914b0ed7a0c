import type { Rng } from "../../runtime/rng.ts";
import { type Candidate, candidatesOf, offerBestOf } from "./best-of.ts";
import type { Gauges, Offer, Picker } from "./picker.ts";

/** How many are looked at for one choice: exact in pools of usual size, and a bound on the cost in large ones. */
const width = 8;

/** Fewest in flight per weight; among equals, the idle above all, as likely as their weights say. */
export class LeastBusyPicker<E> implements Picker<E> {
  readonly #candidates: Candidate<E>[];
  readonly #gauges: Gauges<E>;
  readonly #rng: Rng;

  constructor(members: readonly E[], gauges: Gauges<E>, rng: Rng) {
    this.#candidates = candidatesOf(members, gauges);
    this.#gauges = gauges;
    this.#rng = rng;
  }

  pick(offer: (member: E) => Offer): E | undefined {
    return offerBestOf(width, this.#candidates, this.#compare, offer, this.#rng);
  }

  order(): readonly E[] {
    return this.#candidates.toSorted((a, b) => this.#compare(a, b) || b.weight - a.weight).map(({ member }) => member);
  }

  readonly #compare = (a: Candidate<E>, b: Candidate<E>): number =>
    this.#gauges.inFlight(a.member) / a.weight - this.#gauges.inFlight(b.member) / b.weight;
}
