import { createClient } from "@connectrpc/connect";
import OpenAI from "openai";
import { describe, expect, test } from "vitest";
import { ChatService, StreamRecovery } from "../../gen/ts/everhop/v1/chat_service_pb.ts";
import { createFold } from "../../src/chat/fold.ts";
import type { Behaviour } from "../../src/providers/simulated/behaviour.ts";
import type { Fault } from "../../src/providers/simulated/fault.ts";
import { poolConfig, startGateway, startProviders } from "../support/gateway.ts";
import { postChat, readAll } from "../support/rest.ts";
import { type Ask, failureOf, openTransport, openWire, textOf, type WireName, wireNames } from "../support/wires.ts";

/** Sixty words, each another one. */
const words = Array.from({ length: 60 }, (_, index) => `word${index}`).join(" ");
const otherWords = words.replace("word20 ", "something else ");
const ask: Ask = { text: "tell me", recovery: "continue" };
/** The role comes first, so that forty pieces of content have gone out. */
const cutAfterForty: Fault = { kind: "cut_after", events: 41 };
const stallAfterForty: Fault = { kind: "stall_after", events: 41 };
const breaks = [
  ["is cut", cutAfterForty],
  ["stalls", stallAfterForty],
  ["is reset", { kind: "reset_after", events: 41 }],
  ["ends too early", { kind: "end_after", events: 41 }],
  ["breaks in the middle of an event", { kind: "half_event_then_cut", events: 41 }],
  ["turns to nonsense", { kind: "malformed_after", events: 41 }],
  ["says that it failed", { kind: "error_event_after", events: 41, code: 500 }],
] as const satisfies readonly (readonly [string, Fault])[];

/** Two providers: `first` breaks as told, `second` behaves as told. */
async function start(
  fault: Fault,
  second: Partial<Behaviour> = {},
  { prefill = "none", changes = {}, rest = {} }: { prefill?: string; changes?: object; rest?: object } = {},
) {
  const providers = await startProviders({
    first: { text: words, schedule: [fault], eventPerWrite: true },
    second: { text: words, eventPerWrite: true, ...second },
  });
  const config = poolConfig(providers, {
    each: { timeouts: { first_token: "2s", idle: "300ms" } },
    second: { models: [{ id: "second-model", prefill }], ...changes },
  });
  return { ...(await startGateway({ ...config, ...rest }, providers)), providers };
}

/** What a caller gets of one stream, piece by piece. */
async function told(name: WireName, address: string, changes: Partial<Ask> = {}) {
  const pieces: string[] = [];
  const hops: string[] = [];
  const answer = await openWire(name, address).stream(
    { ...ask, ...changes },
    { onText: (text) => pieces.push(text), onHop: (hop) => hops.push(`${hop.case} ${hop.value.provider}`) },
  );
  return { ...answer, joined: pieces.join(""), hops };
}

const lastMessage = (json: unknown) => (json as { messages: { role: string; content: string }[] }).messages.at(-1);

