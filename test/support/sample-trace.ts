import {
  type AttributeValue,
  context,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from "@opentelemetry/api";
import { OTLPTraceExporter as GrpcTraceExporter } from "@opentelemetry/exporter-trace-otlp-grpc";
import { OTLPTraceExporter as HttpTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, type SpanExporter, TracerProvider } from "@opentelemetry/sdk-trace";
import type { SpanTree } from "./span-tree.ts";

/** Where a collector listens. */
export interface CollectorEndpoints {
  readonly httpEndpoint: string;
  readonly grpcEndpoint: string;
}

type Compression = NonNullable<NonNullable<ConstructorParameters<typeof HttpTraceExporter>[0]>["compression"]>;

/** An exporter's word for it. It is an enumeration of a package that is only a part of others. */
export const gzip = "gzip" as Compression;

/** An exporter of spans, of OpenTelemetry's own. */
export interface NamedExporter {
  readonly name: string;
  readonly transport: "http" | "grpc";
  readonly packed: boolean;
  create(endpoints: CollectorEndpoints, timeoutMillis?: number): SpanExporter;
}

function httpExporter(packed: boolean): NamedExporter {
  return {
    name: packed ? "OTLP/HTTP with gzip" : "OTLP/HTTP",
    transport: "http",
    packed,
    create: ({ httpEndpoint }, timeoutMillis = 10_000) =>
      new HttpTraceExporter({ url: `${httpEndpoint}/v1/traces`, timeoutMillis, ...(packed && { compression: gzip }) }),
  };
}

function grpcExporter(packed: boolean): NamedExporter {
  return {
    name: packed ? "OTLP/gRPC with gzip" : "OTLP/gRPC",
    transport: "grpc",
    packed,
    create: ({ grpcEndpoint }, timeoutMillis = 10_000) =>
      new GrpcTraceExporter({ url: grpcEndpoint, timeoutMillis, ...(packed && { compression: gzip }) }),
  };
}

/** The plain two. */
export const byHttp = httpExporter(false);
export const byGrpc = grpcExporter(false);

/** All that there are. */
export const traceExporters = [byHttp, byGrpc, httpExporter(true), grpcExporter(true)] as const;

/** What the sample's spans belong to. */
export const sampleResource = { "service.name": "sample", "service.instance.id": "sample-1", "sample.cores": 2 };

/** A trace to which the sample's links. */
export const linkedSpan: SpanContext = {
  traceId: "0af7651916cd43dd8448eb211c80319c",
  spanId: "b7ad6b7169203331",
  traceFlags: TraceFlags.SAMPLED,
};

/** Exact to the nanosecond. */
type Instant = [seconds: number, nanos: number];

const everyKind: Readonly<Record<string, AttributeValue>> = {
  "sample.text": "héllo 🦘",
  "sample.nothing": "",
  "sample.whole": 42,
  "sample.negative": -7,
  "sample.large": 2 ** 52 + 1,
  "sample.fraction": 0.125,
  "sample.yes": true,
  "sample.no": false,
  "sample.texts": ["a", 'b "<&>"'],
  "sample.numbers": [1, 0.5],
  "sample.nested": { candidates: [{ name: "first", tier: 1 }], count: 1 },
};

/** What `writeSampleTrace` writes, as a tree. */
export const sampleTree: SpanTree = {
  name: "POST /sample",
  kind: "SERVER",
  status: { code: "UNSET", message: "" },
  attributes: everyKind,
  events: [],
  links: [],
  children: [
    {
      name: "route sample",
      kind: "INTERNAL",
      status: { code: "OK", message: "" },
      attributes: {},
      events: [
        { name: "candidate", attributes: { "sample.tier": 1, "sample.texts": ["a", "b"] } },
        { name: "skip", attributes: {} },
      ],
      links: [{ traceId: linkedSpan.traceId, spanId: linkedSpan.spanId, attributes: { "sample.why": "opened" } }],
      children: [
        {
          name: "hop",
          kind: "CLIENT",
          status: { code: "ERROR", message: "it was refused" },
          attributes: { "error.type": "429" },
          events: [],
          links: [],
          children: [],
        },
        {
          name: "wait",
          kind: "INTERNAL",
          status: { code: "UNSET", message: "" },
          attributes: {},
          events: [],
          links: [],
          children: [],
        },
        {
          name: "hop",
          kind: "CLIENT",
          status: { code: "UNSET", message: "" },
          attributes: {},
          events: [],
          links: [],
          children: [],
        },
      ],
    },
    {
      name: "send",
      kind: "PRODUCER",
      status: { code: "UNSET", message: "" },
      attributes: {},
      events: [],
      links: [],
      children: [],
    },
  ],
};

const kindsByName = {
  INTERNAL: SpanKind.INTERNAL,
  SERVER: SpanKind.SERVER,
  CLIENT: SpanKind.CLIENT,
  PRODUCER: SpanKind.PRODUCER,
  CONSUMER: SpanKind.CONSUMER,
} as const;

/** When the sample's spans began and ended: one a millisecond after the other, each with some nanoseconds of its own. */
export function sampleInstant(second: number, millisecond: number): Instant {
  return [second, millisecond * 1_000_000 + 1_234];
}

/**
 * Writes the spans of `sampleTree` by OpenTelemetry's own SDK and gives them to an exporter, all at once.
 * @param second of the epoch, when it shall have happened
 * @param parent of its root, in another program
 */
export async function writeSampleTrace(
  exporter: SpanExporter,
  second: number,
  parent?: SpanContext,
): Promise<{ readonly traceId: string; readonly rootId: string }> {
  const provider = new TracerProvider({
    resource: resourceFromAttributes(sampleResource),
    spanProcessors: [new BatchSpanProcessor({ exporter })],
  });
  const tracer = provider.getTracer("sample-tracer", "1.2.3");
  const outside = parent ? trace.setSpanContext(context.active(), { ...parent, isRemote: true }) : context.active();
  let millisecond = 0;
  const now = () => sampleInstant(second, millisecond++);
  const write = (tree: SpanTree, within: typeof outside): SpanContext => {
    const span = tracer.startSpan(
      tree.name,
      {
        // UNSPECIFIED is not for programs to send.
        kind: kindsByName[tree.kind as keyof typeof kindsByName],
        attributes: tree.attributes as Record<string, AttributeValue>, // as they are above
        links: tree.links.map(({ attributes }) => ({
          context: linkedSpan,
          attributes: attributes as Record<string, AttributeValue>, // as above
        })),
        startTime: now(),
      },
      within,
    );
    for (const { name, attributes } of tree.events) {
      span.addEvent(name, attributes as Record<string, AttributeValue>, now()); // as above
    }
    for (const child of tree.children) write(child, trace.setSpan(within, span));
    const { code, message } = tree.status;
    if (code !== "UNSET") span.setStatus({ code: SpanStatusCode[code], ...(message && { message }) });
    span.end(now());
    return span.spanContext();
  };
  const root = write(sampleTree, outside);
  await provider.shutdown();
  return { traceId: root.traceId, rootId: root.spanId };
}
