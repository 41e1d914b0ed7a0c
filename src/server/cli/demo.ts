import { startSimulatedProvider } from "../../providers/simulated/simulated-provider.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Rng } from "../../runtime/rng.ts";
import { type Config, checkConfig } from "../config.ts";
import { flakyTurns } from "./demo/flaky-turns.ts";
import { startIntermittentProvider } from "./demo/intermittent-provider.ts";
import { trafficCallers } from "./demo/traffic-callers.ts";

/** Three providers on loopback, and the configuration that puts one model over them. */
export interface Demo {
  readonly config: Config;
  close(): Promise<void>;
}

/** The second provider's minute. */
const absence = { everyMs: 60_000, fromMs: 35_000, toMs: 50_000 };

/** Starts real HTTP servers: one that fails in turns, one that is gone for a part of each minute, one that is slow and answers. */
export async function startDemo(
  { clock, rng }: { clock: Clock; rng: Rng },
  server: { readonly host?: string; readonly port?: number },
  telemetry: object = {},
): Promise<Demo> {
  const machine = { clock, rng };
  const keys = (name: string, count: number) =>
    Array.from({ length: count }, (_, index) => `sk-test-canary-${name}-${index + 1}`);
  // All say the same to the same question, so that each can go on with what another has begun.
  const pace = { tokensPerSecond: 14, mostTokens: 120 };
  const sleepy = await startIntermittentProvider(
    { name: "sleepy", ...machine, keys: keys("sleepy", 2), latencyMs: 120, ...pace },
    absence,
  );
  const flaky = await startSimulatedProvider({
    ...{ name: "flaky", ...machine, keys: keys("flaky", 3), latencyMs: 80, ...pace },
    schedule: flakyTurns(sleepy),
  });
  const steady = await startSimulatedProvider({
    ...{ name: "steady", ...machine, keys: keys("steady", 2), latencyMs: 400, ...pace },
    prefill: "goes_on",
  });
  const providers = [
    { name: flaky.name, base_url: flaky.baseUrl, keys: keys("flaky", 3), models: ["small"] },
    { name: sleepy.name, base_url: sleepy.baseUrl, keys: keys("sleepy", 2), models: ["small"] },
    {
      ...{ name: steady.name, base_url: steady.baseUrl, keys: keys("steady", 2) },
      models: [{ id: "small", prefill: "assistant" }],
      priority: 2,
    },
  ];
  const config = checkConfig(
    {
      server,
      auth: { open: true, callers: trafficCallers.map(({ name, key }) => ({ name, key })) },
      providers,
      models: [
        {
          name: "demo",
          stream_recovery: "continue",
          targets: providers.map(({ name }) => ({ provider: name, model: "small" })),
        },
      ],
      defaults: { model: "demo" },
      // At two requests a second the defaults would want ten seconds to be sure: too long to watch.
      routing: { breaker: { consecutive: 3, min_failures: 3, min_calls: 6, open: "4s" } },
      drain: { pre_stop: 0, grace: "5s" },
      log: { level: "debug" },
      telemetry,
    },
    "the demo",
  );
  return {
    config,
    async close() {
      await Promise.all([flaky, sleepy, steady].map((provider) => provider.close()));
    },
  };
}
