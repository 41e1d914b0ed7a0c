import type { Endpoint, PoolStrategy } from "../../src/routing/endpoint.ts";
import { createPool } from "../../src/routing/pool.ts";
import { createRouter } from "../../src/routing/router.ts";
import { createCancellation } from "../../src/runtime/cancellation.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { seededRng } from "../../src/runtime/rng.ts";
import { medians } from "./medians.ts";
import type { GrowthTable } from "./table.ts";

/*
 * What the engine costs a request, in CPU µs, by the size of its pool: from `run` to a settled lease, around an attempt that does
 * nothing. A pool of one tier, and one whose first two endpoints are followed by all others in a worse tier; with half of the
 * endpoints switched off, too.
 */
const sizes = [2, 20, 200, 2000];
const rounds = 5;
const strategies: readonly PoolStrategy[] = ["weighted", "least_latency", "least_busy", "cheapest"];

function endpoints(count: number, change: (index: number) => Partial<Endpoint>): Endpoint[] {
  return Array.from({ length: count }, (_, index) => ({
    id: `p${index}/m`,
    provider: `p${index}`,
    upstreamModel: "m",
    tier: 1,
    weight: 100,
    enabled: true,
    keys: [],
    limits: { firstContentMs: 10_000, totalMs: 20_000 },
    prices: { inputPer1k: 1 + (index % 7), outputPer1k: 1 },
    ...change(index),
  }));
}

async function measure(strategy: PoolStrategy, all: readonly Endpoint[]): Promise<number> {
  const router = createRouter({ clock: systemClock, rng: seededRng(1) });
  const pool = createPool({ model: "think", endpoints: all, strategy });
  const options = {
    classify: () => ({ next: "stop", blame: "nobody", class: "internal" }) as const,
    cancellation: createCancellation(),
    deadline: systemClock.now() + 3_600_000,
    maxAttempts: 4,
    traceId: "0".repeat(32),
    request: { cost: ({ prices }: Endpoint) => prices?.inputPer1k ?? 0 },
  };
  const attempt = () => Promise.resolve(1);
  const times = strategy === "cheapest" && all.length > 100 ? 2000 : 20_000;
  for (let count = 0; count < times / 4; count++) await router.run(pool, attempt, options);
  const before = process.cpuUsage();
  for (let count = 0; count < times; count++) await router.run(pool, attempt, options);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / times;
}

const shapes: readonly { name: string; strategy: PoolStrategy; change(index: number): Partial<Endpoint> }[] = [
  ...strategies.map((strategy) => ({ name: `${strategy}, one tier`, strategy, change: () => ({}) })),
  {
    name: "weighted, all but two in a worse tier",
    strategy: "weighted",
    change: (index) => ({ tier: index < 2 ? 1 : 2 }),
  },
  { name: "weighted, every other one off", strategy: "weighted", change: (index) => ({ enabled: index % 2 === 0 }) },
  { name: "ordered", strategy: "ordered", change: (index) => ({ tier: index }) },
];

/** Measures all shapes and sizes; the middle of several rounds, which alternate so that a busy moment does not hit one alone. */
export async function measurePicks(): Promise<GrowthTable> {
  const cases = shapes.flatMap(({ strategy, change }) =>
    sizes.map((size) => () => measure(strategy, endpoints(size, change))),
  );
  const figures = await medians(cases, rounds);
  return {
    figure: "CPU µs per request in the engine",
    columns: sizes.map((size) => `${size.toLocaleString("en")} endpoints`),
    rows: shapes.map(({ name }, row) => ({
      name,
      values: figures.slice(row * sizes.length, (row + 1) * sizes.length),
      digits: 1,
    })),
  };
}
