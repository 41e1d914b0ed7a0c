import http2 from "node:http2";
import { describe, expect, onTestFinished, test } from "vitest";
import type { Fault } from "../../src/providers/simulated/fault.ts";
import { poolConfig, startGateway, startProviders, type TestGateway } from "../support/gateway.ts";
import { failureOf, openWire, wireNames } from "../support/wires.ts";
import { startEverhop } from "./everhop-process.ts";
import { figuresCount } from "./figures.ts";
import { type Fountain, startFountain } from "./fountain.ts";
import { eventually } from "./leftovers.ts";
import { callRaw, type RawCall, type RawManner, type Way, ways, word } from "./raw-call.ts";

const ask = { text: "pour" };
const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** A fountain behind a gateway with limits of its own. */
async function startPouring(limits: object, everyMs?: number) {
  const fountain = await startFountain(everyMs);
  onTestFinished(() => fountain.close());
  const gateway = await startGateway({ ...poolConfig({ fountain }), server: { limits } });
  const call = (way: Way, unread: RawManner["unread"]) => {
    const made = callRaw(gateway.port, way, ask, { mode: "stream", unread });
    onTestFinished(() => made.leave("FIN"));
    return made;
  };
  return { ...gateway, fountain, call, allGone: () => allGone(gateway) };
}

/** Resolves when no client is connected any more. */
async function allGone({ listener }: TestGateway): Promise<void> {
  expect(
    await eventually(
      () => listener.connections,
      (open) => open === 0,
    ),
  ).toBe(0);
}

/** In what ways a client may take nothing. */
const unreadWays = ways.flatMap((way) =>
  (way.http2 ? (["socket", "window"] as const) : (["socket"] as const)).map((unread) => ({
    name: `${way.name}, by its ${unread},`,
    way,
    unread,
  })),
);

const whoTookNothing = { outcome: "caller_gone", hint: "the caller took nothing of its answer for too long" };

describe("a client that stops reading", () => {
  test.each(unreadWays)("$name stops its provider, and is cut as stalled", async ({ way, unread }) => {
    const { fountain, call, ended, gateway, breakers, allGone } = await startPouring({ stalled: "300ms" });
    const stalled = call(way, unread);
    await fountain.stuck(1);
    // It would pour for ever: whoever is stuck is not read from.
    expect(gateway.state.inFlight).toBe(1);
    expect(await ended(1)).toMatchObject([whoTookNothing]);
    await fountain.idle();
    expect(gateway.state.inFlight).toBe(0);
    expect(breakers).toEqual([]);
    // And the client learns of it once it looks: there is no end to what it was sent but a broken one.
    if (unread === "socket") drain(stalled);
    await stalled.over;
    stalled.leave("FIN");
    await allGone();
  });

  const goodbyes = ways.flatMap((way) =>
    (way.http2 ? (["halfClose", "RST_STREAM"] as const) : (["halfClose"] as const)).map((how) => ({
      name: `${how}, ${way.name}`,
      way,
      how,
    })),
  );

  // Node does not read from a socket of HTTP/2 that takes nothing, and what is half closed may still be read.
  test.each(goodbyes)("and says goodbye by $name, is cut as stalled at the latest", async ({ way, how }) => {
    const { fountain, call, ended, gateway, allGone } = await startPouring({ stalled: "300ms" });
    const goodbye = call(way, "socket");
    await fountain.stuck(1);
    if (how === "halfClose") goodbye.halfClose();
    else goodbye.leave(how);
    for (const { outcome } of await ended(1)) expect(outcome).toBe("caller_gone");
    await fountain.idle();
    expect(gateway.state.inFlight).toBe(0);
    goodbye.leave("FIN");
    await allGone();
  });

  test.each(ways)("for less than the limit at a time, by $name, is not cut however slow it is", async (way) => {
    const { fountain, call, trails, allGone } = await startPouring({ stalled: "1s" });
    const slow = call(way, "socket");
    await fountain.stuck(1);
    const taken = fountain.bytes;
    // More than twice the limit, some MiB a second; TCP itself tells of room in steps of hundreds of KiB.
    for (let times = 0; times < 120; times++) {
      slow.take(64 * 1024);
      await pause(20);
    }
    expect(trails[0]?.attempts[0]?.outcome).toBeUndefined();
    expect(fountain.bytes).toBeGreaterThan(taken);
    slow.leave("FIN");
    await fountain.idle();
    expect(trails[0]?.attempts[0]?.hint).toBeUndefined();
    await allGone();
  });

  test("costs little memory", { timeout: 60_000 }, async () => {
    const fountain = await startFountain();
    onTestFinished(() => fountain.close());
    const config = { ...poolConfig({ fountain }), server: { limits: { stalled: "1h" } }, log: { level: "error" } };
    const everhop = await startEverhop(config, { preload: collecting });
    /** What is resident once garbage, of which a process makes as much as it may, has been collected. */
    const resident = async () => {
      everhop.child.kill("SIGUSR2");
      const collected = everhop.output().length;
      while (!everhop.output().slice(collected).includes("collected")) await pause(5);
      return everhop.residentBytes();
    };
    const stall = async (count: number) => {
      const calls = Array.from({ length: count }, (_, index) => {
        const { way, unread } = unreadWays[index % unreadWays.length] as (typeof unreadWays)[number]; // modulo
        return callRaw(everhop.port, way, ask, { mode: "stream", unread });
      });
      await fountain.stuck(count);
      return calls;
    };
    // What a process loads and compiles for its first calls is not theirs.
    await leaveAll(await stall(unreadWays.length), fountain);
    const before = await resident();
    const streams = 100;
    const calls = await stall(streams);
    const perStream = ((await resident()) - before) / streams;
    console.log(
      `stalled: ${streams} streams, ${Math.round(perStream / 1024)} KiB resident more each, from ${Math.round(before / 2 ** 20)} MiB; ` +
        `a provider could send ${Math.round(fountain.bytes / 1024)} KiB`,
    );
    await leaveAll(calls, fountain);
    if (figuresCount) expect(perStream).toBeLessThanOrEqual(512 * 1024);
  });
});

