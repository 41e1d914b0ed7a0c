import type { Attributes, AttributeValue, FinishedSpan } from "./span.ts";

/*
 * Spans as OTLP's protobuf: opentelemetry/proto/trace/v1/trace.proto. Written by hand, for it is done for every request that is kept, and
 * most of what spans say is said again and again: what was encoded once is copied. OpenTelemetry's own encoder takes four times as long.
 */

/** Who sends, and what has made the spans. */
export interface SpanSource {
  readonly resource: Readonly<Record<string, string>>;
  readonly scope: { readonly name: string; readonly version: string };
}

const kinds = { internal: 1, server: 2, client: 3 } as const;
const statusError = 2;
/** Recorded; and whether the parent is another process's: known, and so. */
const flags = { sampled: 1, remoteKnown: 0x100, remote: 0x200 } as const;

/** Encodes an ExportTraceServiceRequest. @param wallOffsetMs what is to be added to monotonic times to have the time of day */
export function encodeSpans(spans: readonly FinishedSpan[], source: SpanSource, wallOffsetMs: number): Uint8Array {
  const writer = new Writer();
  writer.message(field(1, 2), () => {
    writer.message(field(1, 2), () => {
      for (const [name, value] of Object.entries(source.resource)) writer.attribute(field(1, 2), name, value);
    });
    writer.message(field(2, 2), () => {
      writer.message(field(1, 2), () => {
        writer.text(field(1, 2), source.scope.name);
        writer.text(field(2, 2), source.scope.version);
      });
      for (const span of spans) writer.span(field(2, 2), span, wallOffsetMs);
    });
  });
  return writer.bytes();
}

/** A field's number and how it is written, which is one byte for numbers below 16. */
function field(number: number, wireType: 0 | 1 | 2): number {
  return (number << 3) | wireType;
}

/** Lengths that are not known before what they are of has been written take as many bytes, whatever they are. */
const reserved = 4;

const encoder = new TextEncoder();

/** Attributes that were written before, as they were written. */
const known = new Map<string, Map<AttributeValue, Uint8Array>>();
/** Values of one name; what has more is different in every request. */
const mostKnown = 64;
const mostNames = 256;
const mostBytes = 256;
/** Characters of a name and its value whose message is shorter than 128 bytes. */
const mostShort = 120;
/** Names that have had too many values to be worth remembering. */
const various = new Set<string>();

