import { describe, expect, test } from "vitest";
import { withAffinity } from "../../../src/routing/strategy/affinity.ts";
import type { Picker } from "../../../src/routing/strategy/picker.ts";
import { WeightedPicker } from "../../../src/routing/strategy/weighted.ts";
import { seededRng } from "../../../src/runtime/rng.ts";
import { gauges, type Member, offered, pick, tally, tier } from "./tier.ts";

function affine(members: readonly Member[]): Picker<Member> {
  const inner = new WeightedPicker(members, gauges, seededRng(3));
  return withAffinity(inner, members, gauges, ({ name }) => `provider/${name}`);
}

const keys = Array.from({ length: 20_000 }, (_, index) => `session-${index}`);

function homes(members: readonly Member[]): (Member | undefined)[] {
  const picker = affine(members);
  return keys.map((affinityKey) => pick(picker, { affinityKey }));
}

/** Part by which a member's share of 20,000 keys may be off. */
const epsilon = 0.05;

describe("affinity", () => {
  test("sends the same key to the same member, in every process", () => {
    const members = tier(1, 1, 1, 1);
    expect(homes(members)).toEqual(homes(members.toReversed()));
  });

  test(`spreads keys by weight (ε = ${epsilon})`, () => {
    for (const weights of [
      [1, 1, 1, 1, 1],
      [1, 2, 3, 4],
      [100, 900],
    ]) {
      const members = tier(...weights);
      const found = homes(members);
      const total = weights.reduce((a, b) => a + b);
      for (const member of members) {
        const share = found.filter((home) => home === member).length / keys.length;
        expect(Math.abs((share * total) / member.weight - 1)).toBeLessThan(epsilon);
      }
    }
  });

  test("moves only the keys of a member that leaves, and spreads them over the others", () => {
    const members = tier(1, 1, 1, 1, 1);
    const [gone, ...rest] = members as [Member, ...Member[]];
    const before = homes(members);
    const after = homes(rest);
    const moved = keys.map((_, index) => index).filter((index) => before[index] !== after[index]);
    expect(moved.every((index) => before[index] === gone)).toBe(true);
    for (const member of rest) {
      const share = moved.filter((index) => after[index] === member).length / moved.length;
      expect(Math.abs(share * 4 - 1)).toBeLessThan(2 * epsilon);
    }
  });

  test("goes to the same second choice when the first cannot serve", () => {
    const members = tier(1, 1, 1, 1);
    const picker = affine(members);
    const order = picker.order({ affinityKey: "x" });
    expect(offered(picker, { affinityKey: "x" })).toEqual(order);
    (order[0] as Member).answer = "passed";
    for (let k = 0; k < 10; k++) expect(pick(picker, { affinityKey: "x" })).toBe(order[1]);
  });

  test("spills a hot key before its member has more than 1.25 of its share in flight", () => {
    const members = tier(1, 1, 1, 1);
    const picker = affine(members);
    for (let k = 1; k <= 400; k++) {
      const member = pick(picker, { affinityKey: "hot" }) as Member;
      member.inFlight++;
      expect(member.inFlight).toBeLessThanOrEqual(Math.ceil((1.25 * k) / 4));
    }
    expect(members.reduce((sum, { inFlight }) => sum + inFlight, 0)).toBe(400);
  });

  test("still offers members above the bound when the others cannot serve", () => {
    const members = tier(1, 1, 1);
    const picker = affine(members);
    const home = picker.order({ affinityKey: "x" })[0] as Member;
    home.inFlight = 50;
    expect(picker.order({ affinityKey: "x" }).at(-1)).toBe(home);
    for (const member of members) if (member !== home) member.answer = "passed";
    expect(pick(picker, { affinityKey: "x" })).toBe(home);
  });

  test("leaves requests without a key to the strategy, and never offers weight 0", () => {
    const members = tier(3, 1, 0);
    const picker = affine(members);
    expect(tally(picker, members, 40)).toEqual([30, 10, 0]);
    expect(offered(picker, { affinityKey: "x" }).length).toBe(2);
    expect(picker.order()[0]).toBe(pick(picker));
  });
});
