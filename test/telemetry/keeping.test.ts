import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { randomHex, seededRng } from "../../src/runtime/rng.ts";
import { checkConfig } from "../../src/server/config.ts";
import { withLanes } from "../support/gateway.ts";
import { overGrpc, overHttp, startCollector, startTraced, type TracedSetup } from "../support/traced-gateway.ts";
import { failureOf, openWire } from "../support/wires.ts";

const ask = { text: "worth keeping?" };
const rng = seededRng(3);

/** A collector, and a gateway with a model for each thing that may happen to a request. */
async function start(telemetry: object, { rest, ...setup }: TracedSetup = {}) {
  const collector = await startCollector();
  const models = { good: {}, empty: {}, failing: {}, slow: {}, cut: {}, endless: {} };
  const gateway = await startTraced(
    overHttp(collector),
    {
      good: {},
      empty: { schedule: [{ kind: "empty" }] },
      failing: { schedule: [{ kind: "status", status: 500 }] },
      slow: { latencyMs: 250 },
      cut: { schedule: [{ kind: "cut_after", events: 3 }], eventPerWrite: true },
      endless: { schedule: [{ kind: "stall_after", events: 3 }], eventPerWrite: true },
    },
    {
      ...setup,
      telemetry,
      rest: {
        routing: { backoff: { base: "1ms", max: "1ms" }, breaker: { enabled: false } },
        models: [
          ...Object.keys(models).map((name) => ({ name, targets: [{ provider: name, model: "m" }] })),
          {
            name: "pair",
            targets: [
              { provider: "empty", model: "m", priority: 1 },
              { provider: "good", model: "m", priority: 2 },
            ],
          },
        ],
        ...rest,
      },
    },
  );
  const wire = openWire("REST", gateway.address);
  return {
    ...gateway,
    collector,
    wire,
    /** Why each model's traces were kept. */
    kept() {
      const roots = collector.spans.filter(({ kind }) => kind === "SERVER");
      return roots.map(({ traceId, attributes }) => {
        const model = collector.spans.find((span) => span.traceId === traceId && span.name.startsWith("route "))?.name;
        return `${model} ${attributes["everhop.kept"]}`;
      });
    },
  };
}

/** Asks for everything that may happen, in turns. */
async function askAll({ wire, address, providers }: Awaited<ReturnType<typeof start>>): Promise<void> {
  await wire.complete({ ...ask, model: "good" });
  await wire.stream({ ...ask, model: "good" });
  await wire.stream({ ...ask, model: "pair" });
  await failureOf(wire.complete({ ...ask, model: "failing" }));
  await wire.stream({ ...ask, model: "slow" });
  await failureOf(wire.stream({ ...ask, model: "cut" }));
  // What is its caller's own doing is quiet.
  await failureOf(wire.complete({ ...ask, model: "good", candidateCount: -1 }));
  await failureOf(wire.complete({ ...ask, model: "nobody:m" }));
  const leaving = new AbortController();
  const left = wire.stream({ ...ask, model: "slow" }, { signal: leaving.signal }).catch(() => {});
  await providers.slow.arrived(2);
  leaving.abort();
  await left;
  const bored = new AbortController();
  await wire
    .stream({ ...ask, model: "endless" }, { signal: bored.signal, onText: () => bored.abort() })
    .catch(() => {});
  await fetch(`${address}/v1/nothing`);
}

const loud = ["route pair failover", "route failing error", "route slow slow_first_token", "route cut error"];

