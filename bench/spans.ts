import { ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer";
import { resourceFromAttributes } from "@opentelemetry/resources";
import type { ReadableSpan } from "@opentelemetry/sdk-trace";
import type { Endpoint } from "../src/routing/endpoint.ts";
import { createPool } from "../src/routing/pool.ts";
import { createTrail } from "../src/routing/trail.ts";
import { systemClock } from "../src/runtime/clock.ts";
import { encodeSpans } from "../src/telemetry/otlp-encoder.ts";
import { RequestRecord } from "../src/telemetry/request-record.ts";
import { requestSpans } from "../src/telemetry/request-spans.ts";
import type { FinishedSpan } from "../src/telemetry/span.ts";
import { table } from "./table.ts";

/* What the spans of a request with one hop take: to be made, to be written by ourselves, and by OpenTelemetry. `node bench/spans.ts` */

const batch = 128;
const batches = 400;

const endpoint: Endpoint = {
  ...{ id: "steady/bench-model", provider: "steady", upstreamModel: "bench-model", tier: 1, weight: 100 },
  ...{ enabled: true, keys: [], limits: { firstContentMs: 1000, totalMs: 1000 } },
};
const pool = createPool({ model: "bench", endpoints: [endpoint] });
const recording = { clock: systemClock, watcher: {}, samples: () => true, traces: () => true, content: false };

function record(number: number): RequestRecord {
  const ids = {
    traceId: number.toString(16).padStart(32, "4"),
    spanId: `${number.toString(16).padStart(12, "7")}0000`,
  };
  const made = new RequestRecord(recording, {
    ...ids,
    ...{ requestId: `req_${number.toString(16).padStart(24, "5")}`, parent: undefined, traceState: undefined },
    ...{ wire: "rest", method: "POST", path: "/v1/chat/completions", httpVersion: "1.1", isEncrypted: false },
    ...{ clientAddress: "127.0.0.1", host: "127.0.0.1:8000", userAgent: "bench" },
  });
  const trail = createTrail(pool, { ...ids, startedAt: systemClock.now() });
  const begun = { startTimeMs: systemClock.wallTime(), startedAt: systemClock.now() };
  const attempt = trail.attempt({ endpoint, key: undefined, permit: "normal" }, begun, undefined);
  Object.assign(attempt, {
    ...{
      httpStatus: 200,
      durationMs: number / 7,
      outcome: "ok",
      responseModel: "bench-model",
      finishReasons: ["stop"],
    },
    usage: { inputTokens: 17 + number, outputTokens: 9, cachedInputTokens: 0, reasoningTokens: 0 },
  });
  Object.assign(made, { operation: "/v1/chat/completions", caller: "bench", streams: false, trail, httpStatus: 200 });
  made.release();
  return made;
}

const resource = { "service.name": "everhop", "host.name": "bench" };
const scope = { name: "everhop", version: "1" };
const kinds = { internal: 0, server: 1, client: 2 } as const;

/** A span as OpenTelemetry's encoder takes it. */
function readable(span: FinishedSpan, from: ReadableSpan["resource"]): ReadableSpan {
  const attributes: Record<string, unknown> = {};
  for (let at = 0; at < span.attributes.length; at += 2)
    attributes[String(span.attributes[at])] = span.attributes[at + 1];
  const time = (ms: number): [number, number] => [Math.floor(ms / 1000), Math.round((ms % 1000) * 1e6)];
  const { traceId, spanId, parentSpanId } = span;
  return {
    ...{ name: span.name, kind: kinds[span.kind], spanContext: () => ({ traceId, spanId, traceFlags: 1 }) },
    ...(parentSpanId !== undefined && { parentSpanContext: { traceId, spanId: parentSpanId, traceFlags: 1 } }),
    ...{ startTime: time(span.startedAt), endTime: time(span.endedAt), duration: time(span.endedAt - span.startedAt) },
    ...{ status: { code: 0 }, links: [], events: [], ended: true, resource: from, instrumentationScope: scope },
    ...{ droppedAttributesCount: 0, droppedEventsCount: 0, droppedLinksCount: 0 },
    attributes: attributes as ReadableSpan["attributes"], // of the kinds that it takes
  };
}

/** CPU time of a step over a batch, per request. */
function cost(step: () => void): number {
  for (let warm = 0; warm < 50; warm++) step();
  const before = process.cpuUsage();
  for (let count = 0; count < batches; count++) step();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / (batches * batch);
}

const records = Array.from({ length: batch }, (_, index) => record(index + 1));
const rendered = () => records.flatMap((each) => requestSpans(each, "sampled", { describe: () => undefined }));
const spans = rendered();
const theirResource = resourceFromAttributes(resource);
const theirs = spans.map((span) => readable(span, theirResource));
const rows: [string, number][] = [
  ["making the spans", cost(() => void rendered())],
  ["writing them ourselves", cost(() => void encodeSpans(spans, { resource, scope }, 1.7e12))],
  ["writing them by OpenTelemetry", cost(() => void ProtobufTraceSerializer.serializeRequest(theirs))],
];
console.log(
  table(
    ["a request of one hop", "CPU µs"],
    rows.map(([name, us]) => [name, us.toFixed(1)]),
    [0],
  ),
);
