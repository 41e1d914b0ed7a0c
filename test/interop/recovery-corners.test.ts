import { once } from "node:events";
import http, { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import OpenAI from "openai";
import { describe, expect, onTestFinished, test } from "vitest";
import type { Behaviour } from "../../src/providers/simulated/behaviour.ts";
import type { Fault } from "../../src/providers/simulated/fault.ts";
import { drain } from "../../src/server/shutdown.ts";
import { poolConfig, startGateway, startProviders } from "../support/gateway.ts";
import { type Json, postChat, readAll, readSse } from "../support/rest.ts";
import { type Ask, failureOf, openWire, type WireName, wireNames } from "../support/wires.ts";

/** Sixty words, each another one. */
const words = Array.from({ length: 60 }, (_, index) => `word${index}`).join(" ");
const half = words.slice(0, words.indexOf(" word30"));
const ask: Ask = { text: "tell me", recovery: "continue" };
/** The role comes first, so that forty pieces of content have gone out. */
const cutAfterForty: Fault = { kind: "cut_after", events: 41 };
const neverMs = 60_000;

const event = (data: unknown) => `data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`;
const chunk = (delta: object, finish: string | null = null) =>
  event({
    id: "c1",
    object: "chat.completion.chunk",
    created: 1_795_000_000,
    model: "tiny",
    choices: [{ index: 0, delta, finish_reason: finish }],
  });
const ending = chunk({}, "stop") + event("[DONE]");

type Handle = (response: ServerResponse, json: Json, number: number) => unknown;

/** An upstream whose every byte the test writes itself. */
async function startUpstream(handle: Handle) {
  const seen: Json[] = [];
  let open = 0;
  let waiting: (() => void)[] = [];
  const changed = () => {
    const woken = waiting;
    waiting = [];
    for (const wake of woken) wake();
  };
  const until = async (ready: () => boolean) => {
    while (!ready()) await new Promise<void>((resolve) => waiting.push(resolve));
  };
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const parts: Buffer[] = [];
    open += 1;
    response.on("close", () => {
      open -= 1;
      changed();
    });
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      const json = JSON.parse(Buffer.concat(parts).toString()) as Json;
      seen.push(json);
      changed();
      handle(response, json, seen.length);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo; // it listens on TCP
  return {
    baseUrl: `http://127.0.0.1:${port}/v1`,
    seen,
    arrived: (count: number) => until(() => seen.length >= count),
    idle: () => until(() => open === 0),
  };
}

const streamHead = (response: ServerResponse) => response.writeHead(200, { "content-type": "text/event-stream" });

/** Says a text and falls silent. */
const saysAndStalls =
  (text: string): Handle =>
  (response) =>
    streamHead(response).write(chunk({ content: text }));

/** Says the first half and is cut. */
const saysHalfAndIsCut: Handle = (response) => {
  streamHead(response).write(chunk({ content: half }), () => response.destroy());
};

const limits = { each: { timeouts: { first_token: "20s", idle: "20s" } } };

/** A gateway before two upstreams of the test's own. */
async function startRaw(first: Handle, second: Handle, changes: Parameters<typeof poolConfig>[1] = limits, rest = {}) {
  const upstreams = { first: await startUpstream(first), second: await startUpstream(second) };
  return { ...(await startGateway({ ...poolConfig(upstreams, changes), ...rest })), upstreams };
}

/** Two simulated providers: `first` breaks as told, `second` behaves as told. */
async function start(
  schedule: readonly Fault[],
  second: Partial<Behaviour> = {},
  { prefill = "none", changes = {}, rest = {} }: { prefill?: string; changes?: object; rest?: object } = {},
) {
  const providers = await startProviders({
    first: { text: words, schedule, eventPerWrite: true },
    second: { text: words, eventPerWrite: true, ...second },
  });
  const config = poolConfig(providers, {
    each: { timeouts: { first_token: "20s", idle: "20s" } },
    second: { models: [{ id: "second-model", prefill }], ...changes },
  });
  return { ...(await startGateway({ ...config, ...rest }, providers)), providers };
}

/** What a caller gets of one stream, piece by piece. */
async function told(name: WireName, address: string, changes: Partial<Ask> = {}, signal?: AbortSignal) {
  const pieces: string[] = [];
  const hops: string[] = [];
  const answer = await openWire(name, address).stream(
    { ...ask, ...changes },
    {
      onText: (text) => pieces.push(text),
      onHop: (hop) => hops.push(`${hop.case} ${hop.value.provider}`),
      ...(signal && { signal }),
    },
  );
  return { ...answer, joined: pieces.join(""), hops };
}

const body: Json = { model: "think", messages: [{ role: "user", content: "x" }], stream: true };
const goOn = { "x-everhop-stream-recovery": "continue" };

/** How far the second endpoint has come when something happens. */
const moments: readonly (readonly [string, Handle])[] = [
  ["before the next endpoint has answered", () => {}],
  ["after its headers", (response) => void streamHead(response).flushHeaders()],
  ["after its role", (response) => void streamHead(response).write(chunk({ role: "assistant", content: "" }))],
  ["while it says what the caller has", saysAndStalls(half.slice(0, 50))],
  ["when it has said that", saysAndStalls(half)],
  ["after it has gone on", saysAndStalls(`${half} and on`)],
];

describe.each(["gRPC", "Connect", "REST"] as const)("while a stream goes on elsewhere, over %s,", (name) => {
  test.each(moments)("a caller who leaves %s ends all of it", async (_, second) => {
    const { address, upstreams, gateway, trails, ended } = await startRaw(saysHalfAndIsCut, second);
    const letGo = new AbortController();
    const work = told(name, address, {}, letGo.signal);
    work.catch(() => {});
    await upstreams.second.arrived(1);
    // So that what it says is on its way, or there.
    await new Promise((resolve) => setTimeout(resolve, 30));
    letGo.abort();
    await expect(work).rejects.toThrow();
    await Promise.all([upstreams.first.idle(), upstreams.second.idle(), ended(2)]);
    expect(trails[0]?.attempts.map(({ outcome }) => outcome)).toEqual(["transient_fault", "caller_gone"]);
    expect(trails[0]?.partial).toBe(true);
    expect(gateway.state.inFlight).toBe(0);
  });

  test("the caller's deadline ends it at any of these moments, and is what the caller is told", async () => {
    const endsBy = async (second: Handle) => {
      const { address, upstreams, gateway, ended } = await startRaw(saysHalfAndIsCut, second);
      const failure = await failureOf(told(name, address, { timeoutMs: 1200 }));
      expect(failure.reason.toLowerCase()).toBe("deadline_exceeded");
      expect(failure.text.startsWith(half)).toBe(true);
      expect(failure.trail?.partial).toBe(true);
      expect(failure.trail?.attempts.map(({ outcome }) => outcome)).toEqual(["transient_fault", "caller_gone"]);
      await Promise.all([upstreams.second.idle(), ended(2)]);
      expect(gateway.state.inFlight).toBe(0);
    };
    await Promise.all(moments.map(([, second]) => endsBy(second)));
  });

  test("a process that stops ends it, and says so", async () => {
    const { address, upstreams, gateway, listener, clock } = await startRaw(saysHalfAndIsCut, () => {});
    const work = failureOf(told(name, address));
    await upstreams.second.arrived(1);
    await drain({ gateway, listener, clock }, { preStopMs: 0, graceMs: 20 });
    const failure = await work;
    expect(failure.reason).toBe(name === "REST" ? "service_unavailable" : "SHUTTING_DOWN");
    expect(failure.message).toBe("The gateway is shutting down.");
    expect(failure.trail?.partial).toBe(true);
    await upstreams.second.idle();
  });

  test("a process that drains lets it end well", async () => {
    let goAhead = () => {};
    const { address, upstreams, gateway, listener, clock } = await startRaw(saysHalfAndIsCut, (response) => {
      streamHead(response).write(chunk({ content: half }));
      goAhead = () => response.end(chunk({ content: " and on" }) + ending);
    });
    const work = told(name, address);
    await upstreams.second.arrived(1);
    const drained = drain({ gateway, listener, clock }, { preStopMs: 0, graceMs: neverMs });
    goAhead();
    expect((await work).joined).toBe(`${half} and on`);
    await drained;
  });
});

test("a caller who leaves while a sole endpoint asks to be waited for is not waited for", async () => {
  const error = { message: "Rate limit reached. Please try again in 8s.", code: "rate_limit_exceeded" };
  const upstream = await startUpstream((response) =>
    streamHead(response).end(chunk({ content: half }) + event({ error })),
  );
  const { address, gateway, ended } = await startGateway(poolConfig({ first: upstream }, limits));
  const letGo = new AbortController();
  const work = told("gRPC", address, {}, letGo.signal);
  work.catch(() => {});
  await ended(1);
  letGo.abort();
  await expect(work).rejects.toThrow();
  await upstream.idle();
  expect(upstream.seen).toHaveLength(1);
  expect(gateway.state.inFlight).toBe(0);
});

test("with less time than an attempt needs no other endpoint is put to work", async () => {
  for (const name of ["gRPC", "REST"] as const) {
    const { address, upstreams } = await startRaw(
      (response) => {
        streamHead(response).write(chunk({ content: half }));
        setTimeout(() => response.destroy(), 900);
      },
      () => {},
    );
    const failure = await failureOf(told(name, address, { timeoutMs: 1000 }));
    expect(failure.trail?.partial).toBe(true);
    expect(upstreams.second.seen).toHaveLength(0);
  }
});

/** What the second endpoint may do instead of going on. */
const refusals: readonly (readonly [string, Fault, string])[] = [
  ["refuses everything", { kind: "status", status: 400 }, "request_refused"],
  ["refuses it as unprocessable", { kind: "status", status: 422, shape: "detail" }, "request_refused"],
  [
    "finds it too long",
    { kind: "status", status: 400, code: "context_length_exceeded", message: "too long" },
    "request_refused",
  ],
  ["filters it", { kind: "status", status: 400, code: "content_filter" }, "request_refused"],
  ["refuses the key", { kind: "status", status: 401 }, "key_refused"],
  ["is out of rate", { kind: "status", status: 429, headers: { "retry-after": "7" } }, "rate_limited"],
  ["is out of quota", { kind: "status", status: 429, code: "insufficient_quota" }, "quota_exhausted"],
  ["has no such model", { kind: "status", status: 404, code: "model_not_found" }, "model_unavailable"],
  ["is overloaded", { kind: "status", status: 529 }, "overloaded"],
  ["answers with a JSON error", { kind: "json_error_in_200" }, "transient_fault"],
  ["answers with a page", { kind: "html" }, "transient_fault"],
  ["answers with nothing", { kind: "empty_stream" }, "transient_fault"],
  ["answers with an error event", { kind: "error_event_first", code: "content_filter" }, "request_refused"],
  ["says nothing and ends well", { kind: "no_content" }, "local"],
  ["resets", { kind: "reset_before_headers" }, "transient_fault"],
];

describe.each(["none", "assistant"])("where the second endpoint is asked in the manner of %s", (prefill) => {
  test.each(refusals)(
    "and %s, the caller is told that its stream broke, and not of that",
    async (_, fault, outcome) => {
      for (const name of ["gRPC", "REST"] as const) {
        const { address, providers, gateway } = await start(
          [cutAfterForty],
          { schedule: [fault], prefill: "goes_on" },
          { prefill },
        );
        const failure = await failureOf(told(name, address));
        // A text that is gone on with may have been whole already.
        expect(failure.reason.toLowerCase()).toBe("stream_interrupted");
        expect(failure.fields).toEqual([]);
        expect(failure.retryDelayMs).toBeUndefined();
        expect(words.startsWith(failure.text)).toBe(true);
        expect(failure.text.split(" ")).toHaveLength(40);
        expect(failure.trail?.partial).toBe(true);
        expect(failure.trail?.attempts.at(-1)?.outcome).toBe(outcome);
        await providers.second.idle();
        expect(gateway.state.inFlight).toBe(0);
      }
    },
  );
});

test("a refusal of the given text is never the caller's error, whatever is refused then", async () => {
  for (const name of wireNames) {
    const { address, upstreams } = await startRaw(
      saysHalfAndIsCut,
      (response, _json, number) => {
        const message = number === 1 ? "assistant message prefill is not supported" : "no";
        response.writeHead(400, { "content-type": "application/json" }).end(JSON.stringify({ error: { message } }));
      },
      { ...limits, second: { models: [{ id: "second-model", prefill: "assistant" }] } },
    );
    const failure = await failureOf(told(name, address));
    expect(failure.reason.toLowerCase()).toBe("stream_interrupted");
    expect(failure.trail?.attempts.map(({ outcome }) => outcome)).toEqual([
      "transient_fault",
      "request_refused",
      "request_refused",
    ]);
    expect(upstreams.second.seen).toHaveLength(2);
  }
});

test("a deadline that only the client's wire tells of ends it, too", async () => {
  const { address, upstreams, trails, ended } = await startRaw(saysHalfAndIsCut, () => {});
  const failure = await failureOf(openWire("gRPC", address).stream(ask, { deadlineMs: 1200 }));
  expect(failure.status).toBe("DeadlineExceeded");
  expect(failure.text).toBe(half);
  await Promise.all([upstreams.second.idle(), ended(2)]);
  expect(trails[0]?.attempts.map(({ outcome }) => outcome)).toEqual(["transient_fault", "caller_gone"]);
});

test("a key that is at its limit in the middle of a stream is followed by another one of the same provider", async () => {
  const error = { message: "Rate limit reached", code: "rate_limit_exceeded" };
  const { address, upstreams } = await startRaw(
    (response, _json, number) =>
      number === 1
        ? streamHead(response).end(chunk({ content: half }) + event({ error }))
        : streamHead(response).end(chunk({ content: words }) + ending),
    () => {},
    { ...limits, first: { keys: ["first-key-of-first", "second-key-of-first"] } },
  );
  const { joined, details } = await told("gRPC", address);
  expect(joined).toBe(words);
  expect(new Set(details?.attempts.map(({ key }) => key)).size).toBe(2);
  expect(upstreams.second.seen).toHaveLength(0);
});

test("another key of the second endpoint goes on where the first one is refused", async () => {
  const { address, providers } = await start(
    [cutAfterForty],
    { keys: ["good-key-of-second"] },
    { changes: { keys: ["bad-key-of-second", "good-key-of-second"] } },
  );
  for (let turn = 0; turn < 3; turn++) expect((await told("REST", address)).joined).toBe(words);
  expect(providers.second.seen.length).toBeLessThanOrEqual(4);
});

test("an endpoint that answers anew although it was given the text is asked again without it, and given no text again", async () => {
  const { address, upstreams } = await startRaw(
    saysHalfAndIsCut,
    async (response, json) => {
      streamHead(response);
      const isGiven = (json["messages"] as { role: string }[]).at(-1)?.role === "assistant";
      response.end(chunk({ content: isGiven ? `${words.slice(0, 60)} and then something else` : words }) + ending);
    },
    { ...limits, second: { models: [{ id: "second-model", prefill: "assistant" }] } },
  );
  const { joined, trail } = await told("REST", address);
  expect(joined).toBe(words);
  expect(trail?.attempts.map(({ outcome }) => outcome)).toEqual(["transient_fault", "request_refused", "ok"]);
  expect((await told("REST", address)).joined).toBe(words);
  const given = upstreams.second.seen.filter((json) => JSON.stringify(json).includes('"assistant"'));
  expect(given).toHaveLength(1);
});

describe("silence", () => {
  const idle = { each: { timeouts: { first_token: "20s", idle: "150ms" } } };

  test.each([120, 145, 150, 155, 200])(
    "that ends about at the limit (%d ms) costs nobody a word, whoever is quicker",
    async (ms) => {
      for (const name of ["gRPC", "REST"] as const) {
        const { address, upstreams } = await startRaw(
          (response) => {
            streamHead(response).write(chunk({ content: half }));
            setTimeout(() => {
              if (!response.destroyed) response.end(chunk({ content: words.slice(half.length) }) + ending);
            }, ms);
          },
          (response) => streamHead(response).end(chunk({ content: words }) + ending),
          idle,
        );
        expect((await told(name, address)).joined).toBe(words);
        await Promise.all([upstreams.first.idle(), upstreams.second.idle()]);
      }
    },
  );

  test.each([
    ["while it says what the caller has", half.slice(0, 40)],
    ["when it has said that", half],
    ["after it has gone on", `${half} and on`],
  ])("of the second endpoint, %s, ends the stream visibly within that endpoint's limit", async (_, text) => {
    for (const name of ["gRPC", "REST"] as const) {
      const { address, upstreams, trails } = await startRaw(saysHalfAndIsCut, saysAndStalls(text), idle);
      const failure = await failureOf(told(name, address));
      expect(failure.reason.toLowerCase()).toBe("stream_interrupted");
      expect(failure.text).toBe(text.length > half.length ? text : half);
      await upstreams.second.idle();
      expect(trails[0]?.attempts.map(({ outcome }) => outcome)).toEqual(["transient_fault", "transient_fault"]);
    }
  });
});

test("a sole endpoint goes on with its own stream, after a wait", async () => {
  for (const name of ["gRPC", "REST"] as const) {
    const providers = await startProviders({
      only: { text: words, schedule: [cutAfterForty, { kind: "none" }], eventPerWrite: true },
    });
    const { address } = await startGateway(poolConfig(providers), providers);
    const { joined, details, hops } = await told(name, address);
    expect(joined).toBe(words);
    expect(hops).toEqual(["resumed only"]);
    expect(details?.attempts.map(({ purpose, waitReason }) => `${purpose} ${waitReason}`)).toEqual([
      " ",
      "recovery backoff",
    ]);
  }
});

test("a pin is kept: the pinned provider goes on itself, or whom the caller names after it", async () => {
  const { address, providers } = await start([cutAfterForty, { kind: "none" }, cutAfterForty]);
  const pinned = await told("REST", address, { provider: "first" });
  expect(pinned.joined).toBe(words);
  expect(pinned.hops).toEqual(["resumed first"]);
  expect(providers.second.seen).toHaveLength(0);
  const named = await told("gRPC", address, { provider: "first", fallbackProviders: ["second"] });
  expect(named.joined).toBe(words);
  expect(named.hops).toEqual(["resumed second"]);
});

test("one retry is enough to go on, and no more are made than the caller allows", async () => {
  const { address } = await start([cutAfterForty]);
  expect((await told("REST", address, { retryCount: 1 })).joined).toBe(words);

  const used = await start([{ kind: "status", status: 500 }], { schedule: [cutAfterForty] });
  const failure = await failureOf(told("gRPC", used.address, { retryCount: 1 }));
  expect(failure.reason).toBe("STREAM_INTERRUPTED");
  expect(failure.trail?.attempts).toHaveLength(2);
});

test("what breaks after its first content opens its breaker, and the one that goes on keeps its own closed", async () => {
  const { address, trails } = await start([cutAfterForty]);
  for (let turn = 0; turn < 8; turn++) expect((await told("REST", address)).joined).toBe(words);
  expect(trails.at(-1)?.attempts.map(({ provider }) => provider)).toEqual(["second"]);
  expect(trails.at(-1)?.skips.map(({ reason }) => reason)).toEqual(["breaker_open"]);
});

test("fifty streams at once break and go on, each with its own text and id", async () => {
  const { address, providers, gateway } = await start(
    [cutAfterForty],
    {},
    {
      rest: { routing: { breaker: { enabled: false } } },
    },
  );
  const all = await Promise.all(
    Array.from({ length: 50 }, (_, index) => told(wireNames[index % 4] ?? "REST", address)),
  );
  for (const { joined, hops } of all) expect([joined, hops]).toEqual([words, ["resumed second"]]);
  await Promise.all([providers.first.idle(), providers.second.idle()]);
  expect(gateway.state.inFlight).toBe(0);
});

test("a caller who reads slowly is not cut for it, and loses nothing", async () => {
  const long = Array.from({ length: 60_000 }, (_, index) => `w${index}`).join(" ");
  const cut = long.indexOf(" w50000");
  const piecesOf = (text: string) => (text.match(/.{1,4000}/g) ?? []).map((content) => chunk({ content })).join("");
  const { address, upstreams } = await startRaw(
    (response) => streamHead(response).write(piecesOf(long.slice(0, cut)), () => response.destroy()),
    (response) => streamHead(response).end(piecesOf(long) + ending),
    { each: { timeouts: { first_token: "20s", idle: "100ms" } } },
  );
  const request = http.request(`${address}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", ...goOn },
  });
  request.end(JSON.stringify(body));
  const [response] = (await once(request, "response")) as [IncomingMessage];
  response.setEncoding("utf8");
  let said = "";
  response.on("data", (part: string) => {
    said += part;
    // Longer than the limit of silence, a few times over.
    if (said.length % 7 === 0) return;
    response.pause();
    setTimeout(() => response.resume(), 40);
  });
  await once(response, "end");
  const data = said.split("\n\n").flatMap((each) => (each.startsWith("data: {") ? [JSON.parse(each.slice(6))] : []));
  const joined = (data as { choices: { delta: { content?: string } }[] }[])
    .flatMap(({ choices }) => choices)
    .map(({ delta }) => delta.content ?? "")
    .join("");
  expect(joined === long).toBe(true);
  expect(said.endsWith("data: [DONE]\n\n")).toBe(true);
  await Promise.all([upstreams.first.idle(), upstreams.second.idle()]);
});

describe("what a caller is told of the hop", () => {
  const auth = {
    auth: {
      callers: [
        { name: "blind", key: "key-of-the-blind-caller", trail: false },
        { name: "seeing", key: "key-of-the-seeing-caller" },
      ],
    },
  };

  test("one who is to see no trail learns that its text went on, not how many attempts that took", async () => {
    const { address } = await start([cutAfterForty], {}, { rest: auth });
    const headers = { ...goOn, "x-everhop-include-trail": "true" };
    const events = await readAll(
      await postChat(address, body, { headers: { ...headers, authorization: "Bearer key-of-the-blind-caller" } }),
    );
    const last = JSON.parse(events.at(-2) ?? "") as Record<string, unknown>;
    expect(last["resumed"]).toEqual({ provider: "second" });
    expect(events.join("")).not.toContain("attempt");
    const seeing = await readAll(
      await postChat(address, body, { headers: { ...headers, authorization: "Bearer key-of-the-seeing-caller" } }),
    );
    expect(seeing.join("")).toContain('"attempt_index":2');

    for (const recovery of ["continue", "restart"] as const) {
      const indices: number[] = [];
      await openWire("gRPC", address).stream(
        { ...ask, recovery },
        {
          headers: { authorization: "Bearer key-of-the-blind-caller" },
          onHop: ({ value }) => indices.push((value as unknown as { attemptIndex: number }).attemptIndex),
        },
      );
      expect(indices).toEqual([0]);
    }
  });

  test("one whose stream cannot go on is told no more than others of its kind", async () => {
    const { address } = await start([cutAfterForty], { schedule: [{ kind: "status", status: 500 }] }, { rest: auth });
    const headers = { ...goOn, authorization: "Bearer key-of-the-blind-caller" };
    const events = await readAll(await postChat(address, body, { headers }));
    const { error } = JSON.parse(events.at(-1) ?? "") as {
      error: { message: string; details: object; partial: boolean };
    };
    expect(error.partial).toBe(true);
    expect(Object.keys(error.details)).toEqual(["request_id"]);
    expect(JSON.stringify(error)).not.toMatch(/first|second/);
  });

  test("stands before the trail, and both before the end", async () => {
    const { address } = await start([cutAfterForty]);
    for (const asks of [true, false]) {
      const events = await readAll(
        await postChat(
          address,
          { ...body, ...(asks && { stream_options: { include_usage: true } }) },
          { headers: { ...goOn, "x-everhop-include-trail": "true" } },
        ),
      );
      expect(events.at(-1)).toBe("[DONE]");
      expect(events.at(-2)).toContain('"trail"');
      expect(events.filter((each) => each.includes('"resumed"'))).toHaveLength(1);
      const counted = events.filter((each) => each.includes('"prompt_tokens"'));
      expect(counted).toHaveLength(asks ? 1 : 0);
    }
  });

  test("the OpenAI client reads usage, text and finish reason of a stream that went on", async () => {
    const { address } = await start([cutAfterForty]);
    const client = new OpenAI({ baseURL: `${address}/v1`, apiKey: "any", maxRetries: 0 });
    const stream = client.chat.completions.stream(
      {
        model: "think",
        messages: [{ role: "user", content: "x" }],
        stream_options: { include_usage: true },
      },
      { headers: goOn },
    );
    const completion = await stream.finalChatCompletion();
    expect(completion.choices[0]?.message.content).toBe(words);
    expect(completion.choices[0]?.finish_reason).toBe("stop");
    expect(completion.usage?.completion_tokens).toBeGreaterThan(80);
  });
});

describe("a stream with hedging on", () => {
  const hedging = { rest: { routing: { hedge: "on" } } };

  /** Twenty quick streams, so that the endpoint's pace is known and one hedge is earned. */
  async function warm(second: Partial<Behaviour> = {}, rest: object = {}) {
    const started = await start([{ kind: "none" }], second, { rest: { ...hedging.rest, ...rest } });
    for (let turn = 0; turn < 20; turn++) await openWire("REST", started.address).stream({ text: "x" });
    expect(started.providers.second.seen).toHaveLength(0);
    return started;
  }

  test.each(["gRPC", "REST"] as const)(
    "has its first content from whoever is quicker, over %s; the other one's call is closed at once",
    async (name) => {
      const { address, providers, gateway } = await warm();
      providers.first.behave({ latencyMs: neverMs });
      const { joined, trail, details } = await told(name, address, { recovery: "fail" });
      expect(joined).toBe(words);
      expect(trail?.attempts.map(({ provider, outcome }) => `${provider} ${outcome}`)).toEqual([
        "first superseded",
        "second ok",
      ]);
      expect(details?.attempts[1]).toMatchObject({ purpose: "hedge", usage: { estimated: false, outputTokens: 60 } });
      await providers.first.idle();
      expect(providers.first.seen.at(-1)).toMatchObject({ aborted: true, finished: false });
      expect(gateway.state.inFlight).toBe(0);
    },
  );

  test("is asked for once when it is not streamed", async () => {
    const { address, providers } = await warm();
    providers.first.behave({ latencyMs: 400 });
    await openWire("REST", address).complete({ text: "x" });
    expect(providers.second.seen).toHaveLength(0);
  });

  test("fails as ever when both fail, with both in the trail", async () => {
    const { address, providers } = await warm();
    providers.first.behave({ schedule: [{ kind: "status", status: 500, delayMs: 500 }] });
    providers.second.behave({ schedule: [{ kind: "status", status: 500, delayMs: 600 }] });
    const failure = await failureOf(told("gRPC", address, { recovery: "fail", retryCount: 1 }));
    expect(failure.reason).toBe("ALL_PROVIDERS_FAILED");
    expect(failure.trail?.attempts.map(({ provider, outcome }) => `${provider} ${outcome}`)).toEqual([
      "first transient_fault",
      "second transient_fault",
    ]);
    expect(failure.trail?.partial).toBe(false);
  });

  test("ends both calls when its caller leaves, and says of both why", async () => {
    for (const name of ["gRPC", "REST"] as const) {
      const { address, providers, gateway, trails, ended } = await warm({ latencyMs: neverMs });
      providers.first.behave({ latencyMs: neverMs });
      const letGo = new AbortController();
      const work = told(name, address, { recovery: "fail" }, letGo.signal);
      work.catch(() => {});
      await providers.second.arrived(1);
      letGo.abort();
      await expect(work).rejects.toThrow();
      await Promise.all([providers.first.idle(), providers.second.idle(), ended(22)]);
      expect(trails.at(-1)?.attempts.map(({ outcome }) => outcome)).toEqual(["caller_gone", "caller_gone"]);
      expect(gateway.state.inFlight).toBe(0);
    }
  });

  test("may break after that, and goes on", async () => {
    for (const name of ["gRPC", "REST"] as const) {
      const { address, providers, gateway } = await warm({ schedule: [cutAfterForty, { kind: "none" }] });
      providers.first.behave({ schedule: [{ kind: "none", delayMs: neverMs }, { kind: "none" }] });
      const { joined, details } = await told(name, address);
      expect(joined).toBe(words);
      expect(details?.attempts.map(({ purpose }) => purpose)).toEqual(["", "hedge", "recovery"]);
      await Promise.all([providers.first.idle(), providers.second.idle()]);
      expect(gateway.state.inFlight).toBe(0);
    }
  });
});

test("a whole answer has no use for the header", async () => {
  const { address } = await start([{ kind: "none" }]);
  const response = await postChat(address, { ...body, stream: false }, { headers: goOn });
  expect(response.status).toBe(200);
  await response.json();
  for await (const data of readSse(await postChat(address, body, { headers: goOn })))
    expect(data).not.toContain("resumed");
});

test("an endpoint that has nothing to add to half of a text is asked for all of it, and may be given a text again", async () => {
  for (const name of ["gRPC", "REST"] as const) {
    const { address, upstreams } = await startRaw(
      saysHalfAndIsCut,
      (response, json) => {
        const given = (json["messages"] as { role: string }[]).at(-1)?.role === "assistant";
        streamHead(response).end((given ? "" : chunk({ content: words })) + ending);
      },
      { ...limits, second: { models: [{ id: "second-model", prefill: "assistant" }] } },
    );
    for (let time = 0; time < 2; time++) expect((await told(name, address)).joined).toBe(words);
    expect(upstreams.second.seen).toHaveLength(4);
  }
});
