import { describe, expect, test } from "vitest";
import { createPool } from "../../src/routing/pool.ts";
import { placesOf, type Selector, select, selectable, selectorText } from "../../src/simulation/scenario.ts";
import { about, places } from "../support/rehearsal.ts";
import { endpoint, keys } from "../support/routing.ts";

const some = places([
  endpoint("a", { tier: 10, keys: keys("a1", "a2", "a3") }),
  endpoint("b", { tier: 10 }),
  endpoint("c", { tier: 200, keys: keys("c1") }),
]);
const ids = (...selection: Selector[]) => [...(select(selection, some)?.endpoints.keys() ?? [])];

describe("a selector", () => {
  test("counts tiers from one, whatever the priorities are, and knows the priorities, too", () => {
    expect(ids({ tier: 1 })).toEqual(["a/m", "b/m"]);
    expect(ids({ tier: 2 })).toEqual(["c/m"]);
    expect(ids({ priority: 200 })).toEqual(["c/m"]);
    expect(ids({ tier: 3 })).toEqual([]);
  });

  test("means all, the first or the last endpoint, or who is named", () => {
    expect(ids({ position: "all" })).toEqual(["a/m", "b/m", "c/m"]);
    expect(ids({})).toEqual(["a/m", "b/m", "c/m"]);
    expect(ids({ position: "first" })).toEqual(["a/m"]);
    expect(ids({ position: "last" })).toEqual(["c/m"]);
    expect(ids({ provider: "b" })).toEqual(["b/m"]);
    expect(ids({ endpoint: "c/m" })).toEqual(["c/m"]);
    expect(ids({ kind: "openai" })).toHaveLength(3);
    expect(ids({ kind: "other" })).toEqual([]);
  });

  test("needs all of what it names, and a list means whoever one of them means", () => {
    expect(ids({ tier: 1, provider: "c" })).toEqual([]);
    expect(ids({ provider: "a" }, { tier: 2 })).toEqual(["a/m", "c/m"]);
  });

  test("means calls with some keys where it names a key or a share of them", () => {
    const keysOf = (selector: Selector, id: string) => [...(select([selector], some)?.endpoints.get(id) ?? [])];
    expect(keysOf({ key: "a2" }, "a/m")).toEqual(["a2"]);
    expect(ids({ key: "a2" })).toEqual(["a/m"]);
    expect(keysOf({ shareOfKeys: 0.5 }, "a/m")).toEqual(["a1", "a2"]);
    expect(keysOf({ shareOfKeys: 0.5 }, "c/m")).toEqual(["c1"]);
    // Without keys there is no share of them.
    expect(ids({ provider: "b", shareOfKeys: 0.5 })).toEqual([]);
    expect(select([{ key: "a1" }, { provider: "a" }], some)?.endpoints.get("a/m")).toBeUndefined();
  });

  test("that means nobody can be told what there is", () => {
    expect(select([{ provider: "nobody" }], some)).toBeUndefined();
    expect(selectable(some)).toBe(
      "tiers 1, 2; priorities 10, 200; providers a, b, c; kinds openai; endpoints a/m, b/m, c/m; keys a1, a2, a3, c1",
    );
    expect(selectorText({ tier: 7, shareOfKeys: 0.5 })).toBe("tier: 7, share_of_keys: 0.5");
  });
});

describe("places", () => {
  test("are the endpoints of all models that are asked, each with its tiers in them", () => {
    const [a, b] = [endpoint("a"), endpoint("b", { tier: 2 })];
    const pools = [createPool({ model: "x", endpoints: [a, b] }), createPool({ model: "y", endpoints: [b] })];
    const made = placesOf(pools, about);
    expect(made.map(({ endpoint: { id }, tiers, first, last }) => ({ id, tiers, first, last }))).toEqual([
      { id: "a/m", tiers: [1], first: true, last: false },
      { id: "b/m", tiers: [2, 1], first: true, last: true },
    ]);
  });
});
