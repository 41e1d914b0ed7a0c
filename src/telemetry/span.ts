/** A value that OpenTelemetry can carry. */
export type AttributeValue = string | number | boolean | readonly string[];

/** Names and values in turn: what is written once and read once needs no more than that. */
export type Attributes = readonly AttributeValue[];

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

/** Gathers attributes; those that are not known are left out. */
export class AttributeList {
  readonly all: AttributeValue[] = [];

  set(name: string, value: AttributeValue | undefined): this {
    if (value !== undefined) this.all.push(name, value);
    return this;
  }
}
