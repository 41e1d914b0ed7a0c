import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { startOtlpReceiver } from "../support/otlp-receiver.ts";
import { everhopIn, folderWith, start } from "../support/program.ts";

const plain = "providers: [{ name: a, base_url: 'http://127.0.0.1:1/v1' }]";

async function checked(yaml: string, env: Record<string, string>) {
  const program = everhopIn(folderWith({ "everhop.yaml": yaml }), ["check"], env);
  const code = await program.exited;
  return { code, output: program.output(), telemetry: code === 0 ? parse(program.output()).telemetry : undefined };
}

describe("the variables of OpenTelemetry", () => {
  test("say where traces go, how, by whom, and which part of them, each with its origin", async () => {
    const { telemetry, output } = await checked(plain, {
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:4317",
      OTEL_EXPORTER_OTLP_PROTOCOL: "grpc",
      OTEL_EXPORTER_OTLP_HEADERS: "x-api-key=sk-test-canary-otlp,x-team=a%20b",
      OTEL_EXPORTER_OTLP_TIMEOUT: "2500",
      OTEL_SERVICE_NAME: "gateway-eu",
      OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=production,no pair,team=search",
      OTEL_TRACES_SAMPLER: "parentbased_traceidratio",
      OTEL_TRACES_SAMPLER_ARG: "0.25",
      OTEL_METRICS_EXPORTER: "none",
    });
    expect(telemetry).toMatchObject({
      service_name: "gateway-eu",
      sample_ratio: 0.25,
      resource: { "deployment.environment.name": "production", team: "search" },
      otlp: {
        ...{ endpoint: "http://127.0.0.1:4317", protocol: "grpc", timeout: "2500ms", traces: true, metrics: false },
        headers: { "x-api-key": "[secret]", "x-team": "[secret]" },
      },
    });
    expect(output).toMatch(/endpoint: http:\/\/127\.0\.0\.1:4317 +# OTEL_EXPORTER_OTLP_ENDPOINT$/m);
    expect(output).not.toContain("canary");
  });

  test("count where the file says nothing, and not where it does", async () => {
    const { telemetry } = await checked(`${plain}\ntelemetry: { otlp: { endpoint: 'http://collector:4318' } }`, {
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9",
      OTEL_SERVICE_NAME: "gateway-eu",
    });
    expect(telemetry).toMatchObject({ service_name: "gateway-eu", otlp: { endpoint: "http://collector:4318" } });
  });

  test("say nothing when the SDK is switched off, or no endpoint is named", async () => {
    const off = await checked(plain, {
      OTEL_SDK_DISABLED: "true",
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:4318",
    });
    expect(off.telemetry).not.toHaveProperty("otlp");
    const none = await checked(plain, { OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" });
    expect(none.telemetry).not.toHaveProperty("otlp");
  });

  test.each([
    ["always_on", 1],
    ["parentbased_always_off", 0],
  ])("say by the sampler %s which part of the traces is kept", async (sampler, ratio) => {
    const { telemetry } = await checked(`${plain}\ntelemetry: { keep_failovers: true }`, {
      OTEL_TRACES_SAMPLER: sampler,
    });
    expect(telemetry).toMatchObject({ sample_ratio: ratio });
  });

  test.each([
    ["http://127.0.0.1:4318/v1/traces", "http/protobuf", /endpoint .*without \/v1\/traces/],
    ["http://127.0.0.1:4317/otlp", "grpc", /endpoint .*without a path/],
  ])("may not name %s for %s", async (endpoint, protocol, words) => {
    const { code, output } = await checked(plain, {
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
      OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
    });
    expect([code, words.test(output)]).toEqual([2, true]);
  });

  test("that are wrong are told by their names, and a key in them is not shown", async () => {
    const { code, output } = await checked(plain, {
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://user:sk-test-canary-password@127.0.0.1:4318",
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
    });
    expect(code).toBe(2);
    expect(output).toMatch(/OTEL_EXPORTER_OTLP_ENDPOINT .*telemetry\.otlp\.endpoint/);
    expect(output).toMatch(/OTEL_EXPORTER_OTLP_PROTOCOL .*telemetry\.otlp\.protocol.*http\/protobuf, grpc/s);
    expect(output).not.toContain("canary");
  });

  test("reach the demo as well: whoever tries it sees its hops in Jaeger", async () => {
    const receiver = await startOtlpReceiver();
    try {
      const demo = start(process.execPath, ["bin/everhop.js", "demo", "--port", "0"], {
        OTEL_EXPORTER_OTLP_ENDPOINT: receiver.httpEndpoint,
        EVERHOP_JAEGER_UI: "http://jaeger.test:16686/",
      });
      const [, address = ""] = await demo.said(/listens on (http:\/\/[\d.:]+)/);
      const asked = start(process.execPath, ["bin/everhop.js", "chat", "--url", address, "--json", "hello"]);
      await asked.exited;
      const { trace_url: url } = JSON.parse(asked.output()) as { trace_url: string };
      const [, traceId = ""] = /^http:\/\/jaeger\.test:16686\/trace\/([\da-f]{32})$/.exec(url) ?? [];
      await receiver.waitForTrace(traceId);
      const names = receiver.spans.filter((span) => span.traceId === traceId).map(({ name }) => name);
      expect(names).toContain("everhop.v1.ChatService/StreamChat");
      // Its first request hops.
      expect(names.filter((name) => name === "chat small").length).toBeGreaterThan(1);
    } finally {
      await receiver.close();
    }
  });
});
