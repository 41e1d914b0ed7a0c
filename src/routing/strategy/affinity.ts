import { candidatesOf } from "./best-of.ts";
import { hash32, mix32 } from "./hash32.ts";
import { Heap } from "./heap.ts";
import type { Gauges, Offer, Picker, PickRequest } from "./picker.ts";

/** How far above its share of what is in flight a member may be loaded for affinity's sake: a hot key spills to the next. */
const boundedLoad = 1.25;

/** One member's part. */
interface Seat<E> {
  readonly member: E;
  readonly weight: number;
  readonly hash: number;
  /** Its distance from the key at hand; the nearest has the key. */
  distance: number;
  /** Whether it bears more than it should. */
  overloaded: boolean;
}

/**
 * Keeps requests with the same affinity key at the same member, so that the provider's prompt cache hits; requests without one go
 * the way of `inner`. A member that joins or leaves moves only its own keys.
 * Sources: weighted rendezvous hashing, distance = -ln(hash) / weight (Thaler & Ravishankar 1998; Schindelhauer & Schomaker 2005);
 * "Consistent Hashing with Bounded Loads" (Mirrokni, Thorup, Zadimoghaddam 2018): members with more than 1.25 times their share
 * of what is in flight, rounded up, come after the others.
 * @param id names a member, the same in every process
 */
export function withAffinity<E>(
  inner: Picker<E>,
  members: readonly E[],
  gauges: Gauges<E>,
  id: (member: E) => string,
): Picker<E> {
  const seats = candidatesOf(members, gauges).map(
    ({ member, weight }): Seat<E> => ({ member, weight, hash: hash32(id(member)), distance: 0, overloaded: false }),
  );
  const totalWeight = seats.reduce((sum, { weight }) => sum + weight, 0);

  function byDistance(key: string): Heap<Seat<E>> {
    const keyHash = hash32(key);
    const inFlight = seats.reduce((sum, { member }) => sum + gauges.inFlight(member), 0);
    const heap = new Heap<Seat<E>>(compare);
    for (const seat of seats) {
      const share = (seat.weight / totalWeight) * (inFlight + 1);
      seat.overloaded = gauges.inFlight(seat.member) + 1 > Math.ceil(boundedLoad * share);
      seat.distance = -Math.log((mix32(keyHash ^ seat.hash) + 0.5) / 2 ** 32) / seat.weight;
      heap.push(seat);
    }
    return heap;
  }

  return {
    pick(offer: (member: E) => Offer, request?: PickRequest<E>) {
      if (request?.affinityKey === undefined) return inner.pick(offer, request);
      const left = byDistance(request.affinityKey);
      for (let seat = left.pop(); seat; seat = left.pop()) if (offer(seat.member) === "taken") return seat.member;
      return undefined;
    },
    order(request?: PickRequest<E>) {
      if (request?.affinityKey === undefined) return inner.order(request);
      return byDistance(request.affinityKey)
        .sorted()
        .map(({ member }) => member);
    },
  };
}

function compare<E>(a: Seat<E>, b: Seat<E>): number {
  return Number(a.overloaded) - Number(b.overloaded) || a.distance - b.distance;
}
