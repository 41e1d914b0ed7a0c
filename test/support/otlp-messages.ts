import { type Kind, kinds, many, maybe, message, one, readMessage } from "./protobuf-reader.ts";

/** Attributes by name. Whole numbers are numbers, or bigints beyond what a number holds; bytes are hexadecimal digits. */
export type Attributes = Readonly<Record<string, unknown>>;

/** The six there are; `UNSPECIFIED` should never come. */
export type SpanKind = "UNSPECIFIED" | "INTERNAL" | "SERVER" | "CLIENT" | "PRODUCER" | "CONSUMER";

/** How a span ended. */
export interface SpanStatus {
  readonly code: "UNSET" | "OK" | "ERROR";
  readonly message: string;
}

/** A span as a collector has received it. */
export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** `""`: none. */
  readonly parentSpanId: string;
  readonly name: string;
  readonly kind: SpanKind;
  /** Since the epoch; `startNanos` is exact. */
  readonly startMs: number;
  readonly endMs: number;
  readonly startNanos: bigint;
  readonly endNanos: bigint;
  readonly attributes: Attributes;
  readonly events: readonly { readonly name: string; readonly timeMs: number; readonly attributes: Attributes }[];
  readonly links: readonly { readonly traceId: string; readonly spanId: string; readonly attributes: Attributes }[];
  readonly status: SpanStatus;
  readonly traceState: string;
  /** The low eight bits are those of `traceparent`; 0x100 says that 0x200 is known, 0x200 that the parent is another program's. */
  readonly flags: number;
  readonly dropped: { readonly attributes: number; readonly events: number; readonly links: number };
  readonly resource: Attributes;
  readonly scope: { readonly name: string; readonly version: string };
}

interface Point {
  readonly attributes: Attributes;
  readonly startMs: number;
  readonly timeMs: number;
}

/** One value of a gauge or a sum. */
export interface NumberPoint extends Point {
  readonly value: number | bigint;
}

/** One distribution. `counts` has one more than `bounds`. */
export interface HistogramPoint extends Point {
  readonly count: number;
  readonly sum: number | undefined;
  readonly min: number | undefined;
  readonly max: number | undefined;
  readonly bounds: readonly number[];
  readonly counts: readonly number[];
}

/** A metric as one export brought it. */
export type ReceivedMetric = {
  readonly name: string;
  readonly description: string;
  readonly unit: string;
  readonly resource: Attributes;
  readonly scope: { readonly name: string; readonly version: string };
} & (
  | { readonly type: "gauge"; readonly points: readonly NumberPoint[] }
  | {
      readonly type: "sum";
      readonly monotonic: boolean;
      readonly temporality: Temporality;
      readonly points: readonly NumberPoint[];
    }
  | { readonly type: "histogram"; readonly temporality: Temporality; readonly points: readonly HistogramPoint[] }
  | { readonly type: "other"; readonly points: readonly never[] }
);

/** Whether points tell what was added since the last export, or since the start. */
export type Temporality = "UNSPECIFIED" | "DELTA" | "CUMULATIVE";

/** Reads the body of an export of spans. @throws RangeError when it is none */
export function readSpans(body: Buffer): ReceivedSpan[] {
  return readMessage(body, traceExport).resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ scope, spans }) => spans.map((span) => receivedSpan(span, resource, scope))),
  );
}

/** Reads the body of an export of metrics. @throws RangeError when it is none */
export function readMetrics(body: Buffer): ReceivedMetric[] {
  return readMessage(body, metricsExport).resourceMetrics.flatMap(({ resource, scopeMetrics }) =>
    scopeMetrics.flatMap(({ scope, metrics }) => metrics.map((metric) => receivedMetric(metric, resource, scope))),
  );
}

const spanKinds: readonly SpanKind[] = ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"];
const statusCodes: readonly SpanStatus["code"][] = ["UNSET", "OK", "ERROR"];
const temporalities: readonly Temporality[] = ["UNSPECIFIED", "DELTA", "CUMULATIVE"];

// The numbers below are those of opentelemetry/proto, version 1.

const anyValue: Kind<unknown> = {
  wireType: 2,
  absent: () => undefined,
  read: (raw) => {
    const { array, list, ...single } = anyValueFields.read(raw);
    if (array) return array.values;
    if (list) return attributesOf(list.values);
    return Object.values(single).find((value) => value !== undefined);
  },
};
const keyValue = message({ key: one(1, kinds.text), value: one(2, anyValue) });
const anyValueFields = message({
  text: maybe(1, kinds.text),
  bool: maybe(2, kinds.bool),
  int: maybe(3, kinds.int64),
  double: maybe(4, kinds.double),
  array: maybe(5, message({ values: many(1, anyValue) })),
  list: maybe(6, message({ values: many(1, keyValue) })),
  bytes: maybe(7, kinds.hex),
});

const resource = message({ attributes: many(1, keyValue) });
const scope = message({ name: one(1, kinds.text), version: one(2, kinds.text) });

