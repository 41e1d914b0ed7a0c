import { spawnSync } from "node:child_process";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { checkConfig } from "../../src/server/config.ts";
import { prometheusName } from "../../src/telemetry/metrics/prometheus-text.ts";
import { poolConfig, startGateway, startProviders, withLanes } from "../support/gateway.ts";
import { type OtlpReceiver, type OtlpReceiverOptions, startOtlpReceiver } from "../support/otlp-receiver.ts";
import { root } from "../support/program.ts";
import { fetchFigures } from "../support/prometheus.ts";
import { postChat } from "../support/rest.ts";

const adminKey = "sk-test-canary-admin-0123456789abcdef";
const auth = { open: true, admin_keys: [adminKey] };

async function start(otlp: (endpoints: { http: string; grpc: string }) => object, options: OtlpReceiverOptions = {}) {
  const receiver = await startOtlpReceiver(options);
  onTestFinished(() => receiver.close());
  const providers = await startProviders({ only: {} });
  const endpoints = { http: receiver.httpEndpoint, grpc: receiver.grpcEndpoint };
  const config = { ...poolConfig(providers), auth, telemetry: { otlp: otlp(endpoints) } };
  return { ...(await startGateway(config, providers)), receiver, config };
}

/** How many hops the newest sending tells of. */
function hopsOf(receiver: OtlpReceiver): number | undefined {
  const [point] = receiver.metric("everhop.hops")?.points ?? [];
  return point && "value" in point ? Number(point.value) : undefined;
}

const ask = async (address: string) => {
  const response = await postChat(address, { messages: [{ role: "user", content: "canary-prompt" }], stream: true });
  await response.text();
  return response.status;
};

