import fc, { type Command } from "fast-check";
import { describe, expect, test } from "vitest";
import { TokenBucket } from "../../../src/routing/token-bucket.ts";
import { oneOf, stepsThatAgree } from "./steps.ts";

/** A bucket as one would draw it: it holds tokens, and they come back with time. */
interface Model {
  readonly rate: number;
  readonly burst: number;
  now: number;
  level: number;
  /** Tokens taken, and given back: +1 and −1. */
  readonly moves: { readonly at: number; readonly amount: number }[];
  /** When tokens were taken that may yet be given back. */
  held: number[];
  /** The earliest time at which the next could be taken, as it was told last. */
  told: number;
}

type Steps = fc.Arbitrary<Command<Model, TokenBucket>>;

/** A token may be taken a thousandth of it early, and sums of fractions are not exact. */
const slack = 0.0011;

/** In every window that ends now, no more than a burst and what came back meanwhile has been taken. */
function boundHolds({ moves, rate, burst, now }: Model): void {
  let taken = 0;
  for (const { at, amount } of moves.toReversed()) {
    taken += amount;
    expect(taken).toBeLessThanOrEqual(burst + (rate * (now - at)) / 1000 + slack);
  }
}

const step = stepsThatAgree<Model, TokenBucket>((model, bucket) => {
  boundHolds(model);
  expect(bucket.remaining(model.now)).toBeLessThanOrEqual(bucket.limit);
  expect(bucket.remaining(model.now)).toBeLessThanOrEqual(Math.floor(model.level + slack));
  expect(bucket.remaining(model.now)).toBeGreaterThanOrEqual(Math.floor(model.level - slack));
  const next = Math.max(bucket.availableAt(model.now), model.now);
  expect(next).toBeGreaterThanOrEqual(model.told);
  expect(Math.abs(next - nextAt(model))).toBeLessThanOrEqual((slack * 1000) / model.rate + 1e-6);
  model.told = next;
});

function nextAt({ now, level, rate }: Model): number {
  return now + (Math.max(0, 1 - level) * 1000) / rate;
}

function takes(): Steps {
  return fc.constant(step({ name: "takes", run: take }));
}

function take(model: Model, bucket: TokenBucket): boolean {
  const taken = bucket.take(model.now);
  if (model.level >= 1 + 1e-6) expect(taken).toBe(true);
  if (model.level < 1 - slack) expect(taken).toBe(false);
  if (!taken) return false;
  model.level -= 1;
  model.moves.push({ at: model.now, amount: 1 });
  model.held.push(model.now);
  return true;
}

function takesAll(): Steps {
  return fc.constant(
    step({
      name: "takes all",
      run(model, bucket) {
        const there = bucket.remaining(model.now);
        let taken = 0;
        while (take(model, bucket)) taken += 1;
        expect(taken).toBe(there);
      },
    }),
  );
}

/** A token that has come back by itself meanwhile does not come back twice, and a full bucket stays as it is. */
function givesBack(): Steps {
  return fc.nat().map((which) =>
    step({
      name: `gives back ${which}`,
      when: ({ held, now, rate }) => held.length > 0 && isSharp(now - (oneOf(held, which) ?? 0), 1000 / rate),
      run(model, bucket) {
        const takenAt = oneOf(model.held, which) ?? 0;
        model.held.splice(model.held.indexOf(takenAt), 1);
        bucket.giveBack(model.now, takenAt);
        if (model.now - takenAt >= 1000 / model.rate) return;
        model.level = Math.min(model.burst, model.level + 1);
        model.moves.push({ at: model.now, amount: -1 });
        // What comes back may be taken at once: this alone brings the next one forward.
        model.told = Number.NEGATIVE_INFINITY;
      },
    }),
  );
}

/** Whether rounding does not decide which of two times is the longer; equal in all digits is sharp, too. */
function isSharp(ms: number, otherMs: number): boolean {
  return ms === otherMs || Math.abs(ms - otherMs) > 1e-6;
}

function timePasses(): Steps {
  const ms = fc.oneof(fc.nat(30), fc.double({ min: 0, max: 50, noNaN: true }), fc.nat(5000), fc.constant(86_400_000));
  return ms.map((passed) => step({ name: `${passed} ms pass`, run: (model) => pass(model, passed) }));
}

function pass(model: Model, ms: number): void {
  model.now += ms;
  model.level = Math.min(model.burst, model.level + (model.rate * ms) / 1000);
}

/** Exactly what brings so many tokens, so that cases meet the moment at which one may be taken. */
function tokensCome(): Steps {
  return fc.constantFrom(1, 1, 0.5, 2).map((count) =>
    step({
      name: `${count} tokens come`,
      run: (model) => pass(model, (count * 1000) / model.rate),
    }),
  );
}

const rates = fc.oneof(fc.constantFrom(1, 2, 3, 7, 8, 50), fc.double({ min: 0.1, max: 1000, noNaN: true }));
const bursts = fc.integer({ min: 4, max: 80 }).map((quarters) => quarters / 4);

describe("a token bucket does what a bucket with tokens in it would do", () => {
  test("and lets no more through in any window than a burst and what comes back meanwhile", () => {
    const steps = [takes(), takes(), takes(), takesAll(), givesBack(), timePasses(), timePasses(), tokensCome()];
    fc.assert(
      fc.property(rates, bursts, fc.commands(steps, { maxCommands: 120, size: "max" }), (rate, burst, life) => {
        const model = { rate, burst, now: 0, level: burst, moves: [], held: [], told: Number.NEGATIVE_INFINITY };
        fc.modelRun(() => ({ model, real: new TokenBucket(rate, burst) }), life);
      }),
      { numRuns: 200 },
    );
  });
});
