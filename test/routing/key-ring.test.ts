import { describe, expect, test } from "vitest";
import { KeyRing, type KeySlot } from "../../src/routing/key-ring.ts";
import { seededRng } from "../../src/runtime/rng.ts";
import { keys } from "../support/routing.ts";

const at = "a/m";
const minute = 60_000;

function ring(...names: string[]) {
  const made = new KeyRing(keys(...names), seededRng(1));
  const pick = (now = 0, endpoint = at) => made.pick(now, endpoint);
  const nameOf = (slot: KeySlot | undefined) => slot?.key?.name;
  return { ring: made, pick, nameOf };
}

function countsOf(names: readonly (string | undefined)[]): number[] {
  const counts = new Map<string | undefined, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts.values()];
}

describe("keys are taken in turn", () => {
  test("evenly to within one, after any number of picks", () => {
    const { pick, nameOf } = ring("k1", "k2", "k3", "k4", "k5");
    const picked: (string | undefined)[] = [];
    for (let count = 1; count <= 123; count++) {
      picked.push(nameOf(pick()));
      if (count >= 5) expect(Math.max(...countsOf(picked)) - Math.min(...countsOf(picked))).toBeLessThanOrEqual(1);
    }
  });

  test("evenly among those that can be used, however many others cannot", () => {
    const { ring: made, pick, nameOf } = ring(...Array.from({ length: 50 }, (_, index) => `k${index}`));
    for (let count = 0; count < 50; count++) {
      const slot = pick();
      if (slot && Number(nameOf(slot)?.slice(1)) % 10 !== 0) made.refused(slot, 0, 0);
    }
    const picked = Array.from({ length: 100 }, () => nameOf(pick(1)));
    expect(countsOf(picked)).toEqual([20, 20, 20, 20, 20]);
  });

  test("from another beginning in another process", () => {
    const first = (seed: number) => new KeyRing(keys("k1", "k2", "k3", "k4"), seededRng(seed)).pick(0, at)?.key?.name;
    expect(new Set([1, 2, 3, 4, 5, 6, 7, 8].map(first)).size).toBeGreaterThan(1);
  });
});

describe("a limited key", () => {
  test("rests until the time that the provider states, at that endpoint only", () => {
    const { ring: made, pick } = ring("k1");
    made.rateLimited(pick() as KeySlot, at, 0, 0, 20_000);
    expect(pick(19_999)).toBeUndefined();
    expect(made.blocked(100, at)).toEqual({ reason: "rate_limited", until: 20_000, detail: "1 limited" });
    expect(pick(100, "a/other")).toBeDefined();
    expect(pick(20_000)).toBeDefined();
  });

  test("rests for a growing while when nothing is stated: up to one second, two, four, a minute at most", () => {
    const longest = Array.from({ length: 9 }, () => 0);
    for (let seed = 1; seed <= 300; seed++) {
      const made = new KeyRing(keys("k1"), seededRng(seed));
      let now = 0;
      for (const index of longest.keys()) {
        const slot = made.pick(now, at) as KeySlot;
        made.rateLimited(slot, at, now, now);
        const until = made.blocked(now, at)?.until ?? now;
        longest[index] = Math.max(longest[index] ?? 0, until - now);
        now = until;
      }
    }
    for (const [index, ms] of longest.entries()) {
      const most = Math.min(minute, 1000 * 2 ** index);
      expect(ms).toBeLessThanOrEqual(most);
      expect(ms).toBeGreaterThan(most * 0.9);
    }
  });

  test("counts two hundred limits at once as one", () => {
    const { ring: made, pick } = ring("k1", "k2");
    const slots = Array.from({ length: 200 }, () => made.pick(0, at)).filter((slot) => slot?.key?.name === "k1");
    expect(slots).toHaveLength(100);
    for (const [index, slot] of slots.entries()) made.rateLimited(slot as KeySlot, at, 0, 10 + index);
    const until = made.blocked(200, at)?.until ?? 0;
    expect(until).toBeLessThanOrEqual(10 + 1000);
    void pick;
  });

  test("is let to rest longer by a late answer only as far as that states", () => {
    const { ring: made, pick } = ring("k1");
    const slot = pick() as KeySlot;
    made.rateLimited(slot, at, 0, 100, 1000);
    made.rateLimited(slot, at, 0, 200);
    expect(made.blocked(300, at)?.until).toBe(1100);
    made.rateLimited(slot, at, 0, 300, 5000);
    expect(made.blocked(400, at)?.until).toBe(5300);
  });

  test("comes back with one request that goes first; the others follow when it was served, or a second later", () => {
    const { ring: made, pick } = ring("k1");
    made.rateLimited(pick() as KeySlot, at, 0, 0, 1000);
    const first = pick(1000) as KeySlot;
    expect(first).toBeDefined();
    expect(pick(1001)).toBeUndefined();
    expect(pick(2000)).toBeDefined();
    made.succeeded(first, at, 1000);
    for (let count = 0; count < 5; count++) expect(pick(2001)).toBeDefined();
  });

  test("makes the account limited when another one is limited within a second: the rest are not used up", () => {
    const { ring: made, pick } = ring("k1", "k2", "k3", "k4");
    made.rateLimited(pick() as KeySlot, at, 0, 0, 3000);
    expect(pick(500)).toBeDefined();
    made.rateLimited(pick(500) as KeySlot, at, 500, 600, 1000);
    expect(pick(700)).toBeUndefined();
    expect(made.blocked(700, at)?.until).toBe(3000);
    expect(pick(3000)).toBeDefined();
  });

  test("does not make the account limited when the other one is limited later", () => {
    const { ring: made, pick } = ring("k1", "k2", "k3");
    made.rateLimited(pick() as KeySlot, at, 0, 0, 30_000);
    made.rateLimited(pick(2000) as KeySlot, at, 2000, 2000, 30_000);
    expect(pick(2001)).toBeDefined();
  });

  test("rests when its provider says that nothing is left of its limit, although it served", () => {
    const { ring: made, pick } = ring("k1");
    const slot = pick() as KeySlot;
    made.succeeded(slot, at, 0);
    made.coolUntil(slot, at, 0, 4000);
    expect(pick(3999)).toBeUndefined();
    expect(pick(4000)).toBeDefined();
  });
});

