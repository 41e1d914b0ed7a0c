import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { drawWorld } from "../../src/simulation/swarm/draw-world.ts";
import { invariants } from "../../src/simulation/swarm/invariants.ts";
import { judge, smallestForm } from "../../src/simulation/swarm/swarm.ts";
import { breakages } from "./breakages.ts";
import { createSightings } from "./sightings.ts";

/** Each run of the tests looks at the same ones; `npm run sim` looks at others. */
const seeds = Array.from({ length: 600 }, (_, index) => index + 1);
const requests = 150;

/** What must have happened in them, and how often at least. */
const expected = [
  ...["first", "rotation", "same_again", "repeat", "hedge", "recovery"].map((role) => `attempt: ${role}`),
  ...["at a worse tier", "in a later snapshot", "after a restart"].map((what) => `attempt: ${what}`),
  ...["backoff", "retry_after", "queue"].map((reason) => `wait: ${reason}`),
  ...["closed to open", "open to half_open", "half_open to open", "half_open to closed"].map(
    (move) => `breaker: ${move}`,
  ),
  ...["normal", "probe", "last_resort", "a late success", "a late failure", "a late neutral"].map(
    (kind) => `permit: ${kind}`,
  ),
  ...["ok", "request_refused", "model_unavailable", "key_refused", "quota_exhausted", "rate_limited", "overloaded"].map(
    (outcome) => `end: ${outcome}`,
  ),
  ...["transient_fault", "not_sent", "superseded", "caller_gone", "misconfigured", "transient_fault after content"].map(
    (outcome) => `end: ${outcome}`,
  ),
  ...[
    "breaker_open",
    "rate_limited",
    "concurrency",
    "overflow",
    "quota_exhausted",
    "no_key",
    "disabled",
    "draining",
  ].map((reason) => `skip: ${reason}`),
  ...["forced_open", "unhealthy", "model_off", "context_window", "returning", "deadline", "attempt_cap"].map(
    (reason) => `skip: ${reason}`,
  ),
  ...["served", "failed", "broken", "left", "out of time"].map((outcome) => `request: ${outcome}`),
  "edit",
];
const least = 20;

const known = readFileSync(new URL("seeds.txt", import.meta.url), "utf8")
  .split("\n")
  .filter((line) => line !== "" && !line.startsWith("#"))
  .map((line) => {
    const [seed = "", count = "", ...remark] = line.split(" ");
    return { seed: Number(seed), requests: Number(count), remark: remark.join(" ") };
  });

async function failingOf(
  list: readonly { seed: number; requests: number }[],
  { twiceEvery, watch = [] }: { twiceEvery: number; watch?: typeof invariants },
): Promise<string[]> {
  const failing: string[] = [];
  for (const { seed, requests: count } of list) {
    const options = { requests: count, twice: seed % twiceEvery === 0, invariants: [...invariants, ...watch] };
    const { violations } = await judge(seed, options);
    const lines = violations.map(({ at, invariant, what }) => `  ${at.toFixed(1)} ms: ${invariant}: ${what}`);
    if (lines.length > 0) failing.push(`seed ${seed} (${count} requests)\n${lines.join("\n")}`);
  }
  return failing;
}

describe("requests in any weather", () => {
  test(`keep to every rule, and all is well again after it (${seeds.length} seeds)`, async () => {
    const { counts, watch } = createSightings();
    const list = seeds.map((seed) => ({ seed, requests }));
    const failing = await failingOf(list, { twiceEvery: 10, watch: [watch] });
    expect(failing.length, failing.slice(0, 10).join("\n")).toBe(0);
    // What does not happen proves nothing.
    expect(expected.filter((what) => (counts.get(what) ?? 0) < least)).toEqual([]);
  }, 120_000);

  test("keep to every rule in long worlds", async () => {
    const long = [701, 702, 703, 704, 705].map((seed) => ({ seed, requests: 3000 }));
    expect(await failingOf(long, { twiceEvery: 1000 })).toEqual([]);
  }, 120_000);

  test.each(known)("no longer show this: $remark (seed $seed)", async ({ seed, requests: count }) => {
    expect(await failingOf([{ seed, requests: count }], { twiceEvery: 1 })).toEqual([]);
  });
});

describe("a seed", () => {
  test("does the same again, to the character, and another does something else", async () => {
    const [once, again, other] = [11, 11, 12].map((seed) => judge(seed, { requests, keepLog: true }));
    expect((await once)?.log.length).toBeGreaterThan(10_000);
    expect((await again)?.log).toBe((await once)?.log);
    expect((await again)?.hash).toBe((await once)?.hash);
    expect((await other)?.hash).not.toBe((await once)?.hash);
  });

  test("that fails is made small, and fails in the same way", async () => {
    const { patch, invariant } = breakages.find(({ what }) => what === "limits of keys are forgotten") ?? {};
    const mend = patch?.() ?? (() => {});
    try {
      const { world, run } = await smallestForm(3, invariant ?? "", { requests });
      expect(run.violations.map((violation) => violation.invariant)).toContain(invariant);
      expect(world.requests.length).toBeLessThan(10);
      expect(world.spells.length + world.edits.length + world.keyFaults.length).toBeLessThan(5);
      expect(run.log).toContain(`! ${invariant}`);
    } finally {
      mend();
    }
    expect(drawWorld(3, requests).requests).toHaveLength(requests);
  });
});
