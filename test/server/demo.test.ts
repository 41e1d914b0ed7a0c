import { describe, expect, test } from "vitest";
import { startSimulatedProvider } from "../../src/providers/simulated/simulated-provider.ts";
import { seededRng } from "../../src/runtime/rng.ts";
import { flakyTurns } from "../../src/server/cli/demo/flaky-turns.ts";
import { startIntermittentProvider } from "../../src/server/cli/demo/intermittent-provider.ts";
import { createVirtualClock } from "../../src/simulation/virtual-clock.ts";
import { configFile, start } from "../support/program.ts";

function demo(args: readonly string[], env: Record<string, string> = {}) {
  return start(process.execPath, ["bin/everhop.js", "demo", "--port", "0", ...args], env);
}

describe("everhop demo", () => {
  test("has callers whose every answer is whole, although limits, errors and cuts befall them", async () => {
    const running = demo(["--traffic", "5"]);
    await running.said(/(429 rate_limited[\s\S]*){2}/);
    await running.said(/(500 transient_fault[\s\S]*){2}/);
    await running.said(/after its first content[\s\S]*200 ok .*recovery/);
    running.child.kill("SIGTERM");
    expect(await running.exited).toBe(0);
    const tally = /Callers: (\d+) served \((\d+) of them gone on with after a break\), 0 not served\.\nStopped\./;
    const [, served, resumed] = tally.exec(running.output()) ?? [];
    expect(Number(served)).toBeGreaterThan(10);
    expect(Number(resumed)).toBeGreaterThan(0);
    expect(running.output()).not.toContain("was not served");
  });

  test("serves the simulated providers, whatever is configured", async () => {
    const config = configFile("providers: [{ name: other, base_url: 'http://127.0.0.1:9/v1', models: [small] }]\n");
    const running = demo([], { EVERHOP_CONFIG: config, OPENAI_API_KEY: "sk-test-canary-1" });
    await running.said(/This is the demo: one model, "demo", three simulated providers on loopback/);
    expect(running.output()).not.toContain("Nothing is configured");
  });

  test("has no callers for real providers, and none that are no rate", async () => {
    const config = configFile("providers: [{ name: other, base_url: 'http://127.0.0.1:9/v1', models: [small] }]\n");
    const serve = ["bin/everhop.js", "serve", "--port", "0"];
    const real = start(process.execPath, [...serve, "--config", config, "--traffic"]);
    expect(await real.exited).toBe(2);
    expect(real.output()).toMatch(/--traffic +expected no configuration/);
    for (const rate of ["0", "-1", "51", "many"]) {
      const refused = start(process.execPath, [...serve, `--traffic=${rate}`]);
      expect(await refused.exited).toBe(2);
      expect(refused.output()).toContain("expected requests a second");
    }
  });
});

describe("a provider that comes and goes", () => {
  test("refuses while it is gone, has cut off what was under way, and is back on the same port", async () => {
    const clock = createVirtualClock();
    const provider = await startIntermittentProvider(
      { clock, rng: seededRng(1), tokensPerSecond: 1 },
      { everyMs: 60_000, fromMs: 35_000, toMs: 50_000 },
    );
    const ask = () =>
      fetch(`${provider.baseUrl}/chat/completions`, {
        method: "POST",
        body: JSON.stringify({ model: "any", stream: true, messages: [{ role: "user", content: "word ".repeat(99) }] }),
      });
    await clock.advance(34_000);
    const underWay = await ask();
    expect(provider.presence).toEqual({ there: true, sinceMs: 34_000, leftMs: 1000 });
    await clock.advance(1000);
    await expect(underWay.text()).rejects.toThrow();
    expect(provider.presence).toEqual({ there: false, sinceMs: 0, leftMs: 15_000 });
    await expect(ask()).rejects.toThrow();
    await clock.advance(15_000);
    await until(() => provider.presence.there);
    expect(provider.presence.leftMs).toBe(45_000);
    const again = await ask();
    expect(again.status).toBe(200);
    await provider.close();
    await expect(again.text()).rejects.toThrow();
    await expect(ask()).rejects.toThrow();
  });

  test("waits for its port when another program has taken it", async () => {
    const clock = createVirtualClock();
    const provider = await startIntermittentProvider(
      { clock, rng: seededRng(1) },
      { everyMs: 60_000, fromMs: 35_000, toMs: 50_000 },
    );
    await clock.advance(35_000);
    const port = Number(new URL(provider.baseUrl).port);
    const other = await startSimulatedProvider({ clock, rng: seededRng(2), port });
    await clock.advance(15_000);
    await refused(port);
    expect(provider.presence.there).toBe(false);
    await other.close();
    await until(async () => {
      await clock.advance(1000);
      return provider.presence.there;
    });
    await provider.close();
  });
});

describe("the provider that fails in turns", () => {
  const presence = (there: boolean, sinceMs: number, leftMs: number) => ({ presence: { there, sinceMs, leftMs } });
  const kinds = (other: ReturnType<typeof presence>, count = 12) => {
    const next = flakyTurns(other);
    return Array.from({ length: count }, () => next().kind);
  };

  test("limits and fails at once, so that the first request already hops, and serves most of the time", () => {
    const told = kinds(presence(true, 10_000, 20_000));
    expect(told.slice(0, 4)).toEqual(["status", "status", "none", "cut_after"]);
    expect(told.filter((kind) => kind === "none").length).toBeGreaterThanOrEqual(told.length / 2);
  });

  test("cuts nothing off while nobody else might be there to go on with it", () => {
    expect(kinds(presence(true, 10_000, 4000))).not.toContain("cut_after");
    expect(kinds(presence(false, 10_000, 4000))).not.toContain("cut_after");
  });

  test("behaves when the other one is just leaving, for it has to take over", () => {
    for (const other of [presence(true, 30_000, 1000), presence(false, 500, 14_500)]) {
      expect(new Set(kinds(other))).toEqual(new Set(["none"]));
    }
  });
});

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** Resolves when an attempt to listen there has failed, and so any that began before it. */
async function refused(port: number): Promise<void> {
  await expect(startSimulatedProvider({ clock: createVirtualClock(), rng: seededRng(3), port })).rejects.toThrow();
}
