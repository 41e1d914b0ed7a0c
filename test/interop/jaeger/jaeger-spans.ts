import type { Attributes, ReceivedSpan, SpanKind, SpanStatus } from "../../support/otlp-messages.ts";
import { type SpanTree, treeOf } from "../../support/span-tree.ts";
import type { JaegerSpan, JaegerTag, JaegerTrace } from "./jaeger.ts";

/** A trace in Jaeger as the tree that it is, shaped as that of a collector. @throws Error as `treeOf` */
export function treeOfJaeger(trace: JaegerTrace): SpanTree {
  return treeOf(spansOf(trace), longId(trace.traceID));
}

/** The spans of a trace in Jaeger, as a collector tells them; what Jaeger does not keep is empty: `asJaegerKeeps` tells what. */
export function spansOf({ spans, processes }: JaegerTrace): ReceivedSpan[] {
  return spans.map((span) => {
    const { serviceName = "", tags = [] } = processes[span.processID] ?? {};
    return receivedSpan(span, { "service.name": serviceName, ...attributesOf(tags) });
  });
}

/** What Jaeger finds strange about a trace, such as a parent that is not there, or a span that leaves its parent's time. */
export function warningsOf({ spans, warnings }: JaegerTrace): string[] {
  const ofSpans = spans.flatMap((span) => (span.warnings ?? []).map((each) => `${span.operationName}: ${each}`));
  return [...(warnings ?? []), ...ofSpans];
}

/**
 * A tree as Jaeger keeps it. Lists and maps become JSON, links lose their attributes; for the rest it is the same, but for bytes and
 * whole numbers beyond 2^53, which it tells in letters. What is no plain value, such as a matcher, stays.
 */
export function asJaegerKeeps(tree: SpanTree): SpanTree {
  return {
    ...tree,
    attributes: inJson(tree.attributes),
    events: tree.events.map(({ name, attributes }) => ({ name, attributes: inJson(attributes) })),
    links: tree.links.map((link) => ({ ...link, attributes: {} })),
    children: tree.children.map(asJaegerKeeps),
  };
}

function inJson(attributes: Attributes): Attributes {
  return Object.fromEntries(
    Object.entries(attributes).map(([name, value]) => [name, isComposite(value) ? jsonOfGo(value) : value]),
  );
}

function isComposite(value: unknown): value is object {
  return Array.isArray(value) || (typeof value === "object" && value?.constructor === Object);
}

/** As Go writes it: names in their order, and no character that could end a script in a page. */
function jsonOfGo(value: object): string {
  const sorted = JSON.stringify(value, (_, each: unknown) =>
    isComposite(each) && !Array.isArray(each) ? Object.fromEntries(Object.entries(each).sort()) : each,
  );
  return sorted.replace(/[<>&\u2028\u2029]/g, (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function receivedSpan(span: JaegerSpan, resource: Attributes): ReceivedSpan {
  const tags = new Map(span.tags.map(({ key, value }) => [key, value]));
  /** Takes out a tag that Jaeger has made of a part of the span. */
  const take = (name: string): string => {
    const value = tags.get(name);
    tags.delete(name);
    return value === undefined ? "" : String(value);
  };
  const kind = (take("span.kind").toUpperCase() || "UNSPECIFIED") as SpanKind; // Jaeger's words are the same
  const code = (take("otel.status_code") || "UNSET") as SpanStatus["code"]; // these, too
  const message = take("otel.status_description");
  if (code === "ERROR" && tags.get("error") === true) tags.delete("error");
  const scope = { name: take("otel.scope.name"), version: take("otel.scope.version") };
  const traceState = take("w3c.tracestate");
  const parent = span.references.find(({ refType, traceID }) => refType === "CHILD_OF" && traceID === span.traceID);
  return {
    traceId: longId(span.traceID),
    spanId: span.spanID,
    parentSpanId: parent?.spanID ?? "",
    name: span.operationName,
    kind,
    startMs: span.startTime / 1000,
    endMs: (span.startTime + span.duration) / 1000,
    startNanos: BigInt(span.startTime) * 1000n,
    endNanos: BigInt(span.startTime + span.duration) * 1000n,
    attributes: Object.fromEntries(tags),
    events: span.logs.map(({ timestamp, fields }) => {
      const { event = "", ...attributes } = attributesOf(fields);
      return { name: String(event), timeMs: timestamp / 1000, attributes };
    }),
    links: span.references
      .filter((reference) => reference !== parent)
      .map(({ traceID, spanID }) => ({ traceId: longId(traceID), spanId: spanID, attributes: {} })),
    status: { code, message },
    traceState,
    flags: span.flags ?? 0,
    dropped: { attributes: 0, events: 0, links: 0 },
    resource,
    scope,
  };
}

function attributesOf(tags: readonly JaegerTag[]): Attributes {
  return Object.fromEntries(tags.map(({ key, value }) => [key, value]));
}

/** Jaeger leaves out the first half of an identifier when it is all zeros. */
function longId(traceId: string): string {
  return traceId.padStart(32, "0");
}