/** Has a process collect its garbage when it is told. */
const collecting = `
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc");
process.on("SIGUSR2", () => { collect(); setTimeout(() => { collect(); console.log("collected"); }, 200); });
`;

async function leaveAll(calls: readonly RawCall[], fountain: Fountain): Promise<void> {
  for (const call of calls) call.leave("FIN");
  await fountain.idle();
}

/** Takes what there is until there is no more. */
async function drain(call: RawCall): Promise<void> {
  let over = false;
  void call.over.then(() => {
    over = true;
  });
  while (!over) {
    call.take(Number.POSITIVE_INFINITY);
    await pause(1);
  }
}

/** Streams over REST, by either version of HTTP, as the text that came. */
const restStreams = {
  async "HTTP/1.1"(address: string, headers: Readonly<Record<string, string>>) {
    const response = await fetch(`${address}/v1/chat/completions`, { method: "POST", headers, body });
    return { status: response.status, text: await response.text() };
  },
  "HTTP/2": (address: string, headers: Readonly<Record<string, string>>) =>
    new Promise<{ status: number; text: string }>((resolve, reject) => {
      const session = http2.connect(address);
      onTestFinished(() => session.destroy());
      const stream = session.request({ ":method": "POST", ":path": "/v1/chat/completions", ...headers });
      let status = 0;
      let text = "";
      stream.setEncoding("utf8");
      stream.on("response", (head) => {
        status = head[":status"] ?? 0;
      });
      stream.on("data", (piece) => {
        text += piece;
      });
      stream.on("end", () => resolve({ status, text }));
      stream.on("error", reject);
      stream.end(body);
    }),
};
const versions = ["HTTP/1.1", "HTTP/2"] as const;
const body = JSON.stringify({ model: "think", stream: true, messages: [{ role: "user", content: "hello" }] });
const json = { "content-type": "application/json" };
const beat = ": still at work";

/** The events and comments of a stream, in their order. */
function eventsOf(text: string): string[] {
  expect(text.endsWith("\n\n")).toBe(true);
  return text.split("\n\n").slice(0, -1);
}

