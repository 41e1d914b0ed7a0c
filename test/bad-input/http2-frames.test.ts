import { describe, expect, test } from "vitest";
import { type Bytes, bytesOf } from "./http1.ts";
import {
  fieldBlock,
  flag,
  frame,
  integer,
  openRawSession,
  preface,
  pseudo,
  type RawSession,
  settings,
  type,
  uint32,
} from "./http2-frames.ts";
import { goodBody, startTarget } from "./target.ts";

const whole = flag.endHeaders | flag.endStream;
const get = (stream: number, path = "/health") => frame(type.headers, whole, stream, fieldBlock(pseudo("GET", path)));
/** A request whose body is still to come. */
const post = (stream: number, more: readonly [string, string][] = []) =>
  frame(
    type.headers,
    flag.endHeaders,
    stream,
    fieldBlock([...pseudo("POST", "/v1/chat/completions"), ["content-type", "application/json"], ...more]),
  );
const request = (fields: readonly (readonly [string, string])[], flags = whole) =>
  frame(type.headers, flags, 1, fieldBlock(fields));
const many = (count: number, bytes: Bytes) => Buffer.concat(Array.from({ length: count }, () => bytesOf(bytes)));
const ping = frame(type.ping, 0, 0, Buffer.alloc(8));
const usual = pseudo("GET", "/health");
const without = (name: string) => usual.filter(([each]) => each !== name);

/**
 * What must become of the connection. `closed`: by the other side. `alive`: it serves on. `either`: nobody else's business.
 * `refused`: the first stream is reset or answered by 4xx, or the connection is closed.
 */
type Expected = "closed" | "alive" | "either" | "refused";
type Row = readonly [what: string, said: readonly Bytes[], expected: Expected];

