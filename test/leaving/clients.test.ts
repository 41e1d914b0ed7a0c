import { afterAll, describe, expect, onTestFinished, test } from "vitest";
import type { Fault } from "../../src/providers/simulated/fault.ts";
import { nextTurn } from "../../src/runtime/clock.ts";
import { seededRng } from "../../src/runtime/rng.ts";
import { poolConfig, startGateway, startProviders, type TestGateway } from "../support/gateway.ts";
import { type Mode, modes, openWire } from "../support/wires.ts";
import { figuresCount, spread, spreadText } from "./figures.ts";
import { startFountain } from "./fountain.ts";
import { eventually, excess, type Holdings, heldStreams, holdings } from "./leftovers.ts";
import { callRaw, type Manner, mannersOf, type RawCall, type Way, ways, word } from "./raw-call.ts";

/** How many clients leave in all; the usual number keeps the suite quick. */
const total = Number(process.env["EVERHOP_LEAVING"] ?? 420);
/** So many are there at once, each with a provider of its own, which so knows when that one's call is over. */
const atOnce = 7;
/** What the requests of all of them hold is soon more than the gateway may hold at once, unless it is let go. */
const text = `${word}? `.repeat(4000);
const question = { text };
const longTest = { timeout: 60_000 + total * 100 };

const before = holdings();
/** From a client's leaving to the end of the upstream's call, ms, by what the client was doing. */
const times = new Map<string, number[]>();
/** The longest of them, and whose it was. */
let slowest = { ms: 0, whose: "nobody's" };

afterAll(() => {
  const all = [...times.values()].flat();
  const each = [...times].map(([doing, own]) => `${doing} ${spread(own).p99.toFixed(1)}`);
  console.log(
    `leaving: from a client's leaving to the upstream's close ${spreadText(all)}; p99 ${each.join(", ")}; the last was ${slowest.whose}`,
  );
});

/** What was held before the clients came. */
interface Before {
  readonly held: Holdings;
  readonly streams: number;
}

/** One client that will leave. */
interface Leaver {
  readonly index: number;
  readonly seat: number;
  readonly way: Way;
  readonly manner: Manner;
  readonly mode: Mode;
  /** 0 to 1. */
  readonly chance: number;
  /** The model that its seat's provider serves alone. */
  readonly model: string;
}

const combinations = ways.flatMap((way) => mannersOf(way).map((manner) => ({ way, manner })));

/** Has clients leave in every way and manner, some at once. @returns how many of each seat */
async function leaveAll(count: number, leave: (leaver: Leaver) => Promise<void>): Promise<number[]> {
  const rng = seededRng(11);
  const perSeat = Array.from({ length: atOnce }, () => 0);
  let next = 0;
  const sit = async (seat: number) => {
    while (next < count) {
      const index = next++;
      perSeat[seat] = (perSeat[seat] ?? 0) + 1;
      const { way, manner } = combinations[index % combinations.length] as (typeof combinations)[number]; // modulo
      const mode = modes[Math.floor(index / combinations.length) % modes.length] as Mode; // modulo
      await leave({ index, seat, way, manner, mode, chance: rng.next(), model: `m${seat}` });
    }
  };
  await Promise.all(perSeat.map((_, seat) => sit(seat)));
  return perSeat;
}

/** Each seat's provider serves a model of its own. */
function seatedConfig(providers: Readonly<Record<string, { readonly baseUrl: string }>>, each = {}, routing = {}) {
  const models = Object.keys(providers).map((provider, seat) => ({
    name: `m${seat}`,
    targets: [{ provider, model: "any" }],
  }));
  return {
    ...poolConfig(providers, { each }),
    models,
    server: { limits: { buffered: "1MiB" } },
    // That a provider fails is told apart from that clients leave.
    routing: { breaker: { enabled: false }, ...routing },
  };
}

const seatNames = Array.from({ length: atOnce }, (_, seat) => `p${seat}`);

