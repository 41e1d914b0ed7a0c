import { Agent, get, request } from "node:http";
import { connect } from "node:net";
import { describe, expect, test } from "vitest";
import { startSimulatedProvider } from "../../../src/providers/simulated/simulated-provider.ts";
import { type Clock, systemClock } from "../../../src/runtime/clock.ts";
import { seededRng } from "../../../src/runtime/rng.ts";
import { chunks, eventData, json, saying, send, started } from "./client.ts";

/** The clock of the machine, which counts the timers that are running. */
function countingClock(): Clock & { pending: number } {
  const clock = {
    ...systemClock,
    pending: 0,
    schedule(delayMs: number, callback: () => void) {
      let over = false;
      const end = () => {
        if (!over) clock.pending--;
        over = true;
      };
      clock.pending++;
      const cancel = systemClock.schedule(delayMs, () => {
        end();
        callback();
      });
      return () => {
        end();
        cancel();
      };
    },
  };
  return clock;
}

/** An HTTP request's bytes. */
function bytes(body: object): string {
  const text = JSON.stringify(body);
  return `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;
}

describe("a client that leaves", () => {
  test.for([
    ["before the answer", { latencyMs: 60_000 }, { leaveAfterMs: 30 }],
    ["between headers and content", { latencyMs: 60_000, earlyHeaders: true }, { leaveAfter: "\r\n\r\n" }],
    ["in the middle of a stream", { tokensPerSecond: 20 }, { leaveAfter: "You" }],
    ["in the middle of a drip", { schedule: [{ kind: "drip", msPerByte: 5 }] }, { leaveAfterMs: 30 }],
    ["in a stall", { schedule: [{ kind: "stall_after" }] }, { leaveAfter: "said" }],
    ["while the end is withheld", { schedule: [{ kind: "hold_open_after_done" }] }, { leaveAfter: "[DONE]" }],
  ] as const)("%s is recorded, and leaves no timer behind", async ([, behaviour, sending]) => {
    const clock = countingClock();
    const provider = await started({ clock, ...behaviour });
    const received = send(provider, saying("one two three", { stream: true }), sending);
    await provider.arrived(1);
    expect(provider.open).toBe(1);
    expect(provider.seen[0]).toMatchObject({ aborted: false, finished: false });
    await received;
    await provider.idle();
    expect(provider.seen[0]).toMatchObject({ aborted: true, finished: false });
    expect(clock.pending).toBe(0);
  });

  test("in the middle of its own body is recorded", async () => {
    const provider = await started();
    const { port } = new URL(provider.baseUrl);
    const socket = connect(Number(port), "127.0.0.1", () => {
      socket.write("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{", () =>
        setTimeout(() => socket.destroy(), 20),
      );
    });
    await provider.arrived(1);
    await provider.idle();
    expect(provider.seen).toMatchObject([{ aborted: true, finished: false, body: "" }]);
  });

  test("while its requests are pipelined is recorded for each of them", async () => {
    const provider = await started({ latencyMs: 60_000 });
    const { port } = new URL(provider.baseUrl);
    const socket = connect(Number(port), "127.0.0.1", () => socket.write(bytes(saying("a")) + bytes(saying("b"))));
    await provider.arrived(2);
    socket.resetAndDestroy();
    await provider.idle();
    expect(provider.seen).toMatchObject([{ aborted: true }, { aborted: true }]);
  });

  test("while it does not read is waited for, then recorded", async () => {
    const provider = await started();
    const { port } = new URL(provider.baseUrl);
    const text = "word ".repeat(60_000);
    const socket = connect(Number(port), "127.0.0.1", () => socket.write(bytes(saying(text, { stream: true }))));
    socket.pause();
    await provider.arrived(1);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(provider.seen[0]).toMatchObject({ aborted: false, finished: false });
    socket.destroy();
    await provider.idle();
    expect(provider.seen[0]).toMatchObject({ aborted: true, finished: false });
  });
});

describe("the pace", () => {
  test("is kept by streams", async () => {
    const provider = await started({ latencyMs: 40, tokensPerSecond: 100 });
    const before = performance.now();
    const received = await send(provider, saying("one two three", { stream: true }));
    expect(performance.now() - before).toBeGreaterThan(40 + 4 * 10 - 5);
    expect(received.reads.length).toBeGreaterThan(2);
  });

  test("is kept by unary answers, which come with their last token", async () => {
    const provider = await started({ latencyMs: 20, tokensPerSecond: 100 });
    const before = performance.now();
    expect((await send(provider, saying("one two three"))).reads).toHaveLength(1);
    expect(performance.now() - before).toBeGreaterThan(20 + 4 * 10 - 5);
  });

  test("lets a stream go out in one piece when it is infinite", async () => {
    expect((await send(await started(), saying("one two three", { stream: true }))).reads).toHaveLength(1);
  });

  test("does not keep early headers", async () => {
    const provider = await started({ latencyMs: 30, earlyHeaders: true });
    const received = await send(provider, saying("hi", { stream: true }));
    expect(received.reads[0]).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(received.reads[0]).not.toContain("data:");
  });

  test("may give every event a write of its own", async () => {
    const received = await send(await started({ eventPerWrite: true }), saying("hi", { stream: true }));
    // Each write is a chunk of HTTP/1.1; the last read has the end of the body, too.
    const framed = received.reads.join("").match(/\r\n[0-9a-f]+\r\ndata: /g);
    expect(framed).toHaveLength(eventData(received).length);
  });

  test("bears a stream of megabytes", async () => {
    const received = await send(await started(), saying("word ".repeat(20_000), { stream: true }));
    expect(chunks(received)).toHaveLength(20_005);
  });
});

describe("what was seen", () => {
  test("is the whole request", async () => {
    const provider = await started();
    const body = saying("hi", { unknown: [1] });
    await send(provider, body, { path: "/v1/chat/completions?a=b", headers: { "x-own": "1" } });
    await provider.idle();
    expect(provider.seen).toMatchObject([
      {
        number: 1,
        method: "POST",
        path: "/v1/chat/completions?a=b",
        headers: { "x-own": "1" },
        body: JSON.stringify(body),
        json: body,
        model: "m",
        fault: { kind: "none" },
        aborted: false,
        finished: true,
      },
    ]);
  });

  test("is remembered a thousand requests long", async () => {
    const provider = await started();
    const agent = new Agent({ keepAlive: true, maxSockets: 20 });
    const ask = () =>
      new Promise((resolve) =>
        get(`${provider.baseUrl}/models`, { agent }, (response) => response.resume().on("end", resolve)),
      );
    await Promise.all(Array.from({ length: 1010 }, ask));
    await provider.arrived(1010);
    expect(provider.seen).toHaveLength(1000);
    expect(provider.seen.at(-1)?.number).toBe(1010);
    agent.destroy();
  });
});

describe("the provider", () => {
  test("gives the same ids to the same seed, and others to each request", async () => {
    const ids = async (seed: number) => {
      const provider = await started({ rng: seededRng(seed) });
      return [json(await send(provider, saying("a")))["id"], json(await send(provider, saying("b")))["id"]];
    };
    const [first, second] = await ids(1);
    expect(first).not.toEqual(second);
    expect(await ids(1)).toEqual([first, second]);
    expect(await ids(2)).not.toEqual([first, second]);
  });

  test("keeps a connection for the next request", async () => {
    const provider = await started();
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const ports = new Set<unknown>();
    for (const stream of [false, true, false]) {
      await new Promise<void>((resolve) => {
        const sent = request(`${provider.baseUrl}/chat/completions`, { method: "POST", agent }, (response) => {
          ports.add(response.socket.localPort);
          response.resume().on("end", resolve);
        });
        sent.end(JSON.stringify(saying("hi", { stream })));
      });
    }
    expect(ports.size).toBe(1);
    agent.destroy();
  });

  test("destroys what is open when it closes, blames nobody, and may come back to its port", async () => {
    const provider = await started({ latencyMs: 60_000 });
    const received = send(provider, saying("hi"));
    await provider.arrived(1);
    await provider.close();
    await provider.close();
    expect((await received).end).not.toBe("whole");
    await provider.idle();
    expect(provider.seen).toMatchObject([{ aborted: false, finished: false }]);
    expect(await send(provider, saying("hi"))).toMatchObject({ end: "reset", reads: [] });

    const again = await started({ port: Number(new URL(provider.baseUrl).port) });
    expect((await send(again, saying("hi"))).status).toBe(200);
    const rival = startSimulatedProvider({
      clock: systemClock,
      rng: seededRng(1),
      port: Number(new URL(again.baseUrl).port),
    });
    await expect(rival).rejects.toThrow("EADDRINUSE");
  });
});