/** What comes after the usual greeting. */
const rows: readonly Row[] = [
  ["SETTINGS, 10,000", [many(10_000, settings())], "either"],
  [
    "SETTINGS, 10,000 with values that change",
    [many(5000, Buffer.concat([settings([[4, 1]]), settings([[4, 65_535]])]))],
    "either",
  ],
  ["SETTINGS of 7 bytes", [frame(type.settings, 0, 0, Buffer.alloc(7))], "closed"],
  ["SETTINGS on a stream", [frame(type.settings, 0, 1)], "closed"],
  ["SETTINGS of 1,000 values", [settings(Array.from({ length: 1000 }, () => [3, 100]))], "either"],
  ["SETTINGS with an unknown name", [settings([[99, 7]])], "alive"],
  ["SETTINGS with push 2", [settings([[2, 2]])], "closed"],
  ["SETTINGS with a window of 2^31", [settings([[4, 2 ** 31]])], "closed"],
  ["SETTINGS with a window of 2^31-1", [settings([[4, 2 ** 31 - 1]])], "alive"],
  ["SETTINGS with a window of 0", [settings([[4, 0]])], "alive"],
  ["SETTINGS with frames of 0", [settings([[5, 0]])], "closed"],
  ["SETTINGS with frames of 2^24", [settings([[5, 2 ** 24]])], "closed"],
  ["SETTINGS with a table of 2^32-1", [settings([[1, 2 ** 32 - 1]])], "alive"],
  ["SETTINGS with header lists of 0", [settings([[6, 0]])], "either"],
  ["SETTINGS with no streams", [settings([[3, 0]])], "alive"],
  ["an ACK of nothing", [many(2, frame(type.settings, flag.ack, 0))], "closed"],
  ["ACKs, 10,000", [many(10_000, frame(type.settings, flag.ack, 0))], "closed"],
  ["an ACK with values", [frame(type.settings, flag.ack, 0, Buffer.alloc(6))], "closed"],
  ["PINGs, 10,000", [many(10_000, ping)], "either"],
  ["PONGs of nothing, 10,000", [many(10_000, frame(type.ping, flag.ack, 0, Buffer.alloc(8)))], "either"],
  ["a PING of 7 bytes", [frame(type.ping, 0, 0, Buffer.alloc(7))], "closed"],
  ["a PING on a stream", [frame(type.ping, 0, 1, Buffer.alloc(8))], "closed"],
  ["WINDOW_UPDATE by 0", [frame(type.window, 0, 0, uint32(0))], "closed"],
  ["WINDOW_UPDATE by 0 on a stream", [post(1), frame(type.window, 0, 1, uint32(0))], "refused"],
  ["WINDOW_UPDATE that overflows", [many(2, frame(type.window, 0, 0, uint32(2 ** 31 - 1)))], "closed"],
  [
    "WINDOW_UPDATE that overflows on a stream",
    [post(1), many(2, frame(type.window, 0, 1, uint32(2 ** 31 - 1)))],
    "refused",
  ],
  ["WINDOW_UPDATE of 3 bytes", [frame(type.window, 0, 0, Buffer.alloc(3))], "closed"],
  ["WINDOW_UPDATE on an idle stream", [frame(type.window, 0, 7, uint32(1))], "closed"],
  ["WINDOW_UPDATEs by 1, 10,000", [many(10_000, frame(type.window, 0, 0, uint32(1)))], "either"],
  ["PRIORITY, 10,000", [many(10_000, frame(type.priority, 0, 3, Buffer.concat([uint32(0), Buffer.of(1)])))], "either"],
  [
    "PRIORITY on 10,000 idle streams",
    [
      Buffer.concat(
        Array.from({ length: 10_000 }, (_, at) =>
          frame(type.priority, 0, 2 * at + 1, Buffer.concat([uint32(0), Buffer.of(1)])),
        ),
      ),
    ],
    "either",
  ],
  ["PRIORITY on itself", [frame(type.priority, 0, 3, Buffer.concat([uint32(3), Buffer.of(1)]))], "either"],
  ["PRIORITY on nothing", [frame(type.priority, 0, 0, Buffer.alloc(5))], "either"],
  ["PRIORITY of 4 bytes", [frame(type.priority, 0, 3, Buffer.alloc(4))], "closed"],
  ["empty DATA, 10,000", [post(1), many(10_000, frame(type.data, 0, 1))], "closed"],
  ["empty padded DATA, 10,000", [post(1), many(10_000, frame(type.data, flag.padded, 1, Buffer.of(0)))], "either"],
  ["DATA of one byte, 10,000", [post(1), many(10_000, frame(type.data, 0, 1, " "))], "either"],
  ["DATA on an idle stream", [frame(type.data, flag.endStream, 1, "x")], "closed"],
  ["DATA on nothing", [frame(type.data, flag.endStream, 0, "x")], "closed"],
  ["DATA after the end", [get(1), frame(type.data, flag.endStream, 1, "x")], "either"],
  ["DATA padded beyond its end", [post(1), frame(type.data, flag.padded, 1, Buffer.of(200, 1, 2))], "closed"],
  ["DATA padded by nothing", [post(1), frame(type.data, flag.padded, 1)], "closed"],
  ["DATA of 16 KiB and a byte", [post(1), frame(type.data, 0, 1, Buffer.alloc(16_385))], "closed"],
  ["DATA that says 16 MiB", [post(1), frame(type.data, 0, 1, "x", 2 ** 24 - 1)], "closed"],
  [
    "DATA beyond the window",
    [
      frame(type.headers, flag.endHeaders, 1, fieldBlock(usual)),
      many(20, frame(type.data, 0, 1, Buffer.alloc(16_384))),
    ],
    "either",
  ],
  [
    "DATA longer than content-length",
    [post(1, [["content-length", "1"]]), frame(type.data, flag.endStream, 1, goodBody)],
    "refused",
  ],
  [
    "DATA shorter than content-length",
    [post(1, [["content-length", "1000"]]), frame(type.data, flag.endStream, 1, goodBody)],
    "refused",
  ],
  [
    "a content-length that is none",
    [post(1, [["content-length", "-1"]]), frame(type.data, flag.endStream, 1, goodBody)],
    "refused",
  ],
  [
    "two content-lengths",
    [
      post(1, [
        ["content-length", "65"],
        ["content-length", "66"],
      ]),
      frame(type.data, flag.endStream, 1, goodBody),
    ],
    "refused",
  ],
  [
    "a content-length of 10^9",
    [post(1, [["content-length", "1000000000"]]), frame(type.data, 0, 1, goodBody)],
    "refused",
  ],
  ["HEADERS that do not end, and then something else", [frame(type.headers, 0, 1, fieldBlock(usual)), ping], "closed"],
  ["HEADERS that do not end, and then others", [frame(type.headers, 0, 1, fieldBlock(usual)), get(3)], "closed"],
  [
    "HEADERS that end on another stream",
    [frame(type.headers, 0, 1, fieldBlock(usual)), frame(type.continuation, flag.endHeaders, 3)],
    "closed",
  ],
  [
    "HEADERS that drip in 1,000 CONTINUATIONs",
    [frame(type.headers, flag.endStream, 1, fieldBlock(usual)), many(1000, frame(type.continuation, 0, 1))],
    "closed",
  ],
  [
    "HEADERS that swell in CONTINUATIONs of 16 KiB",
    [
      frame(type.headers, flag.endStream, 1, fieldBlock(usual)),
      many(64, frame(type.continuation, 0, 1, fieldBlock([["x", "y".repeat(16_000)]]))),
    ],
    "closed",
  ],
  [
    "HEADERS in three parts",
    [
      frame(type.headers, flag.endStream, 1, fieldBlock(usual.slice(0, 1))),
      frame(type.continuation, 0, 1, fieldBlock(usual.slice(1, 2))),
      frame(type.continuation, flag.endHeaders, 1, fieldBlock(usual.slice(2))),
    ],
    "alive",
  ],
  ["CONTINUATION of nothing", [frame(type.continuation, flag.endHeaders, 1, fieldBlock(usual))], "closed"],
  ["HEADERS padded beyond their end", [frame(type.headers, whole | flag.padded, 1, Buffer.of(250, 1, 2))], "closed"],
  ["HEADERS with half a priority", [frame(type.headers, whole | flag.priority, 1, Buffer.of(0, 0))], "closed"],
  [
    "HEADERS that depend on themselves",
    [frame(type.headers, whole | flag.priority, 1, Buffer.concat([uint32(1), Buffer.of(1), fieldBlock(usual)]))],
    "either",
  ],
  ["HEADERS of 16 KiB and a byte in one frame", [frame(type.headers, whole, 1, Buffer.alloc(16_385, 0x82))], "closed"],
  ["HEADERS on nothing", [get(0)], "closed"],
  ["HEADERS on an even stream", [get(2)], "closed"],
  ["HEADERS on a stream below the last", [get(5), get(3)], "either"],
  ["HEADERS on the same stream again", [post(1), get(1)], "refused"],
  ["HEADERS on the last stream there is", [get(2 ** 31 - 1)], "alive"],
  ["HEADERS after the last stream there is", [get(2 ** 31 - 1), get(1)], "either"],
  ["HEADERS with the reserved bit", [get(2 ** 31 + 1)], "alive"],
  [
    "trailers that do not end the stream",
    [post(1), frame(type.headers, flag.endHeaders, 1, fieldBlock([["x", "y"]]))],
    "refused",
  ],
  ["trailers with a path", [post(1), frame(type.headers, whole, 1, fieldBlock([[":path", "/"]]))], "refused"],
  ["HPACK of a bomb", [bomb()], "refused"],
  ["HPACK with index 0", [frame(type.headers, whole, 1, Buffer.of(0x80))], "closed"],
  ["HPACK with an index beyond the table", [frame(type.headers, whole, 1, Buffer.of(0xff, 0x7f))], "closed"],
  [
    "HPACK with a number that overflows",
    [frame(type.headers, whole, 1, Buffer.of(0xff, 255, 255, 255, 255, 255, 255, 127))],
    "closed",
  ],
  ["HPACK with a text longer than the block", [frame(type.headers, whole, 1, Buffer.of(0x10, 0x7f, 1, 65))], "closed"],
  [
    "HPACK with Huffman's code of nothing",
    [
      frame(
        type.headers,
        whole,
        1,
        Buffer.concat([fieldBlock(usual), Buffer.of(0x10, 1, 120, 0x84, 255, 255, 255, 255)]),
      ),
    ],
    "closed",
  ],
  [
    "HPACK with a table beyond what was offered",
    [frame(type.headers, whole, 1, Buffer.concat([sizeUpdate(1 << 20), fieldBlock(usual)]))],
    "closed",
  ],
  [
    "HPACK with a change of size at its end",
    [frame(type.headers, whole, 1, Buffer.concat([fieldBlock(usual), sizeUpdate(0)]))],
    "closed",
  ],
  ["HPACK of nothing", [frame(type.headers, whole, 1)], "refused"],
  ["a name in capitals", [request([...usual, ["X-Capital", "y"]])], "refused"],
  // A field that no field may be is left out by the parser before anybody here sees it.
  ["no name", [request([...usual, ["", "y"]])], "either"],
  ["a name with a colon", [request([...usual, ["a:b", "y"]])], "either"],
  ["a name with a blank", [request([...usual, ["a b", "y"]])], "either"],
  ["NUL in a name", [request([...usual, ["a\0", "y"]])], "either"],
  ["NUL in a value", [request([...usual, ["x", "a\0b"]])], "either"],
  ["a line end in a value", [request([...usual, ["x", "a\r\nhost: evil"]])], "either"],
  ["LF in a value", [request([...usual, ["x", "a\nb"]])], "either"],
  ["two :method", [request([...usual, [":method", "GET"]])], "refused"],
  ["two :path", [request([...usual, [":path", "/v1/models"]])], "refused"],
  ["two :scheme", [request([...usual, [":scheme", "http"]])], "refused"],
  ["two :authority", [request([...usual, [":authority", "b"]])], "refused"],
  ["no :method", [request(without(":method"))], "refused"],
  ["no :path", [request(without(":path"))], "refused"],
  ["no :scheme", [request(without(":scheme"))], "refused"],
  ["an empty :path", [request([...without(":path"), [":path", ""]])], "refused"],
  ["an empty :method", [request([...without(":method"), [":method", ""]])], "refused"],
  ["a :path without slash", [request(pseudo("GET", "health"))], "refused"],
  ["a :path that is a URL", [request(pseudo("GET", "http://gateway/health"))], "refused"],
  ["a :path with //", [request(pseudo("GET", "//evil.example/health"))], "refused"],
  ["a :path with a blank", [request(pseudo("GET", "/health /x"))], "refused"],
  ["a :path with control characters", [request(pseudo("GET", "/health\x01"))], "refused"],
  ["a :path above ASCII", [request(pseudo("GET", "/v1/models/\xe9"))], "refused"],
  ["a :path of 12 kB", [request(pseudo("GET", `/${"x".repeat(12_000)}`))], "refused"],
  ["a :path of 100 KiB", inParts(fieldBlock(pseudo("GET", `/${"x".repeat(100 << 10)}`))), "refused"],
  ["*", [request(pseudo("OPTIONS", "*"))], "refused"],
  [":status", [request([...usual, [":status", "200"]])], "refused"],
  ["an unknown name with a colon", [request([[":nonsense", "x"], ...usual])], "refused"],
  ["a path after the others", [request([...without(":path"), ["x", "y"], [":path", "/health"]])], "refused"],
  ["a method that there is not", [request(pseudo("FOO", "/health"))], "refused"],
  ["a method that is none", [request(pseudo("G ET", "/health"))], "refused"],
  ["TRACE", [request(pseudo("TRACE", "/health"))], "refused"],
  [
    "CONNECT",
    [
      request([
        [":method", "CONNECT"],
        [":authority", "evil.example:443"],
      ]),
    ],
    "refused",
  ],
  ["CONNECT with a path", [request(pseudo("CONNECT", "/health"))], "refused"],
  ["CONNECT to a protocol", [request([...pseudo("CONNECT", "/health"), [":protocol", "websocket"]])], "refused"],
  ["Connection", [request([...usual, ["connection", "close"]])], "refused"],
  ["Transfer-Encoding", [request([...usual, ["transfer-encoding", "chunked"]])], "refused"],
  ["Keep-Alive", [request([...usual, ["keep-alive", "5"]])], "refused"],
  ["Proxy-Connection", [request([...usual, ["proxy-connection", "close"]])], "refused"],
  ["Upgrade", [request([...usual, ["upgrade", "h2c"]])], "refused"],
  ["TE that is not trailers", [request([...usual, ["te", "gzip"]])], "refused"],
  ["200 fields", [request([...usual, ...Array.from({ length: 200 }, (): [string, string] => ["x", "y"])])], "refused"],
  [
    "2,100 fields",
    inParts(fieldBlock([...usual, ...Array.from({ length: 2100 }, (): [string, string] => ["x", "y"])])),
    "refused",
  ],
  ["a field of 17 KiB", inParts(fieldBlock([...usual, ["x", "y".repeat(17 << 10)]])), "refused"],
  ["RST_STREAM on an idle stream", [frame(type.reset, 0, 1, uint32(8))], "closed"],
  ["RST_STREAM on nothing", [frame(type.reset, 0, 0, uint32(8))], "closed"],
  ["RST_STREAM of 3 bytes", [post(1), frame(type.reset, 0, 1, Buffer.alloc(3))], "closed"],
  ["RST_STREAM with a code that nobody knows", [post(1), frame(type.reset, 0, 1, uint32(2 ** 32 - 1))], "alive"],
  ["RST_STREAM twice", [post(1), many(2, frame(type.reset, 0, 1, uint32(8)))], "either"],
  [
    "2,000 streams taken back at once",
    [
      Buffer.concat(
        Array.from({ length: 2000 }, (_, at) =>
          Buffer.concat([get(2 * at + 1), frame(type.reset, 0, 2 * at + 1, uint32(8))]),
        ),
      ),
    ],
    "closed",
  ],
  [
    "2,000 streams that the other side is made to reset",
    [
      Buffer.concat(
        Array.from({ length: 2000 }, (_, at) =>
          Buffer.concat([post(2 * at + 1), frame(type.window, 0, 2 * at + 1, uint32(0))]),
        ),
      ),
    ],
    "closed",
  ],
  ["2,000 streams at once", [Buffer.concat(Array.from({ length: 2000 }, (_, at) => post(2 * at + 1)))], "either"],
  ["2,000 requests at once", [Buffer.concat(Array.from({ length: 2000 }, (_, at) => get(2 * at + 1)))], "either"],
  ["PUSH_PROMISE", [frame(type.push, flag.endHeaders, 1, Buffer.concat([uint32(2), fieldBlock(usual)]))], "closed"],
  ["GOAWAY in anger", [frame(type.goAway, 0, 0, Buffer.concat([uint32(0), uint32(1)]))], "closed"],
  ["GOAWAY in peace", [frame(type.goAway, 0, 0, Buffer.alloc(8))], "either"],
  ["GOAWAY of 7 bytes", [frame(type.goAway, 0, 0, Buffer.alloc(7))], "closed"],
  ["GOAWAY on a stream", [frame(type.goAway, 0, 1, Buffer.alloc(8))], "closed"],
  ["GOAWAY with 16 KiB of words", [frame(type.goAway, 0, 0, Buffer.alloc(16_384))], "either"],
  ["GOAWAY, 1,000", [many(1000, frame(type.goAway, 0, 0, Buffer.alloc(8)))], "either"],
  ["a frame that nobody knows", [frame(200, 255, 0, "x")], "alive"],
  ["frames that nobody knows, 10,000", [many(10_000, frame(200, 255, 3, "x"))], "either"],
  ["a frame that says 16 MiB", [frame(200, 0, 0, "x", 2 ** 24 - 1)], "closed"],
  ["random bytes", [Buffer.from("deadbeef00ff80c3280d0a0d0adeadbeef00ff80", "hex")], "closed"],
  ["the preface again", [preface], "closed"],
  ["HTTP/1.1", ["GET /health HTTP/1.1\r\nHost: h\r\n\r\n"], "closed"],
];