function startSeats(behaviour: Parameters<typeof startProviders>[0][string]) {
  return startProviders(Object.fromEntries(seatNames.map((name) => [name, behaviour])));
}

/** Leaves, and notes how long the upstream's call outlives that. */
async function timed(
  doing: string,
  { way, manner }: Leaver,
  call: RawCall,
  upstreamIdle: () => Promise<void>,
): Promise<void> {
  const own = times.get(doing) ?? [];
  times.set(doing, own);
  const leftAt = performance.now();
  call.leave(manner);
  await upstreamIdle();
  const ms = performance.now() - leftAt;
  own.push(ms);
  if (ms > slowest.ms) slowest = { ms, whose: `by ${manner} ${doing}, ${way.name}` };
  call.leave("FIN");
}

/** What must be so when all have left. @param attempts how many each of the calls has made, in any order */
async function expectNothingLeft(gateway: TestGateway, was: Before, attempts: readonly number[]): Promise<void> {
  const { trails, listener } = gateway;
  expect(
    await eventually(
      () => listener.connections,
      (open) => open === 0,
    ),
  ).toBe(0);
  expect(
    await eventually(
      () => gateway.gateway.state.inFlight,
      (calls) => calls === 0,
    ),
  ).toBe(0);
  expect(trails.map((trail) => trail.attempts.length).sort()).toEqual([...attempts].sort());
  expect(trails.flatMap((trail) => trail.attempts).filter(({ outcome }) => outcome === undefined)).toEqual([]);
  expect(
    await eventually(
      () => excess(was.held),
      (more) => more.length === 0,
    ),
  ).toEqual([]);
  // A few are kept by what will be used again; each that leaks would be kept.
  expect(heldStreams() - was.streams).toBeLessThan(10);
}

const onceEach = (count: number) => Array.from({ length: count }, () => 1);

/** Lets a while pass: what follows would be too soon, or what must not happen would have happened. */
const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** The requests for a model that the gateway has begun to route. */
const routed = ({ trails }: TestGateway, model: string) => trails.filter((trail) => trail.model === model);

/** Resolves when so many requests for a model have been passed on, or passed over an endpoint. */
async function known(gateway: TestGateway, model: string, count: number): Promise<void> {
  while (routed(gateway, model).length < count) await nextTurn();
}

/** Resolves when so many attempts for a model have ended, and what follows has been decided. */
async function ended(gateway: TestGateway, model: string, count: number): Promise<void> {
  const isOver = ({ outcome }: { outcome?: string }) => outcome !== undefined;
  while (routed(gateway, model).flatMap(({ attempts }) => attempts.filter(isOver)).length < count) await nextTurn();
  await nextTurn();
}

/** Forgets what was learnt of a model's provider, so that the next request is sent to it. */
function forgive({ gateway }: TestGateway, model: string): void {
  for (const { endpoint } of gateway.explain(model).candidates) gateway.state.provider(endpoint).ring.reset();
}

/** What is held when what earlier tests have closed is gone. */
async function heldNow(): Promise<Before> {
  await pause(20);
  return { held: holdings(), streams: heldStreams() };
}

/** What is held when so many servers have been closed. */
function withoutServers({ held, streams }: Before, count: number): Before {
  return { held: { ...held, TCPServerWrap: (held["TCPServerWrap"] ?? 0) - count }, streams };
}

const outcomes = ({ trails }: TestGateway) => new Set(trails.flatMap((t) => t.attempts.map(({ outcome }) => outcome)));

