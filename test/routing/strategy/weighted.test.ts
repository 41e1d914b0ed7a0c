import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { WeightedPicker } from "../../../src/routing/strategy/weighted.ts";
import { seededRng } from "../../../src/runtime/rng.ts";
import { gauges, type Member, offered, pick, tally, tier } from "./tier.ts";

function weighted(members: readonly Member[], seed = 1): WeightedPicker<Member> {
  return new WeightedPicker(members, gauges, seededRng(seed));
}

/** Small and large ones mixed: a heavy member beside many light ones is what smoothness is hard for. */
const weight = fc.oneof(
  fc.integer({ min: 1, max: 3 }),
  fc.integer({ min: 1, max: 30 }),
  fc.integer({ min: 1, max: 1000 }),
  fc.integer({ min: 998, max: 1000 }),
);
const setting = fc.record({
  weights: fc.array(weight, { minLength: 1, maxLength: 10 }),
  seed: fc.nat(),
});

/** Follows how far every eligible member is from its share, over a number of picks. */
function deviations(picker: WeightedPicker<Member>, members: readonly Member[], picks: number) {
  const eligible = members.filter(({ answer }) => answer === "taken");
  const total = eligible.reduce((sum, each) => sum + each.weight, 0);
  const seen = eligible.map((member) => ({ member, picks: 0, least: 0, most: 0 }));
  for (let k = 1; k <= picks; k++) {
    const taken = pick(picker);
    for (const each of seen) {
      if (each.member === taken) each.picks++;
      const off = each.picks - (k * each.member.weight) / total;
      each.least = Math.min(each.least, off);
      each.most = Math.max(each.most, off);
    }
    if (k % total === 0) {
      for (const each of seen) expect(each.picks).toBe((k / total) * each.member.weight);
    }
  }
  const least = Math.min(...seen.map((each) => each.least));
  const most = Math.max(...seen.map((each) => each.most));
  return { total, farthest: Math.max(-least, most), widest: Math.max(...seen.map((each) => each.most - each.least)) };
}

const totalOf = (members: readonly { weight: number }[]) => members.reduce((sum, each) => sum + each.weight, 0);

