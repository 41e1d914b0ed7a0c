import { describe, expect, test } from "vitest";
import { CheapestPicker } from "../../../src/routing/strategy/cheapest.ts";
import type { PickRequest } from "../../../src/routing/strategy/picker.ts";
import { seededRng } from "../../../src/runtime/rng.ts";
import { gauges, type Member, offered, pick, tally, tier } from "./tier.ts";

function cheapest(members: readonly Member[], seed = 5): CheapestPicker<Member> {
  return new CheapestPicker(members, gauges, seededRng(seed));
}

function costing(prices: Record<string, number>): PickRequest<Member> {
  return { cost: ({ name }) => prices[name] ?? Number.POSITIVE_INFINITY };
}

function names(members: readonly (Member | undefined)[]): string {
  return members.map((member) => member?.name).join("");
}

describe("picking the cheapest", () => {
  test("takes the lowest price of this request, then the next, and last what has no price", () => {
    const picker = cheapest(tier(1, 1000, 1, 1));
    expect(names(offered(picker, costing({ a: 3, b: 9, d: 1 })))).toBe("dabc");
    expect(names(picker.order(costing({ a: 3, b: 1, c: 2 })))).toBe("bcad");
  });

  test("lets equally cheap ones take turns by weight", () => {
    const members = tier(3, 1, 5);
    const picker = cheapest(members);
    const counts: Record<string, number> = { a: 0, b: 0, c: 0 };
    for (let k = 1; k <= 40; k++) {
      const name = pick(picker, costing({ a: 1, b: 1, c: 2 }))?.name ?? "";
      counts[name] = (counts[name] ?? 0) + 1;
      expect(Math.abs((counts["a"] ?? 0) - (k * 3) / 4)).toBeLessThan(2);
    }
    expect(counts).toEqual({ a: 30, b: 10, c: 0 });
  });

  test("goes by weight alone when nothing is known of prices", () => {
    const members = tier(2, 1, 0);
    expect(tally(cheapest(members), members, 30)).toEqual([20, 10, 0]);
  });

  test("does not let one who was away catch up, and keeps the turn of one that was tried", () => {
    const members = tier(1, 1);
    const [a, b] = members as [Member, Member];
    const picker = cheapest(members);
    a.answer = "passed";
    for (let k = 0; k < 100; k++) expect(pick(picker)).toBe(b);
    a.answer = "taken";
    expect(tally(picker, members, 4)).toEqual([2, 2]);

    const next = picker.order()[0] as Member;
    next.answer = "excluded";
    expect(pick(picker)).not.toBe(next);
    next.answer = "taken";
    expect(pick(picker)).toBe(next);
  });

  test("leaves turns alone where nobody is taken, or only somebody at another price", () => {
    const members = tier(1, 1, 1);
    const [a, b] = members as [Member, Member, Member];
    const picker = cheapest(members);
    const request = costing({ a: 1, b: 1, c: 2 });
    const order = names(picker.order(request));
    offered(picker, request);
    expect(names(picker.order(request))).toBe(order);
    a.answer = "passed";
    b.answer = "passed";
    expect(pick(picker, request)).toBe(members[2]);
    expect(names(picker.order(request))).toBe(order);
  });

  test("starts differently with different seeds", () => {
    const starts = Array.from({ length: 50 }, (_, seed) => pick(cheapest(tier(1, 1, 1), seed))?.name);
    expect(new Set(starts).size).toBe(3);
  });
});
