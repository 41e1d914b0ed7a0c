import type { Rng } from "../../runtime/rng.ts";
import type { Gauges, Offer } from "./picker.ts";
import { drawFrom, swap } from "./shuffled.ts";

/** A member that may be offered. */
export interface Candidate<E> {
  readonly member: E;
  readonly weight: number;
}

/** The members whose weight lets them be offered. */
export function candidatesOf<E>(members: readonly E[], gauges: Gauges<E>): Candidate<E>[] {
  return members.map((member) => ({ member, weight: gauges.weight(member) })).filter(({ weight }) => weight > 0);
}

/**
 * Offers the best of `width` random candidates; when it is not taken, the best of those that were left and one more; and so on
 * until everybody was offered. With few candidates that is the exact order; with many it costs the same, and those who choose at
 * the same time do not all fall upon the same one. Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing".
 * @param candidates their order does not matter and is changed
 */
export function offerBestOf<E>(
  width: number,
  candidates: Candidate<E>[],
  compare: (a: Candidate<E>, b: Candidate<E>) => number,
  offer: (member: E) => Offer,
  rng: Rng,
): E | undefined {
  const end = candidates.length;
  let drawn = end <= width ? end : 0;
  for (let position = 0; position < end; position++) {
    for (; drawn < Math.min(position + width, end); drawn++) swap(candidates, drawn, drawFrom(drawn, end, rng));
    swap(candidates, position, bestBetween(position, drawn, candidates, compare, rng));
    const { member } = candidates[position] as Candidate<E>; // in range: the loop's condition says so
    if (offer(member) === "taken") return member;
  }
  return undefined;
}

/** Position of the best from `first` to before `end`; among equals each as likely as its weight says. */
function bestBetween<E>(
  first: number,
  end: number,
  candidates: readonly Candidate<E>[],
  compare: (a: Candidate<E>, b: Candidate<E>) => number,
  rng: Rng,
): number {
  let best = first;
  let tiedWeight = candidates[first]?.weight ?? 0;
  for (let position = first + 1; position < end; position++) {
    const candidate = candidates[position] as Candidate<E>; // in range, as is best: they are below end
    const order = compare(candidate, candidates[best] as Candidate<E>);
    if (order > 0) continue;
    tiedWeight = order < 0 ? candidate.weight : tiedWeight + candidate.weight;
    if (order < 0 || rng.next() * tiedWeight < candidate.weight) best = position;
  }
  return best;
}
