import fc, { type AsyncCommand, type Command } from "fast-check";
import { describe, expect, test } from "vitest";
import { FairQueue } from "../../../src/routing/fair-queue.ts";
import { type Found, WaitingLines } from "../../../src/routing/waiting-line.ts";
import type { CancellationSource } from "../../../src/runtime/cancellation.ts";
import { createVirtualClock, type VirtualClock } from "../../../src/simulation/virtual-clock.ts";
import { countingCancellation } from "./counting-cancellation.ts";
import { QueueModel, type Waiter } from "./queue-model.ts";
import { asyncStepsThatAgree, oneOf, stepsThatAgree } from "./steps.ts";

const callers = fc.constantFrom("ann", "bob", "cid", "dan");

describe("a fair queue does what a list of everybody who waits would do", () => {
  interface Real {
    readonly queue: FairQueue<Waiter>;
    readonly leaves: Map<Waiter, () => void>;
  }
  type Steps = fc.Arbitrary<Command<QueueModel, Real>>;

  const step = stepsThatAgree<QueueModel, Real>((model, { queue }) => {
    expect(queue.size).toBe(model.waiting.length);
    expect(queue.peek()).toBe(model.next());
  });

  function comes(): Steps {
    return callers.map((caller) =>
      step({
        name: `${caller} comes`,
        run(model, { queue, leaves }) {
          const waiter = { caller };
          const leave = queue.push(caller, waiter);
          expect(leave !== undefined).toBe(model.comes(waiter));
          if (leave) leaves.set(waiter, leave);
        },
      }),
    );
  }

  /** Leaving is harmless afterwards: who has left or was served may leave once more. */
  function leaves(): Steps {
    return fc.nat().map((which) =>
      step({
        name: `${which} leaves`,
        run(model, real) {
          const [waiter, leave] = oneOf([...real.leaves], which) ?? [];
          leave?.();
          if (waiter) model.leaves(waiter);
        },
      }),
    );
  }

  function isServed(): Steps {
    return fc.constant(
      step({
        name: "is served",
        run(model, { queue }) {
          const next = model.next();
          expect(queue.shift()).toBe(next);
          if (next) model.isServed(next);
        },
      }),
    );
  }

  test("bound, order, turns and leaving", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.commands([comes(), comes(), leaves(), isServed()], { maxCommands: 150, size: "max" }),
        (bound, steps) => {
          const real = { queue: new FairQueue<Waiter>(bound), leaves: new Map() };
          fc.modelRun(() => ({ model: new QueueModel(bound), real }), steps);
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("lines at a pool", () => {
  const lookAgainMs = 250;

  /** Somebody in line, and what has become of it. */
  interface InLine extends Waiter {
    readonly pool: string;
    readonly line: string;
    readonly leavesAt: number;
    readonly cancellation: CancellationSource & { readonly listeners: number };
    /** What its own attempt took; a wait must bring exactly that. */
    granted: number | undefined;
    /** What the wait brought, once it has ended. */
    result: { readonly grant: number | undefined } | undefined;
  }

  /** Pools with room for so many, and the lines at them as they should be. */
  interface Model {
    readonly bound: number;
    readonly room: Map<string, number>;
    /** Since when there is room at a pool that nobody was told of. */
    readonly quietSince: Map<string, number>;
    readonly lines: Map<string, QueueModel<InLine>>;
    readonly everybody: InLine[];
    /** Lines that have nothing to wait for any more. */
    readonly gone: Set<string>;
    /** Lines that have waited since another was served, by that one: it must not be served before them again. */
    readonly overtaken: Map<string, Set<string>>;
    /** What was found wrong where nobody could be told at once. */
    readonly faults: unknown[];
    grants: number;
  }

  interface Real {
    readonly clock: VirtualClock;
    readonly lines: WaitingLines<number>;
  }

  type Steps = fc.Arbitrary<AsyncCommand<Model, Real>>;

  const nameOf = ({ pool, line }: Pick<InLine, "pool" | "line">) => `${pool} ${line}`;
  const waitingAt = (model: Readonly<Model>, pool: string) =>
    [...model.lines].flatMap(([name, { waiting }]) => (name.startsWith(`${pool} `) ? waiting : []));

  const step = asyncStepsThatAgree<Model, Real>((model, { clock }) => {
    const now = clock.now();
    expect(model.faults).toEqual([]);
    for (const waiter of model.everybody) agreeOn(model, waiter, now);
    for (const pool of ["p", "q"]) {
      expect(waitingAt(model, pool).length).toBeLessThanOrEqual(model.bound);
      const idleMs = now - (model.quietSince.get(pool) ?? now);
      // Nobody waits while there is room: who was not told of it looks again by itself.
      if (!model.quietSince.has(pool) || idleMs >= lookAgainMs) {
        if ((model.room.get(pool) ?? 0) > 0) expect(waitingAt(model, pool)).toEqual([]);
      }
    }
    const waiting = model.everybody.filter(({ result }) => !result).length;
    const lines = [...model.lines.values()].filter((line) => line.waiting.length > 0).length;
    // A timer for each one's patience, and one for each line's next look.
    expect(clock.pending).toBe(waiting + lines);
  });

  /** Whoever still waits may wait, and whoever does not has got what it was due. */
  function agreeOn(model: Model, waiter: InLine, now: number): void {
    const inLine = model.lines.get(nameOf(waiter))?.waiting.includes(waiter) ?? false;
    expect(waiter.result === undefined).toBe(inLine);
    expect(waiter.cancellation.listeners).toBe(inLine ? 1 : 0);
    expect(waiter.result?.grant).toBe(waiter.granted);
    if (inLine) expect(now).toBeLessThan(waiter.leavesAt);
  }

  /**
   * A line has been served. Lines take turns, too: whoever was waiting at the same pool when this line was served before has been
   * served since.
   */
  function takesTurn({ lines, overtaken }: Model, name: string): void {
    expect(overtaken.get(name) ?? new Set()).toEqual(new Set());
    const pool = name.split(" ")[0];
    const others = [...lines].filter(([other, { waiting }]) => other.startsWith(`${pool} `) && waiting.length > 0);
    overtaken.set(name, new Set(others.map(([other]) => other).filter((other) => other !== name)));
    for (const each of overtaken.values()) each.delete(name);
  }

  /** What somebody finds who is asked: the model sees that it is the one whose turn it is. */
  function attempt(model: Model, waiter: InLine, now: number): Found<number> {
    const line = model.lines.get(nameOf(waiter)) as QueueModel<InLine>;
    expect(line.next()).toBe(waiter);
    if (model.gone.has(nameOf(waiter))) {
      line.isServed(waiter);
      isEmpty(model, nameOf(waiter));
      return { gone: true };
    }
    const room = model.room.get(waiter.pool) ?? 0;
    if (room === 0) return { until: oneOf([undefined, now + 100, now + 1000], model.everybody.length) };
    model.room.set(waiter.pool, room - 1);
    line.isServed(waiter);
    takesTurn(model, nameOf(waiter));
    model.grants += 1;
    waiter.granted = model.grants;
    return { grant: model.grants };
  }

  function start(model: Model, { clock, lines }: Real, waiter: InLine): void {
    const full = waitingAt(model, waiter.pool).length >= model.bound;
    const name = nameOf(waiter);
    if (!model.lines.has(name)) model.lines.set(name, new QueueModel(model.bound));
    model.everybody.push(waiter);
    if (!full) model.lines.get(name)?.comes(waiter);
    // Coming is a reason to look for room, for all lines; being turned away is none.
    if (!full) model.quietSince.clear();
    const maxWaitMs = waiter.leavesAt - clock.now();
    const ended = (grant: number | undefined) => {
      expect(waiter.result).toBeUndefined();
      waiter.result = { grant };
      if (grant === undefined) leaves(model, waiter);
    };
    lines
      .wait(waiter, () => attempt(model, waiter, clock.now()), maxWaitMs, waiter.cancellation)
      .then(ended)
      .catch((fault: unknown) => model.faults.push(fault));
  }

  /** Whoever is called off, or has no patience left. A line where nobody waits is in nobody's way. */
  function leaves(model: Model, waiter: InLine): void {
    const line = model.lines.get(nameOf(waiter));
    line?.leaves(waiter);
    if (line?.waiting.length === 0) isEmpty(model, nameOf(waiter));
  }

  function isEmpty({ overtaken }: Model, name: string): void {
    overtaken.delete(name);
    for (const each of overtaken.values()) each.delete(name);
  }

  const places = fc.record({ pool: fc.constantFrom("p", "q"), line: fc.constantFrom("one", "two") });

  function comes(): Steps {
    return fc
      .record({ place: places, caller: callers, maxWaitMs: fc.constantFrom(100, 300, 1000, 5000) })
      .map(({ place, caller, maxWaitMs }) =>
        step({
          name: `${caller} comes to ${place.pool} ${place.line} for ${maxWaitMs} ms`,
          async run(model, real) {
            start(model, real, {
              ...place,
              caller,
              leavesAt: real.clock.now() + maxWaitMs,
              cancellation: countingCancellation(),
              granted: undefined,
              result: undefined,
            });
            await real.clock.advance(0);
          },
        }),
      );
  }

  function cancels(): Steps {
    return fc.nat().map((which) =>
      step({
        name: `${which} is called off`,
        when: ({ everybody }) => everybody.length > 0,
        async run({ everybody }, { clock }) {
          const waiter = oneOf(everybody, which) as InLine;
          waiter.cancellation.cancel("gone");
          await clock.advance(0);
          expect(waiter.result).toBeDefined();
        },
      }),
    );
  }

  function roomIsMade(): Steps {
    return fc
      .record({ pool: fc.constantFrom("p", "q"), count: fc.constantFrom(1, 1, 2, 5), told: fc.boolean() })
      .map(({ pool, count, told }) =>
        step({
          name: `room for ${count} at ${pool}${told ? "" : ", and nobody says so"}`,
          async run(model, { clock, lines }) {
            model.room.set(pool, (model.room.get(pool) ?? 0) + count);
            if (!told && !model.quietSince.has(pool)) model.quietSince.set(pool, clock.now());
            if (told) model.quietSince.clear();
            if (told) lines.roomMade();
            await clock.advance(0);
          },
        }),
      );
  }

  function roomIsTaken(): Steps {
    return fc.constantFrom("p", "q").map((pool) =>
      step({
        name: `others take what is left at ${pool}`,
        async run(model) {
          model.room.set(pool, 0);
          model.quietSince.delete(pool);
        },
      }),
    );
  }

  function timePasses(): Steps {
    return fc.constantFrom(1, 99, 100, 150, 250, 1000).map((ms) =>
      step({
        name: `${ms} ms pass`,
        run: (_, { clock }) => clock.advance(ms),
      }),
    );
  }

  /** A line's endpoints go away, or come back; who is in line is told so. */
  function thingsGo(): Steps {
    return fc.record({ place: places, back: fc.boolean() }).map(({ place, back }) =>
      step({
        name: `${nameOf(place)} ${back ? "is there again" : "is gone"}`,
        async run(model, { clock, lines }) {
          if (back) model.gone.delete(nameOf(place));
          else model.gone.add(nameOf(place));
          model.quietSince.clear();
          lines.roomMade();
          await clock.advance(0);
        },
      }),
    );
  }

  test("serve everybody once, in turn, and leave no timer and no listener behind", async () => {
    const steps = [
      comes(),
      comes(),
      comes(),
      comes(),
      cancels(),
      roomIsMade(),
      roomIsTaken(),
      timePasses(),
      thingsGo(),
    ];
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 6 }),
        fc.commands(steps, { maxCommands: 60, size: "max" }),
        async (bound, life) => {
          const clock = createVirtualClock();
          const real = { clock, lines: new WaitingLines<number>(clock, bound) };
          const model: Model = {
            bound,
            room: new Map(),
            quietSince: new Map(),
            lines: new Map(),
            everybody: [],
            gone: new Set(),
            overtaken: new Map(),
            faults: [],
            grants: 0,
          };
          await fc.asyncModelRun(() => ({ model, real }), life);
          await clock.advance(10_000);
          expect(clock.pending).toBe(0);
          expect(model.everybody.filter(({ result }) => !result)).toEqual([]);
          expect(model.everybody.filter(({ granted }) => granted !== undefined)).toHaveLength(model.grants);
        },
      ),
      { numRuns: 300 },
    );
  });
});
