import type { PushMetricExporter, ResourceMetrics } from "@opentelemetry/sdk-metrics";
import type { ReadableSpan, SpanExporter } from "@opentelemetry/sdk-trace";
import type { FinishedSpan } from "./span.ts";

/** A collector, or whatever else takes OTLP. */
export interface OtlpSettings {
  /** Of HTTP the base, to which `/v1/traces` and `/v1/metrics` are added. */
  readonly endpoint: string;
  readonly protocol: "http/protobuf" | "grpc";
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}

/** Who sends: attributes that every span and every figure has in common. */
export type ResourceAttributes = Readonly<Record<string, string>>;

/** Takes spans and metrics to a collector. OpenTelemetry's own exporters do, which are loaded when the first of them is asked for. */
export interface OtlpClient {
  /** @throws Error when the collector has not taken them (rejects) */
  sendSpans(spans: readonly FinishedSpan[], wallOffsetMs: number): Promise<void>;
  /** @throws Error when the collector has not taken them (rejects) */
  sendMetrics(scopeMetrics: ResourceMetrics["scopeMetrics"]): Promise<void>;
  /** Lets go of connections; what is under way may end. */
  close(): Promise<void>;
}

interface Loaded {
  readonly spans: SpanExporter;
  readonly metrics: PushMetricExporter;
  readonly resource: ReadableSpan["resource"];
}

/** @param scope what writes the spans: the product with its version */
export function createOtlpClient(
  settings: OtlpSettings,
  attributes: ResourceAttributes,
  scope: { readonly name: string; readonly version: string },
): OtlpClient {
  let loading: Promise<Loaded> | undefined;
  const loaded = () => {
    loading ??= load(settings, attributes);
    return loading;
  };
  return {
    async sendSpans(spans, wallOffsetMs) {
      const { spans: exporter, resource } = await loaded();
      const written = spans.map((span) => readable(span, { resource, scope, wallOffsetMs }));
      await sent((done) => exporter.export(written, done));
    },
    async sendMetrics(scopeMetrics) {
      const { metrics: exporter, resource } = await loaded();
      await sent((done) => exporter.export({ resource, scopeMetrics }, done));
    },
    async close() {
      if (!loading) return;
      const { spans, metrics } = await loading;
      await Promise.all([spans.shutdown(), metrics.shutdown()]);
    },
  };
}

function sent(send: (done: (result: { code: number; error?: Error }) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    send(({ code, error }) => {
      if (code === 0) resolve();
      else reject(error ?? new Error("not taken"));
    });
  });
}

async function load(settings: OtlpSettings, attributes: ResourceAttributes): Promise<Loaded> {
  const { resourceFromAttributes } = await import("@opentelemetry/resources");
  const resource = resourceFromAttributes(attributes);
  const { endpoint, protocol, headers, timeoutMs: timeoutMillis } = settings;
  if (protocol === "grpc") {
    const [{ OTLPTraceExporter }, { OTLPMetricExporter }, { Metadata }] = await Promise.all([
      import("@opentelemetry/exporter-trace-otlp-grpc"),
      import("@opentelemetry/exporter-metrics-otlp-grpc"),
      import("@grpc/grpc-js"),
    ]);
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(headers)) metadata.set(name.toLowerCase(), value);
    const options = { url: endpoint, timeoutMillis, metadata };
    return { spans: new OTLPTraceExporter(options), metrics: new OTLPMetricExporter(options), resource };
  }
  const [{ OTLPTraceExporter }, { OTLPMetricExporter }] = await Promise.all([
    import("@opentelemetry/exporter-trace-otlp-proto"),
    import("@opentelemetry/exporter-metrics-otlp-proto"),
  ]);
  const base = endpoint.replace(/\/+$/, "");
  const options = { timeoutMillis, headers: { ...headers } };
  return {
    spans: new OTLPTraceExporter({ ...options, url: `${base}/v1/traces` }),
    metrics: new OTLPMetricExporter({ ...options, url: `${base}/v1/metrics` }),
    resource,
  };
}

/** As numbers: OpenTelemetry's constants would be loaded for them. */
const kinds = { internal: 0, server: 1, client: 2 } as const;
const statusUnset = { code: 0 } as const;
const sampled = 1;

/** A span as OpenTelemetry's exporters take them. */
function readable(
  span: FinishedSpan,
  {
    resource,
    scope,
    wallOffsetMs,
  }: {
    readonly resource: ReadableSpan["resource"];
    readonly scope: { readonly name: string; readonly version: string };
    readonly wallOffsetMs: number;
  },
): ReadableSpan {
  const { traceId, parentSpanId, error, traceState } = span;
  const state = traceState === undefined ? {} : { traceState: writtenState(traceState) };
  const own = { traceId, spanId: span.spanId, traceFlags: sampled, ...state };
  const endedAt = Math.max(span.startedAt, span.endedAt);
  return {
    name: span.name,
    kind: kinds[span.kind],
    spanContext: () => own,
    ...(parentSpanId !== undefined && {
      parentSpanContext: { traceId, spanId: parentSpanId, traceFlags: sampled, isRemote: span.hasRemoteParent },
    }),
    startTime: hrTime(span.startedAt + wallOffsetMs),
    endTime: hrTime(endedAt + wallOffsetMs),
    duration: hrTime(endedAt - span.startedAt),
    status: error === undefined ? statusUnset : { code: 2, message: error },
    attributes: span.attributes as ReadableSpan["attributes"], // its lists are only ever read
    links: span.links.map((link) => ({
      context: { traceId: link.traceId, spanId: link.spanId, traceFlags: sampled },
      attributes: link.attributes as ReadableSpan["attributes"],
    })),
    events: span.events.map((event) => ({
      name: event.name,
      time: hrTime(event.at + wallOffsetMs),
      attributes: event.attributes as ReadableSpan["attributes"],
    })),
    ended: true,
    resource,
    instrumentationScope: scope,
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  };
}

/** A list of vendors' words that is passed on as it came. */
function writtenState(text: string) {
  const state = { get: () => undefined, set: () => state, unset: () => state, serialize: () => text };
  return state;
}

/** Seconds and nanoseconds. */
function hrTime(ms: number): [number, number] {
  const seconds = Math.floor(ms / 1000);
  return [seconds, Math.round((ms - seconds * 1000) * 1e6)];
}