function sizeUpdate(size: number): Buffer {
  const bytes = integer(size, 5);
  bytes[0] = (bytes[0] ?? 0) | 0x20;
  return bytes;
}

/** A field of 4,000 bytes put into the table once, and named 16,000 times. */
function bomb(): Buffer {
  const stored = Buffer.concat([
    Buffer.of(0x40),
    Buffer.of(1),
    Buffer.from("x"),
    integer(4000, 7),
    Buffer.alloc(4000, "y"),
  ]);
  return Buffer.concat([
    frame(type.headers, flag.endStream, 1, Buffer.concat([fieldBlock(usual), stored])),
    frame(type.continuation, flag.endHeaders, 1, Buffer.alloc(16_000, 0xbe)),
  ]);
}

/** A block too long for one frame. */
function inParts(block: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  for (let at = 0; at < block.length; at += 16_384) {
    const last = at + 16_384 >= block.length;
    parts.push(
      frame(
        at === 0 ? type.headers : type.continuation,
        (at === 0 ? flag.endStream : 0) | (last ? flag.endHeaders : 0),
        1,
        block.subarray(at, at + 16_384),
      ),
    );
  }
  return parts;
}

async function expectEnd(session: RawSession, expected: Expected): Promise<void> {
  if (expected === "closed") await session.closed();
  if (expected === "either") await session.settled();
  if (expected === "alive") expect(await session.settled()).toBe("alive");
  if (expected === "refused") {
    const { status = 0, reset } = await session.ended(1);
    expect(reset !== undefined || status === 0 || (status >= 400 && status < 500), `status ${status}`).toBe(true);
  }
}

