/** One event of a server-sent event stream. */
export interface SseEvent {
  /** Its `data` lines, joined; undefined for an event that has none, such as a comment. */
  readonly data: string | undefined;
  /** Where it lies in the read's bytes, with its closing empty line. */
  readonly start: number;
  readonly end: number;
}

/** The events that a read has completed, and the bytes that hold them (those of an event that began earlier included). */
export interface SseRead {
  readonly bytes: Buffer;
  readonly events: readonly SseEvent[];
}

/** An event is longer than any honest one. */
export class SseOverflow extends Error {
  override name = "SseOverflow";
}

/** Longest event: 1 MiB. */
const maxEventBytes = 1 << 20;

const lf = 10;
const cr = 13;
const colon = 58;
const space = 32;
const byteOrderMark = "\ufeff";
const none = Buffer.alloc(0);

/**
 * Splits a byte stream into events, per the WHATWG's grammar: LF, CRLF or CR end a line, `data:` may or may not be followed by
 * a space, unknown fields are passed over, a byte order mark is dropped once. Text is decoded only when its event is whole, so a
 * character may be split over reads. Its work is linear in the bytes, however small the reads are.
 */
export class SseDecoder {
  /** Bytes of an event that is not whole yet; a buffer of its own that grows by doubling. */
  #pending: Buffer = none;
  #length = 0;
  /** Where the scan goes on, and where the line under it began. */
  #scanned = 0;
  #lineStart = 0;
  #data: string | undefined;
  #afterCr = false;
  #first = true;

  /** @throws SseOverflow when an event passes 1 MiB; the decoder is of no use afterwards */
  push(chunk: Buffer): SseRead {
    const bytes = this.#length === 0 ? chunk : this.#append(chunk);
    const events: SseEvent[] = [];
    let eventStart = 0;
    let nextLf = bytes.indexOf(lf, this.#scanned);
    let nextCr = bytes.indexOf(cr, this.#scanned);
    let at = this.#scanned;
    if (this.#afterCr && at < bytes.length) {
      this.#afterCr = false;
      if (bytes[at] === lf) {
        at += 1;
        this.#lineStart = at;
      }
    }
    while (at < bytes.length) {
      if (nextLf >= 0 && nextLf < at) nextLf = bytes.indexOf(lf, at);
      if (nextCr >= 0 && nextCr < at) nextCr = bytes.indexOf(cr, at);
      const byCr = nextCr >= 0 && (nextLf < 0 || nextCr < nextLf);
      const lineEnd = byCr ? nextCr : nextLf;
      if (lineEnd < 0) break;
      at = lineEnd + 1;
      if (byCr) {
        if (at === bytes.length) this.#afterCr = true;
        else if (bytes[at] === lf) at += 1;
      }
      if (lineEnd === this.#lineStart) {
        events.push({ data: this.#data, start: eventStart, end: at });
        this.#data = undefined;
        this.#first = false;
        eventStart = at;
      } else {
        this.#line(bytes, this.#lineStart, lineEnd);
      }
      this.#lineStart = at;
    }
    this.#keep(bytes, eventStart);
    return { bytes, events };
  }

  /** The stream is over: an event that lacks only its closing empty line still counts, for some servers forget it. */
  end(): SseRead {
    const bytes = this.#pending.subarray(0, this.#length);
    if (this.#lineStart < bytes.length) this.#line(bytes, this.#lineStart, bytes.length);
    const events = this.#data === undefined ? [] : [{ data: this.#data, start: 0, end: bytes.length }];
    this.#data = undefined;
    this.#length = 0;
    return { bytes, events };
  }

  #line(bytes: Buffer, from: number, to: number): void {
    let start = from;
    if (this.#first) {
      this.#first = false;
      if (bytes.toString("utf8", start, start + 3) === byteOrderMark) start += 3;
    }
    const isData = bytes[start] === 100 && bytes.toString("latin1", start, start + 4) === "data";
    if (!isData || to < start + 4) return;
    let value = "";
    if (to > start + 4) {
      if (bytes[start + 4] !== colon) return;
      value = bytes.toString("utf8", start + (bytes[start + 5] === space ? 6 : 5), to);
    }
    this.#data = this.#data === undefined ? value : `${this.#data}\n${value}`;
  }

  /** Keeps what is not a whole event for the next read. What was handed out is never written to again. */
  #keep(bytes: Buffer, from: number): void {
    const length = bytes.length - from;
    if (length > maxEventBytes) throw new SseOverflow(`an event of more than ${maxEventBytes} bytes`);
    const grown = from === 0 && this.#length > 0;
    if (!grown) {
      this.#pending = length === 0 ? none : Buffer.allocUnsafe(Math.max(1024, 2 * length));
      bytes.copy(this.#pending, 0, from);
    }
    this.#length = length;
    this.#lineStart -= from;
    this.#scanned = length;
  }

  #append(chunk: Buffer): Buffer {
    const length = this.#length + chunk.length;
    if (length > this.#pending.length) {
      const larger = Buffer.allocUnsafe(2 * length);
      this.#pending.copy(larger, 0, 0, this.#length);
      this.#pending = larger;
    }
    chunk.copy(this.#pending, this.#length);
    return this.#pending.subarray(0, length);
  }
}
