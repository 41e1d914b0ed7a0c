import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Heap } from "../../../src/routing/strategy/heap.ts";

describe("a heap", () => {
  test("gives the first of what it holds, whatever comes and goes in between", () => {
    const step = fc.option(fc.integer({ min: -50, max: 50 }));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const heap = new Heap<number>((a, b) => a - b);
        const model: number[] = [];
        for (const value of steps) {
          if (value === null) expect(heap.pop()).toBe(model.shift());
          else {
            heap.push(value);
            model.push(value);
            model.sort((a, b) => a - b);
          }
          expect(heap.first).toBe(model[0]);
          expect(heap.sorted()).toEqual(model);
        }
      }),
    );
  });
});
