import { describe, expect, test } from "vitest";
import type { Fault } from "../../src/providers/simulated/fault.ts";
import type { SimulatedProvider } from "../../src/providers/simulated/simulated-provider.ts";
import { shuffled } from "../../src/routing/strategy/shuffled.ts";
import { seededRng } from "../../src/runtime/rng.ts";
import { poolConfig, startGateway, startProviders, type TestGateway } from "../support/gateway.ts";
import { failureOf, type Mode, modes, openWire, send, wireNames } from "../support/wires.ts";
import { movesOn, refusals } from "./fault-table.ts";

/** How many requests in all; the usual number keeps the suite quick. */
const total = Number(process.env["EVERHOP_ENDURANCE"] ?? 3000);
/** So many are under way at any time. */
const atOnce = 200;
/** Of the requests to a provider that fails, the others are answered well: one that only fails is soon left alone. */
const faultShare = 0.6;

/** Does a job `count` times, `atOnce` of them at any time. */
async function inParallel(count: number, job: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const work = async () => {
    while (next < count) await job(next++);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, work));
}

/** Faults and health by chance, the same in every run: each fault once before any comes again. */
function mixed(faults: readonly Fault[], share: number, seed: number): () => Fault {
  const rng = seededRng(seed);
  let deck: Fault[] = [];
  return () => {
    if (rng.next() >= share) return { kind: "none" };
    if (deck.length === 0) deck = shuffled(faults, rng);
    return deck.pop() as Fault; // there are some: a deck was just made of them
  };
}

/** Writes down what a schedule plays. */
function noted(schedule: () => Fault, played: Set<string>): () => Fault {
  return () => {
    const fault = schedule();
    played.add(JSON.stringify(fault));
    return fault;
  };
}

/** What an operator's hand does: what was learnt of the providers is forgotten, so that they are asked again. */
function forgive({ gateway, clock }: TestGateway, names: readonly string[]): void {
  for (const { endpoint } of gateway.explain("think").candidates) {
    if (!names.includes(endpoint.provider)) continue;
    gateway.state.provider(endpoint).ring.reset();
    const state = gateway.state.endpoint(endpoint);
    state.breaker.reset(clock.now());
    state.served(clock.now());
  }
}

/** What a gateway owes to whoever runs it, once everything is over. */
async function expectNothingLeft(
  { trails }: TestGateway,
  providers: Readonly<Record<string, SimulatedProvider>>,
): Promise<void> {
  for (const provider of Object.values(providers)) await provider.idle();
  const unended = trails.flatMap(({ attempts }) => attempts).filter(({ outcome }) => outcome === undefined);
  expect(unended).toEqual([]);
}

describe("many requests at once, while two providers of three fail in every way", () => {
  const runs: { title: string; only: readonly Mode[]; faults: readonly Fault[]; count: number }[] = [
    {
      title: "answered whole or streamed",
      only: modes,
      // Of a stream, the others strike after its first content.
      faults: movesOn.filter(({ only }) => only !== "unary").map(({ fault }) => fault),
      count: Math.ceil(total * 0.8),
    },
    {
      title: "answered whole",
      only: ["unary"],
      faults: movesOn.filter(({ only }) => only !== "stream").map(({ fault }) => fault),
      count: Math.floor(total * 0.2),
    },
  ];

  test.each(runs)("are all $title, each with its own answer", { timeout: 300_000 }, async ({ only, faults, count }) => {
    const played = new Set<string>();
    const failing = (seed: number) => ({
      schedule: noted(mixed(faults, faultShare, seed), played),
      eventPerWrite: true,
    });
    const providers = await startProviders({ a: failing(1), b: failing(2), c: {} });
    // Callers, gateway and providers are one process: less would find busy ones silent, and new connections for that make it busier.
    const unsteady = { priority: 1, timeouts: { first_token: "2s", total: "2s" } };
    const keys = (name: string) => ({ keys: [`key-1-of-${name}`, `key-2-of-${name}`] });
    const config = poolConfig(providers, {
      a: { ...unsteady, ...keys("a") },
      b: { ...unsteady, ...keys("b") },
      c: { priority: 2, ...keys("c") },
    });
    const gateway = await startGateway(config, providers);
    const wires = wireNames.map((name) => openWire(name, gateway.address));
    const served = { a: 0, b: 0, c: 0 };
    await inParallel(count, async (index) => {
      // For a while what was learnt of them holds, then they are as good as new.
      if (index % (atOnce / 8) === 0) forgive(gateway, ["a", "b"]);
      const wire = wires[index % wires.length] as (typeof wires)[number]; // in range: modulo
      const mode = only[Math.floor(index / wires.length) % only.length] as Mode; // in range: modulo
      const nonce = `nonce ${index} é 🦘 of many words so that it comes in pieces`;
      const { text, provider } = await send(wire, mode, { text: nonce });
      expect(text).toBe(`You said: ${nonce}`);
      served[provider as keyof typeof served] += 1; // there are no others
    });
    await expectNothingLeft(gateway, providers);
    expect(gateway.trails.length).toBe(count);
    expect(served.a + served.b + served.c).toBe(count);
    expect(Math.min(served.a, served.b, served.c)).toBeGreaterThan(0);
    // Or it was an easy day.
    for (const fault of faults) expect(played).toContain(JSON.stringify(fault));
  });
});

describe("many requests at once that a provider refuses for their own sake", () => {
  test("are all told why, without another provider or another attempt", { timeout: 300_000 }, async () => {
    const told = refusals.map((refusal, index) => {
      const words = "message" in refusal.fault ? refusal.fault.message : undefined;
      // Each says which it is.
      return { ...refusal, fault: { ...refusal.fault, message: `${words ?? "no"} (refusal ${index})` } as Fault };
    });
    const schedule = mixed(
      told.map(({ fault }) => fault),
      1,
      3,
    );
    const providers = await startProviders({ first: { schedule }, second: {} });
    const gateway = await startGateway(poolConfig(providers), providers);
    const wires = wireNames.map((name) => ({ name, wire: openWire(name, gateway.address) }));
    await inParallel(Math.ceil(total / 4), async (index) => {
      const { name, wire } = wires[index % wires.length] as (typeof wires)[number]; // in range: modulo
      const mode = modes[Math.floor(index / wires.length) % modes.length] as Mode; // in range: modulo
      const failure = await failureOf(send(wire, mode, { text: "hello" }));
      const [, number] = /\(refusal (\d+)\)/.exec(failure.message) ?? [];
      const refusal = told[Number(number)];
      const column = name === "REST" ? 1 : 0;
      expect(failure).toMatchObject({ status: refusal?.status[column], reason: refusal?.reason[column], text: "" });
      const attempts = failure.trail?.attempts ?? [];
      // Once more without what the gateway had put into a stream's request; it may then be refused for another reason.
      expect(attempts.length).toBeLessThanOrEqual(mode === "stream" ? 2 : 1);
      for (const { provider, outcome } of attempts) expect([provider, outcome]).toEqual(["first", "request_refused"]);
      expect(attempts.length).toBeGreaterThan(0);
    });
    await expectNothingLeft(gateway, providers);
    expect(providers.second.seen.length).toBe(0);
    // Refusals say nothing of the provider's health.
    expect(gateway.trails.flatMap(({ skips }) => skips.filter(({ reason }) => reason !== "context_window"))).toEqual(
      [],
    );
  });
});
