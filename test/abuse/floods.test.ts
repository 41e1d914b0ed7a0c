import http2, { type ClientHttp2Session } from "node:http2";
import { describe, expect, onTestFinished, test } from "vitest";
import type { ListenerLimits } from "../../src/server/listener/limits.ts";
import { httpRequest } from "../bad-input/http1.ts";
import {
  fieldBlock,
  flag,
  frame,
  openRawSession,
  preface,
  pseudo,
  type RawSession,
  settings,
  type,
  uint32,
} from "../bad-input/http2-frames.ts";
import { envelope, goodRequest } from "../bad-input/rpc.ts";
import { startGateway } from "../support/gateway.ts";
import { type Line, openLine } from "./line.ts";
import { closedAuth, goodBody, goodKey, pause, startTarget, until } from "./target.ts";
import { configOf, startHeldUpstream } from "./upstream.ts";

type Fields = readonly (readonly [string, string])[];

const chat: Fields = [...pseudo("POST", "/v1/chat/completions"), ["content-type", "application/json"]];
const health: Fields = pseudo("GET", "/health");
const grpc = (path: string): Fields => [
  ...pseudo("POST", path),
  ["content-type", "application/grpc"],
  ["te", "trailers"],
];
const completeChat = grpc("/everhop.v1.ChatService/CompleteChat");
/** A stream that is open to everybody and never ends by itself. */
const watch = grpc("/grpc.health.v1.Health/Watch");

const head = (stream: number, fields: Fields, flags: number = flag.endHeaders) =>
  frame(type.headers, flags, stream, fieldBlock(fields));
const whole = (stream: number, fields: Fields) => head(stream, fields, flag.endHeaders | flag.endStream);
const reset = (stream: number, code: number = http2.constants.NGHTTP2_CANCEL) =>
  frame(type.reset, 0, stream, uint32(code));
const ping = frame(type.ping, 0, 0, Buffer.alloc(8));
/** The numbers of the first so many streams of a client, from this one on. */
const streams = (count: number, from = 1) => Array.from({ length: count }, (_, index) => from + 2 * index);
const watchOn = (stream: number, more: Fields = []) =>
  Buffer.concat([head(stream, [...watch, ...more]), frame(type.data, flag.endStream, stream, envelope(0, ""))]);

function open(port: number): RawSession {
  const session = openRawSession(port);
  onTestFinished(() => session.leave());
  return session;
}

/** A session as Node's own client has it. */
async function connect(address: string): Promise<ClientHttp2Session> {
  const session = http2.connect(address);
  session.on("error", () => {});
  onTestFinished(() => session.destroy());
  await new Promise<void>((resolve) => session.once("remoteSettings", () => resolve()));
  return session;
}

/** Asks on a session; resolves with the status, 0 when the stream was given up. */
function ask(session: ClientHttp2Session, headers: http2.OutgoingHttpHeaders, body = ""): Promise<number> {
  return new Promise((resolve) => {
    const stream = session.request(headers);
    let status = 0;
    stream.on("response", (told) => {
      status = told[":status"] ?? 0;
    });
    stream.on("error", () => {});
    stream.on("close", () => resolve(status));
    stream.resume();
    stream.end(body);
  });
}