describe("clients that leave by every protocol, at once, one after the other", () => {
  const share = Math.ceil(total / 5);

  test("at a random word of a stream take the upstream call along", longTest, async () => {
    const providers = await startSeats({ text: `${word} `.repeat(400), tokensPerSecond: 1000, eventPerWrite: true });
    const gateway = await startGateway(seatedConfig(providers), providers);
    const was = await heldNow();
    const seats = Object.values(providers);
    const left = await leaveAll(share, async (leaver) => {
      const { seat, way, chance, model } = leaver;
      const call = callRaw(gateway.port, way, { ...question, model }, { mode: "stream" });
      await call.words(1 + Math.floor(chance * 25));
      await timed("amid a stream", leaver, call, () => seats[seat]?.idle() ?? Promise.resolve());
    });
    await expectNothingLeft(gateway, was, onceEach(share));
    expect(outcomes(gateway)).toEqual(new Set(["caller_gone"]));
    expect(gateway.trails.every(({ partial }) => partial)).toBe(true);
    for (const [seat, { seen }] of seats.entries()) {
      expect(seen.length).toBe(Math.min(left[seat] ?? 0, 1000));
      expect(seen.every(({ aborted }) => aborted)).toBe(true);
    }
  });

  test("before the first content take the upstream call along", longTest, async () => {
    const schedule: Fault[] = [{ kind: "silence" }, { kind: "headers_then_silence" }];
    const providers = await startSeats({ schedule });
    const gateway = await startGateway(seatedConfig(providers), providers);
    const was = await heldNow();
    const seats = Object.values(providers);
    const asked = seats.map(() => 0);
    const left = await leaveAll(share, async (leaver) => {
      const { seat, way, mode, chance, model } = leaver;
      const provider = seats[seat];
      asked[seat] = (asked[seat] ?? 0) + 1;
      const call = callRaw(gateway.port, way, { ...question, model }, { mode });
      await provider?.arrived(asked[seat] ?? 0);
      await pause(chance * 5);
      await timed("before its first content", leaver, call, () => provider?.idle() ?? Promise.resolve());
      expect(call.answered).toBe(false);
    });
    await expectNothingLeft(gateway, was, onceEach(share));
    expect(outcomes(gateway)).toEqual(new Set(["caller_gone"]));
    expect(gateway.trails.some(({ partial }) => partial)).toBe(false);
    for (const [seat, { seen }] of seats.entries()) {
      expect(seen.length).toBe(Math.min(left[seat] ?? 0, 1000));
      expect(seen.every(({ aborted }) => aborted)).toBe(true);
    }
  });

  test("while they do not read take the upstream call along", longTest, async () => {
    const fountains = await Promise.all(seatNames.map(() => startFountain()));
    for (const fountain of fountains) onTestFinished(() => fountain.close());
    const config = seatedConfig(
      Object.fromEntries(seatNames.map((name, seat) => [name, fountains[seat] as { baseUrl: string }])),
    ); // as many
    const gateway = await startGateway(config);
    const was = await heldNow();
    await leaveAll(share, async (leaver) => {
      const { seat, way, manner, chance, model } = leaver;
      const fountain = fountains[seat];
      // While a socket takes nothing Node does not read it either: what is taken back there is noticed when it is cut as stalled.
      const unread = way.http2 && (manner === "RST_STREAM" || chance < 0.5) ? "window" : "socket";
      const call = callRaw(gateway.port, way, { ...question, model }, { mode: "stream", unread });
      await fountain?.stuck(1);
      await timed("while not reading", leaver, call, () => fountain?.idle() ?? Promise.resolve());
    });
    await expectNothingLeft(gateway, was, onceEach(share));
    expect(outcomes(gateway)).toEqual(new Set(["caller_gone"]));
    expect(fountains.map(({ open }) => open)).toEqual(fountains.map(() => 0));
  });

  const statuses: readonly Fault[] = [503, 429].map((status) => ({
    kind: "status",
    status,
    headers: { "retry-after-ms": "300" },
  }));

  test(
    "while they wait for what a provider has asked for end that at once, and there is no later attempt",
    longTest,
    async () => {
      const providers = await startSeats({ schedule: statuses });
      const patient = { last_patience: "60s", retry_budget: 1 };
      const gateway = await startGateway(seatedConfig(providers, {}, patient), providers);
      const seats = Object.values(providers);
      const was = await heldNow();
      const asked = seats.map(() => 0);
      const left = await leaveAll(share, async ({ seat, way, manner, mode, chance, model }) => {
        const provider = seats[seat];
        forgive(gateway, model);
        asked[seat] = (asked[seat] ?? 0) + 1;
        const call = callRaw(gateway.port, way, { ...question, model }, { mode });
        await provider?.arrived(asked[seat] ?? 0);
        await ended(gateway, model, asked[seat] ?? 0);
        await pause(chance * 20);
        expect(call.answered).toBe(false);
        call.leave(manner);
        await pause(5);
        call.leave("FIN");
      });
      // Longer than any of them would have waited: 300 ms, and as much again at most.
      await pause(900);
      expect(seats.map(({ seen }) => seen.length)).toEqual(left.map((count) => Math.min(count, 1000)));
      await Promise.all(seats.map((provider) => provider.close()));
      await expectNothingLeft(gateway, withoutServers(was, seats.length), onceEach(share));
      expect(outcomes(gateway)).toEqual(new Set(["overloaded", "rate_limited"]));
    },
  );

  test("who stay instead are asked for again once the provider's time has passed", async () => {
    const providers = await startSeats({ schedule: [...statuses, { kind: "none" }] });
    const gateway = await startGateway(
      seatedConfig(providers, {}, { last_patience: "60s", retry_budget: 1 }),
      providers,
    );
    const { trail } = await openWire("REST", gateway.address).complete({ text: "hello", model: "m0" });
    expect(trail?.attempts.map(({ httpStatus }) => httpStatus)).toEqual([503, 429, 200]);
  });

  test("while they stand in line leave it at once, and nobody is asked on their behalf", longTest, async () => {
    const providers = await startSeats({ schedule: [{ kind: "silence" }] });
    // Some that have left may stand in line for a moment, but never as many as leave.
    const queue = { max_wait: "1h", bound: 4 };
    const gateway = await startGateway(seatedConfig(providers, { max_concurrent: 1 }, { queue }), providers);
    const seats = Object.values(providers);
    const rest = ways[0] as Way; // there is one
    const was = await heldNow();
    const holders = seats.map((_, seat) =>
      callRaw(gateway.port, rest, { text: "hello", model: `m${seat}` }, { mode: "unary" }),
    );
    await Promise.all(seats.map((provider) => provider.arrived(1)));
    const queued = seats.map(() => 1);
    await leaveAll(share, async ({ seat, way, manner, mode, chance, model }) => {
      queued[seat] = (queued[seat] ?? 0) + 1;
      const call = callRaw(gateway.port, way, { ...question, model }, { mode });
      await known(gateway, model, queued[seat] ?? 0);
      await pause(chance * 5);
      expect(call.answered).toBe(false);
      call.leave(manner);
      await pause(2);
      call.leave("FIN");
    });
    await eventually(
      () => gateway.listener.connections,
      (open) => open === holders.length,
    );
    for (const [seat, provider] of seats.entries()) {
      expect(provider.open).toBe(1);
      holders[seat]?.leave("FIN");
    }
    await Promise.all(seats.map((provider) => provider.idle()));
    // Whoever came next would be asked for now, were anybody in line.
    await pause(300);
    expect(seats.map(({ seen }) => seen.length)).toEqual(seats.map(() => 1));
    await expectNothingLeft(gateway, was, [...onceEach(share).map(() => 0), ...onceEach(holders.length)]);
  });

  test("leave nothing behind in the process when the gateway is closed", async () => {
    expect(
      await eventually(
        () => excess(before),
        (more) => more.length === 0,
      ),
    ).toEqual([]);
    if (figuresCount) expect(spread([...times.values()].flat()).p99).toBeLessThanOrEqual(200);
  });
});