async function withWitness(port: number, attack: () => Promise<void>): Promise<void> {
  const witness = openRawSession(port);
  await witness.send(get(1));
  expect(await witness.ended(1)).toEqual({ status: 200, reset: undefined });
  await attack();
  await witness.send(get(3));
  expect(await witness.ended(3), "another connection").toEqual({ status: 200, reset: undefined });
  witness.leave();
}

describe("HTTP/2: frames:", () => {
  test.each(rows.map(([what, ...row]) => ({ what, row })))("$what", async ({ row: [said, expected] }) => {
    const target = await startTarget();
    await withWitness(target.port, async () => {
      const session = openRawSession(target.port);
      await session.send(...said);
      await expectEnd(session, expected);
      session.leave();
    });
    await target.survives();
  });
});

const greetings: readonly Row[] = [
  ["a preface that is wrong at its end", ["PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", settings()], "closed"],
  ["a preface of version 3", ["PRI * HTTP/3.0\r\n\r\nSM\r\n\r\n", settings()], "closed"],
  ["a preface with bare LF", ["PRI * HTTP/2.0\n\nSM\n\n", settings()], "closed"],
  ["no SETTINGS but a request", [preface, get(1)], "closed"],
  ["no SETTINGS but a PING", [preface, ping], "closed"],
  ["an ACK for SETTINGS", [preface, frame(type.settings, flag.ack, 0)], "closed"],
  ["a frame that nobody knows for SETTINGS", [preface, frame(200, 0, 0)], "closed"],
  ["HTTP/1.1 behind the preface", [preface, "GET /health HTTP/1.1\r\nHost: h\r\n\r\n"], "closed"],
  ["zeros behind the preface", [preface, Buffer.alloc(100_000)], "closed"],
  [
    "a preface byte by byte",
    [...Buffer.concat([Buffer.from(preface), settings(), get(1)])].map((byte) => Buffer.of(byte)),
    "alive",
  ],
];

