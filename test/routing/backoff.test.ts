import { describe, expect, test } from "vitest";
import { afterRetryAfter, equalJitter, fullJitter } from "../../src/routing/backoff.ts";
import { seededRng } from "../../src/runtime/rng.ts";

const draws = 10_000;
/** How far the extremes and the mean of that many draws may be off, as a part of their range. */
const epsilon = 0.02;

function expectUniform(draw: () => number, from: number, to: number): void {
  const values = Array.from({ length: draws }, draw);
  const slack = epsilon * (to - from);
  expect(Math.min(...values)).toBeGreaterThanOrEqual(from);
  expect(Math.max(...values)).toBeLessThanOrEqual(to);
  expect(Math.min(...values)).toBeLessThanOrEqual(from + slack);
  expect(Math.max(...values)).toBeGreaterThanOrEqual(to - slack);
  expect(Math.abs(values.reduce((a, b) => a + b) / draws - (from + to) / 2)).toBeLessThanOrEqual(slack);
}

describe("backoff", () => {
  test("with full jitter is uniform up to a bound that doubles", () => {
    const rng = seededRng(1);
    expectUniform(() => fullJitter(rng, 0, { baseMs: 250, maxMs: 8000 }), 0, 250);
    expectUniform(() => fullJitter(rng, 3, { baseMs: 250, maxMs: 8000 }), 0, 2000);
  });

  test("with full jitter stays below its maximum, however many returns", () => {
    const rng = seededRng(2);
    expectUniform(() => fullJitter(rng, 10, { baseMs: 250, maxMs: 8000 }), 0, 8000);
    expectUniform(() => fullJitter(rng, 5000, { baseMs: 250, maxMs: 8000 }), 0, 8000);
  });

  test("with equal jitter is at least half of what was asked for", () => {
    const rng = seededRng(3);
    expectUniform(() => equalJitter(rng, 5000), 2500, 5000);
  });

  test("after a Retry-After is never shorter, and spread by at most as much again and a second", () => {
    const rng = seededRng(4);
    expectUniform(() => afterRetryAfter(rng, 300), 300, 600);
    expectUniform(() => afterRetryAfter(rng, 20_000), 20_000, 21_000);
    expect(afterRetryAfter(rng, 0)).toBe(0);
  });
});
