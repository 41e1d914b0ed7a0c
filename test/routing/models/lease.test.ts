import fc, { type Scheduler } from "fast-check";
import { describe, expect, test } from "vitest";
import type { Permit } from "../../../src/routing/breaker.ts";
import type { Endpoint } from "../../../src/routing/endpoint.ts";
import type { Lease, Outcome } from "../../../src/routing/lease.ts";
import type { RouteObserver } from "../../../src/routing/observer.ts";
import { createRouter, RouteError, type Router } from "../../../src/routing/router.ts";
import { minAttemptMs, routingSettings } from "../../../src/routing/settings.ts";
import type { AttemptRecord, Trail } from "../../../src/routing/trail.ts";
import { CallerGone } from "../../../src/runtime/cancellation.ts";
import { seededRng } from "../../../src/runtime/rng.ts";
import { createVirtualClock } from "../../../src/simulation/virtual-clock.ts";
import { classify, endpoint, failures, keys, sharingPool } from "../../support/routing.ts";
import { countingCancellation } from "./counting-cancellation.ts";

/** How an attempt ends by itself; a silent one does not. */
type End = "serves" | "silent" | "serverError" | "rateLimited" | "badKey" | "refusedConnection" | "notSent" | "refused";

/** One request, and what is going to happen to it. */
interface Wish {
  readonly mode: "run" | "open";
  readonly deadlineMs: number;
  /** Attempts by their turn; those beyond serve. */
  readonly ends: readonly End[];
  /** Whether its attempts go on although they have been called off. */
  readonly deaf: boolean;
  /** How the owner of a stream settles it, unless it is called off before. */
  readonly settles: "ok" | "breaks off";
  /** When its caller leaves: whenever it comes to it, or so many promises after something else has happened. */
  readonly leaves: "never" | "some time" | { readonly event: number; readonly ticks: number };
}

interface Case {
  readonly wishes: readonly Wish[];
  /** How long time stands still between other events, in ms. */
  readonly pauses: readonly number[];
  /** Calls that each endpoint may have at once. */
  readonly places: number | undefined;
  /** Whether one failure opens a breaker, and one success closes it. */
  readonly touchy: boolean;
}

/** A request as it goes on. */
interface Request {
  readonly name: string;
  readonly wish: Wish;
  readonly caller: ReturnType<typeof countingCancellation>;
  readonly deadline: number;
  attempts: number;
  committed: number;
  failed: number;
  /** Whether its stream broke after its first content, although its caller was there. */
  broken: boolean;
  /** How its promise ended. */
  outcomes: ("served" | "failed")[];
  /** Whether it is done with: a stream when its owner has settled it. */
  over: boolean;
}

const patient = 60_000;
/** Everything comes to an end before so long a pause. */
const longest = 10 * patient;
const ends: fc.Arbitrary<End> = fc.constantFrom(
  ...(["serves", "serves", "silent", "serverError", "serverError", "rateLimited"] as const),
  ...(["badKey", "refusedConnection", "notSent", "refused"] as const),
);

const leaves: fc.Arbitrary<Wish["leaves"]> = fc.oneof(
  fc.constantFrom("never" as const, "some time" as const),
  fc.record({ event: fc.nat(12), ticks: fc.nat(12) }),
);

const wishes: fc.Arbitrary<Wish> = fc.record({
  mode: fc.constantFrom("run", "open"),
  deadlineMs: fc.constantFrom(400, 2000, 10_000, patient),
  ends: fc.array(ends, { maxLength: 4 }),
  deaf: fc.boolean(),
  settles: fc.constantFrom("ok", "breaks off"),
  leaves,
});

/** Requests for which nobody has to wait but for a place: attempts end soon, and no endpoint or key is to blame. */
const crowds: fc.Arbitrary<Case> = fc
  .array(fc.tuple(wishes, fc.constantFrom<End>("serves", "refused")), { minLength: 4, maxLength: 8 })
  .map((drawn) => ({
    wishes: drawn.map(([wish, end]) => ({ ...wish, ends: [end], settles: "ok" as const })),
    pauses: [],
    places: 1,
    touchy: false,
  }));

const cases: fc.Arbitrary<Case> = fc.record({
  wishes: fc.array(wishes, { minLength: 1, maxLength: 4 }),
  pauses: fc.array(fc.constantFrom(0, 250, 400, 1000, 10_000, 20_000), { maxLength: 6 }),
  places: fc.constantFrom(1, 1, undefined),
  touchy: fc.boolean(),
});

/** Two equals with two keys each, and a worse one without. */
function endpointsOf({ places }: Case): Endpoint[] {
  const use = { maxConcurrent: places };
  return [
    endpoint("a", { keys: keys("a1", "a2"), use }),
    endpoint("b", { keys: keys("b1", "b2"), use }),
    endpoint("c", { tier: 2, use }),
  ];
}