describe("a spent key", () => {
  test("rests for a minute, twice as long each time, an hour at most, at every endpoint, and is tried once a time", () => {
    const { ring: made, pick } = ring("k1");
    let now = 0;
    const rests: number[] = [];
    for (let round = 0; round < 9; round++) {
      const slot = pick(now) as KeySlot;
      expect(pick(now, "a/other")).toBe(round === 0 ? slot : undefined);
      made.exhausted(slot, now, now);
      const until = made.blocked(now, "a/other")?.until ?? now;
      rests.push((until - now) / minute);
      now = until;
    }
    expect(rests).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60]);
  });

  test("rests until the reset that the provider states", () => {
    const { ring: made, pick } = ring("k1");
    made.exhausted(pick() as KeySlot, 0, 0, 7000);
    expect(made.blocked(1, at)).toEqual({ reason: "quota_exhausted", until: 7000, detail: "1 without quota" });
  });
});

describe("a refused key", () => {
  test("is not used again for a quarter of an hour, then by one request, and then for twice as long, a day at most", () => {
    const { ring: made, pick } = ring("bad", "good");
    for (let count = 0; count < 2; count++) {
      const slot = pick() as KeySlot;
      if (slot.key?.name === "bad") made.refused(slot, 0, 0);
    }
    const names = Array.from({ length: 100 }, (_, index) => pick(1 + index)?.key?.name);
    expect(names).not.toContain("bad");
    let now = 15 * minute;
    const later = Array.from({ length: 10 }, () => pick(now)).filter((slot) => slot?.key?.name === "bad");
    expect(later).toHaveLength(1);
    made.refused(later[0] as KeySlot, now, now);
    now += 29 * minute;
    expect(Array.from({ length: 10 }, () => pick(now)?.key?.name)).not.toContain("bad");
    now += minute;
    expect(Array.from({ length: 10 }, () => pick(now)?.key?.name)).toContain("bad");
  });

  test("is good again when the request that tried it was served", () => {
    const { ring: made, pick } = ring("k1");
    made.refused(pick() as KeySlot, 0, 0);
    const slot = pick(15 * minute) as KeySlot;
    made.succeeded(slot, at, 15 * minute);
    expect(made.counts()).toEqual({ total: 1, available: 1, failed: 0 });
    expect(pick(15 * minute)).toBeDefined();
  });

  test("is not made good by the late success of a call that began before it was refused", () => {
    const { ring: made, pick } = ring("k1");
    const early = pick() as KeySlot;
    made.refused(pick() as KeySlot, 0, 10);
    made.succeeded(early, at, 0);
    expect(made.counts().failed).toBe(1);
  });

  test("is good again after a reset, and what came late before it is not heard", () => {
    const { ring: made, pick } = ring("k1");
    const slot = pick() as KeySlot;
    made.refused(slot, 0, 0);
    expect(made.reset()).toBe(1);
    made.refused(slot, 0, 1);
    expect(pick(2)).toBeDefined();
  });
});

