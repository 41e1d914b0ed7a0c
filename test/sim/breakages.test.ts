import { describe, expect, test } from "vitest";
import { invariants } from "../../src/simulation/swarm/invariants.ts";
import { determinism, judge, wallClockIdle } from "../../src/simulation/swarm/swarm.ts";
import { breakages } from "./breakages.ts";

/** Enough for what is not rare. */
const usualSeeds = 100;
const requests = 150;

describe("the swarm notices when", () => {
  test.each(breakages)(
    "$what",
    async ({ invariant, patch, tampering = {}, twice = false, broad = false, seeds = usualSeeds }) => {
      const others = new Set<string>();
      const mend = patch?.() ?? (() => {});
      try {
        for (let seed = 1; seed <= seeds; seed++) {
          const { violations } = await judge(seed, { requests, tampering, twice });
          const seen = new Set(violations.map((violation) => violation.invariant));
          if (seen.has(invariant) && (broad || seen.size === 1)) return;
          for (const other of seen) others.add(other);
        }
      } finally {
        mend();
      }
      expect.fail(`${seeds} seeds show nothing of it, but: ${[...others].join(", ") || "nothing"}`);
    },
  );
});

test("every invariant is there for something that is known to break it", () => {
  const proved = new Set(breakages.map(({ invariant }) => invariant));
  const all = [...invariants.map(({ name }) => name), determinism, wallClockIdle];
  expect(all.filter((name) => !proved.has(name))).toEqual([]);
});