describe("metrics that are sent", () => {
  test.each(["http/protobuf", "grpc"] as const)("are those that are fetched, over %s", async (protocol) => {
    const { address, receiver } = await start(({ http, grpc }) => ({
      endpoint: protocol === "grpc" ? grpc : http,
      protocol,
      metrics_interval: 0.1,
    }));
    const begun = Date.now();
    for (let turn = 0; turn < 3; turn++) await ask(address);
    await receiver.waitFor(() => hopsOf(receiver) === 3);
    // All of one sending, which begins with the requests.
    const at = receiver.metrics.findLastIndex(({ name }) => name === "everhop.requests");
    const sent = receiver.metrics.slice(at);
    const names = new Map(sent.map((metric) => [metric.name, metric]));
    const figures = await fetchFigures(address, adminKey);
    const typeOf = { sum: "counter", gauge: "gauge", histogram: "histogram", other: "" } as const;
    for (const { name, unit, type, description } of names.values()) {
      const family = figures.families.get(prometheusName({ name, unit, type: typeOf[type] || "gauge" }));
      expect([name, family?.type, family?.help]).toEqual([name, typeOf[type], description]);
    }
    for (const family of figures.families.values()) {
      if (family.samples.length === 0) continue;
      expect([...names.values()].map(({ description }) => description)).toContain(family.help);
    }
    const hops = names.get("everhop.hops");
    expect(hops).toMatchObject({ type: "sum", monotonic: true, temporality: "CUMULATIVE", unit: "{hop}" });
    expect(hops?.points[0]?.attributes).toEqual({
      model: "think",
      provider: "only",
      endpoint: "only/only-model",
      outcome: "ok",
    });
    const chunks = names.get("gen_ai.client.inference.time_to_first_chunk");
    expect(chunks).toMatchObject({ type: "histogram", temporality: "CUMULATIVE", unit: "s" });
    expect(chunks?.points[0]).toMatchObject({
      count: 3,
      bounds: [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92],
      attributes: {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "only-model",
        "server.address": "127.0.0.1",
        "everhop.provider": "only",
      },
    });
    expect(names.get("gen_ai.client.inference.usage.output_tokens")?.unit).toBe("{token}");
    expect(hops?.resource["service.name"]).toBe("everhop");
    expect(hops?.scope.name).toBe("everhop");
    const [point] = hops?.points ?? [];
    expect(point?.startMs).toBeLessThanOrEqual(begun);
    expect(point?.timeMs).toBeGreaterThan(begun);
    expect(
      JSON.stringify(receiver.metrics, (_key, value) => (typeof value === "bigint" ? String(value) : value)),
    ).not.toMatch(/canary|secret-of/);
  });

  test("are sent once more when the gateway closes, so that nothing of its last minute is missing", async () => {
    const { address, gateway, receiver } = await start(({ http }) => ({ endpoint: http, metrics_interval: "1h" }));
    await ask(address);
    expect(receiver.requests.http.metrics).toBe(0);
    await gateway.close();
    expect(receiver.requests.http.metrics).toBe(1);
    expect(receiver.metric("everhop.hops")?.points).toMatchObject([{ value: 1 }]);
  });

  test("are not sent where they are not to be, and are once they are", async () => {
    const { address, gateway, receiver, config } = await start(({ http }) => ({
      endpoint: http,
      metrics: false,
      metrics_interval: 0.05,
    }));
    await ask(address);
    // Traces go the same way, after a second: metrics would have come twenty times by then.
    await receiver.waitFor(() => receiver.requests.http.traces > 0);
    expect(receiver.requests.http.metrics).toBe(0);
    const { otlp } = config.telemetry;
    gateway.adopt(checkConfig(withLanes({ ...config, telemetry: { otlp: { ...otlp, metrics: true } } }), "the test"));
    await receiver.waitFor(() => receiver.metric("everhop.hops") !== undefined);
  });

  test("are counted when a collector refuses them, harm no request, and are whole when it takes them again", async () => {
    const { address, receiver } = await start(({ http }) => ({ endpoint: http, metrics_interval: 0.05 }), {
      httpStatus: 400,
    });
    const failures = async () =>
      (await fetchFigures(address, adminKey)).sum("everhop_metrics_exports_total", { outcome: "failed" });
    expect(await Promise.all([ask(address), ask(address)])).toEqual([200, 200]);
    await vi.waitFor(async () => expect(await failures()).toBeGreaterThan(2), { timeout: 10_000 });
    expect(receiver.metrics).toHaveLength(0);
    receiver.behave({});
    expect(await ask(address)).toBe(200);
    await receiver.waitFor(() => hopsOf(receiver) === 3);
  });

  test("wait for nobody: a collector that never answers has one sending at a time, and requests go on", async () => {
    const { address, receiver } = await start(
      ({ http }) => ({ endpoint: http, metrics_interval: 0.02, timeout: "60s", traces: false }),
      { delay: "never" },
    );
    await receiver.waitFor(() => receiver.requests.http.metrics === 1);
    for (let turn = 0; turn < 5; turn++) expect(await ask(address)).toBe(200);
    expect(receiver.requests.http.metrics).toBe(1);
  });
});

test("without a collector nothing of OpenTelemetry is loaded, though metrics are there to be fetched", () => {
  const program = `
    import { registerHooks } from "node:module";
    const loaded = new Set();
    registerHooks({
      resolve(specifier, context, next) {
        if (specifier.startsWith("@opentelemetry/")) loaded.add(specifier);
        return next(specifier, context);
      },
    });
    const { compose } = await import("./src/server/compose.ts");
    const { checkConfig } = await import("./src/server/config.ts");
    const { systemClock } = await import("./src/runtime/clock.ts");
    const { systemRng } = await import("./src/runtime/rng.ts");
    const { prometheusText } = await import("./src/telemetry/metrics/prometheus-text.ts");
    const { createTelemetry } = await import("./src/server/telemetry.ts");
    const provider = { name: "only", base_url: "http://127.0.0.1:9/v1", models: ["m"] };
    const run = async (telemetry) => {
      const config = checkConfig({ providers: [provider], telemetry }, "the test");
      const machine = { clock: systemClock, rng: systemRng, observer: {}, reportBug() {}, warn() {} };
      const gateway = compose(config, machine);
      await gateway.close();
      return loaded.size;
    };
    console.log(await run({}), await run({ otlp: { endpoint: "http://127.0.0.1:9", timeout: 0.1 } }) > 0);
    process.exit();
  `;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", program], {
    cwd: root,
    encoding: "utf8",
  });
  expect([stdout, stderr]).toEqual(["0 true\n", ""]);
});