describe("a new list of keys", () => {
  test("moves nothing by its order: what is known of a key stays with it", () => {
    const { ring: made, pick } = ring("k1", "k2", "k3");
    for (let count = 0; count < 3; count++) {
      const slot = pick() as KeySlot;
      if (slot.key?.name === "k2") made.refused(slot, 0, 0);
    }
    made.replace(keys("k3", "k2", "k1"));
    const names = Array.from({ length: 10 }, () => pick(1)?.key?.name);
    expect(new Set(names)).toEqual(new Set(["k1", "k3"]));
  });

  test("takes a changed secret for a new key, and lets go of one that is gone", () => {
    const { ring: made, pick } = ring("k1");
    made.refused(pick() as KeySlot, 0, 0);
    made.replace(keys("k9"));
    expect(pick(1)?.key?.name).toBe("k9");
    expect(made.counts().total).toBe(1);
  });
});

describe("a provider that wants no key", () => {
  test("rests like a key when it is limited", () => {
    const { ring: made, pick } = ring();
    const slot = pick() as KeySlot;
    expect(slot.key).toBeUndefined();
    made.rateLimited(slot, at, 0, 0, 1000);
    expect(pick(500)).toBeUndefined();
    expect(pick(1000)).toBeDefined();
    expect(made.counts()).toEqual({ total: 0, available: 0, failed: 0 });
  });
});

describe("in a crisis", () => {
  test("keys that served last are taken before those that failed last, yet those return", () => {
    const { ring: made, pick } = ring("k1", "k2", "k3", "k4", "k5");
    const slots = Array.from({ length: 5 }, () => pick() as KeySlot);
    for (const slot of slots.slice(0, 3)) made.refused(slot, 0, 0);
    made.rateLimited(slots[3] as KeySlot, at, 0, 0, 100);
    const names = Array.from({ length: 64 }, (_, index) => pick(2000 + index * 1100));
    const returned = names.filter((slot) => slot === slots[3]).length;
    expect(returned).toBeGreaterThan(0);
    expect(returned).toBeLessThan(names.filter((slot) => slot === slots[4]).length);
  });
});

describe("a key that is no longer there", () => {
  test("tells nothing about the others by a late limit, and so does one that was reset", () => {
    const { ring: made, pick, nameOf } = ring("old");
    const old = pick() as KeySlot;
    made.replace(keys("n1", "n2", "n3"));
    made.rateLimited(old, at, 0, 10, 3_600_000);
    const fresh = pick(20) as KeySlot;
    made.rateLimited(fresh, at, 20, 30, 500);
    expect(nameOf(pick(40))).not.toBe(nameOf(fresh));

    made.reset();
    made.rateLimited(fresh, at, 20, 50, 3_600_000);
    made.rateLimited(pick(60) as KeySlot, at, 60, 70, 500);
    expect(made.blocked(80, at)).toBeUndefined();
  });

  test("is not used for an exact repeat: another one is", () => {
    const { ring: made, pick, nameOf } = ring("old");
    const old = pick() as KeySlot;
    made.replace(keys("new"));
    expect(nameOf(made.again(old, 1, at))).toBe("new");
  });
});

test("a call that did not go first and said nothing about the key does not make the others wait for another first one", () => {
  const { ring: made, pick } = ring("k1");
  made.rateLimited(pick() as KeySlot, at, 0, 0, 1000);
  pick(1000);
  const later = pick(2000) as KeySlot;
  made.released(later, at, 2000);
  pick(2001);
  expect(made.blocked(2002, at)).toBeUndefined();
});

describe("what is told of a ring's keys", () => {
  test("is one state for each: limited only while the limit lasts, spent and refused until one was served", () => {
    const { ring: made, pick } = ring("k1", "k2", "k3", "k4");
    const slots = [pick(), pick(), pick()] as KeySlot[]; // there are four
    made.rateLimited(slots[0] as KeySlot, "a/other", 0, 0, 1000);
    made.exhausted(slots[1] as KeySlot, 0, 0, 2000);
    made.refused(slots[2] as KeySlot, 0, 0);
    expect(made.states(999)).toEqual({ available: 1, rate_limited: 1, quota_exhausted: 1, key_refused: 1 });
    expect(made.states(1000)).toEqual({ available: 2, rate_limited: 0, quota_exhausted: 1, key_refused: 1 });
    expect(made.states(5 * minute).quota_exhausted).toBe(1);
    made.succeeded(slots[1] as KeySlot, at, 5 * minute);
    expect(made.states(5 * minute).quota_exhausted).toBe(0);
    expect(ring().ring.states(0)).toEqual({ available: 0, rate_limited: 0, quota_exhausted: 0, key_refused: 0 });
  });
});