describe("what is kept", () => {
  test("is what is loud, whatever the ratio, and says why", async () => {
    const started = await start({ sample_ratio: 0, slow_first_token: "200ms" });
    await askAll(started);
    await started.sent(4);
    expect(started.kept()).toEqual(loud);
    expect(started.gateway.telemetry.tracing.counts).toEqual({
      kept: { sampled: 0, failover: 1, error: 2, slow_first_token: 1 },
      sent: 4,
      dropped: 0,
      failed: 0,
    });
  });

  test("is all at a ratio of one, and what is loud says so all the same", async () => {
    const started = await start({ sample_ratio: 1, slow_first_token: "200ms" });
    await askAll(started);
    await started.sent(11);
    expect(started.kept().toSorted()).toEqual(
      [
        "route good sampled",
        "route good sampled",
        ...loud,
        "undefined sampled",
        "undefined sampled",
        "route slow sampled",
        "route endless sampled",
        "undefined sampled",
      ].toSorted(),
    );
  });

  test("is what was led past an open breaker", async () => {
    const routing = { breaker: { consecutive: 1, open: "1h", quick_cap: "1h" } };
    const started = await start({ sample_ratio: 0 }, { rest: { routing } });
    await started.wire.complete({ ...ask, model: "pair" });
    await started.wire.complete({ ...ask, model: "pair" });
    await started.sent(2);
    const roots = started.collector.spans.filter(({ kind }) => kind === "SERVER");
    expect(roots.map(({ attributes }) => [attributes["everhop.hops"], attributes["everhop.kept"]])).toEqual([
      [2, "failover"],
      [1, "failover"],
    ]);
  });

  test("is not what is quick where the first token may be slow", async () => {
    const started = await start({ sample_ratio: 0 });
    await started.wire.stream({ ...ask, model: "slow" });
    await started.wire.stream({ ...ask, model: "pair" });
    await started.sent(1);
    expect(started.kept()).toEqual(["route pair failover"]);
  });

  test("is left to the ratio alone, where that is said", async () => {
    const started = await start({ sample_ratio: 0, keep_failovers: false, slow_first_token: "200ms" });
    await askAll(started);
    // A last one, which is kept for its sender's sake: nothing else has come before it.
    await started.wire.complete(
      { ...ask, model: "pair" },
      { headers: { traceparent: `00-${randomHex(rng, 32)}-${randomHex(rng, 16)}-01` } },
    );
    await started.sent(1);
    expect(started.kept()).toEqual(["route pair sampled"]);
  });

  test.each([
    ["no collector is configured", {}],
    ["traces are switched off", { otlp: { endpoint: "http://127.0.0.1:9", traces: false, metrics: false } }],
  ])("is nothing where %s", async (_, telemetry) => {
    const gateway = await startTraced(
      undefined,
      { first: { schedule: [{ kind: "empty" }] }, second: {} },
      { telemetry, providers: { each: { trace_context: true } } },
    );
    await openWire("REST", gateway.address).complete(ask);
    await openWire("gRPC", gateway.address).stream(ask);
    const { tracing } = gateway.gateway.telemetry;
    expect(gateway.records).toHaveLength(2);
    while (gateway.records.some(({ endedAt }) => endedAt === 0)) await sleep(2);
    await tracing.flush();
    expect(tracing.counts).toEqual({
      kept: { sampled: 0, failover: 0, error: 0, slow_first_token: 0 },
      sent: 0,
      dropped: 0,
      failed: 0,
    });
    // Whoever is asked need not keep what nobody else does.
    for (const { headers } of gateway.providers.second.seen) expect(headers["traceparent"]).toMatch(/-00$/);
  });

  test("is no question whether all is well, unless it is part of a trace", async () => {
    const started = await start({});
    const grpc = { method: "POST", headers: { "content-type": "application/json" }, body: "{}" };
    const probes = [
      ["/health"],
      ["/readyz"],
      ["/docs"],
      ["/openapi.json"],
      ["/grpc.health.v1.Health/Check", grpc],
      ["/everhop.v1.HealthService/GetHealth", grpc],
    ] as const;
    for (const [path, init] of probes) expect((await fetch(started.address + path, init)).status).toBe(200);
    const traceIds = probes.map(() => randomHex(rng, 32));
    for (const [index, [path, init]] of probes.entries()) {
      const traceparent = `00-${traceIds[index]}-${randomHex(rng, 16)}-01`;
      await fetch(started.address + path, { ...init, headers: { ...init?.headers, traceparent } });
    }
    await started.sent(probes.length);
    expect(started.collector.spans.map(({ traceId }) => traceId)).toEqual(traceIds);
  });
});

describe("a ratio", () => {
  /** Asks a gateway whose ids are always the same. @returns the ids of all traces, and of those that were kept */
  async function kept(ratio: number, requests: number) {
    const collector = await startCollector();
    const gateway = await startTraced(
      overHttp(collector),
      { first: {} },
      {
        telemetry: { sample_ratio: ratio },
        providers: { first: { trace_context: true } },
        parts: { rng: seededRng(4), routingRng: seededRng(5) },
      },
    );
    const wire = openWire("REST", gateway.address);
    for (let turn = 0; turn < requests; turn++) await wire.complete(ask);
    const told = gateway.providers.first.seen.map(({ headers }) => String(headers["traceparent"]));
    const sampled = told.filter((each) => each.endsWith("-01")).map((each) => each.slice(3, 35));
    await gateway.sent(sampled.length);
    const came = new Set(collector.spans.map(({ traceId }) => traceId));
    return { all: gateway.records.map(({ traceId }) => traceId), sampled, came };
  }

  test("keeps its part, as providers were told beforehand, and a smaller one a part of that", async () => {
    const requests = 400;
    const half = await kept(0.5, requests);
    const quarter = await kept(0.25, requests);
    expect(quarter.all).toEqual(half.all);
    for (const { sampled, came } of [half, quarter]) expect([...came].toSorted()).toEqual(sampled.toSorted());
    expect([...quarter.came].filter((traceId) => !half.came.has(traceId))).toEqual([]);
    // Each is kept with the ratio as its probability: five standard deviations of a binomial.
    for (const [ratio, { came }] of [
      [0.5, half],
      [0.25, quarter],
    ] as const) {
      expect(Math.abs(came.size - ratio * requests)).toBeLessThan(5 * Math.sqrt(requests * ratio * (1 - ratio)));
    }
  });
});

