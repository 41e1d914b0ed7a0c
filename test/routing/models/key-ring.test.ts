import fc, { type Command } from "fast-check";
import { describe, expect, test } from "vitest";
import { KeyRing, type KeySlot } from "../../../src/routing/key-ring.ts";
import { keys } from "../../support/routing.ts";
import { Chance, fifths } from "./chance.ts";
import { type Call, KeyRingModel, type KeyState } from "./key-ring-model.ts";
import { oneOf, stepsThatAgree } from "./steps.ts";

/** The real ring, with the slots that it has given for each call. */
interface Real {
  readonly ring: KeyRing;
  readonly chance: Chance;
  readonly slots: Map<Call, KeySlot>;
}

type Steps = fc.Arbitrary<Command<KeyRingModel, Real>>;

const endpoints = ["a/m", "a/n"] as const;

const step = stepsThatAgree<KeyRingModel, Real>((model, { ring }) => {
  for (const endpoint of endpoints) expect(ring.blocked(model.now, endpoint)).toEqual(model.blocked(endpoint));
  expect(ring.counts()).toEqual(model.counts());
  expect(ring.lastIndex).toBe(model.lastUsed ? model.keys.indexOf(model.lastUsed) : -1);
});

/** Which of the model's keys a slot stands for. */
function keyOf(model: KeyRingModel, slot: KeySlot): KeyState {
  const found = model.keys.find(({ name }) => name === slot.key?.name);
  if (!found) throw new Error(`handed out ${slot.key?.name}, which is no longer in the ring`);
  return found;
}

/** A pick has brought what it may bring. */
function pickBrings(
  model: KeyRingModel,
  real: Real,
  endpoint: string,
  tried: ReadonlySet<KeyState>,
  pick: () => KeySlot | undefined,
) {
  const mayBring = model.picks(endpoint, tried);
  const slot = pick();
  expect(slot !== undefined).toBe(mayBring.length > 0);
  if (!slot) return;
  const key = keyOf(model, slot);
  expect(mayBring).toContain(key);
  real.slots.set(model.take(key, endpoint), slot);
}

function picks(): Steps {
  return fc
    .record({ endpoint: fc.constantFrom(...endpoints), tried: fc.array(fc.nat(), { maxLength: 2 }) })
    .map(({ endpoint, tried }) =>
      step({
        name: `picks for ${endpoint}, not ${tried}`,
        run(model, real) {
          const calls = tried.flatMap((which) => oneOf(model.calls, which) ?? []);
          const states = new Set(calls.map(({ key }) => key));
          const slots = new Set(calls.map((call) => real.slots.get(call) as KeySlot));
          pickBrings(model, real, endpoint, states, () => real.ring.pick(model.now, endpoint, slots));
        },
      }),
    );
}

type CallFilter = (model: Readonly<KeyRingModel>, call: Call) => boolean;

/** A step about one of the calls under way; it remains under way. */
function aboutCall(
  name: string,
  run: (model: KeyRingModel, real: Real, call: Call) => void,
  when: CallFilter = () => true,
): Steps {
  return fc.nat().map((which) =>
    step({
      name: `${name} ${which}`,
      when: (model) => model.calls.length > 0 && when(model, oneOf(model.calls, which) as Call),
      run: (model, real) => run(model, real, oneOf(model.calls, which) as Call),
    }),
  );
}

/** A call's outcome. */
function outcome(
  name: string,
  run: (model: KeyRingModel, real: Real, call: Call, slot: KeySlot) => void,
  when?: CallFilter,
): Steps {
  const tell = (model: KeyRingModel, real: Real, call: Call) => {
    run(model, real, call, real.slots.get(call) as KeySlot);
    model.ended(call);
  };
  return aboutCall(name, tell, when);
}

/** The key of a call once more, as after one that the provider cannot have seen; unless it has left the ring, or was reset. */
function picksAgain(): Steps {
  const again = (model: KeyRingModel, real: Real, call: Call) => {
    const { key, endpoint } = call;
    const pick = () => real.ring.again(real.slots.get(call) as KeySlot, model.now, endpoint);
    if (!model.keys.includes(key) || !model.usable(key, endpoint)) {
      pickBrings(model, real, endpoint, new Set(), pick);
      return;
    }
    const slot = pick();
    expect(slot).toBe(real.slots.get(call));
    real.slots.set(model.take(key, endpoint), slot as KeySlot);
  };
  return aboutCall("picks again after", again);
}

const retryAfters = fc.constantFrom(undefined, undefined, 0, 500, 999, 1000, 5000, 90_000);

function limited(waits: fc.Arbitrary<number | undefined> = retryAfters): Steps {
  return waits.chain((retryAfterMs) =>
    outcome(`limited (Retry-After ${retryAfterMs})`, (model, { ring }, call, slot) => {
      ring.rateLimited(slot, call.endpoint, call.startedAt, model.now, retryAfterMs);
      model.rateLimited(call, retryAfterMs);
    }),
  );
}

function spent(waits: fc.Arbitrary<number | undefined> = retryAfters): Steps {
  return waits.chain((retryAfterMs) =>
    outcome(`spent (Retry-After ${retryAfterMs})`, (model, { ring }, call, slot) => {
      ring.exhausted(slot, call.startedAt, model.now, retryAfterMs);
      model.exhausted(call, retryAfterMs);
    }),
  );
}