describe.each(wireNames)("a stream that breaks after its first content and is to go on, over %s,", (name) => {
  test.each(breaks)(
    "%s: another endpoint says the same, and the caller has the whole text exactly once",
    async (_, fault) => {
      const { address, trails } = await start(fault);
      const { text, joined, hops, trail, details } = await told(name, address);
      expect(joined).toBe(words);
      expect(text).toBe(words);
      expect(hops).toEqual(["resumed second"]);
      expect(trail?.attempts.map(({ provider, outcome }) => `${provider} ${outcome}`)).toEqual([
        `first ${fault.kind === "error_event_after" ? trails[0]?.attempts[0]?.outcome : "transient_fault"}`,
        "second ok",
      ]);
      expect(trail?.partial).toBe(false);
      expect(details?.attempts.map(({ purpose }) => purpose)).toEqual(["", "recovery"]);
      // Both are booked: the broken one by an estimate.
      expect(details?.attempts[0]?.usage?.estimated).toBe(true);
      expect(details?.attempts[0]?.usage?.outputTokens).toBeGreaterThan(20);
      expect(details?.attempts[1]?.usage).toMatchObject({ estimated: false, outputTokens: 60 });
    },
  );

  test.each(["continue_final_message", "prefix", "assistant"])(
    "goes on with the text that it is given (%s)",
    async (prefill) => {
      const { address, providers } = await start(cutAfterForty, { prefill: "goes_on" }, { prefill });
      const { joined, details } = await told(name, address);
      expect(joined).toBe(words);
      const [request] = providers.second.seen;
      expect(lastMessage(request?.json)).toMatchObject({ role: "assistant" });
      expect(words.startsWith(lastMessage(request?.json)?.content ?? "?")).toBe(true);
      // It said the rest only.
      expect(details?.attempts[1]?.usage?.outputTokens).toBeLessThan(30);
    },
  );

  test.each([
    ["is cut", cutAfterForty],
    ["stalls", stallAfterForty],
  ] as const)("%s: an endpoint that refuses to be given a text is asked as if it never had been", async (_, fault) => {
    const { address, providers } = await start(fault, { prefill: "refused" }, { prefill: "assistant" });
    const { joined, trail } = await told(name, address);
    expect(joined).toBe(words);
    expect(trail?.attempts.map(({ outcome }) => outcome)).toEqual(["transient_fault", "request_refused", "ok"]);
    expect(lastMessage(providers.second.seen[1]?.json)?.role).toBe("user");
    // It is remembered: the next stream does not try.
    expect((await told(name, address)).joined).toBe(words);
    expect(providers.second.seen.map(({ json }) => lastMessage(json)?.role)).toEqual(["assistant", "user", "user"]);
  });

  test("an endpoint that answers anew although it was given the text is found out", async () => {
    const { address, providers } = await start(cutAfterForty, { prefill: "anew" }, { prefill: "assistant" });
    const { joined, trail } = await told(name, address);
    expect(joined).toBe(words);
    expect(trail?.attempts.map(({ outcome }) => outcome)).toEqual(["transient_fault", "request_refused", "ok"]);
    // And is given none again.
    await told(name, address);
    expect(providers.second.seen.map(({ json }) => lastMessage(json)?.role)).toEqual(["assistant", "user", "user"]);
  });

  test.each([
    ["is cut", cutAfterForty, "none"],
    ["stalls", stallAfterForty, "none"],
    ["is cut, and the next is given the text but answers anew", cutAfterForty, "assistant"],
  ] as const)(
    "%s: an endpoint that says something else is not passed on, and the stream ends visibly",
    async (_, fault, prefill) => {
      const { address } = await start(fault, { text: otherWords }, { prefill });
      const failure = await failureOf(told(name, address));
      expect(words.startsWith(failure.text)).toBe(true);
      expect(failure.text.split(" ").length).toBeGreaterThanOrEqual(39);
      expect(failure.message).toContain("The answer broke off");
      expect(failure.trail?.partial).toBe(true);
      expect(failure.trail?.attempts.map(({ provider, outcome }) => `${provider} ${outcome}`)).toEqual([
        "first transient_fault",
        ...(prefill === "none" ? [] : ["second request_refused"]),
        "second local",
      ]);
    },
  );

  test("an endpoint that ends before it has said what the caller has is something else, too", async () => {
    const { address } = await start(cutAfterForty, { text: words.slice(0, 100) });
    const failure = await failureOf(told(name, address));
    expect(failure.trail?.partial).toBe(true);
  });

  test("when the next endpoint fails, too, the stream ends visibly, after one attempt to go on", async () => {
    const { address, providers } = await start(cutAfterForty, { schedule: [{ kind: "status", status: 500 }] });
    const failure = await failureOf(told(name, address));
    expect(failure.trail?.partial).toBe(true);
    expect(failure.trail?.attempts).toHaveLength(2);
    expect(providers.second.seen).toHaveLength(1);
  });

  test("when the next endpoint breaks, too, there is no second time", async () => {
    const { address } = await start(cutAfterForty, { schedule: [{ kind: "cut_after", events: 51 }] });
    const failure = await failureOf(told(name, address));
    expect(words.startsWith(failure.text)).toBe(true);
    expect(failure.text.split(" ").length).toBeGreaterThan(45);
    expect(failure.trail?.attempts).toHaveLength(2);
  });

  test("is not gone on with when nobody asks for it, when several answers were asked for, or by the caller's cap on attempts", async () => {
    const { address, providers } = await start(cutAfterForty);
    for (const changes of [{ recovery: "fail" }, { candidateCount: 2 }, { retryCount: 0 }] as const) {
      const failure = await failureOf(told(name, address, changes));
      expect(failure.trail?.attempts).toHaveLength(1);
      expect(failure.trail?.partial).toBe(true);
    }
    expect(providers.second.seen).toHaveLength(0);
  });
});

