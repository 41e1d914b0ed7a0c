/** A value that OpenTelemetry can carry. */
export type AttributeValue = string | number | boolean | readonly string[];

export type Attributes = Readonly<Record<string, AttributeValue>>;

/** A span that has ended, as plain as it can be: whoever sends it knows how it is to be written. Times are monotonic ms. */
export interface FinishedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** Undefined: the trace begins here. */
  readonly parentSpanId: string | undefined;
  /** Whether the parent is another process's. */
  readonly hasRemoteParent: boolean;
  readonly traceState: string | undefined;
  readonly name: string;
  readonly kind: "server" | "client" | "internal";
  readonly startedAt: number;
  readonly endedAt: number;
  readonly attributes: Attributes;
  readonly events: readonly SpanEvent[];
  readonly links: readonly SpanLink[];
  /** What went wrong, for people; undefined: nothing. */
  readonly error: string | undefined;
}

export interface SpanEvent {
  readonly name: string;
  readonly at: number;
  readonly attributes: Attributes;
}

/** Another span that has to do with it. */
export interface SpanLink {
  readonly traceId: string;
  readonly spanId: string;
  readonly attributes: Attributes;
}

/** Attributes, without those that are not known. */
export function attributesOf(all: Readonly<Record<string, AttributeValue | undefined>>): Attributes {
  const known: Record<string, AttributeValue> = {};
  for (const name in all) {
    const value = all[name];
    if (value !== undefined) known[name] = value;
  }
  return known;
}