/**
 * Runs a case; whatever happens in it is in the scheduler's hands, but for promises that follow at once.
 * @returns how much time had to pass, in ms
 */
async function play(scheduler: Scheduler, given: Case): Promise<number> {
  const clock = createVirtualClock();
  const requests: Request[] = [];
  const running = new Set<AttemptRecord>();
  const faults: unknown[] = [];
  const endpoints = endpointsOf(given);
  const pool = sharingPool(endpoints);
  const breaker = given.touchy ? { consecutive: 1, successesToClose: 1 } : {};
  let events = 0;

  const requestOf = ({ traceId }: Trail) => requests.find(({ name }) => name === traceId) as Request;
  const noFault = (check: () => void) => {
    try {
      check();
    } catch (fault) {
      faults.push(fault);
    }
  };
  const observer: RouteObserver = {
    attemptStarted: (trail, record) => noFault(() => mayStart(requestOf(trail), record, clock.now(), running)),
    committed: (trail) => void requestOf(trail).committed++,
    attemptEnded: (_, record) => noFault(() => expect(running.delete(record)).toBe(true)),
    failed: (trail) => void requestOf(trail).failed++,
  };
  const router = createRouter({ clock, rng: seededRng(1), settings: routingSettings({ breaker }), observer });
  const permits = endpoints.map((each) => permitsOf(router, each, faults));

  /** Something that happens when the scheduler has it happen, and what follows on its heels. */
  function happens(label: string, action: () => void): void {
    void scheduler.schedule(Promise.resolve(), label).then(() => {
      const event = events++;
      for (const each of requests) void leavesAfter(each, event);
      noFault(action);
    });
  }

  async function leavesAfter({ wish, caller }: Request, event: number): Promise<void> {
    if (typeof wish.leaves === "string" || wish.leaves.event !== event) return;
    for (let tick = 0; tick < wish.leaves.ticks; tick++) await Promise.resolve();
    noFault(() => caller.cancel(new CallerGone()));
  }

  function arrives(wish: Wish, index: number): void {
    const request: Request = {
      ...{ name: `request ${index}`, wish, caller: countingCancellation(), deadline: clock.now() + wish.deadlineMs },
      ...{ attempts: 0, committed: 0, failed: 0, broken: false, outcomes: [], over: false },
    };
    requests.push(request);
    const { name, caller, deadline } = request;
    if (wish.leaves === "some time") happens(`${name} leaves`, () => caller.cancel(new CallerGone()));
    const options = {
      ...{ classify, cancellation: caller, deadline, traceId: name, caller: name },
      maxAttempts: Number.POSITIVE_INFINITY,
    };
    const attempt = (lease: Lease) => attempted(request, lease);
    router[wish.mode](pool, attempt, options).then(
      ({ value, lease, trail }) => {
        request.outcomes.push("served");
        noFault(() => wasServed(request, value, lease, trail));
        if (wish.mode === "open") owns(request, lease);
        else request.over = true;
      },
      (error: unknown) => {
        request.outcomes.push("failed");
        request.over = true;
        noFault(() => expect(error).toBeInstanceOf(RouteError));
      },
    );
  }

  function attempted({ name, wish }: Request, lease: Lease): Promise<number> {
    const end = wish.ends[lease.attempt - 1] ?? "serves";
    return new Promise((resolve, reject) => {
      if (!wish.deaf) lease.cancellation.onCancel(reject);
      if (end === "silent") return;
      happens(`attempt ${lease.attempt} of ${name}: ${end}`, () =>
        end === "serves" ? resolve(lease.attempt) : reject(failures[end]()),
      );
    });
  }

  /** Whoever owns a stream settles it: when it ends, or when it is called off. */
  function owns(request: Request, lease: Lease): void {
    const { name, wish, caller } = request;
    const settle = (outcome: Outcome) => {
      if (request.over) return;
      request.over = true;
      lease.settle(outcome);
      expect(() => lease.settle(outcome)).toThrow("settled twice");
    };
    lease.cancellation.onCancel((error) =>
      noFault(() => {
        // Time limits and the deadline bind until the first content.
        expect(error).toBeInstanceOf(CallerGone);
        settle({ ok: false, error });
      }),
    );
    const outcome: Outcome = wish.settles === "ok" ? { ok: true } : { ok: false, error: failures.serverError() };
    happens(`the owner of ${name} settles: ${wish.settles}`, () => {
      // A caller who leaves is heard at once.
      if (!request.over) expect(caller.cancelled).toBe(false);
      if (!request.over && !outcome.ok) request.broken = true;
      settle(outcome);
    });
  }

  for (const [index, wish] of given.wishes.entries()) happens(`request ${index} arrives`, () => arrives(wish, index));
  /** Time may pass: whoever is done has left nothing behind that could still happen. */
  function nothingLeftBehind(): void {
    for (const { over, caller } of requests) if (over) expect(caller.listeners).toBe(0);
    if (requests.every(({ over }) => over)) expect(clock.pending).toBe(0);
  }

  const pass = (ms: number) => {
    noFault(nothingLeftBehind);
    return clock.advance(ms);
  };
  // One pause after another: a clock goes on once at a time.
  scheduler.scheduleSequence(given.pauses.map((ms) => ({ label: `${ms} ms pass`, builder: () => pass(ms) })));
  await scheduler.waitIdle();
  for (let ms = 100; requests.some(({ over }) => !over) && ms < longest; ms *= 2) {
    await pass(ms);
    await scheduler.waitIdle();
  }
  noFault(nothingLeftBehind);

  expect(faults).toEqual([]);
  for (const request of requests) hasOneEnd(request);
  expect(running).toEqual(new Set());
  expect(permits.map(({ size }) => size)).toEqual(endpoints.map(() => 0));
  for (const each of endpoints) isIdle(router, each, clock.now());
  expect(router.state.inFlight).toBe(0);
  expect(clock.pending).toBe(0);
  expect(requests.map(({ caller }) => caller.listeners)).toEqual(requests.map(() => 0));
  return clock.now();
}

