import type { Rng } from "../../runtime/rng.ts";
import { Heap } from "./heap.ts";
import type { Gauges, Offer, Picker } from "./picker.ts";
import { drawFrom, shuffled } from "./shuffled.ts";

/** One member's part in taking turns. */
interface Seat<E> {
  readonly member: E;
  readonly weight: number;
  /** Place in the shuffle, for ties. */
  readonly rank: number;
  /** By what part of a turn it comes before its time. */
  readonly early: number;
  /** Turns that it has had or lost. */
  turns: number;
  /** When its next turn may begin, and when it should be over, in virtual time: one division each, so that equal ones are equal. */
  start: number;
  finish: number;
  /** Whether it counts: not when it was passed over the last time it was offered. */
  present: boolean;
}

/** Virtual time at which counting starts afresh, long before doubles could no longer tell two turns apart. */
const longestEra = 2 ** 16;

/**
 * Smooth weighted turns. Turn m (from 0) of a member of weight w lies between m/w and (m + 1)/w in virtual time, which is
 * picks / W, W the weight of those present. Next is, among the turns that may begin before this pick is over
 * (m/w < (picks + 1)/W), the one that should be over first. Two heaps make that O(log n).
 *
 * So everybody stays within one turn of its share k·w/W over the first k picks, within two over any k later ones, and gets exactly
 * w of each W. Source: the quota method (Balinski & Young 1975), which is EEVDF (Stoica & Abdel-Wahab 1995) with turns of equal
 * length. Deadlines alone, (m + 0.5)/w as in Webster's method (Sainte-Laguë) or Envoy's EDF scheduler, are not enough: nine members
 * of weight 1 beside one of 1000 come due all together and put it back by more than four turns.
 *
 * Who is passed over loses its turn and no longer counts until it is taken again; it is offered when it would be due, so it comes
 * back at once and catches up on nothing. Who lets a turn go is offered the next one, about once in so many picks as its share is. One that was never offered counts, as nothing is known of it. While absent ones have not
 * been met, which takes W picks at most, a share may therefore be off by up to three turns (by search: below two with up to four
 * members, 2.7 with ten).
 *
 * Replicas do not walk in step: ties go by a shuffle, and one member, chosen at random, comes up to one turn early each time it
 * may. One only: several could come together.
 */
export class WeightedPicker<E> implements Picker<E> {
  readonly #seats: readonly Seat<E>[];
  /** Whose turn may begin, by finish. */
  readonly #ready = new Heap<Seat<E>>((a, b) => a.finish - b.finish || a.rank - b.rank);
  /** Whose turn may not begin yet, by start. */
  readonly #waiting = new Heap<Seat<E>>((a, b) => a.start - b.start || a.rank - b.rank);
  /** Turns and weights of those present. */
  #turns = 0;
  #weight = 0;

  constructor(members: readonly E[], gauges: Gauges<E>, rng: Rng) {
    const chosen = shuffled(
      members.filter((member) => gauges.weight(member) > 0),
      rng,
    );
    const earlyBird = drawFrom(0, chosen.length, rng);
    this.#seats = chosen.map((member, rank) => {
      const early = rank === earlyBird ? rng.next() : 0;
      return { member, weight: gauges.weight(member), rank, early, turns: 0, start: 0, finish: 0, present: false };
    });
    for (const seat of this.#seats) {
      this.#join(seat);
      schedule(seat);
      this.#waiting.push(seat);
    }
  }

  pick(offer: (member: E) => Offer): E | undefined {
    const offered: Seat<E>[] = [];
    const passed: { readonly seat: Seat<E>; readonly defers: boolean }[] = [];
    const left: Seat<E>[] = [];
    let taken: Seat<E> | undefined;
    try {
      for (let seat = this.#next(); seat; seat = this.#next()) {
        offered.push(seat);
        const answer = offer(seat.member);
        if (answer === "taken") {
          taken = seat;
          break;
        }
        if (answer === "excluded") continue;
        passed.push({ seat, defers: answer === "deferred" });
        if (!seat.present) continue;
        left.push(seat);
        this.#leave(seat);
      }
    } finally {
      if (taken) this.#advance(taken, passed);
      else for (const seat of left) this.#join(seat);
      for (const seat of offered) this.#waiting.push(seat);
    }
    return taken?.member;
  }

  order(): readonly E[] {
    const order: E[] = [];
    this.pick((member) => {
      order.push(member);
      return "passed";
    });
    return order;
  }

  /** Whose turn should be over first, of those whose turn may begin before this pick is over. */
  #next(): Seat<E> | undefined {
    const end = (this.#turns + 1) / this.#weight;
    for (let seat = this.#waiting.first; seat && seat.start < end; seat = this.#waiting.first) {
      this.#waiting.pop();
      this.#ready.push(seat);
    }
    return this.#ready.pop() ?? this.#waiting.pop();
  }

  #advance(taken: Seat<E>, passed: readonly { readonly seat: Seat<E>; readonly defers: boolean }[]): void {
    if (!taken.present) this.#join(taken);
    taken.turns++;
    this.#turns++;
    schedule(taken);
    for (const { seat, defers } of passed) {
      const due = (seat.weight * this.#turns) / this.#weight;
      seat.turns = Math.max(seat.turns, defers ? Math.floor(due) + 1 : Math.ceil(due));
      schedule(seat);
    }
    const now = this.#turns / this.#weight;
    if (now > longestEra) this.#rebase(Math.floor(now));
  }

  #join(seat: Seat<E>): void {
    seat.present = true;
    this.#turns += seat.turns;
    this.#weight += seat.weight;
  }

  #leave(seat: Seat<E>): void {
    seat.present = false;
    this.#turns -= seat.turns;
    this.#weight -= seat.weight;
  }

  /** Moves the origin of virtual time; it is whole, so everybody's order stays. */
  #rebase(origin: number): void {
    for (const seat of this.#seats) {
      seat.turns -= origin * seat.weight;
      if (seat.present) this.#turns -= origin * seat.weight;
      schedule(seat);
    }
  }
}

function schedule<E>(seat: Seat<E>): void {
  seat.start = seat.turns / seat.weight;
  seat.finish = (seat.turns + 1 - seat.early) / seat.weight;
}