function refused(): Steps {
  return outcome("refused", (model, { ring }, call, slot) => {
    ring.refused(slot, call.startedAt, model.now);
    model.refused(call);
  });
}

function succeeded(): Steps {
  return outcome("succeeded", (model, { ring }, call, slot) => {
    ring.succeeded(slot, call.endpoint, call.startedAt);
    model.succeeded(call);
  });
}

function servedLast(): Steps {
  return outcome("succeeded with the last of its limit", (model, { ring }, call, slot) => {
    ring.succeeded(slot, call.endpoint, call.startedAt);
    model.succeeded(call);
    ring.coolUntil(slot, call.endpoint, model.now, model.now + 4000);
    model.coolsUntil(call, model.now + 4000);
  });
}

function released(): Steps {
  return outcome("released", (model, { ring }, call, slot) => {
    ring.released(slot, call.endpoint, call.startedAt);
    model.released(call);
  });
}

function replaced(): Steps {
  return fc.shuffledSubarray(["k1", "k2", "k3", "k4", "k5", "k6"]).map((names) =>
    step({
      name: `its keys become ${names}`,
      run(model, { ring }) {
        ring.replace(keys(...names));
        model.replaced(names);
      },
    }),
  );
}

function reset(): Steps {
  return fc.constant(
    step({
      name: "reset",
      run(model, { ring }) {
        expect(ring.reset()).toBe(model.counts().failed);
        model.reset();
      },
    }),
  );
}

const anyTime = fc.oneof(fc.nat(10), fc.constantFrom(999, 1000, 1001, 30_000, 60_000), fc.nat(2000), fc.nat(2_000_000));

function timePasses(ms: fc.Arbitrary<number> = anyTime): Steps {
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

/** Time passes until just before, or to the very moment, at which a key may be used again. */
function restPasses(): Steps {
  return fc.constantFrom(0, 0, 1).map((early) =>
    step({
      name: `a rest passes${early ? " but for a millisecond" : ""}`,
      when: (model) => model.due(endpoints) !== undefined,
      run: (model) => {
        model.now = Math.max(model.now, (model.due(endpoints) ?? 0) - early);
      },
    }),
  );
}

function start(names: readonly string[]) {
  const chance = new Chance();
  const real: Real = { ring: new KeyRing(keys(...names), chance), chance, slots: new Map() };
  return { model: new KeyRingModel(names, chance), real };
}

/** More than half of the keys have just been refused. */
function startInCrisis() {
  const { model, real } = start(["k1", "k2", "k3", "k4", "k5"]);
  for (let each = 0; each < 3; each++) {
    pickBrings(model, real, endpoints[0], new Set(), () => real.ring.pick(0, endpoints[0]));
  }
  for (const call of model.calls) {
    real.ring.refused(real.slots.get(call) as KeySlot, 0, 0);
    model.refused(call);
  }
  model.calls = [];
  return { model, real };
}

const names = fc.shuffledSubarray(["k1", "k2", "k3", "k4", "k5"]);

const longLife = { maxCommands: 120, size: "max" } as const;

describe("a ring of keys does what a note on each of them would have it do", () => {
  const pick = [picks(), picks(), picks(), picks(), picks()];
  const time = [timePasses(), timePasses(), restPasses(), restPasses()];
  const outcomes = [limited(), limited(), spent(), refused(), succeeded(), succeeded(), servedLast(), released()];

  test("while its keys stay the same", () => {
    fc.assert(
      fc.property(names, fc.commands([...pick, picksAgain(), ...time, ...outcomes], longLife), (given, steps) =>
        fc.modelRun(() => start(given), steps),
      ),
      { numRuns: 600 },
    );
  });

  test("while keys come, go and are forgotten", () => {
    fc.assert(
      fc.property(
        names,
        fc.commands([...pick, picksAgain(), ...time, ...outcomes, replaced(), reset()], longLife),
        (given, steps) => fc.modelRun(() => start(given), steps),
      ),
      { numRuns: 400 },
    );
  });

  test("when keys fail again and again, and rest for as long as they ever may", () => {
    const never = fc.constant(undefined);
    const steps = [picks(), picks(), restPasses(), restPasses(), limited(never), spent(never), refused()];
    fc.assert(
      fc.property(fc.constantFrom([], ["k1"], ["k1", "k2"]), fc.commands(steps, longLife), (given, life) =>
        fc.modelRun(() => start(given), life),
      ),
      { numRuns: 300 },
    );
  });

  test("in a crisis, when good keys go first and those that return are used all the same", () => {
    const soon = timePasses(fc.constantFrom(0, 500, 1000, 1500));
    const steps = [
      ...pick,
      ...pick,
      soon,
      soon,
      limited(fc.constant(500)),
      succeeded(),
      succeeded(),
      succeeded(),
      released(),
    ];
    fc.assert(
      fc.property(fc.commands(steps, longLife), (life) => fc.modelRun(startInCrisis, life)),
      { numRuns: 500 },
    );
  });
});