describe("weighted picking", () => {
  test("keeps everybody within two turns of its share, from any pick on, and exact over every W picks", () => {
    fc.assert(
      fc.property(setting, ({ weights, seed }) => {
        const members = tier(...weights);
        const { farthest, widest } = deviations(weighted(members, seed), members, Math.min(2 * totalOf(members), 6000));
        expect(farthest).toBeLessThan(2);
        // The difference of any two prefixes is the deviation of a run that starts later.
        expect(widest).toBeLessThan(2);
      }),
      { numRuns: 200 },
    );
  });

  test("holds a heavy member to its share beside many light ones that all come due at once", () => {
    const members = tier(1000, ...new Array<number>(9).fill(1));
    for (let seed = 0; seed < 20; seed++) {
      expect(deviations(weighted(members, seed), members, 2018).farthest).toBeLessThan(2);
    }
  });

  test("does so too among those who are left when the others are absent", () => {
    const absent = fc.array(fc.boolean(), { minLength: 10, maxLength: 10 });
    fc.assert(
      fc.property(setting, absent, ({ weights, seed }, away) => {
        const members = tier(...weights);
        members.forEach((member, index) => {
          if (index > 0 && away[index]) member.answer = "passed";
        });
        const picker = weighted(members, seed);
        const eligible = totalOf(members.filter(({ answer }) => answer === "taken"));
        // Nothing is known of absent ones until they have been met; with few members that matters less.
        expect(deviations(picker, members, eligible).farthest).toBeLessThan(members.length <= 4 ? 2 : 3);
        // After one cycle of all weights everybody has been met.
        for (let turn = eligible; turn < totalOf(members); turn++) pick(picker);
        const met = deviations(picker, members, Math.min(2 * eligible, 6000));
        expect(met.farthest).toBeLessThan(2);
        expect(met.widest).toBeLessThan(2);
      }),
      { numRuns: 200 },
    );
  });

  test("rotates evenly over equal weights", () => {
    const members = tier(7, 7, 7, 7);
    const picker = weighted(members);
    const round = [1, 2, 3, 4].map(() => pick(picker));
    expect(new Set(round).size).toBe(4);
    for (let turn = 0; turn < 40; turn++) expect(pick(picker)).toBe(round[turn % 4]);
  });

  test("never offers a member of weight 0", () => {
    const members = tier(0, 3, 0, 1);
    expect(offered(weighted(members)).map(({ name }) => name)).not.toEqual(expect.arrayContaining(["a"]));
    expect(tally(weighted(members), members, 8)).toEqual([0, 6, 0, 2]);
    expect(pick(weighted(tier(0)))).toBeUndefined();
    expect(pick(weighted([]))).toBeUndefined();
  });

  test("starts differently with different seeds, and keeps out of step", () => {
    const sequences = new Map<string, number>();
    for (let seed = 0; seed < 400; seed++) {
      const picker = weighted(tier(3, 1), seed);
      tally(picker, [], 400);
      const sequence = [1, 2, 3, 4].map(() => pick(picker)?.name).join("");
      sequences.set(sequence, (sequences.get(sequence) ?? 0) + 1);
    }
    expect([...sequences.keys()].sort()).toEqual(["aaab", "aaba", "abaa", "baaa"]);
    for (const count of sequences.values()) expect(count).toBeGreaterThan(20);
  });

  test("starts alike with the same seed", () => {
    const run = () => offered(weighted(tier(5, 3, 2, 2), 42)).map(({ name }) => name);
    expect(run()).toEqual(run());
  });

  test("does not let one who was away catch up", () => {
    fc.assert(
      fc.property(setting, fc.nat(3000), fc.nat(500), ({ weights, seed }, before, away) => {
        const members = tier(...weights, 10);
        const [returning] = members as [Member, ...Member[]];
        const picker = weighted(members, seed);
        tally(picker, members, before);
        returning.answer = "passed";
        tally(picker, members, away + totalOf(members));
        returning.answer = "taken";
        let picks = 0;
        for (let k = 1; k <= 1000; k++) {
          if (pick(picker) === returning) picks++;
          expect(picks).toBeLessThan((k * returning.weight) / totalOf(members) + 2);
        }
      }),
      { numRuns: 100 },
    );
  });

  test("gives one who was away its turns back", () => {
    const members = tier(1, 1, 1);
    const [returning] = members as [Member, ...Member[]];
    const picker = weighted(members);
    returning.answer = "passed";
    expect(tally(picker, members, 1000)).toEqual([0, 500, 500]);
    returning.answer = "taken";
    expect(Math.abs((tally(picker, members, 300)[0] ?? 0) - 100)).toBeLessThan(2);
  });

  test("keeps the turn of one that a request has tried already", () => {
    const members = tier(1, 1, 1);
    const picker = weighted(members);
    const [first] = picker.order() as [Member, ...Member[]];
    first.answer = "excluded";
    expect(pick(picker)).not.toBe(first);
    first.answer = "taken";
    expect(pick(picker)).toBe(first);
  });

  test("changes nothing when nobody is taken, nor when an offer throws", () => {
    const members = tier(4, 3, 2, 1);
    const picker = weighted(members);
    for (let k = 0; k < 57; k++) {
      const order = picker.order();
      expect(offered(picker)).toEqual(order);
      expect(() =>
        picker.pick(() => {
          throw new Error("broken gauge");
        }),
      ).toThrow("broken gauge");
      expect(picker.order()).toEqual(order);
      expect(pick(picker)).toBe(order[0]);
    }
  });

  test("offers everybody once, in the order that it tells", () => {
    const members = tier(100, 1, 20, 3);
    const picker = weighted(members);
    for (let k = 0; k < 50; k++) {
      expect(offered(picker).toSorted((a, b) => a.name.localeCompare(b.name))).toEqual(members);
      pick(picker);
    }
  });

  test("goes on as before when it counts afresh after very many picks", () => {
    const members = tier(2, 1);
    const picker = weighted(members);
    const [heavy] = members as [Member, ...Member[]];
    let picks = 0;
    for (let k = 1; k <= 3 * 2 ** 16 + 3000; k++) {
      if (pick(picker) === heavy) picks++;
      if (Math.abs(picks - (k * 2) / 3) >= 2) expect.fail(`off at pick ${k}`);
    }
  });
});
