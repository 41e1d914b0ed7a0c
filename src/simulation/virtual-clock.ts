import { type Clock, nextTurn } from "../runtime/clock.ts";

/** A clock that stands still until it is told to go on: what takes an hour takes no time, and every run is the same. */
export interface VirtualClock extends Clock {
  /** Timers that have not fired and were not called off. */
  readonly pending: number;
  /** Goes on by so many milliseconds; what falls due fires in order, and what it sets in motion settles before the next. */
  advance(ms: number): Promise<void>;
}

interface Timer {
  readonly at: number;
  readonly order: number;
  fire: () => void;
  calledOff: boolean;
}

/** @param startWallMs what the wall shows at the beginning, in epoch milliseconds */
export function createVirtualClock(startWallMs = Date.UTC(2026, 0, 1)): VirtualClock {
  let now = 0;
  let order = 0;
  let pending = 0;
  const heap: Timer[] = [];

  return {
    now: () => now,
    wallTime: () => startWallMs + now,
    get pending() {
      return pending;
    },
    schedule(delayMs, callback) {
      const timer: Timer = { at: now + Math.max(delayMs, 0), order: order++, fire: callback, calledOff: false };
      pending += 1;
      push(heap, timer);
      return () => {
        if (timer.calledOff) return;
        timer.calledOff = true;
        // It stays in the heap until its time; what it would have touched need not stay with it.
        timer.fire = nothing;
        pending -= 1;
      };
    },
    async advance(ms) {
      const end = now + ms;
      await nextTurn();
      for (let timer = heap[0]; timer && timer.at <= end; timer = heap[0]) {
        pop(heap);
        if (timer.calledOff) continue;
        timer.calledOff = true;
        pending -= 1;
        now = Math.max(now, timer.at);
        timer.fire();
        await nextTurn();
      }
      now = end;
    },
  };
}

function nothing(): void {}

/** Whether one timer fires before another: the earlier one, among equals the one that was set first. */
function before(a: Timer, b: Timer): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

function push(heap: Timer[], timer: Timer): void {
  let hole = heap.push(timer) - 1;
  while (hole > 0) {
    const parent = (hole - 1) >> 1;
    const above = heap[parent] as Timer; // in range
    if (before(above, timer)) break;
    heap[hole] = above;
    hole = parent;
  }
  heap[hole] = timer;
}

function pop(heap: Timer[]): void {
  const last = heap.pop();
  if (!last || heap.length === 0) return;
  let hole = 0;
  for (;;) {
    let child = 2 * hole + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && before(heap[child + 1] as Timer, heap[child] as Timer)) child += 1; // in range
    if (before(last, heap[child] as Timer)) break;
    heap[hole] = heap[child] as Timer;
    hole = child;
  }
  heap[hole] = last;
}
