import net from "node:net";
import { type Bytes, bytesOf } from "./http1.ts";

/** Types of frames. */
export const type = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goAway: 7,
  window: 8,
  continuation: 9,
} as const;

/** Flags of frames; some share a bit. */
export const flag = { ack: 1, endStream: 1, endHeaders: 4, padded: 8, priority: 32 } as const;

/** What a client says first. */
export const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/** A frame. @param told the length it says, where that is a lie */
export function frame(kind: number, flags: number, stream: number, payload: Bytes = "", told?: number): Buffer {
  const bytes = bytesOf(payload);
  const head = Buffer.alloc(9);
  head.writeUIntBE(told ?? bytes.length, 0, 3);
  head[3] = kind;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, bytes]);
}

/** A number of four bytes, as many frames carry one. */
export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

/** A SETTINGS frame: values by their numbers. */
export function settings(values: readonly (readonly [id: number, value: number])[] = []): Buffer {
  return frame(
    type.settings,
    0,
    0,
    Buffer.concat(values.map(([id, value]) => Buffer.concat([Buffer.of(0, id), uint32(value)]))),
  );
}

/** Fields as HPACK has them at its plainest: each literal, never indexed, without Huffman's code. */
export function fieldBlock(fields: readonly (readonly [name: string, value: string])[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.of(0x10), literal(name), literal(value)]));
}

function literal(text: string): Buffer {
  return Buffer.concat([integer(text.length, 7), Buffer.from(text, "latin1")]);
}

/** A number behind a prefix of so many bits. */
export function integer(value: number, bits: number): Buffer {
  const most = 2 ** bits - 1;
  if (value < most) return Buffer.of(value);
  const bytes = [most];
  let rest = value - most;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}

/** The fields that begin every request. */
export function pseudo(method: string, path: string, authority = "localhost"): [string, string][] {
  return [
    [":method", method],
    [":scheme", "http"],
    [":path", path],
    [":authority", authority],
  ];
}

/** What became of a stream, as far as it was told. */
export interface StreamEnd {
  /** Undefined: no answer began. */
  readonly status: number | undefined;
  /** The code of a RST_STREAM. */
  readonly reset: number | undefined;
}

/** A connection of HTTP/2 on which nothing is said but what is written by hand; what it hears it understands as far as needed. */
export interface RawSession {
  /** Resolves when the bytes are with the system, or the connection is gone. */
  send(...said: readonly Bytes[]): Promise<void>;
  /** Resolves when the stream was answered, reset or given up with the connection. */
  ended(stream: number): Promise<StreamEnd>;
  /** Resolves with the codes of the GOAWAYs that came, once the other side has closed. */
  closed(): Promise<readonly number[]>;
  /** Resolves when the connection is closed, or when it has answered a PING and so has seen all that was sent before. */
  settled(): Promise<"closed" | "alive">;
  /** Stops reading, so that what is answered piles up at the other side. */
  stopListening(): void;
  listen(): void;
  leave(): void;
}

/** Opens a connection. @param greeting what is said first; the usual by default */
export function openRawSession(port: number, greeting: readonly Bytes[] = [preface, settings()]): RawSession {
  const socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
  const statuses = new Map<number, number>();
  const over = new Map<number, number | undefined>();
  const goAways: number[] = [];
  let pongs = 0;
  let gone = false;
  let heard = Buffer.alloc(0);
  const waiting = new Set<() => void>();
  const wake = () => {
    for (const look of waiting) look();
  };
  const until = <T>(found: () => T | undefined): Promise<T> =>
    new Promise((resolve) => {
      const look = () => {
        const value = found();
        if (value === undefined) return;
        waiting.delete(look);
        resolve(value);
      };
      waiting.add(look);
      look();
    });

  socket.on("error", () => {});
  socket.on("close", () => {
    gone = true;
    wake();
  });
  socket.on("data", (bytes) => {
    heard = Buffer.concat([heard, bytes]);
    for (;;) {
      const length = heard.length < 9 ? Infinity : heard.readUIntBE(0, 3);
      if (heard.length < 9 + length) break;
      hear(heard[3] ?? 0, heard[4] ?? 0, heard.readUInt32BE(5), heard.subarray(9, 9 + length));
      heard = heard.subarray(9 + length);
    }
    wake();
  });

  function hear(kind: number, flags: number, stream: number, payload: Buffer): void {
    if (kind === type.headers && !statuses.has(stream)) statuses.set(stream, statusIn(payload));
    if (kind === type.reset) over.set(stream, payload.readUInt32BE(0));
    if (kind === type.goAway) goAways.push(payload.readUInt32BE(4));
    if (kind === type.ping && flags & flag.ack) pongs += 1;
    if ((kind === type.headers || kind === type.data) && flags & flag.endStream) over.set(stream, undefined);
  }

  const send = async (...said: readonly Bytes[]) => {
    for (const each of said) {
      if (gone || socket.destroyed) return;
      await new Promise<void>((sent) => socket.write(bytesOf(each), () => sent()));
    }
  };
  const greeted = send(...greeting);
  return {
    async send(...said) {
      await greeted;
      await send(...said);
    },
    ended: (stream) =>
      until(() => (over.has(stream) || gone ? { status: statuses.get(stream), reset: over.get(stream) } : undefined)),
    closed: () => until(() => (gone ? goAways : undefined)),
    async settled() {
      await greeted;
      const before = pongs;
      await send(frame(type.ping, 0, 0, Buffer.alloc(8)));
      return until(() => (gone ? "closed" : pongs > before ? "alive" : undefined));
    },
    stopListening: () => socket.pause(),
    listen: () => void socket.resume(),
    leave: () => socket.destroy(),
  };
}

/** What the table of HPACK has for `:status`, from 8 on. */
const indexed = [200, 204, 206, 304, 400, 404, 500];
/** The digits in Huffman's code, by their bits. */
const digits = new Map(
  ["00000", "00001", "00010", "011001", "011010", "011011", "011100", "011101", "011110", "011111"].map(
    (bits, digit) => [bits, digit],
  ),
);

/** The status in a block of fields, where it always comes first. */
function statusIn(block: Buffer): number {
  let at = 0;
  while (((block[at] ?? 0) & 0xe0) === 0x20) at += 1; // changes of the table's size
  const first = block[at] ?? 0;
  if (first & 0x80) return indexed[(first & 0x7f) - 8] ?? 0;
  const length = block[at + 1] ?? 0;
  const text = block.subarray(at + 2, at + 2 + (length & 0x7f));
  if (!(length & 0x80)) return Number(text.toString("latin1"));
  let status = 0;
  let bits = "";
  for (const bit of [...text].map((byte) => byte.toString(2).padStart(8, "0")).join("")) {
    bits += bit;
    const digit = digits.get(bits);
    if (digit === undefined) continue;
    status = status * 10 + digit;
    bits = "";
  }
  return status;
}
