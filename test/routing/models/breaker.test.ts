import fc, { type Command } from "fast-check";
import { describe, expect, test } from "vitest";
import { Breaker, type BreakerState, type CallResult, type Permit } from "../../../src/routing/breaker.ts";
import { type BreakerSettings, routingDefaults } from "../../../src/routing/settings.ts";
import { BreakerModel, type Call } from "./breaker-model.ts";
import { Chance, fifths } from "./chance.ts";
import { oneOf, stepsThatAgree } from "./steps.ts";

/** The real breaker, with what it has told and the permits that it has given. */
interface Real {
  readonly breaker: Breaker;
  readonly chance: Chance;
  readonly changes: BreakerState[];
  readonly permits: Map<Call, Permit>;
}

type Steps = fc.Arbitrary<Command<BreakerModel, Real>>;

/** How it may go on from each state without an operator. */
const next: Readonly<Record<BreakerState, readonly BreakerState[]>> = {
  closed: ["open"],
  open: ["half_open"],
  half_open: ["closed", "open"],
};

const step = stepsThatAgree<BreakerModel, Real>((model, { breaker, changes, permits }) => {
  expect(breaker.state).toBe(model.state);
  expect(changes).toEqual(model.changes);
  expect(breaker.closedAt).toBe(model.closedAt);
  expect(model.tallies()).toContainEqual(breaker.tally(model.now));
  expect(model.probesOut).toBeLessThanOrEqual(1);
  expect(model.calls.map((call) => permits.get(call)?.kind)).toEqual(model.calls.map(({ kind }) => kind));
});

/** Whether a call may begin; both are asked, because an overdue probe is found out by asking. */
function barred(model: BreakerModel, { breaker }: Real, sole = false): boolean {
  const expected = model.barred(sole);
  expect(breaker.barred(model.now, sole)).toEqual(expected);
  return expected !== undefined;
}

/** A step about which nothing is drawn. */
function fixed(of: Parameters<typeof step>[0]): Steps {
  return fc.constant(step(of));
}

const results: fc.Arbitrary<CallResult> = fc.constantFrom("success", "failure", "failure", "neutral");
const leases = fc.constantFrom(500, 1000, 11_000);

function looks(): Steps {
  return fc.boolean().map((sole) =>
    step({
      name: `looks${sole ? " as the only one" : ""}`,
      run: (model, real) => void barred(model, real, sole),
    }),
  );
}

function begins(): Steps {
  return fc.record({ leaseMs: leases, sole: fc.boolean() }).map(({ leaseMs, sole }) =>
    step({
      name: `begins (lent for ${leaseMs} ms${sole ? ", the only one" : ""})`,
      run(model, real) {
        if (barred(model, real, sole)) return;
        const permit = real.breaker.acquire(model.now, leaseMs);
        real.permits.set(model.begins(leaseMs), permit);
        expect(permit.startedAt).toBe(model.now);
      },
    }),
  );
}

function ends(): Steps {
  return fc.record({ which: fc.nat(), result: results, slow: fc.boolean() }).map(({ which, result, slow }) =>
    step({
      name: `ends ${which} ${result}${slow ? " slowly" : ""}`,
      when: (model) => model.calls.length > 0 && model.sharpFailure(slow, oneOf(model.calls, which)),
      run: (model, real) => settle(model, real, oneOf(model.calls, which) as Call, result, slow),
    }),
  );
}

/** Calls that begin and end at once: many of them make a rate. */
function burst(result: fc.Arbitrary<CallResult> = results): Steps {
  return fc
    .record({ count: fc.integer({ min: 1, max: 6 }), result, slow: fc.boolean() })
    .map(({ count, result, slow }) =>
      step({
        name: `${count} begin and end ${result}${slow ? " slowly" : ""}`,
        run(model, real) {
          for (let each = 0; each < count; each++) {
            if (barred(model, real) || !model.sharpFailure(slow)) return;
            const permit = real.breaker.acquire(model.now, 1000);
            const call = model.begins(1000);
            real.permits.set(call, permit);
            settle(model, real, call, result, slow);
            expect(real.breaker.state).toBe(model.state);
          }
        },
      }),
    );
}

function settle(model: BreakerModel, real: Real, call: Call, result: CallResult, slow: boolean): void {
  const before = real.breaker.tally(model.now);
  real.breaker.settle(real.permits.get(call) as Permit, model.now, result, slow);
  model.ends(call, result, slow);
  if (result === "neutral") expect(real.breaker.tally(model.now)).toEqual(before);
}

function breaksOff(): Steps {
  return fc.boolean().map((slow) =>
    step({
      name: `breaks off${slow ? " slowly" : ""}`,
      when: (model) => model.sharpFailure(slow),
      run(model, { breaker }) {
        breaker.brokeOff(model.now, slow);
        model.breaksOff(slow);
      },
    }),
  );
}

function lastResort(): Steps {
  return fixed({
    name: "is the last resort",
    run(model, real) {
      if (!barred(model, real) || !model.sharpLastResort) return;
      const permit = real.breaker.lastResort(model.now);
      const call = model.lastResort();
      expect(permit !== undefined).toBe(call !== undefined);
      if (call && permit) real.permits.set(call, permit);
    },
  });
}

function bypasses(): Steps {
  return fixed({
    name: "lets an operator's call pass",
    run: (model, { breaker, permits }) => void permits.set(model.isBypassed(), breaker.bypass(model.now)),
  });
}

