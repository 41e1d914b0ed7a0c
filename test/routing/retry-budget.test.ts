import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RetryBudget } from "../../src/routing/retry-budget.ts";

function repeats(budget: RetryBudget, now: number): number {
  let granted = 0;
  while (budget.tryRepeat(now)) granted++;
  return granted;
}

describe("a retry budget", () => {
  test("grants its reserve when there are no requests", () => {
    expect(repeats(new RetryBudget(), 0)).toBe(30);
    expect(repeats(new RetryBudget({ reservePerSecond: 0 }), 0)).toBe(0);
  });

  test("grants a share of the requests on top", () => {
    const budget = new RetryBudget({ ratio: 0.2, reservePerSecond: 1, windowMs: 10_000 });
    for (let request = 0; request < 100; request++) budget.request(request);
    expect(repeats(budget, 100)).toBe(30);
  });

  test("grants again when repeats have left the window, and no longer counts requests that have", () => {
    const budget = new RetryBudget({ ratio: 1, reservePerSecond: 0.5, windowMs: 10_000 });
    for (let request = 0; request < 10; request++) budget.request(0);
    expect(repeats(budget, 0)).toBe(15);
    expect(repeats(budget, 9000)).toBe(0);
    expect(repeats(budget, 10_000)).toBe(5);
  });

  test("keeps repeats below ratio × requests + reserve in every window", () => {
    const step = fc.record({ afterMs: fc.nat(400), repeat: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const budget = new RetryBudget({ ratio: 0.5, reservePerSecond: 1, windowMs: 5000 });
        const requests: number[] = [];
        const granted: number[] = [];
        let now = 0;
        for (const { afterMs, repeat } of steps) {
          now += afterMs;
          if (repeat) {
            const left = budget.left(now);
            const isGranted = budget.tryRepeat(now);
            if (isGranted) granted.push(now);
            // What is told to be left is what is granted.
            expect([isGranted, budget.left(now)]).toEqual([left > 0, Math.max(0, left - 1)]);
          } else {
            budget.request(now);
            requests.push(now);
          }
          const windowStart = (Math.floor(now / 500) - 9) * 500;
          const recent = (times: number[]) => times.filter((time) => time >= windowStart).length;
          // Requests may age out before the repeats that they paid for: the bound is that of the moment of granting.
          if (repeat && granted.at(-1) === now) expect(recent(granted)).toBeLessThanOrEqual(0.5 * recent(requests) + 5);
        }
      }),
    );
  });
});