describe("on another configuration", () => {
  const adopted = (config: object) => checkConfig(withLanes(config), "the test");

  test("the ratio and what is loud change with the next request", async () => {
    const started = await start({ sample_ratio: 0, keep_failovers: false });
    const { config, gateway, wire } = started;
    const telemetryOf = (changes: object) => {
      const { telemetry } = config as { readonly telemetry: object };
      return adopted({ ...config, telemetry: { ...telemetry, ...changes } });
    };
    await wire.complete({ ...ask, model: "pair" });
    gateway.adopt(telemetryOf({ keep_failovers: true }));
    await wire.complete({ ...ask, model: "pair" });
    await wire.complete({ ...ask, model: "good" });
    gateway.adopt(telemetryOf({ sample_ratio: 1 }));
    await wire.complete({ ...ask, model: "good" });
    gateway.adopt(telemetryOf({ sample_ratio: 0, slow_first_token: "200ms", keep_failovers: true }));
    await wire.stream({ ...ask, model: "slow" });
    await started.sent(3);
    expect(started.kept()).toEqual(["route pair failover", "route good sampled", "route slow slow_first_token"]);
  });

  test("another collector has what comes, and nothing of what waits is lost", async () => {
    const first = await startCollector({ delay: 300 });
    const second = await startCollector();
    const gateway = await startTraced(
      overHttp(first),
      { first: {} },
      { otlp: { headers: { "x-collector": "first" } } },
    );
    const wire = openWire("REST", gateway.address);
    const requests = 200;
    for (let turn = 0; turn < requests; turn++) await wire.complete(ask);
    // A batch is on its way, and the others wait.
    await first.waitFor(({ requests: { http } }) => http.traces > 0);
    const next = {
      ...gateway.config,
      telemetry: {
        otlp: { ...overGrpc(second), metrics: false, headers: { "x-collector": "second" } },
        service_name: "later",
      },
    };
    gateway.gateway.adopt(adopted(next));
    await wire.complete(ask);
    await gateway.sent(requests + 1);
    const came = (spans: typeof first.spans) => new Set(spans.map(({ traceId }) => traceId));
    expect(came(first.spans).size + came(second.spans).size).toBe(requests + 1);
    expect(came(first.spans).size).toBeGreaterThan(0);
    expect([...came(first.spans)].filter((traceId) => came(second.spans).has(traceId))).toEqual([]);
    expect(came(second.spans)).toContain(gateway.records.at(-1)?.traceId);
    expect(first.lastHeaders).toMatchObject({ "x-collector": "first" });
    expect(second.lastHeaders).toMatchObject({ "x-collector": "second" });
    expect(first.spans[0]?.resource).toMatchObject({ "service.name": "everhop" });
    expect(second.spans[0]?.resource).toMatchObject({ "service.name": "later" });
  });

  test("without a collector what waits is given up and counted, and what comes is not kept", async () => {
    const collector = await startCollector();
    const gateway = await startTraced(overHttp(collector), { first: {} });
    const wire = openWire("REST", gateway.address);
    await wire.complete(ask);
    const { tracing } = gateway.gateway.telemetry;
    while (tracing.counts.kept.sampled < 1) await sleep(2);
    gateway.gateway.adopt(adopted({ ...gateway.config, telemetry: {} }));
    await wire.complete(ask);
    await tracing.flush();
    expect(tracing.counts).toMatchObject({ kept: { sampled: 1 }, sent: 0, dropped: 0, failed: 1 });
    gateway.gateway.adopt(adopted(gateway.config));
    await wire.complete(ask);
    await gateway.sent(1);
    expect(collector.spans.filter(({ kind }) => kind === "SERVER")).toHaveLength(1);
  });
});
