import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TokenBucket } from "../../src/routing/token-bucket.ts";

function takeAll(bucket: TokenBucket, now: number): number {
  let taken = 0;
  while (bucket.take(now)) taken++;
  return taken;
}

describe("a token bucket", () => {
  test("lets a burst through and then its rate", () => {
    const bucket = new TokenBucket(10, 3);
    expect(takeAll(bucket, 0)).toBe(3);
    expect(takeAll(bucket, 99)).toBe(0);
    expect(takeAll(bucket, 100)).toBe(1);
    expect(takeAll(bucket, 100_000)).toBe(3);
  });

  test("bursts by one second's worth unless told, and never by less than one", () => {
    expect(takeAll(new TokenBucket(5), 0)).toBe(5);
    expect(takeAll(new TokenBucket(0.5), 0)).toBe(1);
    expect(new TokenBucket(2.5).limit).toBe(2);
  });

  test("says when the next may be taken, and it then can be", () => {
    const bucket = new TokenBucket(3, 1);
    expect(bucket.availableAt(1000)).toBeLessThanOrEqual(1000);
    bucket.take(1000);
    const next = bucket.availableAt(1000);
    expect(next).toBeCloseTo(1333.33, 1);
    expect(bucket.take(next - 0.1)).toBe(false);
    expect(bucket.take(next)).toBe(true);
  });

  test("takes a token back, but never holds more than its burst", () => {
    const bucket = new TokenBucket(1, 2);
    expect(takeAll(bucket, 0)).toBe(2);
    bucket.giveBack(10);
    expect(takeAll(bucket, 10)).toBe(1);
    bucket.giveBack(9000);
    bucket.giveBack(9000);
    expect(takeAll(bucket, 9000)).toBe(2);
  });

  test("tells how many are left", () => {
    const bucket = new TokenBucket(3, 3);
    expect(bucket.remaining(0)).toBe(bucket.limit);
    takeAll(bucket, 0);
    expect(bucket.remaining(0)).toBe(0);
    expect(bucket.remaining(1000)).toBe(3);
  });

  test("loses no token to rounding, days after the start either", () => {
    for (const rate of [3, 7, 30, 700]) {
      for (const now of [0.1, 98_765.4321, 8.64e8 + 1 / 3]) {
        const bucket = new TokenBucket(rate);
        expect(takeAll(bucket, now)).toBe(rate);
        expect(takeAll(bucket, now + 1000)).toBe(rate);
      }
    }
  });

  test("refuses to be made of a rate or burst that lets nothing through", () => {
    for (const [rate, burst] of [[0], [-1], [Number.NaN], [1, 0.5]] as const) {
      expect(() => new TokenBucket(rate, burst)).toThrow(RangeError);
    }
  });

  const step = fc.record({
    afterMs: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 50, noNaN: true }), fc.nat(5000)),
    giveBack: fc.boolean(),
  });
  const limits = fc.record({
    rate: fc.double({ min: 0.1, max: 1000, noNaN: true }),
    burst: fc.integer({ min: 4, max: 80 }).map((quarters) => quarters / 4),
    steps: fc.array(step, { maxLength: 120 }),
  });

  /** What `from` … `to` may bring, a thousandth of a token granted for rounding. */
  function allowed(rate: number, burst: number, fromMs: number, toMs: number): number {
    return burst + (rate * (toMs - fromMs)) / 1000 + 0.0011;
  }

  test("lets through no more than burst + rate × t in any window", () => {
    fc.assert(
      fc.property(limits, ({ rate, burst, steps }) => {
        const bucket = new TokenBucket(rate, burst);
        const taken: number[] = [];
        let now = 0;
        for (const { afterMs } of steps) {
          now += afterMs;
          const left = bucket.remaining(now);
          expect(left).toBeLessThanOrEqual(bucket.limit);
          if (bucket.take(now)) taken.push(now);
          expect(bucket.remaining(now)).toBe(Math.max(0, left - 1));
        }
        taken.forEach((to, last) => {
          for (let first = 0; first <= last; first++) {
            expect(last - first + 1).toBeLessThanOrEqual(allowed(rate, burst, taken[first] ?? 0, to));
          }
        });
      }),
    );
  });

  test("lets through, less what was given back, no more than burst + rate × t in any window", () => {
    fc.assert(
      fc.property(limits, ({ rate, burst, steps }) => {
        const bucket = new TokenBucket(rate, burst);
        const moves: { at: number; amount: number }[] = [];
        let held = 0;
        let now = 0;
        for (const { afterMs, giveBack } of steps) {
          now += afterMs;
          if (giveBack && held > 0) {
            bucket.giveBack(now);
            held--;
            moves.push({ at: now, amount: -1 });
          } else if (bucket.take(now)) {
            held++;
            moves.push({ at: now, amount: 1 });
          }
        }
        moves.forEach(({ at: from }, first) => {
          let net = 0;
          for (const { at, amount } of moves.slice(first)) {
            net += amount;
            expect(net).toBeLessThanOrEqual(allowed(rate, burst, from, at));
          }
        });
      }),
    );
  });
});

describe("a bucket whose rate changes", () => {
  test("lacks as many tokens as before, and gets them back at the new rate", () => {
    const before = new TokenBucket(4);
    for (let count = 0; count < 3; count++) expect(before.take(0)).toBe(true);
    const after = before.changedTo(8, 0);
    expect(after.remaining(0)).toBe(5);
    expect(after.remaining(375)).toBe(8);
  });

  test("gives nothing until it has what it lacks, when the new one is smaller", () => {
    const before = new TokenBucket(10);
    for (let count = 0; count < 10; count++) before.take(0);
    const after = before.changedTo(2, 0);
    expect(after.remaining(0)).toBe(0);
    expect(after.availableAt(0)).toBeCloseTo(4500, 2);
  });

  test("is full when it was", () => {
    expect(new TokenBucket(4).changedTo(2, 1000).remaining(1000)).toBe(2);
  });
});
