import { status } from "@grpc/grpc-js";
import { type SpanContext, TraceFlags, ValueType } from "@opentelemetry/api";
import { OTLPMetricExporter as GrpcMetricExporter } from "@opentelemetry/exporter-metrics-otlp-grpc";
import { OTLPMetricExporter as HttpMetricExporter } from "@opentelemetry/exporter-metrics-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  AggregationTemporality,
  MeterProvider,
  PeriodicExportingMetricReader,
  type PushMetricExporter,
} from "@opentelemetry/sdk-metrics";
import { InMemorySpanExporter, type ReadableSpan, type SpanExporter } from "@opentelemetry/sdk-trace";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import type { ReceivedSpan } from "../support/otlp-messages.ts";
import { type OtlpReceiver, type OtlpReceiverOptions, startOtlpReceiver } from "../support/otlp-receiver.ts";
import {
  byGrpc,
  byHttp,
  gzip,
  linkedSpan,
  sampleInstant,
  sampleResource,
  sampleTree,
  traceExporters,
  writeSampleTrace,
} from "../support/sample-trace.ts";
import { treeOf } from "../support/span-tree.ts";

const second = 1_700_000_000;

/** Starts one that ends with the test. */
async function startReceiver(options?: OtlpReceiverOptions): Promise<OtlpReceiver> {
  const receiver = await startOtlpReceiver(options);
  onTestFinished(() => receiver.close());
  return receiver;
}

/** The sample's spans, as the SDK hands them to an exporter. */
async function sampleSpans(): Promise<ReadableSpan[]> {
  const kept: ReadableSpan[] = [];
  const exporter = new InMemorySpanExporter();
  const keep: SpanExporter = {
    export: (spans, done) => {
      kept.push(...spans);
      exporter.export(spans, done);
    },
    shutdown: () => exporter.shutdown(),
  };
  await writeSampleTrace(keep, second);
  return kept;
}

/** Exports by an exporter alone. @returns what went wrong; undefined: nothing */
function exportBy(exporter: SpanExporter, spans: ReadableSpan[]): Promise<Error | undefined> {
  onTestFinished(() => exporter.shutdown());
  return new Promise((resolve) => {
    exporter.export(spans, ({ code, error }) =>
      resolve(code === 0 ? undefined : (error ?? new Error("failed without an error"))),
    );
  });
}

const nanosOf = ([seconds, nanos]: [number, number]) => BigInt(seconds) * 1_000_000_000n + BigInt(nanos);