/** No attempt begins for somebody who has left, has been served, or has no time left for it. */
function mayStart(request: Request, record: AttemptRecord, now: number, running: Set<AttemptRecord>): void {
  request.attempts += 1;
  expect(record.index).toBe(request.attempts);
  expect(request.caller.cancelled).toBe(false);
  expect(request.committed + request.failed + request.outcomes.length).toBe(0);
  if (request.attempts > 1) expect(request.deadline - now).toBeGreaterThanOrEqual(minAttemptMs);
  expect(request.deadline).toBeGreaterThan(now);
  running.add(record);
}

/** What is served is what the last attempt brought. */
function wasServed({ wish, attempts }: Request, value: number, lease: Lease, { attempts: records }: Trail): void {
  expect(value).toBe(lease.attempt);
  expect(lease.attempt).toBe(attempts);
  expect(records.map(({ outcome }) => outcome).slice(0, -1)).not.toContain("ok");
  if (wish.mode !== "run") return;
  expect(records.at(-1)?.outcome).toBe("ok");
  expect(() => lease.settle({ ok: true })).toThrow("settled twice");
}

function hasOneEnd({ name, wish, outcomes, committed, failed, broken }: Request): void {
  expect(outcomes, name).toHaveLength(1);
  const served = outcomes[0] === "served";
  expect(failed, name).toBe(served && !broken ? 0 : 1);
  expect(committed, name).toBe(served && wish.mode === "open" ? 1 : 0);
}

/** Permits of an endpoint's breaker that are out; each comes back once. */
function permitsOf({ state }: Router, of: Endpoint, faults: unknown[]): Set<Permit> {
  const { breaker } = state.endpoint(of);
  const { acquire, lastResort, settle } = breaker;
  const out = new Set<Permit>();
  breaker.acquire = (...how) => {
    const permit = acquire.apply(breaker, how);
    out.add(permit);
    return permit;
  };
  breaker.lastResort = (...how) => {
    const permit = lastResort.apply(breaker, how);
    if (permit) out.add(permit);
    return permit;
  };
  breaker.settle = (permit, ...how) => {
    if (!out.delete(permit)) faults.push(new Error(`a permit of ${of.id} came back that was not out`));
    settle.call(breaker, permit, ...how);
  };
  return out;
}

function isIdle({ state }: Router, of: Endpoint, now: number): void {
  const { usage, breaker } = state.endpoint(of);
  expect(usage.inFlight).toBe(0);
  expect(state.provider(of).usage.inFlight).toBe(0);
  // A probe that had not come back would keep everybody else out.
  if (breaker.state === "half_open") expect(breaker.barred(now)).toBeUndefined();
}

describe("whatever comes first: an attempt's end, its time limit, the caller's leaving, the deadline, the owner", () => {
  test("a request ends once, and everything that it took is given back once", async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), cases, async (scheduler, given) => {
        await play(scheduler, given);
      }),
      { numRuns: 2000 },
    );
  });

  test("whoever waits for a place has it as soon as another is done with it, however that ends", async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), crowds, async (scheduler, given) => {
        expect(await play(scheduler, given)).toBe(0);
      }),
      { numRuns: 500 },
    );
  });
});