function checkSucceeds(): Steps {
  return fixed({
    name: "passes a check",
    run(model, { breaker }) {
      breaker.checkSucceeded(model.now);
      model.checkSucceeds();
    },
  });
}

function resets(): Steps {
  return fixed({
    name: "is reset",
    run(model, { breaker }) {
      breaker.reset(model.now);
      model.resets();
    },
  });
}

/** Time passes, and chance turns. */
function timePasses(ms: fc.Arbitrary<number>): Steps {
  return fc.record({ ms, value: fifths }).map(({ ms: passed, value }) =>
    step({
      name: `${passed} ms pass (chance ${value})`,
      run(model, { chance }) {
        model.now += passed;
        chance.value = value;
      },
    }),
  );
}

/** Time passes until the very moment at which something is due: an open time is over, a probe's lease runs out. */
function dueTimePasses(): Steps {
  return fixed({
    name: "passes the time until the next is due",
    when: ({ due, now }) => due !== undefined && due > now,
    run: (model) => {
      model.now = model.due ?? model.now;
    },
  });
}

/** Small numbers meet their thresholds often. */
const settings: fc.Arbitrary<BreakerSettings> = fc
  .record({
    enabled: fc.constantFrom(true, true, true, true, true, true, true, false),
    consecutive: fc.integer({ min: 1, max: 6 }),
    errorRate: fc.constantFrom(0.1, 0.25, 0.5, 0.75, 1),
    minFailures: fc.integer({ min: 1, max: 6 }),
    minCalls: fc.integer({ min: 1, max: 12 }),
    successesToClose: fc.integer({ min: 1, max: 3 }),
  })
  .map((drawn) => ({ ...routingDefaults.breaker, ...drawn }));

const eitherSettings = fc.oneof(fc.constant(routingDefaults.breaker), settings);

function start(given: BreakerSettings) {
  const chance = new Chance();
  const changes: BreakerState[] = [];
  const breaker = new Breaker(given, chance, (state) => changes.push(state));
  const real: Real = { breaker, chance, changes, permits: new Map() };
  return { model: new BreakerModel(given, chance), real };
}

/** What happens to a breaker, with time in the given steps; what is usual more often than what is not. */
function life(ms: fc.Arbitrary<number>, ...more: Steps[]) {
  const usual = [begins(), begins(), ends(), ends(), ends(), burst(), burst(), timePasses(ms), dueTimePasses()];
  return fc.commands(
    [...usual, looks(), breaksOff(), lastResort(), lastResort(), bypasses(), checkSucceeds(), ...more],
    { maxCommands: 120, size: "max" },
  );
}

/** Whole buckets of every window, mostly few of them: then a window has one edge only. */
const wholeSteps = fc.oneof(fc.nat(4), fc.nat(25), fc.constantFrom(119, 120, 121, 240)).map((count) => count * 500);
/** Any time. */
const raggedSteps = fc.oneof(
  fc.nat(300),
  fc.integer({ min: 9800, max: 10_100 }),
  fc.double({ min: 0, max: 99, noNaN: true }),
);

const halfSeconds = fc.nat(3).map((count) => count * 500);
const minutes = fc.oneof(fc.nat(30), fc.constant(119), fc.constant(120), fc.nat(1200)).map((count) => count * 500);
/** It opens at one failure and closes at one success. */
const touchy = { ...routingDefaults.breaker, consecutive: 1, successesToClose: 1 };

describe("a breaker does what a list of all its calls would have it do", () => {
  test("at every step, when time passes in whole steps of its windows", () => {
    fc.assert(
      fc.property(eitherSettings, life(wholeSteps, resets()), (given, steps) => fc.modelRun(() => start(given), steps)),
      { numRuns: 800 },
    );
  });

  test("at every step to within a bucket of its windows, when any time passes", () => {
    fc.assert(
      fc.property(eitherSettings, life(raggedSteps), (given, steps) => fc.modelRun(() => start(given), steps)),
      { numRuns: 500 },
    );
  });

  test("also in a long outage, when it lives on last resorts", () => {
    const steps = [lastResort(), lastResort(), lastResort(), ends(), ends(), begins(), timePasses(halfSeconds)];
    fc.assert(
      fc.property(fc.commands([breaksOff(), ...steps], { maxCommands: 60, size: "max" }), (outage) =>
        fc.modelRun(() => start({ ...touchy, successesToClose: 3 }), outage),
      ),
      { numRuns: 400 },
    );
  });

  test("also when it opens again and again, and when it is clean for minutes between", () => {
    const fails = burst(fc.constant("failure"));
    const steps = [
      fails,
      fails,
      fails,
      burst(),
      dueTimePasses(),
      dueTimePasses(),
      timePasses(minutes),
      checkSucceeds(),
    ];
    fc.assert(
      fc.property(fc.commands(steps, { maxCommands: 100, size: "max" }), (trips) =>
        fc.modelRun(() => start(touchy), trips),
      ),
      { numRuns: 400 },
    );
  });

  test("by changing only from closed to open, to half open, and from there to either", () => {
    fc.assert(
      fc.property(eitherSettings, life(wholeSteps), (given, steps) => {
        const { model, real } = start(given);
        fc.modelRun(() => ({ model, real }), steps);
        real.changes.forEach((state, index) => {
          expect(next[real.changes[index - 1] ?? "closed"]).toContain(state);
        });
      }),
      { numRuns: 200 },
    );
  });
});