describe.each(versions)("a stream over %s of which nothing is known yet", (version) => {
  const slowly: Fault = { kind: "html", delayMs: 200 };

  async function start(first: Fault, second: Fault) {
    const providers = await startProviders({ first: { schedule: [first] }, second: { schedule: [second] } });
    const config = { ...poolConfig(providers), server: { limits: { heartbeat: "50ms" } } };
    return { ...(await startGateway(config, providers)), providers };
  }

  test("says that it is alive while hops go on, then answers as ever, and tells of the hops at its end", async () => {
    const { address, trails } = await start(slowly, { kind: "none", delayMs: 200 });
    const { status, text } = await restStreams[version](address, json);
    expect(status).toBe(200);
    const events = eventsOf(text);
    const firstData = events.findIndex((event) => event.startsWith("data:"));
    expect(events.slice(0, firstData)).toEqual(Array(firstData).fill(beat));
    expect(firstData).toBeGreaterThanOrEqual(2);
    expect(events.at(-1)).toBe("data: [DONE]");
    expect(events.at(-2)).toMatch(
      /^: x-everhop-trail: first\/first-model\S* .*\d+ms, second\/second-model\S* 200 \d+ms$/,
    );
    expect(events.filter((event) => event === "data: [DONE]").length).toBe(1);
    expect(text).toContain("hello");
    expect(trails.map(({ attempts }) => attempts.map(({ outcome }) => outcome))).toEqual([["transient_fault", "ok"]]);
  });

  test("tells the whole trail in a last chunk to whoever has asked for it", async () => {
    const { address } = await start(slowly, { kind: "none" });
    const { text } = await restStreams[version](address, { ...json, "x-everhop-include-trail": "true" });
    const events = eventsOf(text);
    expect(events).toContain(beat);
    expect(events.at(-1)).toBe("data: [DONE]");
    const last = JSON.parse(events.at(-2)?.slice("data: ".length) ?? "");
    expect(last).toMatchObject({ choices: [], trail: { attempts: [{ provider: "first" }, { provider: "second" }] } });
  });

  test("ends with an error that is not partial, and without [DONE], when everybody fails", async () => {
    const { address } = await start(slowly, slowly);
    const { status, text } = await restStreams[version](address, json);
    expect(status).toBe(200);
    const events = eventsOf(text);
    expect(events.slice(0, -1)).toEqual(Array(events.length - 1).fill(beat));
    expect(events.length).toBeGreaterThanOrEqual(3);
    const { error } = JSON.parse(events.at(-1)?.slice("data: ".length) ?? "");
    expect(error).toMatchObject({ code: "all_providers_failed" });
    expect(error.partial ?? false).toBe(false);
  });

  test("goes on saying so while another provider says again what the caller has", async () => {
    const text = Array.from({ length: 60 }, (_, index) => `${word}${index}`).join(" ");
    const providers = await startProviders({
      first: { text, schedule: [{ kind: "cut_after", events: 41 }], eventPerWrite: true },
      second: { text, tokensPerSecond: 100, eventPerWrite: true },
    });
    const config = { ...poolConfig(providers), server: { limits: { heartbeat: "50ms" } } };
    const { address } = await startGateway(config, providers);
    const headers = { ...json, "x-everhop-stream-recovery": "continue" };
    const events = eventsOf((await restStreams[version](address, headers)).text);
    const firstData = events.findIndex((event) => event.startsWith("data:"));
    expect(events.indexOf(beat, firstData)).toBeGreaterThan(firstData);
    expect(events.at(-1)).toBe("data: [DONE]");
    const chunks = events.filter((event) => event.startsWith("data: {")).map((event) => JSON.parse(event.slice(6)));
    expect(chunks.map(({ choices }) => choices?.[0]?.delta?.content ?? "").join("")).toBe(text);
  });
});

describe.each(wireNames)("a stream over %s that does not end", (name) => {
  const limits = [
    { limit: "stream_total", value: "200ms", behaviour: { tokensPerSecond: 50 } },
    { limit: "stream_size", value: "2KiB", behaviour: { tokensPerSecond: 1000 } },
  ] as const;

  test.each(limits)("is cut at $limit, visibly, and nobody is blamed", async ({ limit, value, behaviour }) => {
    const providers = await startProviders({
      only: { text: `${word} `.repeat(500), eventPerWrite: true, ...behaviour },
    });
    const config = { ...poolConfig(providers), server: { limits: { [limit]: value } } };
    const { address, breakers, gateway, trails } = await startGateway(config, providers);
    const wire = openWire(name, address);
    // More than it takes for a breaker to open.
    const failures = await Promise.all(Array.from({ length: 12 }, () => failureOf(wire.stream({ text: "on and on" }))));
    for (const failure of failures) {
      expect(failure.text).toContain(word);
      expect(failure.trail).toMatchObject({ partial: true, attempts: [{ provider: "only", outcome: "local" }] });
      if (name === "REST") expect(failure.reason).toBe("stream_interrupted");
      else expect(failure).toMatchObject({ status: "Unavailable", reason: "STREAM_LIMIT" });
    }
    expect(trails.flatMap(({ attempts }) => attempts).length).toBe(failures.length);
    expect(breakers).toEqual([]);
    await providers.only.idle();
    expect(providers.only.seen.every(({ aborted }) => aborted)).toBe(true);
    expect(gateway.state.inFlight).toBe(0);
    providers.only.behave({ text: "enough", tokensPerSecond: Number.POSITIVE_INFINITY });
    expect((await wire.stream({ text: "and now?" })).text).toBe("enough");
  });
});
