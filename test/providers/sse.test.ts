import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SseDecoder, SseOverflow } from "../../src/providers/sse.ts";

/** Feeds pieces and gathers what events say, and the bytes that they cover. */
function decode(pieces: readonly Uint8Array[]): { data: (string | undefined)[]; bytes: string } {
  const decoder = new SseDecoder();
  const data: (string | undefined)[] = [];
  let bytes = "";
  const take = (read: ReturnType<SseDecoder["push"]>) => {
    for (const event of read.events) {
      data.push(event.data);
      bytes += read.bytes.toString("latin1", event.start, event.end);
    }
  };
  for (const piece of pieces) take(decoder.push(Buffer.from(piece)));
  take(decoder.end());
  return { data, bytes };
}

const text = (value: string) => [Buffer.from(value)];

describe("an event stream", () => {
  test.each([
    ["LF", "data: a\n\ndata: b\n\n"],
    ["CRLF", "data: a\r\n\r\ndata: b\r\n\r\n"],
    ["CR", "data: a\r\rdata: b\r\r"],
    ["a mixture", "data: a\r\n\ndata:b\r\r\n"],
  ])("may end its lines with %s", (_, stream) => {
    expect(decode(text(stream)).data.filter((each) => each !== undefined)).toEqual(["a", "b"]);
  });

  test("joins the data lines of one event, passes over other fields, and takes one space after the colon", () => {
    const stream = "event: x\nid: 7\nretry: 3\ndata:  two spaces\ndata\ndatax: no\ndata:end\n\n";
    expect(decode(text(stream)).data).toEqual([" two spaces\n\nend"]);
  });

  test("has comments as events without data", () => {
    expect(decode(text(": ping\n\ndata: a\n\n")).data).toEqual([undefined, "a"]);
  });

  test("may begin with a byte order mark", () => {
    expect(decode(text("\ufeffdata: a\n\n")).data).toEqual(["a"]);
  });

  test("that forgets its last empty line still ends with its last event", () => {
    expect(decode(text("data: a\n\ndata: [DONE]")).data).toEqual(["a", "[DONE]"]);
  });

  test("with an event beyond 1 MiB is given up", () => {
    const decoder = new SseDecoder();
    const piece = Buffer.alloc(64 << 10, "x");
    expect(() => {
      for (let count = 0; count < 20; count++) decoder.push(piece);
    }).toThrow(SseOverflow);
  });

  test("says the same however its bytes are cut, and its events cover its bytes without a gap", () => {
    const line = fc.oneof(
      fc.constant("data: "),
      fc.string().map((value) => `data: ${value.replace(/[\r\n]/g, "")}`),
      fc.string({ unit: "grapheme" }).map((value) => `data:${value.replace(/[\r\n]/g, "")}`),
      fc.constantFrom(": ping", "event: x", "data", ""),
    );
    const stream = fc
      .array(fc.tuple(line, fc.constantFrom("\n", "\r\n", "\r")), { maxLength: 30 })
      .map((lines) => Buffer.from(lines.map(([each, end]) => each + end).join("")));
    fc.assert(
      fc.property(stream, fc.array(fc.nat(200), { maxLength: 40 }), (bytes, cuts) => {
        const pieces: Buffer[] = [];
        let at = 0;
        for (const cut of cuts) {
          pieces.push(bytes.subarray(at, at + cut));
          at += cut;
        }
        pieces.push(bytes.subarray(at));
        const whole = decode([bytes]);
        const cutUp = decode(pieces);
        const oneByOne = decode([...bytes].map((byte) => Buffer.from([byte])));
        expect(cutUp.data).toEqual(whole.data);
        expect(oneByOne.data).toEqual(whole.data);
        expect(bytes.toString("latin1").startsWith(whole.bytes)).toBe(true);
        // A line feed after a carriage return at a cut may count to the next event; nothing is lost or doubled.
        expect(cutUp.bytes.length).toBeLessThanOrEqual(whole.bytes.length);
        expect(bytes.toString("latin1").startsWith(cutUp.bytes)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test("of any bytes at all never throws but for its length", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 10 }), (pieces) => {
        decode(pieces);
      }),
      { numRuns: 500 },
    );
  });
});