describe("HTTP/2: greetings:", () => {
  test.each(greetings.map(([what, ...row]) => ({ what, row })))("$what", async ({ row: [said, expected] }) => {
    const target = await startTarget();
    await withWitness(target.port, async () => {
      const session = openRawSession(target.port, said);
      await expectEnd(session, expected);
      session.leave();
    });
    await target.survives();
  });
});

describe("HTTP/2: a client that does not read", () => {
  test.each([
    ["PINGs", many(100_000, ping)],
    ["SETTINGS", many(100_000, settings())],
    ["requests that are reset", many(20_000, Buffer.concat([post(1)]))],
  ])("and sends %s disturbs nobody", async (_, said) => {
    const target = await startTarget();
    await withWitness(target.port, async () => {
      const session = openRawSession(target.port);
      await session.settled();
      session.stopListening();
      // What the other side no longer takes is never sent.
      await Promise.race([session.send(said), target.survives()]);
      await target.survives();
      session.leave();
    });
    await target.survives();
  });

  test("with a window of 0 is answered once it has opened its window", async () => {
    const target = await startTarget();
    const session = openRawSession(target.port, [preface, settings([[4, 0]])]);
    await session.send(get(1, "/v1/models"));
    expect(await session.settled()).toBe("alive");
    await target.survives();
    await session.send(frame(type.window, 0, 1, uint32(65_535)));
    expect(await session.ended(1)).toEqual({ status: 200, reset: undefined });
    session.leave();
  });

  test("and leaves with a window of 0 frees what it held", async () => {
    const target = await startTarget();
    const session = openRawSession(target.port, [preface, settings([[4, 0]])]);
    const body = goodBody.replace("{", '{"stream":true,');
    await session.send(post(1), frame(type.data, flag.endStream, 1, body));
    await target.provider.arrived(1);
    await session.settled();
    session.leave();
    await target.provider.idle();
    await target.survives();
  });
});

test("HTTP/2: a request byte by byte is a request", async () => {
  const target = await startTarget();
  const session = openRawSession(target.port);
  const said = Buffer.concat([post(1), frame(type.data, flag.endStream, 1, goodBody)]);
  await session.send(...[...said].map((byte) => Buffer.of(byte)));
  expect(await session.ended(1)).toEqual({ status: 200, reset: undefined });
  session.leave();
});

test("HTTP/2: a connection that breaks at any byte of a request disturbs nobody", async () => {
  const target = await startTarget();
  const said = Buffer.concat([post(1), frame(type.data, flag.endStream, 1, goodBody)]);
  for (let length = 0; length <= said.length; length++) {
    const session = openRawSession(target.port);
    await session.send(said.subarray(0, length));
    session.leave();
  }
  await target.survives();
});
