import { expect, test } from "vitest";
import { createVirtualClock } from "../../src/simulation/virtual-clock.ts";

test("timers fire in the order of their times, equals in the order they were set, and see the time they were set for", async () => {
  const clock = createVirtualClock();
  const fired: [string, number][] = [];
  for (const [name, delay] of [
    ["c", 20],
    ["a", 10],
    ["b", 10],
  ] as const) {
    clock.schedule(delay, () => fired.push([name, clock.now()]));
  }
  const stop = clock.schedule(15, () => fired.push(["called off", clock.now()]));
  stop();
  await clock.advance(100);
  expect(fired).toEqual([
    ["a", 10],
    ["b", 10],
    ["c", 20],
  ]);
  expect(clock.now()).toBe(100);
  expect(clock.pending).toBe(0);
});

test("what a timer sets in motion settles before the next one fires", async () => {
  const clock = createVirtualClock();
  const seen: string[] = [];
  clock.schedule(1, () => void Promise.resolve().then(() => seen.push("settled")));
  clock.schedule(2, () => seen.push("next"));
  await clock.advance(5);
  expect(seen).toEqual(["settled", "next"]);
});
