import { describe, expect, test } from "vitest";
import { LeastBusyPicker } from "../../../src/routing/strategy/least-busy.ts";
import { seededRng } from "../../../src/runtime/rng.ts";
import { gauges, type Member, offered, pick, tally, tier } from "./tier.ts";

function leastBusy(members: readonly Member[]): LeastBusyPicker<Member> {
  return new LeastBusyPicker(members, gauges, seededRng(7));
}

/** Part by which a share of 10,000 picks may be off. */
const epsilon = 0.05;

describe("picking the least busy", () => {
  test("takes who has fewest in flight per weight", () => {
    const members = tier(1, 4, 1);
    const [a, b, c] = members as [Member, Member, Member];
    a.inFlight = 2;
    b.inFlight = 6;
    c.inFlight = 3;
    const picker = leastBusy(members);
    expect(pick(picker)).toBe(b);
    expect(offered(picker)).toEqual([b, a, c]);
    expect(picker.order()).toEqual([b, a, c]);
  });

  test(`leaves it to chance among equals, by weight (ε = ${epsilon})`, () => {
    const members = tier(3, 1, 1);
    const counts = tally(leastBusy(members), members, 10_000);
    [0.6, 0.2, 0.2].forEach((share, index) => {
      expect(Math.abs((counts[index] ?? 0) / 10_000 / share - 1)).toBeLessThan(epsilon);
    });
  });

  test("never offers a member of weight 0, and everybody else once", () => {
    for (const size of [1, 2, 8, 9, 30]) {
      const members = tier(...new Array<number>(size).fill(1), 0);
      const all = offered(leastBusy(members));
      expect(all.length).toBe(size);
      expect(new Set(all).size).toBe(size);
    }
  });

  test("among many takes a good one: never one of the seven worst", () => {
    const members = tier(...new Array<number>(100).fill(1));
    members.forEach((member, index) => {
      member.inFlight = index;
    });
    const counts = tally(leastBusy(members), members, 10_000);
    expect(counts.slice(-7)).toEqual(new Array(7).fill(0));
    // The best of eight of a hundred is the best of all in 8 % of the picks.
    expect(Math.abs((counts[0] ?? 0) / 800 - 1)).toBeLessThan(4 * epsilon);
  });

  test("finds the only one that is eligible", () => {
    const members = tier(...new Array<number>(40).fill(1));
    for (const member of members) member.answer = "passed";
    const eligible = members[31] as Member;
    eligible.answer = "taken";
    eligible.inFlight = 99;
    const picker = leastBusy(members);
    for (let k = 0; k < 100; k++) expect(pick(picker)).toBe(eligible);
  });

  test("evens out what is in flight, in proportion to weight", () => {
    const members = tier(1, 2, 3);
    const picker = leastBusy(members);
    for (let k = 0; k < 600; k++) {
      const member = pick(picker);
      if (member) member.inFlight++;
    }
    members.forEach(({ inFlight, weight }) => {
      expect(Math.abs(inFlight - 100 * weight)).toBeLessThanOrEqual(3);
    });
  });
});
