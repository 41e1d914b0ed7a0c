import { describe, expect, test } from "vitest";
import { createPicker } from "../../../src/routing/strategy/create-picker.ts";
import type { Strategy } from "../../../src/routing/strategy/picker.ts";
import { seededRng } from "../../../src/runtime/rng.ts";
import { gauges, type Member, offered, pick, tier } from "./tier.ts";

const strategies: Strategy[] = ["weighted", "least_latency", "least_busy", "cheapest"];

describe.each(strategies)("a picker by the strategy %s", (strategy) => {
  const make = (members: readonly Member[]) => createPicker(strategy, members, gauges, seededRng(9));

  test("offers every member once until one is taken", () => {
    const members = tier(5, 1, 1, 20, 3);
    const picker = make(members);
    for (let k = 0; k < 30; k++) {
      const all = offered(picker);
      expect(all.toSorted((a, b) => a.name.localeCompare(b.name))).toEqual(members);
      pick(picker);
    }
  });

  test("never offers a member of weight 0, whether in picks or in its order", () => {
    const picker = make(tier(0, 1, 0));
    expect(offered(picker).map(({ name }) => name)).toEqual(["b"]);
    expect(picker.order().map(({ name }) => name)).toEqual(["b"]);
  });

  test("takes nobody when there is nobody", () => {
    expect(pick(make([]))).toBeUndefined();
    expect(make([]).order()).toEqual([]);
  });

  test("does the same again with the same seed", () => {
    const run = () => {
      const picker = make(tier(4, 2, 1));
      return Array.from({ length: 50 }, () => pick(picker)?.name);
    };
    expect(run()).toEqual(run());
  });
});
