import type { Rng } from "../../runtime/rng.ts";
import { Heap } from "./heap.ts";
import type { Gauges, Offer, Picker, PickRequest } from "./picker.ts";
import { shuffled } from "./shuffled.ts";

/** One member's part. */
interface Seat<E> {
  readonly member: E;
  readonly weight: number;
  /** Place in the shuffle, for ties. */
  readonly rank: number;
  /** Turns that it has had or lost. */
  turns: number;
  /** Price of the request at hand. */
  cost: number;
}

/**
 * Lowest price first; those whose price is not known last. Equally cheap ones take turns by weight: next is the lowest
 * (turns + 0.5) / weight. Source: Webster's method (Sainte-Laguë), because its turns do not depend on who else takes part:
 * who is equally cheap differs from request to request.
 */
export class CheapestPicker<E> implements Picker<E> {
  readonly #seats: readonly Seat<E>[];

  constructor(members: readonly E[], gauges: Gauges<E>, rng: Rng) {
    this.#seats = shuffled(members, rng)
      .map((member, rank) => ({ member, weight: gauges.weight(member), rank, turns: 0, cost: 0 }))
      .filter(({ weight }) => weight > 0);
  }

  pick(offer: (member: E) => Offer, request?: PickRequest<E>): E | undefined {
    const left = this.#priced(request);
    const passed: Seat<E>[] = [];
    for (let seat = left.pop(); seat; seat = left.pop()) {
      const answer = offer(seat.member);
      if (answer === "passed" || answer === "deferred") passed.push(seat);
      if (answer !== "taken") continue;
      const now = due(seat);
      seat.turns++;
      for (const other of passed) if (other.cost === seat.cost) loseTurns(other, now);
      return seat.member;
    }
    return undefined;
  }

  order(request?: PickRequest<E>): readonly E[] {
    return this.#priced(request)
      .sorted()
      .map(({ member }) => member);
  }

  #priced(request: PickRequest<E> | undefined): Heap<Seat<E>> {
    const heap = new Heap<Seat<E>>(compare);
    for (const seat of this.#seats) {
      seat.cost = request?.cost?.(seat.member) ?? Number.POSITIVE_INFINITY;
      heap.push(seat);
    }
    return heap;
  }
}

function compare<E>(a: Seat<E>, b: Seat<E>): number {
  // Not a difference first: Infinity less Infinity is no number.
  return a.cost === b.cost ? due(a) - due(b) || a.rank - b.rank : a.cost - b.cost;
}

function due<E>({ turns, weight }: Seat<E>): number {
  return (turns + 0.5) / weight;
}

/** Lets a seat's turns up to now go by: nothing is caught up on. */
function loseTurns<E>(seat: Seat<E>, now: number): void {
  seat.turns = Math.max(seat.turns, Math.floor(now * seat.weight - 0.5));
  while (due(seat) <= now) seat.turns++;
}