describe("over REST", () => {
  test("the stream keeps one id, every chunk of it can be read by the OpenAI client, and the last one tells of the hop", async () => {
    const { address } = await start(cutAfterForty);
    const response = await postChat(
      address,
      {
        model: "think",
        messages: [{ role: "user", content: "x" }],
        stream: true,
        stream_options: { include_usage: true },
      },
      { headers: { "x-everhop-stream-recovery": "continue" } },
    );
    const events = await readAll(response);
    expect(events.at(-1)).toBe("[DONE]");
    const chunks = events.slice(0, -1).map((event) => JSON.parse(event) as Record<string, unknown>);
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    expect(chunks.filter((chunk) => JSON.stringify(chunk).includes('"role"'))).toHaveLength(1);
    const finish = chunks.find((chunk) => JSON.stringify(chunk).includes('"finish_reason":"stop"'));
    expect(finish).toMatchObject({ resumed: { provider: "second", attempt_index: 2 } });
    const usage = chunks.find((chunk) => chunk["usage"])?.["usage"] as { completion_tokens: number } | undefined;
    expect(usage?.completion_tokens).toBeGreaterThan(80);

    const client = new OpenAI({ baseURL: `${address}/v1`, apiKey: "any", maxRetries: 0 });
    const stream = client.chat.completions.stream(
      { model: "think", messages: [{ role: "user", content: "x" }] },
      { headers: { "x-everhop-stream-recovery": "continue" } },
    );
    expect(await stream.finalContent()).toBe(words);
  });

  test("the model's setting does without a header, and the header beats it", async () => {
    const { address } = await start(
      cutAfterForty,
      {},
      {
        rest: {
          models: [
            {
              name: "think",
              stream_recovery: "continue",
              targets: [
                { provider: "first", model: "first-model" },
                { provider: "second", model: "second-model" },
              ],
            },
          ],
        },
      },
    );
    expect((await openWire("REST", address).stream({ text: "x" })).text).toBe(words);
    expect((await openWire("gRPC", address).stream({ text: "x" })).text).toBe(words);
    const failure = await failureOf(openWire("REST", address).stream({ text: "x", recovery: "fail" }));
    expect(failure.trail?.partial).toBe(true);
  });

  test.each(["restart", "always", ""])("%j in the header is refused with what is expected", async (asked) => {
    const { address, providers } = await start({ kind: "none" });
    for (const stream of [true, false]) {
      const response = await postChat(
        address,
        { model: "think", messages: [{ role: "user", content: "x" }], stream },
        { headers: { "x-everhop-stream-recovery": asked } },
      );
      expect(response.status).toBe(400);
      const { error } = (await response.json()) as { error: { message: string; param: string } };
      expect(error.param).toBe("x-everhop-stream-recovery");
      expect(error.message).toContain("fail or continue");
    }
    expect(providers.first.seen).toHaveLength(0);
  });

  test.each([
    ["log probabilities", { logprobs: true }],
    ["a JSON schema", { response_format: { type: "json_schema", json_schema: { name: "x", schema: {} } } }],
    ["thinking", { reasoning_effort: "high" }],
    ["a tool call", { tools: [{ type: "function", function: { name: "f", parameters: { type: "object" } } }] }],
  ])("an answer with %s is not gone on with", async (_, members) => {
    const { address, providers } = await start({ kind: "cut_after", events: 3 });
    const response = await postChat(
      address,
      { model: "think", messages: [{ role: "user", content: "x" }], stream: true, ...members },
      { headers: { "x-everhop-stream-recovery": "continue" } },
    );
    expect((await readAll(response)).at(-1)).toContain('"error"');
    expect(providers.second.seen).toHaveLength(0);
  });

  test("an answer that may use tools but has said nothing but text goes on, and the limit on tokens is for the whole", async () => {
    const { address, providers } = await start(cutAfterForty, { prefill: "goes_on" }, { prefill: "assistant" });
    const response = await postChat(
      address,
      { model: "think", messages: [{ role: "user", content: "x" }], stream: true, max_tokens: 60, tool_choice: "none" },
      { headers: { "x-everhop-stream-recovery": "continue" } },
    );
    expect((await readAll(response)).at(-1)).toBe("[DONE]");
    expect(providers.second.seen[0]?.json).toMatchObject({ max_tokens: 20 });
  });

  test("the trail says why a stream was not gone on with", async () => {
    const { address, trails } = await start({ kind: "cut_after", events: 5 });
    await failureOf(openWire("REST", address).stream({ text: "x", recovery: "continue", candidateCount: 2 }));
    expect(trails[0]?.attempts[0]?.hint).toContain("not gone on with: several answers were asked for");
  });
});

