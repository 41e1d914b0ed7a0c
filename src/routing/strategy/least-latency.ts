import type { Rng } from "../../runtime/rng.ts";
import { type Candidate, candidatesOf, offerBestOf } from "./best-of.ts";
import type { Gauges, Offer, Picker } from "./picker.ts";

/** Least latency that counts: at 0 a member would look free however busy it is. */
const leastLatencyMs = 1;

/**
 * The better of two random ones by latency × (in flight + 1) / weight, the time in which it would get to this request.
 * Source: Finagle's peak EWMA balancer. A member whose latency is not known counts as fast as the fastest known that it is compared
 * with, so it gets requests and is measured.
 */
export class LeastLatencyPicker<E> implements Picker<E> {
  readonly #candidates: Candidate<E>[];
  readonly #gauges: Gauges<E>;
  readonly #rng: Rng;

  constructor(members: readonly E[], gauges: Gauges<E>, rng: Rng) {
    this.#candidates = candidatesOf(members, gauges);
    this.#gauges = gauges;
    this.#rng = rng;
  }

  pick(offer: (member: E) => Offer): E | undefined {
    return offerBestOf(2, this.#candidates, this.#compare, offer, this.#rng);
  }

  order(): readonly E[] {
    const known = this.#candidates.map(({ member }) => this.#gauges.latencyMs(member)).filter((ms) => ms !== undefined);
    const fastestMs = known.length > 0 ? Math.min(...known) : leastLatencyMs;
    return this.#candidates
      .map((candidate) => ({ candidate, score: this.#score(candidate, fastestMs) }))
      .sort((a, b) => a.score - b.score)
      .map(({ candidate }) => candidate.member);
  }

  readonly #compare = (a: Candidate<E>, b: Candidate<E>): number => {
    const aMs = this.#gauges.latencyMs(a.member);
    const bMs = this.#gauges.latencyMs(b.member);
    return this.#score(a, aMs ?? bMs ?? leastLatencyMs) - this.#score(b, bMs ?? aMs ?? leastLatencyMs);
  };

  #score({ member, weight }: Candidate<E>, unknownMs: number): number {
    const ms = Math.max(this.#gauges.latencyMs(member) ?? unknownMs, leastLatencyMs);
    return (ms * (this.#gauges.inFlight(member) + 1)) / weight;
  }
}