class Writer {
  #buffer = Buffer.allocUnsafe(256 * 1024);
  #length = 0;

  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  /** Makes room for so many bytes. */
  #need(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + bytes));
    larger.set(this.bytes());
    this.#buffer = larger;
  }

  message(tag: number, write: () => void): void {
    const begin = this.#begin(tag);
    write();
    this.#end(begin);
  }

  #begin(tag: number): number {
    this.#need(1 + reserved);
    this.#buffer[this.#length] = tag;
    this.#length += 1 + reserved;
    return this.#length;
  }

  /** A varint may be longer than it need be. */
  #end(begin: number): void {
    let rest = this.#length - begin;
    for (let at = begin - reserved; at < begin; at++) {
      this.#buffer[at] = (rest & 0x7f) | (at < begin - 1 ? 0x80 : 0);
      rest >>>= 7;
    }
  }

  span(tag: number, span: FinishedSpan, wallOffsetMs: number): void {
    const { traceState, parentSpanId, error } = span;
    const begin = this.#begin(tag);
    this.#id(field(1, 2), span.traceId);
    this.#id(field(2, 2), span.spanId);
    if (traceState !== undefined) this.text(field(3, 2), traceState);
    if (parentSpanId !== undefined) this.#id(field(4, 2), parentSpanId);
    this.text(field(5, 2), span.name);
    this.#number(field(6, 0), kinds[span.kind]);
    this.#time(field(7, 1), span.startedAt + wallOffsetMs);
    this.#time(field(8, 1), Math.max(span.startedAt, span.endedAt) + wallOffsetMs);
    this.#attributes(field(9, 2), span.attributes);
    for (const { name, at, attributes } of span.events) {
      const beginEvent = this.#begin(field(11, 2));
      this.#time(field(1, 1), at + wallOffsetMs);
      this.text(field(2, 2), name);
      this.#attributes(field(3, 2), attributes);
      this.#end(beginEvent);
    }
    for (const { traceId, spanId, attributes } of span.links) {
      const beginLink = this.#begin(field(13, 2));
      this.#id(field(1, 2), traceId);
      this.#id(field(2, 2), spanId);
      this.#attributes(field(4, 2), attributes);
      this.#end(beginLink);
    }
    if (error !== undefined) {
      const beginStatus = this.#begin(field(15, 2));
      this.text(field(2, 2), error);
      this.#number(field(3, 0), statusError);
      this.#end(beginStatus);
    }
    // Its tag is the only one that takes two bytes.
    this.#need(6);
    this.#buffer[this.#length++] = 0x85;
    this.#buffer[this.#length++] = 0x01;
    const parent = parentSpanId === undefined ? 0 : flags.remoteKnown | (span.hasRemoteParent ? flags.remote : 0);
    this.#length = this.#buffer.writeUInt32LE(flags.sampled | parent, this.#length);
    this.#end(begin);
  }

  #attributes(tag: number, attributes: Attributes): void {
    for (let index = 0; index < attributes.length; index += 2) {
      this.attribute(tag, attributes[index] as string, attributes[index + 1] as AttributeValue); // they come in pairs
    }
  }

  attribute(tag: number, name: string, value: AttributeValue): void {
    const seen = known.get(name)?.get(value);
    if (seen) {
      this.#need(1 + seen.length);
      this.#buffer[this.#length] = tag;
      this.#buffer.set(seen, this.#length + 1);
      this.#length += 1 + seen.length;
      return;
    }
    const from = this.#length;
    if (typeof value === "string" && name.length + value.length < mostShort && isAscii(name) && isAscii(value)) {
      this.#shortAttribute(tag, name, value);
      remember(name, value, Uint8Array.prototype.slice.call(this.#buffer, from + 1, this.#length));
      return;
    }
    const begin = this.#begin(tag);
    this.text(field(1, 2), name);
    const beginValue = this.#begin(field(2, 2));
    this.#value(value);
    this.#end(beginValue);
    this.#end(begin);
    const length = this.#length - from;
    if (typeof value !== "object" && length <= mostBytes)
      remember(name, value, Uint8Array.prototype.slice.call(this.#buffer, from + 1, this.#length));
  }

  /** Most of them: every length in it is known beforehand, and takes one byte. */
  #shortAttribute(tag: number, name: string, value: string): void {
    this.#need(10 + name.length + value.length);
    const buffer = this.#buffer;
    buffer[this.#length++] = tag;
    buffer[this.#length++] = name.length + value.length + 6;
    this.#short(field(1, 2), name);
    buffer[this.#length++] = field(2, 2);
    buffer[this.#length++] = value.length + 2;
    this.#short(field(1, 2), value);
  }

  /** A text that is known to be short and ASCII. */
  #short(tag: number, text: string): void {
    const buffer = this.#buffer;
    let at = this.#length;
    buffer[at++] = tag;
    buffer[at++] = text.length;
    for (let index = 0; index < text.length; index++) buffer[at++] = text.charCodeAt(index);
    this.#length = at;
  }

  #value(value: AttributeValue): void {
    if (typeof value === "string") this.text(field(1, 2), value, true);
    else if (typeof value === "boolean") this.#number(field(2, 0), value ? 1 : 0);
    else if (typeof value === "number") {
      if (Number.isSafeInteger(value) && value >= 0) this.#number(field(3, 0), value);
      else this.#double(field(4, 1), value);
    } else {
      const begin = this.#begin(field(5, 2));
      for (const each of value) {
        const beginEach = this.#begin(field(1, 2));
        this.text(field(1, 2), each, true);
        this.#end(beginEach);
      }
      this.#end(begin);
    }
  }

  /** @param isOneOf whether it must be written although it is empty: there it tells which of several it is */
  text(tag: number, text: string, isOneOf = false): void {
    if (text.length === 0 && !isOneOf) return;
    // Three bytes for each unit at most.
    this.#need(1 + reserved + text.length * 3);
    if (text.length < 128 && isAscii(text)) {
      this.#short(tag, text);
      return;
    }
    const begin = this.#begin(tag);
    this.#length += encoder.encodeInto(text, this.#buffer.subarray(begin)).written;
    this.#end(begin);
  }

  /** Hexadecimal digits as bytes. */
  #id(tag: number, hex: string): void {
    this.#need(2 + hex.length / 2);
    this.#buffer[this.#length++] = tag;
    this.#buffer[this.#length++] = hex.length / 2;
    for (let index = 0; index < hex.length; index += 2) {
      this.#buffer[this.#length++] = (digit(hex.charCodeAt(index)) << 4) | digit(hex.charCodeAt(index + 1));
    }
  }

  #number(tag: number, value: number): void {
    this.#need(11);
    this.#buffer[this.#length++] = tag;
    let rest = value;
    while (rest > 0x7f) {
      this.#buffer[this.#length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#buffer[this.#length++] = rest;
  }

  #double(tag: number, value: number): void {
    this.#need(9);
    this.#buffer[this.#length++] = tag;
    this.#length = this.#buffer.writeDoubleLE(value, this.#length);
  }

  /** Nanoseconds, to the microsecond: more than that no number holds. */
  #time(tag: number, ms: number): void {
    this.#need(9);
    const us = Math.round(ms * 1000);
    const high = Math.floor(us / 2 ** 32);
    const low = (us % 2 ** 32) * 1000;
    this.#buffer[this.#length++] = tag;
    this.#length = this.#buffer.writeUInt32LE(low % 2 ** 32, this.#length);
    this.#length = this.#buffer.writeUInt32LE(high * 1000 + Math.floor(low / 2 ** 32), this.#length);
  }
}

function remember(name: string, value: AttributeValue, bytes: Uint8Array): void {
  if (various.has(name)) return;
  let values = known.get(name);
  if (!values) {
    if (known.size >= mostNames) return;
    values = new Map();
    known.set(name, values);
  }
  if (values.size < mostKnown) values.set(value, bytes);
  else {
    // What is remembered of it would hardly ever be asked for again.
    various.add(name);
    known.delete(name);
  }
}

function isAscii(text: string): boolean {
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) > 0x7f) return false;
  return true;
}

/** The value of a lower-case hexadecimal digit by its code. */
function digit(code: number): number {
  return code < 0x3a ? code - 0x30 : code - 0x57;
}
