import type { Attributes, ReceivedSpan, SpanKind, SpanStatus } from "./otlp-messages.ts";

/** A trace without what differs from run to run, its times and identifiers, but for those that links name. */
export interface SpanTree {
  readonly name: string;
  readonly kind: SpanKind;
  readonly status: SpanStatus;
  readonly attributes: Attributes;
  readonly events: readonly { readonly name: string; readonly attributes: Attributes }[];
  readonly links: readonly { readonly traceId: string; readonly spanId: string; readonly attributes: Attributes }[];
  /** In the order in which they began; of those that began in the same microsecond, the shorter first, then by name. */
  readonly children: readonly SpanTree[];
}

/** Spans whose parent is not among them. */
export function rootsOf(spans: readonly ReceivedSpan[]): ReceivedSpan[] {
  const known = new Set(spans.map(({ spanId }) => spanId));
  return spans.filter(({ parentSpanId }) => !known.has(parentSpanId));
}

/**
 * The spans of a trace as the tree that they are. Its root may have a parent in another program.
 * @throws Error unless every span came once and hangs on one root
 */
export function treeOf(spans: readonly ReceivedSpan[], traceId: string): SpanTree {
  const ofTrace = spans.filter((span) => span.traceId === traceId);
  const roots = rootsOf(ofTrace);
  const [root] = roots;
  if (!root || roots.length > 1) throw new Error(`trace ${traceId} has ${roots.length} roots:\n${told(ofTrace)}`);
  const byParent = Map.groupBy(ofTrace, ({ parentSpanId }) => parentSpanId);
  let placed = 0;
  const grow = (span: ReceivedSpan): SpanTree => {
    placed++;
    return {
      name: span.name,
      kind: span.kind,
      status: span.status,
      attributes: span.attributes,
      events: span.events.map(({ name, attributes }) => ({ name, attributes })),
      links: span.links.map(({ traceId, spanId, attributes }) => ({ traceId, spanId, attributes })),
      children: (byParent.get(span.spanId) ?? []).toSorted(inOrder).map(grow),
    };
  };
  const ids = new Set(ofTrace.map(({ spanId }) => spanId));
  if (ids.size < ofTrace.length) throw new Error(`trace ${traceId} has a span twice:\n${told(ofTrace)}`);
  const tree = grow(root);
  if (placed < ofTrace.length) throw new Error(`trace ${traceId} goes in a circle:\n${told(ofTrace)}`);
  return tree;
}

/** One line a span, for messages. */
export function told(spans: readonly ReceivedSpan[]): string {
  return spans
    .map(({ traceId, spanId, parentSpanId, name }) => `${traceId} ${parentSpanId || "-"} → ${spanId} ${name}`)
    .join("\n");
}

// In microseconds, for that is what Jaeger keeps: both receivers shall tell the same tree.
function inOrder(a: ReceivedSpan, b: ReceivedSpan): number {
  return startOf(a) - startOf(b) || lengthOf(a) - lengthOf(b) || Number(a.name > b.name) - Number(a.name < b.name);
}

function startOf({ startNanos }: ReceivedSpan): number {
  return Number(startNanos / 1000n);
}

function lengthOf({ startNanos, endNanos }: ReceivedSpan): number {
  return Number((endNanos - startNanos) / 1000n);
}
