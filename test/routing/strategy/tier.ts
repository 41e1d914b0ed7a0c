import type { Gauges, Offer, Picker, PickRequest } from "../../../src/routing/strategy/picker.ts";

/** A member of a tier as tests set it up. */
export interface Member {
  readonly name: string;
  readonly weight: number;
  inFlight: number;
  latencyMs: number | undefined;
  /** What it answers when it is offered. */
  answer: Offer;
}

/** Members named a, b, c … with these weights, idle and eligible. */
export function tier(...weights: number[]): Member[] {
  return weights.map((weight, index) => ({
    name: String.fromCharCode(97 + index),
    weight,
    inFlight: 0,
    latencyMs: undefined,
    answer: "taken",
  }));
}

/** Reads the members themselves. */
export const gauges: Gauges<Member> = {
  weight: ({ weight }) => weight,
  inFlight: ({ inFlight }) => inFlight,
  latencyMs: ({ latencyMs }) => latencyMs,
};

/** One pick, as the members answer. */
export function pick(picker: Picker<Member>, request?: PickRequest<Member>): Member | undefined {
  return picker.pick(({ answer }) => answer, request);
}

/** How often each was taken in so many picks, in the order of the members. */
export function tally(picker: Picker<Member>, members: readonly Member[], picks: number): number[] {
  const counts = new Map<Member | undefined, number>();
  for (let each = 0; each < picks; each++) {
    const member = pick(picker);
    counts.set(member, (counts.get(member) ?? 0) + 1);
  }
  return members.map((member) => counts.get(member) ?? 0);
}

/** Who is offered, in order, when nobody is to be had. */
export function offered(picker: Picker<Member>, request?: PickRequest<Member>): Member[] {
  const members: Member[] = [];
  picker.pick((member) => {
    members.push(member);
    return "passed";
  }, request);
  return members;
}
