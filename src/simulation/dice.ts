import type { Rng } from "../runtime/rng.ts";

/** Draws of the kinds that a simulation needs, from one seeded source. */
export interface Dice {
  /** True in this share of cases, 0 to 1. */
  chance(share: number): boolean;
  /** A whole number, both ends included. */
  from(least: number, most: number): number;
  /** A number in [least, most). */
  between(least: number, most: number): number;
  /** One of a list that is not empty. */
  one<T>(items: readonly T[]): T;
  /** The time until the next of events that are independent of each other: exponential. */
  gap(mean: number): number;
  /** What latency looks like: log-normal. @param median half lie below. @param p99 one in a hundred lies above; at least `median` */
  latency(median: number, p99: number): number;
}

/** The 99th percentile of the standard normal distribution. */
const normalP99 = 2.3263;

export function createDice(rng: Rng): Dice {
  return {
    chance: (share) => rng.next() < share,
    from: (least, most) => least + Math.floor(rng.next() * (most - least + 1)),
    between: (least, most) => least + rng.next() * (most - least),
    one: <T>(items: readonly T[]) => items[Math.floor(rng.next() * items.length)] as T, // not empty
    gap: (mean) => -mean * Math.log(1 - rng.next()),
    latency(median, p99) {
      const sigma = Math.log(Math.max(1, p99 / median)) / normalP99;
      // Box and Muller.
      const normal = Math.sqrt(-2 * Math.log(1 - rng.next())) * Math.cos(2 * Math.PI * rng.next());
      return median * Math.exp(sigma * normal);
    },
  };
}