describe.each(traceExporters)("the collector of the tests, given spans by $name,", (exporter) => {
  test("keeps the tree of them as it was written", async () => {
    const receiver = await startReceiver();
    const { traceId } = await writeSampleTrace(exporter.create(receiver), second);
    const spans = await receiver.waitForTrace(traceId);
    expect(treeOf(spans, traceId)).toEqual(sampleTree);
  });

  test("keeps whose they are, when they were, and what came with them", async () => {
    const receiver = await startReceiver();
    const { traceId, rootId } = await writeSampleTrace(exporter.create(receiver), second);
    const spans = await receiver.waitForTrace(traceId);
    for (const span of spans) {
      expect(span).toMatchObject({
        traceId,
        spanId: expect.stringMatching(/^[0-9a-f]{16}$/),
        resource: sampleResource,
        scope: { name: "sample-tracer", version: "1.2.3" },
        traceState: "",
        dropped: { attributes: 0, events: 0, links: 0 },
      });
      expect(span.flags & 0xff).toBe(TraceFlags.SAMPLED);
    }
    expect(spans.find(({ spanId }) => spanId === rootId)).toMatchObject({
      parentSpanId: "",
      startNanos: nanosOf(sampleInstant(second, 0)),
      endNanos: nanosOf(sampleInstant(second, 13)),
      startMs: second * 1000 + 0.001234,
      endMs: second * 1000 + 13.001234,
    });
    expect(spans.find(({ name }) => name === "route sample")?.events.map(({ timeMs }) => timeMs)).toEqual([
      second * 1000 + 2.001234,
      second * 1000 + 3.001234,
    ]);
  });

  test("counts the exports and keeps the headers of the last", async () => {
    const receiver = await startReceiver();
    await writeSampleTrace(exporter.create(receiver), second);
    expect(receiver.requests).toEqual({
      http: { traces: exporter.transport === "http" ? 1 : 0, metrics: 0 },
      grpc: { traces: exporter.transport === "grpc" ? 1 : 0, metrics: 0 },
      refused: 0,
      unreadable: 0,
    });
    expect(receiver.lastHeaders["user-agent"]).toMatch(/^OTel-OTLP-Exporter-JavaScript\//);
    if (exporter.transport === "http") {
      expect(receiver.lastHeaders["content-encoding"]).toBe(exporter.packed ? "gzip" : undefined);
    }
  });

  test("takes a root whose parent is another program's for complete", async () => {
    const receiver = await startReceiver();
    const parent: SpanContext = { ...linkedSpan, traceFlags: TraceFlags.SAMPLED };
    await writeSampleTrace(exporter.create(receiver), second, parent);
    const spans = await receiver.waitForTrace(parent.traceId);
    expect(treeOf(spans, parent.traceId)).toEqual(sampleTree);
    const root = spans.find(({ name }) => name === sampleTree.name);
    expect(root).toMatchObject({ parentSpanId: parent.spanId, flags: 0x301 });
  });

  test("is slow when it shall be, and has nothing before it has answered", async () => {
    const receiver = await startReceiver({ delay: 150 });
    const exported = exportBy(exporter.create(receiver), await sampleSpans());
    await receiver.waitFor(({ requests }) => requests[exporter.transport].traces === 1);
    expect(receiver.spans).toHaveLength(0);
    expect(await exported).toBeUndefined();
    expect(receiver.spans).toHaveLength(6);
  });

  test("never answers when it shall not", async () => {
    const receiver = await startReceiver({ delay: "never" });
    expect(await exportBy(exporter.create(receiver, 200), await sampleSpans())).toBeInstanceOf(Error);
    expect(receiver.requests[exporter.transport].traces).toBeGreaterThan(0);
    expect(receiver.spans).toHaveLength(0);
  });

  test("is gone when it is closed, and is back where it was", async () => {
    const spans = await sampleSpans();
    const first = await startReceiver();
    await first.close();
    expect(await exportBy(exporter.create(first, 400), spans)).toBeInstanceOf(Error);
    const second = await startReceiver({ httpPort: first.httpPort, grpcPort: first.grpcPort });
    const again = exporter.create(first);
    // A channel of gRPC that found nobody looks again only after a while, and all exporters of a process share it.
    await vi.waitFor(async () => expect(await exportBy(again, spans)).toBeUndefined(), { timeout: 20_000 });
    expect([first.spans.length, second.spans.length]).toEqual([0, 6]);
  });
});

describe("the collector of the tests", () => {
  test.each([400, 429, 503])("refuses by HTTP with %i, keeps nothing, and is good again", async (httpStatus) => {
    const receiver = await startReceiver({ httpStatus, retryAfter: "30" });
    const spans = await sampleSpans();
    expect(await exportBy(byHttp.create(receiver, 300), spans)).toBeInstanceOf(Error);
    const headers = { "content-type": "application/x-protobuf" };
    const response = await fetch(`${receiver.httpEndpoint}/v1/traces`, { method: "POST", headers });
    expect([response.status, response.headers.get("retry-after")]).toEqual([httpStatus, "30"]);
    expect(receiver.requests).toMatchObject({ http: { traces: 2 }, refused: 2 });
    expect(receiver.spans).toHaveLength(0);
    receiver.behave({});
    expect(await exportBy(byHttp.create(receiver), spans)).toBeUndefined();
    expect(receiver.spans).toHaveLength(6);
  });

  test("tells by HTTP when to come again, and is obeyed", async () => {
    const receiver = await startReceiver({ httpStatus: 429, retryAfter: "1" });
    const exported = exportBy(byHttp.create(receiver), await sampleSpans());
    await receiver.waitFor(({ requests }) => requests.refused === 1);
    receiver.behave({});
    expect(await exported).toBeUndefined();
    expect(receiver.requests).toMatchObject({ http: { traces: 2 }, refused: 1 });
  });

  test.each([status.UNAVAILABLE, status.RESOURCE_EXHAUSTED, status.INVALID_ARGUMENT])(
    "refuses by gRPC with %i, keeps nothing, and is good again",
    async (grpcStatus) => {
      const receiver = await startReceiver({ grpcStatus });
      const spans = await sampleSpans();
      expect(await exportBy(byGrpc.create(receiver, 300), spans)).toMatchObject({ code: grpcStatus });
      expect(receiver.requests).toMatchObject({ grpc: { traces: 1 }, refused: 1 });
      expect(receiver.spans).toHaveLength(0);
      receiver.behave({});
      expect(await exportBy(byGrpc.create(receiver), spans)).toBeUndefined();
      expect(receiver.spans).toHaveLength(6);
    },
  );

  test("knows an export from what is none", async () => {
    const receiver = await startReceiver();
    const post = async (path: string, type: string, body: Uint8Array<ArrayBuffer>, encoding = "identity") =>
      (
        await fetch(`${receiver.httpEndpoint}${path}`, {
          method: "POST",
          headers: { "content-type": type, "content-encoding": encoding },
          body,
        })
      ).status;
    const protobuf = "application/x-protobuf";
    const cutOff = Uint8Array.of(0x0a, 0x05, 0x0a);
    expect(await post("/v1/traces", protobuf, cutOff)).toBe(400);
    expect(await post("/v1/metrics", protobuf, cutOff)).toBe(400);
    expect(await post("/v1/traces", protobuf, cutOff, "gzip")).toBe(400);
    expect(await post("/v1/traces", protobuf, cutOff, "br")).toBe(415);
    expect(await post("/v1/traces", "application/json", cutOff)).toBe(415);
    expect(await post("/traces", protobuf, cutOff)).toBe(404);
    expect((await fetch(`${receiver.httpEndpoint}/v1/traces`)).status).toBe(405);
    expect(receiver.requests).toMatchObject({ http: { traces: 2, metrics: 1 }, refused: 0, unreadable: 7 });
    expect(await post("/v1/traces", protobuf, new Uint8Array())).toBe(200);
    expect([receiver.spans.length, receiver.metrics.length]).toEqual([0, 0]);
  });

  test("passes over fields that it does not know, and believes the last of a field that comes twice", async () => {
    const receiver = await startReceiver();
    // resource_spans { scope_spans { spans { name: "a", field 500: 1, name: "b" } } }
    const named = [0x2a, 1, 0x61, 0xa0, 0x1f, 1, 0x2a, 1, 0x62];
    const spans = [0x12, named.length, ...named];
    const scopeSpans = [0x12, spans.length, ...spans];
    const response = await fetch(`${receiver.httpEndpoint}/v1/traces`, {
      method: "POST",
      headers: { "content-type": "application/x-protobuf" },
      body: Uint8Array.of(0x0a, scopeSpans.length, ...scopeSpans),
    });
    expect(response.status).toBe(200);
    expect(receiver.spans).toMatchObject([{ name: "b", kind: "UNSPECIFIED", parentSpanId: "", startNanos: 0n }]);
  });

  test("waits for a trace until its root is there, whatever comes first", async () => {
    const receiver = await startReceiver();
    const spans = await sampleSpans();
    const traceId = spans[0]?.spanContext().traceId ?? "";
    // Spans end from the leaves up, and the root last.
    const [leaves, root] = [spans.slice(0, -1), spans.slice(-1)];
    let complete = false;
    const waited = receiver.waitForTrace(traceId).then((all) => {
      complete = true;
      return all;
    });
    for (const leaf of leaves) {
      await exportBy(byHttp.create(receiver), [leaf]);
      expect(complete).toBe(false);
    }
    await exportBy(byGrpc.create(receiver), root);
    expect(await waited).toHaveLength(6);
  });

  test("says what has come when what is waited for does not", async () => {
    const receiver = await startReceiver();
    const { traceId } = await writeSampleTrace(byHttp.create(receiver), second);
    await expect(receiver.waitFor(({ spans }) => spans.length > 6, 50)).rejects.toThrow(`${traceId} - → `);
    await expect(
      receiver.waitFor(() => {
        throw new Error("the predicate's own");
      }),
    ).rejects.toThrow("the predicate's own");
  });

  test("lets go of what it has, and counts on", async () => {
    const receiver = await startReceiver();
    await writeSampleTrace(byHttp.create(receiver), second);
    receiver.forget();
    expect(receiver.spans).toHaveLength(0);
    expect(receiver.requests.http.traces).toBe(1);
  });
});

describe("a tree of spans", () => {
  /** As many spans as there are names; each is `name<parent`. */
  async function spansOf(...written: string[]): Promise<ReceivedSpan[]> {
    const receiver = await startReceiver();
    const { traceId } = await writeSampleTrace(byHttp.create(receiver), second);
    const [some] = await receiver.waitForTrace(traceId);
    if (!some) throw new Error("there is no span");
    return written.map((each, index) => {
      const [name = "", parentSpanId = ""] = each.split("<");
      const startNanos = BigInt(10_000 - index);
      return { ...some, traceId: "t", spanId: name, name, parentSpanId, startNanos, endNanos: 20_000n };
    });
  }

  test("is of one trace, in the order of its beginnings", async () => {
    const spans = await spansOf("root<", "c<root", "b<root", "a<b");
    const [stranger] = await spansOf("stranger<");
    const all = stranger ? [...spans, { ...stranger, traceId: "u" }] : [];
    expect(treeOf(all, "t")).toMatchObject({
      name: "root",
      children: [{ name: "b", children: [{ name: "a" }] }, { name: "c" }],
    });
  });

  test("orders what began in the same microsecond by length, then by name", async () => {
    const [root, ...children] = await spansOf("root<", "Long<root", "b<root", "a<root", "later<root");
    const lengths = new Map([
      ["Long", 9_000n],
      ["later", 0n],
    ]);
    const all = children.map((span, index) => {
      const startNanos = span.name === "later" ? 2_000n : 1_000n + BigInt(900 - index);
      return { ...span, startNanos, endNanos: startNanos + (lengths.get(span.name) ?? 3_000n) };
    });
    const tree = root && treeOf([root, ...all], "t");
    expect(tree?.children.map(({ name }) => name)).toEqual(["a", "b", "Long", "later"]);
  });

  test.each([
    ["has 2 roots", ["root<", "orphan<somebody"]],
    ["has 0 roots", []],
    ["has a span twice", ["root<", "a<root", "a<root"]],
    ["goes in a circle", ["root<", "a<b", "b<a"]],
  ])("is none when it %s", async (why, written) => {
    const spans = await spansOf(...written);
    expect(() => treeOf(spans, "t")).toThrow(why);
  });
});

const metricExporters: readonly {
  readonly name: string;
  readonly transport: "http" | "grpc";
  create(receiver: OtlpReceiver, temporalityPreference: AggregationTemporality): PushMetricExporter;
}[] = [
  {
    name: "OTLP/HTTP with gzip",
    transport: "http",
    create: ({ httpEndpoint }, temporalityPreference) =>
      new HttpMetricExporter({ url: `${httpEndpoint}/v1/metrics`, temporalityPreference, compression: gzip }),
  },
  {
    name: "OTLP/gRPC",
    transport: "grpc",
    create: ({ grpcEndpoint }, temporalityPreference) =>
      new GrpcMetricExporter({ url: grpcEndpoint, temporalityPreference }),
  },
];

describe.each(metricExporters)("the collector of the tests, given metrics by $name,", (exporter) => {
  /** Writes one of each kind, twice. */
  async function writeMetrics(receiver: OtlpReceiver, temporality: AggregationTemporality): Promise<void> {
    const reader = new PeriodicExportingMetricReader({ exporter: exporter.create(receiver, temporality) });
    const provider = new MeterProvider({ resource: resourceFromAttributes(sampleResource), readers: [reader] });
    onTestFinished(() => provider.shutdown());
    const meter = provider.getMeter("sample-meter", "4.5.6");
    const requests = meter.createCounter("sample.requests", { description: "what came in", unit: "{request}" });
    const busy = meter.createUpDownCounter("sample.busy", { valueType: ValueType.INT });
    const delay = meter.createGauge("sample.delay", { unit: "s" });
    const duration = meter.createHistogram("sample.duration", {
      unit: "s",
      advice: { explicitBucketBoundaries: [0.1, 1] },
    });
    for (const _ of [1, 2]) {
      requests.add(2, { outcome: "ok" });
      requests.add(1, { outcome: "failed" });
      busy.add(-3);
      delay.record(0.25);
      for (const seconds of [0.05, 0.5, 0.75, 8]) duration.record(seconds, { model: "think" });
      await provider.forceFlush();
    }
  }

  const common = { resource: sampleResource, scope: { name: "sample-meter", version: "4.5.6" } };

  test("keeps sums, gauges and histograms, as they have grown", async () => {
    const receiver = await startReceiver();
    await writeMetrics(receiver, AggregationTemporality.CUMULATIVE);
    expect(receiver.requests[exporter.transport].metrics).toBe(2);
    expect(receiver.metrics).toHaveLength(8);
    expect(receiver.metric("sample.requests")).toMatchObject({
      ...common,
      type: "sum",
      description: "what came in",
      unit: "{request}",
      monotonic: true,
      temporality: "CUMULATIVE",
      points: [
        { attributes: { outcome: "ok" }, value: 4 },
        { attributes: { outcome: "failed" }, value: 2 },
      ],
    });
    expect(receiver.metric("sample.busy")).toMatchObject({ type: "sum", monotonic: false, points: [{ value: -6 }] });
    expect(receiver.metric("sample.delay")).toMatchObject({ ...common, type: "gauge", points: [{ value: 0.25 }] });
    expect(receiver.metric("sample.duration")).toMatchObject({
      ...common,
      type: "histogram",
      unit: "s",
      temporality: "CUMULATIVE",
      points: [
        {
          attributes: { model: "think" },
          count: 8,
          sum: 18.6,
          min: 0.05,
          max: 8,
          bounds: [0.1, 1],
          counts: [2, 4, 2],
        },
      ],
    });
    expect(receiver.metric("sample.nothing")).toBeUndefined();
  });

  test("keeps what was added since the last time", async () => {
    const receiver = await startReceiver();
    await writeMetrics(receiver, AggregationTemporality.DELTA);
    expect(receiver.metric("sample.requests")).toMatchObject({
      temporality: "DELTA",
      points: [{ value: 2 }, { value: 1 }],
    });
    expect(receiver.metric("sample.duration")).toMatchObject({ temporality: "DELTA", points: [{ count: 4 }] });
  });
});
