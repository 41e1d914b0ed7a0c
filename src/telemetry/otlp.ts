import type { PushMetricExporter, ResourceMetrics } from "@opentelemetry/sdk-metrics";
import { encodeSpans, type SpanSource } from "./otlp-encoder.ts";
import type { FinishedSpan } from "./span.ts";

/** A collector, or whatever else takes OTLP. */
export interface OtlpSettings {
  /** Of HTTP the base, to which `/v1/traces` and `/v1/metrics` are added. */
  readonly endpoint: string;
  readonly protocol: "http/protobuf" | "grpc";
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}

/**
 * Takes spans and metrics to a collector. OpenTelemetry's own exporters do, which are loaded when the first of them is asked for; the
 * spans alone are written by ourselves.
 */
export interface OtlpClient {
  /** @throws Error when the collector has not taken them (rejects) */
  sendSpans(spans: readonly FinishedSpan[], wallOffsetMs: number): Promise<void>;
  /** @throws Error when the collector has not taken them (rejects) */
  sendMetrics(scopeMetrics: ResourceMetrics["scopeMetrics"]): Promise<void>;
  /** Lets go of connections; what is under way may end. */
  close(): Promise<void>;
}

/** Spans to be sent, and what is to be added to their times. */
interface Batch {
  readonly spans: readonly FinishedSpan[];
  readonly wallOffsetMs: number;
}

interface Loaded {
  readonly spans: {
    export(batch: Batch, done: (result: { code: number; error?: Error }) => void): void;
    shutdown(): Promise<void>;
  };
  readonly metrics: PushMetricExporter;
  /** Whether what was sent last was answered with a page for people. */
  isPage(): boolean;
  readonly resource: ResourceMetrics["resource"];
}

/**
 * @param resource who sends: attributes that every span and every figure has in common
 * @param scope what has made them: the product with its version
 */
export function createOtlpClient(
  settings: OtlpSettings,
  resource: SpanSource["resource"],
  scope: SpanSource["scope"],
): OtlpClient {
  let loading: Promise<Loaded> | undefined;
  const loaded = () => {
    loading ??= load(settings, { resource, scope });
    return loading;
  };
  return {
    async sendSpans(spans, wallOffsetMs) {
      const { spans: exporter, isPage } = await loaded();
      await sent((done) => exporter.export({ spans, wallOffsetMs }, done));
      if (isPage()) throw new Error("it answers with a page: is that its port for OTLP?");
    },
    async sendMetrics(scopeMetrics) {
      const { metrics: exporter, resource: sender } = await loaded();
      await sent((done) => exporter.export({ resource: sender, scopeMetrics }, done));
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

async function load(settings: OtlpSettings, source: SpanSource): Promise<Loaded> {
  const { resourceFromAttributes } = await import("@opentelemetry/resources");
  const resource = resourceFromAttributes(source.resource);
  const { endpoint, protocol, headers, timeoutMs: timeoutMillis } = settings;
  let isPage = false;
  const serializer = {
    serializeRequest({ spans, wallOffsetMs }: Batch) {
      isPage = false;
      return encodeSpans(spans, source, wallOffsetMs);
    },
    // Whoever answers with a page has taken nothing. What else a collector says beside having taken them is not read.
    deserializeResponse(answer: Uint8Array) {
      isPage = /^\s*</.test(Buffer.from(answer.subarray(0, 64)).toString("latin1"));
      return {};
    },
  };
  const counting = { name: "span", countItems: ({ spans }: Batch) => spans.length } as const;
  if (protocol === "grpc") {
    const [{ convertLegacyOtlpGrpcOptions, createOtlpGrpcExportDelegate }, { OTLPMetricExporter }, { Metadata }] =
      await Promise.all([
        import("@opentelemetry/otlp-grpc-exporter-base"),
        import("@opentelemetry/exporter-metrics-otlp-grpc"),
        import("@grpc/grpc-js"),
      ]);
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(headers)) metadata.set(name.toLowerCase(), value);
    const options = { url: endpoint, timeoutMillis, metadata };
    const spans = createOtlpGrpcExportDelegate(
      ...([convertLegacyOtlpGrpcOptions(options, "TRACES"), serializer, "otlp_grpc_span_exporter", counting] as const),
      ...([undefined, "TraceExportService", "/opentelemetry.proto.collector.trace.v1.TraceService/Export"] as const),
    );
    return { spans, metrics: new OTLPMetricExporter(options), resource, isPage: () => isPage };
  }
  const [{ convertLegacyHttpOptions, createOtlpHttpExportDelegate }, { OTLPMetricExporter }] = await Promise.all([
    import("@opentelemetry/otlp-exporter-base/node-http"),
    import("@opentelemetry/exporter-metrics-otlp-proto"),
  ]);
  const base = endpoint.replace(/\/+$/, "");
  const options = { timeoutMillis, headers: { ...headers } };
  const toTraces = convertLegacyHttpOptions({ ...options, url: `${base}/v1/traces` }, "TRACES", "v1/traces", {
    "Content-Type": "application/x-protobuf",
  });
  return {
    spans: createOtlpHttpExportDelegate(toTraces, serializer, "otlp_http_span_exporter", counting, undefined),
    metrics: new OTLPMetricExporter({ ...options, url: `${base}/v1/metrics` }),
    resource,
    isPage: () => isPage,
  };
}
