import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FairQueue } from "../../src/routing/fair-queue.ts";

function drain<T>(queue: FairQueue<T>): T[] {
  const items: T[] = [];
  while (queue.size > 0) items.push(queue.shift() as T);
  return items;
}

describe("a fair queue", () => {
  test("keeps the order within one caller", () => {
    const queue = new FairQueue<number>(10);
    for (const item of [1, 2, 3]) queue.push("a", item);
    expect(drain(queue)).toEqual([1, 2, 3]);
  });

  test("serves callers in turn, so one with many holds up nobody with one", () => {
    const queue = new FairQueue<string>(100);
    for (const item of ["a1", "a2", "a3", "a4"]) queue.push("a", item);
    queue.push("b", "b1");
    for (const item of ["c1", "c2"]) queue.push("c", item);
    expect(drain(queue)).toEqual(["a1", "b1", "c1", "a2", "c2", "a3", "a4"]);
  });

  test("puts a caller that comes back behind the others, as if it were new", () => {
    const queue = new FairQueue<string>(100);
    queue.push("a", "a1");
    queue.push("b", "b1");
    queue.push("b", "b2");
    expect(queue.shift()).toBe("a1");
    queue.push("a", "a2");
    expect(drain(queue)).toEqual(["b1", "a2", "b2"]);
  });

  test("refuses when full, and takes again when somebody has left", () => {
    const queue = new FairQueue<string>(2);
    const leave = queue.push("a", "a1");
    queue.push("b", "b1");
    expect(queue.push("c", "c1")).toBeUndefined();
    leave?.();
    expect(queue.push("c", "c1")).toBeDefined();
    expect(drain(queue)).toEqual(["b1", "c1"]);
  });

  test("lets waiters leave once, whether they were served or not", () => {
    const queue = new FairQueue<string>(10);
    const leave = queue.push("a", "a1");
    queue.push("a", "a2");
    leave?.();
    leave?.();
    expect(queue.size).toBe(1);
    const late = queue.push("b", "b1");
    expect(drain(queue)).toEqual(["a2", "b1"]);
    queue.push("b", "b2");
    late?.();
    expect(queue.peek()).toBe("b2");
  });

  test("has nothing to give when it is empty", () => {
    const queue = new FairQueue<string>(1);
    expect(queue.peek()).toBeUndefined();
    expect(queue.shift()).toBeUndefined();
    expect(queue.size).toBe(0);
  });

  test("does what a list of lists would do", () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("push" as const), caller: fc.constantFrom("a", "b", "c", "d") }),
      fc.record({ kind: fc.constant("leave" as const), which: fc.nat(100) }),
      fc.record({ kind: fc.constant("shift" as const) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const bound = 12;
        const queue = new FairQueue<number>(bound);
        const leaves: (() => void)[] = [];
        let lines: { caller: string; items: number[] }[] = [];
        const size = () => lines.reduce((sum, { items }) => sum + items.length, 0);
        for (const each of steps) {
          if (each.kind === "push") {
            const item = leaves.length;
            const leave = queue.push(each.caller, item);
            expect(leave === undefined).toBe(size() >= bound);
            if (!leave) continue;
            leaves.push(leave);
            const line = lines.find(({ caller }) => caller === each.caller);
            if (line) line.items.push(item);
            else lines.push({ caller: each.caller, items: [item] });
          } else if (each.kind === "leave" && leaves.length > 0) {
            const item = each.which % leaves.length;
            leaves[item]?.();
            for (const line of lines) line.items = line.items.filter((other) => other !== item);
          } else if (each.kind === "shift") {
            const [line, ...others] = lines;
            expect(queue.shift()).toBe(line?.items.shift());
            if (line) lines = [...others, line];
          }
          lines = lines.filter(({ items }) => items.length > 0);
          expect(queue.size).toBe(size());
          expect(queue.peek()).toBe(lines[0]?.items[0]);
        }
      }),
    );
  });
});