/** Does a job so many times, some at a time. */
async function inParallel<T>(count: number, atOnce: number, job: (index: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const work = async () => {
    for (let index = next++; index < count; index = next++) results.push(await job(index));
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return results;
}

describe("streams that are opened only to be taken back", () => {
  /** By what they ask for, and how they are taken back. */
  const floods: Readonly<Record<string, (stream: number) => Buffer>> = {
    "chats without a body": (stream) => Buffer.concat([head(stream, chat), reset(stream)]),
    "whole chats": (stream) =>
      Buffer.concat([head(stream, chat), frame(type.data, flag.endStream, stream, goodBody), reset(stream)]),
    "RPCs without a body": (stream) => Buffer.concat([head(stream, completeChat), reset(stream)]),
    "whole RPCs": (stream) =>
      Buffer.concat([
        head(stream, completeChat),
        frame(type.data, flag.endStream, stream, envelope(0, goodRequest)),
        reset(stream),
      ]),
    "chats without a body, taken back as if nothing were wrong": (stream) =>
      Buffer.concat([head(stream, chat), reset(stream, http2.constants.NGHTTP2_NO_ERROR)]),
    "streams that watch": (stream) => Buffer.concat([watchOn(stream), reset(stream)]),
    // Not by the client itself: it makes the server do it.
    "chats that are broken by a window of nothing": (stream) =>
      Buffer.concat([head(stream, chat), frame(type.window, 0, stream, uint32(0))]),
    "chats that are broken by a body longer than promised": (stream) =>
      Buffer.concat([
        head(stream, [...chat, ["content-length", "1"]]),
        frame(type.data, flag.endStream, stream, "more than that"),
      ]),
  };

  // Fewer than Node's own library takes before it has had enough: it is the guard that must see them.
  test.each(Object.entries(floods))("cost the connection, and others are served: %s", async (_name, flood) => {
    const target = await startTarget();
    const session = open(target.port);
    await session.send(Buffer.concat(streams(600).map(flood)));
    expect(await session.settled()).toBe("closed");
    await target.emptied();
    await target.serves();
    await target.provider.idle();
  });

  test("cost the connection also where answers come at once", async () => {
    const target = await startTarget();
    for (const fields of [health, pseudo("GET", "/nowhere"), chat.slice(0, 4)]) {
      const session = open(target.port);
      let from = 1;
      // In bites, as a client that means harm would: what is answered in between is no reset.
      for (; from < 40_000 && (await session.settled()) === "alive"; from += 4000) {
        await session.send(
          Buffer.concat(streams(2000, from).map((stream) => Buffer.concat([whole(stream, fields), reset(stream)]))),
        );
      }
      expect(await session.settled(), "after 20,000 streams").toBe("closed");
      await target.serves();
    }
    await target.emptied();
  });

  test("cost the connection also when the client reads nothing of it", async () => {
    const target = await startTarget();
    const line = openLine(target.port, { deaf: true, stubborn: true });
    await line.say(preface, settings(), ...streams(600).map(floods["whole chats"] as (stream: number) => Buffer)); // one of those above
    await Promise.race([target.emptied(), pause(6000)]);
    expect(target.listener.connections).toBe(0);
    await target.serves();
  });

  test("are no flood when an honest client opens thousands of them at once and takes few back", async () => {
    const target = await startTarget();
    const session = await connect(target.address);
    const chatHeaders = { ":method": "POST", ":path": "/v1/chat/completions", "content-type": "application/json" };
    const statuses = await inParallel(4000, 90, async (index) => {
      if (index % 40 !== 0) return ask(session, { ":path": "/health" });
      const stream = session.request(chatHeaders);
      stream.on("error", () => {});
      const closed = new Promise((resolve) => stream.on("close", resolve));
      stream.close(http2.constants.NGHTTP2_CANCEL);
      await closed;
      return 499;
    });
    expect(statuses.filter((status) => status === 200)).toHaveLength(3900);
    expect(session.destroyed).toBe(false);
    expect(await ask(session, chatHeaders, goodBody)).toBe(200);
  });

  /** How many old streams a client gives up at once, again and again. */
  test.each([
    { rounds: 1, each: 800 },
    { rounds: 3, each: 800 },
  ])("are no flood when they are old: $rounds times $each given up at once", async ({ rounds, each }) => {
    const target = await startTarget();
    const session = open(target.port);
    // So that the client may have as many.
    await session.send(whole(1, health), head(3, chat), frame(type.data, flag.endStream, 3, goodBody));
    expect(await session.ended(3)).toEqual({ status: 200, reset: undefined });
    for (let round = 0; round < rounds; round += 1) {
      const numbers = streams(each, 5 + round * 2 * each);
      await session.send(Buffer.concat(numbers.map((stream) => watchOn(stream))));
      expect(await session.settled()).toBe("alive");
      // Longer than what is counted as taken back.
      await pause(1200);
      await session.send(Buffer.concat(numbers.map(reset)));
      expect(await session.settled(), `after ${round + 1} times`).toBe("alive");
    }
    const last = 5 + rounds * 2 * each;
    await session.send(whole(last, health));
    expect(await session.ended(last)).toEqual({ status: 200, reset: undefined });
  });
});

describe("frames that only cost time", () => {
  /** Whether a flood must cost the connection, or may be borne as long as others do not feel it. */
  const floods: readonly (readonly [
    what: string,
    first: Buffer,
    again: Buffer,
    count: number,
    end: "closed" | "either",
  ])[] = [
    ["SETTINGS", Buffer.alloc(0), settings([[4, 65_535]]), 50_000, "either"],
    ["empty SETTINGS", Buffer.alloc(0), settings(), 50_000, "either"],
    [
      "a SETTINGS of many values",
      Buffer.alloc(0),
      settings(Array.from({ length: 2000 }, () => [4, 65_535] as const)),
      20,
      "either",
    ],
    ["PING", Buffer.alloc(0), ping, 50_000, "either"],
    [
      "answers to PINGs that nobody sent",
      Buffer.alloc(0),
      frame(type.ping, flag.ack, 0, Buffer.alloc(8)),
      50_000,
      "either",
    ],
    ["PRIORITY", Buffer.alloc(0), frame(type.priority, 0, 1, Buffer.from([0, 0, 0, 3, 16])), 50_000, "either"],
    [
      "PRIORITY of ever other streams",
      Buffer.alloc(0),
      Buffer.concat(streams(1000).map((stream) => frame(type.priority, 0, stream, Buffer.from([0, 0, 0, 0, 16])))),
      50,
      "either",
    ],
    ["WINDOW_UPDATE", Buffer.alloc(0), frame(type.window, 0, 0, uint32(1)), 50_000, "either"],
    ["frames of unknown types", Buffer.alloc(0), frame(0xbe, 0, 0, "of no use"), 50_000, "either"],
    ["empty DATA", head(1, chat), frame(type.data, 0, 1), 50_000, "closed"],
    [
      "DATA of nothing but padding",
      head(1, chat),
      frame(type.data, flag.padded, 1, Buffer.concat([Buffer.of(255), Buffer.alloc(255)])),
      20_000,
      "either",
    ],
    ["empty CONTINUATION", head(1, chat, 0), frame(type.continuation, 0, 1), 50_000, "closed"],
    [
      "CONTINUATION of a head without an end",
      head(1, chat, 0),
      frame(type.continuation, 0, 1, fieldBlock([["x-more", "x".repeat(1000)]])),
      2000,
      "closed",
    ],
    ["resets of streams that never were", Buffer.alloc(0), reset(1), 10, "closed"],
    ["a window too large", Buffer.alloc(0), frame(type.window, 0, 0, uint32(0x7fffffff)), 2, "closed"],
    [
      "farewells in anger",
      Buffer.alloc(0),
      frame(type.goAway, 0, 0, Buffer.concat([uint32(0), uint32(2)])),
      1,
      "closed",
    ],
    ["PUSH_PROMISE", Buffer.alloc(0), frame(type.push, flag.endHeaders, 1, uint32(2)), 10, "closed"],
  ];

  test.each(floods)("do not keep others from being served: %s", async (_what, first, again, count, end) => {
    const target = await startTarget();
    const sessions = Array.from({ length: 3 }, () => open(target.port));
    const flooding = Promise.all(
      sessions.map(async (session) => {
        await session.send(first);
        const bite = Math.ceil(count / 50);
        for (let sent = 0; sent < count; sent += bite) {
          await session.send(Buffer.concat(Array.from({ length: bite }, () => again)));
        }
      }),
    );
    for (let served = 0; served < 5; served += 1) await target.serves();
    await flooding;
    const ends = await Promise.all(sessions.map((session) => session.settled()));
    if (end === "closed") expect(ends).toEqual(["closed", "closed", "closed"]);
    await target.serves();
    for (const session of sessions) session.leave();
    await target.emptied();
  });

  test.each([
    ["PING", ping],
    ["SETTINGS", settings()],
  ])("are not answered without end when nobody reads the answers: %s", async (_name, again) => {
    const target = await startTarget();
    const line = openLine(target.port, { deaf: true, stubborn: true });
    await line.say(preface, settings());
    const bite = Buffer.concat(Array.from({ length: 20_000 }, () => again));
    const most = 64 << 20;
    let said = 0;
    const flooding = (async () => {
      for (; said < most && !line.isGone; said += bite.length) await line.say(bite);
    })();
    for (let served = 0; served < 5; served += 1) await target.serves();
    // Either the connection is ended, or what is said is no longer taken.
    await Promise.race([flooding, pause(3000)]);
    expect(said, "bytes that were taken of a client that reads nothing").toBeLessThan(most);
    line.leave();
    await target.emptied();
  });
});

describe("streams open at once", () => {
  /** Sends so many that stay open, and tells how the last ones ended. */
  async function openMany(session: RawSession, count: number, from: number, more: Fields = []) {
    const numbers = streams(count, from);
    await session.send(Buffer.concat(numbers.map((stream) => watchOn(stream, more))));
    return numbers;
  }

  test("are a hundred for whoever has not shown a key", async () => {
    const target = await startTarget(closedAuth);
    const session = open(target.port);
    const numbers = await openMany(session, 150, 1);
    const refused = await Promise.all(numbers.slice(100).map((stream) => session.ended(stream)));
    expect(new Set(refused.map(({ reset: code }) => code))).toEqual(new Set([http2.constants.NGHTTP2_REFUSED_STREAM]));
    // Those that are open stay so.
    expect(await session.settled()).toBe("alive");
    const ended: number[] = [];
    for (const stream of numbers.slice(0, 100)) void session.ended(stream).then(() => ended.push(stream));
    await session.settled();
    expect(ended).toEqual([]);
    await target.serves();
    // Whoever goes on all the same has no more of it, and nobody else has less.
    for (let from = 301; from < 20_000; from += 2000) {
      await openMany(session, 1000, from);
      await target.serves();
    }
    session.leave();
    await target.emptied();
  });

  test("are a thousand for a caller that has shown its key, and no more", async () => {
    const target = await startTarget(closedAuth);
    const session = open(target.port);
    const key: Fields = [["authorization", `Bearer ${goodKey}`]];
    const fields: Fields = [...pseudo("GET", "/v1/models"), ...key];
    await session.send(whole(1, fields));
    expect(await session.ended(1)).toEqual({ status: 200, reset: undefined });
    const numbers = await openMany(session, 1010, 3, key);
    const refused = await Promise.all(numbers.slice(1000).map((stream) => session.ended(stream)));
    expect(new Set(refused.map(({ reset: code }) => code))).toEqual(new Set([http2.constants.NGHTTP2_REFUSED_STREAM]));
    const ended: number[] = [];
    for (const stream of numbers.slice(0, 1000)) void session.ended(stream).then(() => ended.push(stream));
    expect(await session.settled()).toBe("alive");
    expect(ended).toEqual([]);
    session.leave();
    await target.emptied();
  });

  test("are not more for whoever shows a wrong key, and each client is told how many it may have", async () => {
    const target = await startTarget(closedAuth);
    const session = await connect(target.address);
    const most: (number | undefined)[] = [session.remoteSettings.maxConcurrentStreams];
    session.on("remoteSettings", ({ maxConcurrentStreams }) => most.push(maxConcurrentStreams));
    expect(await ask(session, { ":path": "/v1/models", authorization: "Bearer wrong" })).toBe(401);
    expect(await ask(session, { ":path": "/health" })).toBe(200);
    expect(most).toEqual([100]);
    expect(await ask(session, { ":path": "/v1/models", authorization: `Bearer ${goodKey}` })).toBe(200);
    await until(() => most.length > 1);
    expect(most).toEqual([100, 1000]);
  });
});

describe("more connections than there may be", () => {
  const limits: Partial<ListenerLimits> = { connections: 8 };

  /** A connection of HTTP/1.1 with one request behind it. */
  async function openIdle(port: number): Promise<Line> {
    const line = openLine(port);
    await line.say(httpRequest("GET /health"));
    await line.hears(/healthy/);
    return line;
  }

  test("cost the one that has been idle for longest", async () => {
    const { port, listener } = await startTarget({}, { limits });
    const lines: Line[] = [];
    for (let count = 0; count < 8; count += 1) lines.push(await openIdle(port));
    // The first of them is used again.
    await lines[0]?.say(httpRequest("GET /readyz"));
    await lines[0]?.hears(/ready"/);
    const newcomers: Line[] = [];
    for (let count = 0; count < 3; count += 1) newcomers.push(await openIdle(port));
    await Promise.all(lines.slice(1, 4).map((line) => line.closed));
    expect(lines.map(({ isClosed }) => isClosed)).toEqual([false, true, true, true, false, false, false, false]);
    expect(newcomers.map(({ isClosed }) => isClosed)).toEqual([false, false, false]);
    expect(listener.connections).toBe(8);
  });

  test("cost those that have said nothing, as well, and those of HTTP/2 without a stream", async () => {
    const { port, listener } = await startTarget({}, { limits });
    const lines = Array.from({ length: 8 }, () => openLine(port));
    await until(() => listener.connections === 8);
    const newcomers = Array.from({ length: 8 }, () => open(port));
    await Promise.all(lines.map((line) => line.closed));
    for (const session of newcomers) {
      await session.send(whole(1, health));
      expect(await session.ended(1)).toEqual({ status: 200, reset: undefined });
    }
    for (let count = 0; count < 8; count += 1) await openIdle(port);
    expect(await Promise.all(newcomers.map((session) => session.settled()))).toEqual(newcomers.map(() => "closed"));
    expect(listener.connections).toBe(8);
  });

  test("are refused while none is idle, and those that are busy feel nothing of it", async () => {
    const upstream = await startHeldUpstream();
    const { port, listener } = await startGateway(configOf(upstream.baseUrl), {}, { limits });
    const body = JSON.stringify({ ...(JSON.parse(goodBody) as object), stream: true });
    const busy = Array.from({ length: 4 }, () => openLine(port));
    for (const line of busy) {
      await line.say(httpRequest("POST /v1/chat/completions", ["Content-Type: application/json"], body));
    }
    const sessions = Array.from({ length: 4 }, () => open(port));
    for (const session of sessions) {
      await session.send(head(1, chat), frame(type.data, flag.endStream, 1, body));
    }
    await upstream.holds(8);
    for (let count = 0; count < 20; count += 1) {
      const line = openLine(port);
      await line.say(httpRequest("GET /health"));
      await line.closed;
      expect(line.heard()).toBe("");
    }
    expect(listener.connections).toBe(8);
    expect(upstream.held).toBe(8);
    upstream.release();
    await Promise.all(busy.map((line) => line.hears(/continued[\s\S]*\[DONE\]/)));
    const ends = await Promise.all(sessions.map((session) => session.ended(1)));
    expect(ends).toEqual(sessions.map(() => ({ status: 200, reset: undefined })));
    // Now there is room again, at the cost of the first that has nothing open.
    const line = await openIdle(port);
    expect(line.isClosed).toBe(false);
    expect(listener.connections).toBe(8);
  });
});
