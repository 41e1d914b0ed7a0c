import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RollingCounts } from "../../src/routing/rolling-counts.ts";

describe("rolling counts", () => {
  test("forget what is older than the window, bucket by bucket", () => {
    const counts = new RollingCounts(1, 1000, 100);
    counts.add(50, 0);
    counts.add(150, 0, 2);
    expect(counts.total(999, 0)).toBe(3);
    expect(counts.total(1000, 0)).toBe(2);
    expect(counts.total(1100, 0)).toBe(0);
  });

  test("keep their counters apart", () => {
    const counts = new RollingCounts(3, 1000, 100);
    counts.add(0, 0);
    counts.add(0, 2, 5);
    expect([0, 1, 2].map((counter) => counts.total(0, counter))).toEqual([1, 0, 5]);
  });

  test("are empty after idling however long, and count on", () => {
    const counts = new RollingCounts(2, 1000, 100);
    counts.add(10, 1, 7);
    expect(counts.total(1e12, 1)).toBe(0);
    counts.add(1e12, 1);
    expect(counts.total(1e12 + 900, 1)).toBe(1);
  });

  test("can be reset", () => {
    const counts = new RollingCounts(1, 1000, 100);
    counts.add(10, 0);
    counts.reset();
    expect(counts.total(10, 0)).toBe(0);
    counts.add(20, 0);
    expect(counts.total(20, 0)).toBe(1);
  });

  test("have one bucket at least, also where a tenth of the window is no exact number", () => {
    const single = new RollingCounts(1, 100, 1000);
    single.add(0, 0);
    expect(single.total(999, 0)).toBe(1);
    const tenths = new RollingCounts(1, 0.7, 0.1);
    tenths.add(0, 0);
    expect(tenths.total(0.65, 0)).toBe(1);
  });

  test("agree with a list of everything that was ever added", () => {
    const step = fc.record({ after: fc.oneof(fc.nat(40), fc.nat(3000)), counter: fc.nat(1), amount: fc.nat(5) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const counts = new RollingCounts(2, 1000, 50);
        const added: { bucket: number; counter: number; amount: number }[] = [];
        let now = 0;
        for (const { after, counter, amount } of steps) {
          now += after;
          const bucket = Math.floor(now / 50);
          counts.add(now, counter, amount);
          added.push({ bucket, counter, amount });
          for (const each of [0, 1]) {
            const recent = added.filter((entry) => entry.counter === each && entry.bucket > bucket - 20);
            expect(counts.total(now, each)).toBe(recent.reduce((sum, entry) => sum + entry.amount, 0));
          }
        }
      }),
    );
  });
});
