import { type Rng, randomHex } from "./rng.ts";

/** What a request's sender says of the trace that it belongs to: W3C Trace Context, level 1. */
export interface TraceParent {
  /** 32 lower-case hexadecimal digits, not all zero. */
  readonly traceId: string;
  /** The sender's span: 16 digits, not all zero. */
  readonly spanId: string;
  /** Whether the sender may have recorded it. */
  readonly sampled: boolean;
}

const pattern = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/;

/** Reads a `traceparent`; undefined when it is none: then the trace begins here. */
export function parseTraceParent(text: string | null | undefined): TraceParent | undefined {
  const [, version, traceId = "", spanId = "", flags = "", more] = (text && pattern.exec(text)) || [];
  // Later versions may say more; the first one may not.
  if (version === undefined || version === "ff" || (version === "00" && more !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

/** A `traceparent` for whoever is asked next. */
export function traceParentOf({ traceId, spanId, sampled }: TraceParent): string {
  return `00-${traceId}-${spanId}-${sampled ? "01" : "00"}`;
}

/** Vendors' own words beside it, at most as much as must be passed on; whatever is no such list is dropped. */
export function parseTraceState(text: string | null | undefined): string | undefined {
  return text && text.length <= 512 && /^[\x20-\x7e]+$/.test(text) && text.includes("=") ? text : undefined;
}

/**
 * The id of a request's own span. Its last four digits are zero: those of the request's other spans differ in them alone, so none of
 * them needs to be kept, or made before somebody asks for it. The rest is 48 bits of chance, within one trace.
 */
export function requestSpanId(rng: Rng): string {
  return `${randomHex(rng, 12)}0000`;
}

/** The id of a request's span by its number, from 1 to 65,535. */
export function childSpanId(requestSpan: string, number: number): string {
  return requestSpan.slice(0, 12) + number.toString(16).padStart(4, "0");
}

/** Numbers of a request's spans: its routing, then its hops and its waits by their positions from 1. */
export const spanNumbers = { route: 1, hop: 0x1000, wait: 0x2000 } as const;

/** The id of the span of an attempt by its position, from 1. */
export function hopSpanId(requestSpan: string, attempt: number): string {
  return childSpanId(requestSpan, spanNumbers.hop + attempt);
}