describe("a typed stream that is to be restarted", () => {
  test.each(breaks)("%s: begins anew at another endpoint, with another text", async (_, fault) => {
    const { address } = await start(fault, { text: otherWords });
    const client = createClient(ChatService, openTransport("gRPC", address));
    const fold = createFold();
    const kinds: string[] = [];
    const events = client.streamChat({
      prompt: { model: "think", messages: [{ role: 2, parts: [{ kind: { case: "text", value: "x" } }] }] },
      options: { streamRecovery: StreamRecovery.RESTART },
    });
    for await (const { event } of events) {
      if (!event) continue;
      fold.push(event);
      if (event.kind.case && event.kind.case !== "partDelta") kinds.push(event.kind.case);
      if (event.kind.case === "restarted")
        expect(event.kind.value).toMatchObject({ provider: "second", attemptIndex: 2 });
    }
    expect(kinds).toEqual(["start", "partStart", "restarted", "start", "partStart", "partEnd", "candidateEnd", "end"]);
    expect(textOf(fold.completion)).toBe(otherWords);
    expect(fold.completion.provider).toBe("second");
    expect(fold.completion.usage).toMatchObject({ estimated: true });
  });

  test("also with several candidates, and after thinking", async () => {
    const { address } = await start({ kind: "cut_after", events: 5 });
    expect((await openWire("gRPC", address).stream({ text: "x", candidateCount: 2, recovery: "restart" })).text).toBe(
      words,
    );
  });
});

test("a value of the option that nobody knows is refused with the field's name", async () => {
  const { address } = await start({ kind: "none" });
  const client = createClient(ChatService, openTransport("Connect", address));
  const events = client.streamChat({
    prompt: { model: "think", messages: [{ role: 2, parts: [{ kind: { case: "text", value: "x" } }] }] },
    options: { streamRecovery: 9 as StreamRecovery },
  });
  await expect(events[Symbol.asyncIterator]().next()).rejects.toThrow("stream_recovery");
});

test("a caller who leaves while its stream is about to go on ends that, too", async () => {
  const { address, providers, trails } = await start(cutAfterForty, { schedule: [{ kind: "silence" }] });
  const letGo = new AbortController();
  const work = openWire("gRPC", address).stream(ask, { signal: letGo.signal });
  work.catch(() => {});
  while (providers.second.seen.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  letGo.abort();
  await expect(work).rejects.toThrow();
  await providers.second.idle();
  expect(trails[0]?.attempts.at(-1)?.outcome).toBe("caller_gone");
});

test("a pair of characters that are one is never torn apart at the seam", async () => {
  const text = "🦘🦔🐇🐎🐍🐉🦄🐲".repeat(20).replace(/(.{16})/gu, "$1 x");
  for (const name of wireNames) {
    const providers = await startProviders({
      first: { text, schedule: [{ kind: "cut_after", events: 9 }], eventPerWrite: true },
      second: { text, eventPerWrite: true },
    });
    const { address } = await startGateway(poolConfig(providers), providers);
    expect((await told(name, address)).joined).toBe(text);
  }
});
