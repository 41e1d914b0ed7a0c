import { expect, onTestFinished, test } from "vitest";
import { createAdditionMemory } from "../../src/gateway/additions.ts";
import { createAdmission } from "../../src/gateway/admission.ts";
import { createByteBudget } from "../../src/gateway/byte-budget.ts";
import { createCatalog } from "../../src/gateway/catalog.ts";
import { open } from "../../src/gateway/stream.ts";
import { nativeLane } from "../../src/providers/openai/native-lane.ts";
import { startSimulatedProvider } from "../../src/providers/simulated/simulated-provider.ts";
import { createUpstream } from "../../src/providers/upstream.ts";
import { createRouter } from "../../src/routing/router.ts";
import { CallerGone, createCancellation } from "../../src/runtime/cancellation.ts";
import { systemClock as clock } from "../../src/runtime/clock.ts";
import { seededRng } from "../../src/runtime/rng.ts";
import { unwatchedRecord } from "../support/records.ts";

test("a caller who leaves while nobody reads ends the attempt at once, from the signal itself", async () => {
  const rng = seededRng(1);
  const provider = await startSimulatedProvider({ clock, rng, schedule: [{ kind: "stall_after" }] });
  const upstream = createUpstream({ clock, userAgent: "test" });
  onTestFinished(async () => {
    await upstream.close();
    await provider.close();
  });
  const { origin, pathname: basePath } = new URL(provider.baseUrl);
  const entry = {
    ...{ name: "p", kind: "openai", origin, basePath, keys: [], priority: 1, weight: 100, enabled: true },
    ...{
      connectMs: 5000,
      firstContentMs: 5000,
      reasoningFirstContentMs: 5000,
      idleMs: 60_000,
      totalMs: 60_000,
      models: [{ id: "m" }],
      defaultModel: undefined,
    },
  };
  const catalog = createCatalog({ providers: [entry], models: [], defaultModel: undefined });
  const machine = {
    ...{ clock, upstream, catalog: () => catalog, maxDurationMs: 60_000 },
    ...{
      admission: createAdmission(clock),
      additions: createAdditionMemory(clock),
      affinity: "none" as const,
      streamLimits: { durationMs: 600_000, bytes: 1 << 26 } as const,
    },
    router: createRouter({ clock, rng }),
  };
  const cancellation = createCancellation();
  const json = { messages: [{ role: "user", content: "x" }], stream: true };
  const call = {
    ...{
      record: unwatchedRecord(),
      account: createByteBudget(1 << 30).open(),
      cancellation,
      timeoutMs: undefined,
      patienceMs: undefined,
      retryCount: undefined,
      streamRecovery: undefined,
    },
    caller: { name: "c", models: undefined, seesTrail: true },
    size: () => ({ promptCharacters: 1, maxOutputTokens: 0 }),
    affinityKey: () => undefined,
    destination: { model: "m", provider: "", fallbackProviders: [], fieldPrefix: { routing: "", model: "" } },
  };
  const stream = await open(machine, call, nativeLane({ text: JSON.stringify(json), json }));
  cancellation.cancel(new CallerGone());
  expect(stream.trail.attempts[0]?.outcome).toBe("caller_gone");
  await provider.idle();
  expect(provider.seen[0]?.aborted).toBe(true);
  await expect(stream.next()).rejects.toThrow("The caller left.");
});
