/**
 * What became of a member that the picker offered. taken: it is the choice. passed: it cannot serve now; its turn passes.
 * deferred: it could, but lets this turn go, and is offered again when its next one is due. excluded: this request has tried it; it
 * keeps its turn.
 */
export type Offer = "taken" | "passed" | "deferred" | "excluded";

/** What a request brings to the choice. */
export interface PickRequest<E> {
  /** Price of this request at a member; Infinity when unknown. */
  cost?(member: E): number;
  /** Requests with the same key go to the same member. */
  affinityKey?: string;
}

/** Chooses among the equals of one tier. Holds what it needs between picks. */
export interface Picker<E> {
  /** Offers members in the strategy's order until one is taken; each at most once. Synchronous. @returns the one taken */
  pick(offer: (member: E) => Offer, request?: PickRequest<E>): E | undefined;
  /** The order in which members would be offered now, changing nothing; where chance has a say, the likeliest first. */
  order(request?: PickRequest<E>): readonly E[];
}

/** What strategies ask about a member. */
export interface Gauges<E> {
  /** Integer 0..1000; 0 = never. Asked once, when the picker is made. */
  weight(member: E): number;
  inFlight(member: E): number;
  /** Recent time to first content; undefined: not known. */
  latencyMs(member: E): number | undefined;
}

/** How the equals of a tier are chosen among. */
export type Strategy = "weighted" | "least_latency" | "least_busy" | "cheapest";