const event = message({
  time: one(1, kinds.fixed64),
  name: one(2, kinds.text),
  attributes: many(3, keyValue),
});
const link = message({
  traceId: one(1, kinds.hex),
  spanId: one(2, kinds.hex),
  attributes: many(4, keyValue),
});
const span = message({
  traceId: one(1, kinds.hex),
  spanId: one(2, kinds.hex),
  traceState: one(3, kinds.text),
  parentSpanId: one(4, kinds.hex),
  name: one(5, kinds.text),
  kind: one(6, kinds.uint32),
  start: one(7, kinds.fixed64),
  end: one(8, kinds.fixed64),
  attributes: many(9, keyValue),
  droppedAttributes: one(10, kinds.uint32),
  events: many(11, event),
  droppedEvents: one(12, kinds.uint32),
  links: many(13, link),
  droppedLinks: one(14, kinds.uint32),
  status: one(15, message({ message: one(2, kinds.text), code: one(3, kinds.uint32) })),
  flags: one(16, kinds.fixed32),
});
const traceExport = message({
  resourceSpans: many(
    1,
    message({
      resource: one(1, resource),
      scopeSpans: many(2, message({ scope: one(1, scope), spans: many(2, span) })),
    }),
  ),
});

const numberPoint = message({
  start: one(2, kinds.fixed64),
  time: one(3, kinds.fixed64),
  double: maybe(4, kinds.double),
  int: maybe(6, kinds.sfixed64),
  attributes: many(7, keyValue),
});
const histogramPoint = message({
  start: one(2, kinds.fixed64),
  time: one(3, kinds.fixed64),
  count: one(4, kinds.fixed64),
  sum: maybe(5, kinds.double),
  counts: many(6, kinds.fixed64),
  bounds: many(7, kinds.double),
  attributes: many(9, keyValue),
  min: maybe(11, kinds.double),
  max: maybe(12, kinds.double),
});
const metric = message({
  name: one(1, kinds.text),
  description: one(2, kinds.text),
  unit: one(3, kinds.text),
  gauge: maybe(5, message({ points: many(1, numberPoint) })),
  sum: maybe(
    7,
    message({ points: many(1, numberPoint), temporality: one(2, kinds.uint32), monotonic: one(3, kinds.bool) }),
  ),
  histogram: maybe(9, message({ points: many(1, histogramPoint), temporality: one(2, kinds.uint32) })),
});
const metricsExport = message({
  resourceMetrics: many(
    1,
    message({
      resource: one(1, resource),
      scopeMetrics: many(2, message({ scope: one(1, scope), metrics: many(2, metric) })),
    }),
  ),
});

type Of<K> = K extends Kind<infer T> ? T : never;

function attributesOf(list: readonly { readonly key: string; readonly value: unknown }[]): Attributes {
  return Object.fromEntries(list.map(({ key, value }) => [key, value]));
}

/** Milliseconds since the epoch, as exact as a number can tell them. */
function millis(nanos: bigint): number {
  return Number(nanos / 1_000_000n) + Number(nanos % 1_000_000n) / 1e6;
}

function receivedSpan(
  from: Of<typeof span>,
  { attributes }: Of<typeof resource>,
  madeBy: Of<typeof scope>,
): ReceivedSpan {
  return {
    traceId: from.traceId,
    spanId: from.spanId,
    parentSpanId: from.parentSpanId,
    name: from.name,
    kind: spanKinds[from.kind] ?? "UNSPECIFIED",
    startMs: millis(from.start),
    endMs: millis(from.end),
    startNanos: from.start,
    endNanos: from.end,
    attributes: attributesOf(from.attributes),
    events: from.events.map((each) => ({
      name: each.name,
      timeMs: millis(each.time),
      attributes: attributesOf(each.attributes),
    })),
    links: from.links.map((each) => ({ ...each, attributes: attributesOf(each.attributes) })),
    status: { code: statusCodes[from.status.code] ?? "UNSET", message: from.status.message },
    traceState: from.traceState,
    flags: from.flags,
    dropped: { attributes: from.droppedAttributes, events: from.droppedEvents, links: from.droppedLinks },
    resource: attributesOf(attributes),
    scope: madeBy,
  };
}

function receivedMetric(
  { name, description, unit, gauge, sum, histogram }: Of<typeof metric>,
  { attributes }: Of<typeof resource>,
  madeBy: Of<typeof scope>,
): ReceivedMetric {
  const common = { name, description, unit, resource: attributesOf(attributes), scope: madeBy };
  if (gauge) return { ...common, type: "gauge", points: gauge.points.map(receivedNumber) };
  if (sum) {
    const temporality = temporalities[sum.temporality] ?? "UNSPECIFIED";
    return { ...common, type: "sum", monotonic: sum.monotonic, temporality, points: sum.points.map(receivedNumber) };
  }
  if (histogram) {
    const temporality = temporalities[histogram.temporality] ?? "UNSPECIFIED";
    return { ...common, type: "histogram", temporality, points: histogram.points.map(receivedHistogram) };
  }
  return { ...common, type: "other", points: [] };
}

function receivedNumber({ attributes, start, time, double, int }: Of<typeof numberPoint>): NumberPoint {
  return {
    attributes: attributesOf(attributes),
    startMs: millis(start),
    timeMs: millis(time),
    value: double ?? int ?? Number.NaN,
  };
}

function receivedHistogram(from: Of<typeof histogramPoint>): HistogramPoint {
  return {
    attributes: attributesOf(from.attributes),
    startMs: millis(from.start),
    timeMs: millis(from.time),
    count: Number(from.count),
    sum: from.sum,
    min: from.min,
    max: from.max,
    bounds: from.bounds,
    counts: from.counts.map(Number),
  };
}
