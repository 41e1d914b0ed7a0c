import { once } from "node:events";
import http, { type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { describe, expect, onTestFinished, test } from "vitest";
import { ChatService } from "../../gen/ts/everhop/v1/chat_service_pb.ts";
import { type PromptSchema, Role } from "../../gen/ts/everhop/v1/prompt_pb.ts";
import { createFold } from "../../src/chat/fold.ts";
import { ChunkFold } from "../../src/providers/openai/chunk-fold.ts";
import type { Behaviour } from "../../src/providers/simulated/behaviour.ts";
import type { Fault } from "../../src/providers/simulated/fault.ts";
import { type ProviderConfig, poolConfig, startGateway, startProviders } from "../support/gateway.ts";
import { type Json, postChat, readAll } from "../support/rest.ts";
import { everywhere, failureOf, modes, openTransport, openWire, rpcNames, send, wireNames } from "../support/wires.ts";

const text = "Tell me of kangaroos 🦘 é\n\tand their tails, 日本語 too";
const messages = [{ role: "user", content: text }];

/** A gateway whose targets have such parameters, by provider. */
async function start<Name extends string>(
  behaviours: Readonly<Record<Name, Partial<Behaviour>>>,
  params: Readonly<Record<string, Json>>,
  { each, changes = {} }: { each?: ProviderConfig; changes?: object } = {},
) {
  const providers = await startProviders(behaviours);
  const config = poolConfig(providers, each ? { each } : {});
  const targets = Object.keys(providers).map((provider) => ({
    provider,
    model: `${provider}-model`,
    ...(params[provider] && { params: params[provider] }),
  }));
  const models = [{ name: "think", targets }];
  return { ...(await startGateway({ ...config, models, ...changes }, providers)), providers };
}

/** Another server than a simulated provider. @returns its base URL */
async function serve(listener: RequestListener): Promise<string> {
  const server = http.createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
}

const streams = [undefined, true, false];
const table = everywhere.flatMap((each) => streams.map((stream) => ({ ...each, stream, said: String(stream) })));

describe("a target that is asked to stream whatever its callers ask, or never to", () => {
  test.each(table)("answers $mode over $name as ever: stream is $said", async ({ name, mode, stream }) => {
    const { address, providers } = await start({ only: {} }, stream === undefined ? {} : { only: { stream } });
    const told = await send(openWire(name, address), mode, { text, candidateCount: 2 });
    expect(told.text).toBe(`You said: ${text}`);
    expect(told.provider).toBe("only");
    expect(told.trail?.attempts).toMatchObject([{ provider: "only", outcome: "ok", httpStatus: 200 }]);
    const plain = await startProviders({ only: {} });
    const usual = await startGateway(poolConfig(plain), plain);
    const expected = await send(openWire(name, usual.address), mode, { text, candidateCount: 2 });
    expect(told.details?.attempts[0]?.usage).toEqual(expected.details?.attempts[0]?.usage);
    expect(told.details?.attempts[0]?.usage?.estimated).toBe(false);
    const sent = providers.only.seen[0]?.json as Json;
    expect(sent["stream"] ?? false).toBe(stream ?? mode === "stream");
    expect("stream_options" in sent).toBe(sent["stream"] === true);
  });

  test("is told apart in the log by nothing: the first content and the provider's own request id are there", async () => {
    const { address, trails } = await start({ only: {} }, { only: { stream: false } });
    await readAll(await postChat(address, { messages, stream: true }));
    const folded = await start({ only: {} }, { only: { stream: true } });
    await (await postChat(folded.address, { messages })).text();
    expect(trails[0]?.attempts[0]).toMatchObject({ outcome: "ok", firstContentMs: expect.any(Number) });
    for (const trail of [trails[0], folded.trails[0]]) {
      expect(trail?.attempts[0]?.upstreamRequestId).toMatch(/^req_/);
    }
  });
});

const schema = { type: "object", required: ["city"], properties: { city: { type: "string" } } };
const tools = [{ type: "function", function: { name: "weather", parameters: schema } }];
const bodies: Readonly<Record<string, Json>> = {
  "a plain text": {},
  "two candidates with log probabilities": { n: 2, logprobs: true, top_logprobs: 2 },
  "thinking before the text": { reasoning_effort: "high" },
  "a tool call": { tools },
  "two tool calls after thinking": { tools, n: 2, reasoning_effort: "low" },
  "a text that is cut at the token limit": { max_tokens: 3 },
  "a tool call that is cut before its arguments": { tools, max_tokens: 1 },
  "an answer that a stop sequence leaves without a word": { stop: ["You"] },
  "an answer by a schema": { response_format: { type: "json_schema", json_schema: { name: "w", schema } } },
};

/** A whole answer without what the gateway says of its own way. */
async function wholeAnswer(response: Response): Promise<unknown> {
  expect(response.status).toBe(200);
  const { latency_ms: _, ...answer } = (await response.json()) as Json;
  return answer;
}

/** What the chunks of a stream amount to. */
async function foldedAnswer(response: Response): Promise<unknown> {
  expect(response.status).toBe(200);
  const events = await readAll(response);
  expect(events.at(-1)).toBe("[DONE]");
  const chunks = events.slice(0, -1).map((data) => JSON.parse(data) as Json);
  expect(new Set(chunks.map(({ object }) => object))).toEqual(new Set(["chat.completion.chunk"]));
  for (const name of ["id", "created", "model", "system_fingerprint"]) {
    expect(new Set(chunks.map((chunk) => chunk[name])).size, name).toBe(1);
  }
  const fold = new ChunkFold();
  for (const chunk of chunks) fold.take(chunk);
  return { ...fold.answer(), provider: "only" };
}

describe.each(Object.entries(bodies))("over REST, for %s,", (_, more) => {
  const body = { messages, ...more };

  test("a stream is folded to the very answer that is given whole", async () => {
    const usual = await start({ only: {} }, {});
    const folding = await start({ only: {} }, { only: { stream: true } });
    const expected = await wholeAnswer(await postChat(usual.address, body));
    expect(await wholeAnswer(await postChat(folding.address, body))).toEqual(expected);
    expect(folding.providers.only.seen[0]?.json).toMatchObject({ stream: true });
  });

  test("a whole answer becomes a stream that says the same, and what it cost if the caller asks", async () => {
    const usual = await start({ only: {} }, {});
    const unfolding = await start({ only: {} }, { only: { stream: false } });
    const expected = (await wholeAnswer(await postChat(usual.address, body))) as Json;
    const options = { stream_options: { include_usage: true } };
    const asking = await postChat(unfolding.address, { ...body, stream: true, ...options });
    expect(await foldedAnswer(asking)).toEqual(expected);
    const { usage: _, id, ...silent } = expected;
    const { id: other, ...answer } = (await foldedAnswer(
      await postChat(unfolding.address, { ...body, stream: true }),
    )) as Json;
    // The second answer of a provider has another id, in its calls, too.
    expect(JSON.parse(JSON.stringify(answer).replaceAll(idOf(other), idOf(id)))).toEqual(silent);
    for (const { json } of unfolding.providers.only.seen) expect(json).not.toHaveProperty("stream");
  });
});

function idOf(id: unknown): string {
  return String(id).replace("chatcmpl-", "");
}

type PromptInit = MessageInitShape<typeof PromptSchema>;
const prompt: PromptInit = {
  messages: [{ role: Role.USER, parts: [{ kind: { case: "text", value: text } }] }],
};
const prompts: Readonly<Record<string, Omit<PromptInit, "$typeName">>> = {
  "a plain text": {},
  "three candidates with log probabilities": { candidateCount: 3, logprobs: { topCount: 2 } },
  "thinking before the text": { reasoning: { effort: "high" } },
  "a tool call": {
    tools: [{ kind: { case: "function", value: { name: "weather", parametersJson: JSON.stringify(schema) } } }],
  },
  "a text that is cut at the token limit": { maxOutputTokens: 3 },
};

describe.each(rpcNames)("over %s", (wire) => {
  test.each(Object.entries(prompts))("both modes give the answer as it comes whole, for %s", async (_, more) => {
    const init = { ...prompt, ...more };
    const [usual, folding, unfolding] = await Promise.all([
      start({ only: {} }, {}),
      start({ only: {} }, { only: { stream: true } }),
      start({ only: {} }, { only: { stream: false } }),
    ]);
    const clientOf = (address: string) => createClient(ChatService, openTransport(wire, address));
    const { completion } = await clientOf(usual.address).completeChat({ prompt: init });
    expect(completion?.usage?.outputTokens).toBeGreaterThan(0);
    const folded = await clientOf(folding.address).completeChat({ prompt: init });
    expect(folded.completion).toEqual(completion);
    const fold = createFold();
    for await (const { event } of clientOf(unfolding.address).streamChat({ prompt: init })) {
      if (event) fold.push(event);
    }
    expect(fold.ended).toBe(true);
    expect(fold.completion).toEqual(completion);
  });
});

const quirks: Fault[] = [
  { kind: "no_done" },
  { kind: "hold_open_after_done" },
  { kind: "late_usage", ms: 5 },
  { kind: "usage_in_finish" },
  { kind: "usage_with_choice" },
  { kind: "finish_with_content" },
  { kind: "delta_after_finish" },
  { kind: "missing_finish" },
  { kind: "candidates_reversed" },
  { kind: "null_deltas" },
  { kind: "bare_choices" },
  { kind: "empty_choices" },
  { kind: "comments" },
  { kind: "crlf" },
  { kind: "text_plain" },
  { kind: "data_after_done" },
  { kind: "drip", msPerByte: 0 },
  { kind: "processing" },
];
test.each(quirks)("a stream is folded however oddly its provider puts it: $kind", async (fault) => {
  const more = { messages, n: 2, logprobs: true, reasoning_effort: "low" };
  const usual = await start({ only: {} }, {});
  const folding = await start({ only: { schedule: [fault] } }, { only: { stream: true } });
  const expected = (await wholeAnswer(await postChat(usual.address, more))) as { choices: Json[] };
  const answer = (await wholeAnswer(await postChat(folding.address, more))) as { choices: Json[] };
  const last = fault.kind === "missing_finish" ? { ...expected.choices[1], finish_reason: null } : expected.choices[1];
  // Some say nothing where others say null.
  const saying = (json: unknown): unknown =>
    JSON.parse(JSON.stringify(json), (_, value: unknown) => value ?? undefined);
  expect(saying(answer)).toEqual(saying({ ...expected, choices: [expected.choices[0], last] }));
});

const brokenStreams: Fault[] = [
  { kind: "error_event_first", code: 500 },
  { kind: "error_event_after", code: 500 },
  { kind: "json_error_in_200" },
  { kind: "empty_stream" },
  { kind: "html" },
  { kind: "cut_after" },
  { kind: "reset_after" },
  { kind: "end_after" },
  { kind: "stall_after" },
  { kind: "malformed_after" },
  { kind: "half_event_then_cut" },
  { kind: "short_content_length" },
];
const brokenAnswers: Fault[] = [
  { kind: "json_error_in_200" },
  { kind: "empty" },
  { kind: "not_json" },
  { kind: "html" },
  { kind: "cut_after" },
  { kind: "reset_after" },
  { kind: "end_after" },
  { kind: "stall_after" },
  { kind: "malformed_after" },
  { kind: "short_content_length" },
];
const quick = { timeouts: { first_token: "400ms", idle: "400ms", total: "400ms" } };

describe.each(["REST", "gRPC"] as const)("over %s a failure is never seen by the caller", (name) => {
  test.each(brokenStreams)("of a stream that it would have had whole: $kind", async (fault) => {
    const behaviours = { first: { schedule: [fault] }, second: {} };
    const { address, providers } = await start(behaviours, { first: { stream: true } }, { each: quick });
    const told = await openWire(name, address).complete({ text });
    expect(told).toMatchObject({ text: `You said: ${text}`, provider: "second" });
    // Where the provider has failed by itself it may be asked twice.
    expect(new Set(told.trail?.attempts.map(({ provider, outcome }) => `${provider} ${outcome}`))).toEqual(
      new Set(["first transient_fault", "second ok"]),
    );
    expect(providers.first.seen[0]?.json).toMatchObject({ stream: true });
    expect(providers.second.seen[0]?.json).not.toHaveProperty("stream");
  });

  test.each(brokenAnswers)("of a whole answer that it would have had as a stream: $kind", async (fault) => {
    const behaviours = { first: { schedule: [fault] }, second: {} };
    const { address, providers } = await start(behaviours, { first: { stream: false } }, { each: quick });
    const told = await openWire(name, address).stream({ text });
    expect(told).toMatchObject({ text: `You said: ${text}`, provider: "second" });
    // Where the provider has failed by itself it may be asked twice.
    expect(new Set(told.trail?.attempts.map(({ provider, outcome }) => `${provider} ${outcome}`))).toEqual(
      new Set(["first transient_fault", "second ok"]),
    );
    expect(providers.first.seen[0]?.json).not.toHaveProperty("stream");
    expect(providers.second.seen[0]?.json).toMatchObject({ stream: true });
  });
});

describe("a target that does not stream", () => {
  test("may take its whole time until its first content", async () => {
    const slow = { only: { latencyMs: 500 } };
    const each = { timeouts: { first_token: "100ms", total: "1m" } };
    const { address } = await start(slow, { only: { stream: false } }, { each });
    expect((await openWire("REST", address).stream({ text })).text).toBe(`You said: ${text}`);
    const streaming = await start(slow, {}, { each });
    const failure = await failureOf(openWire("REST", streaming.address).stream({ text, retryCount: 0 }));
    expect(failure.trail?.attempts).toMatchObject([{ outcome: "transient_fault", httpStatus: 0 }]);
  });

  test("is waited for with signs of life", async () => {
    const changes = { server: { limits: { heartbeat: "50ms" } } };
    const { address } = await start({ only: { latencyMs: 400 } }, { only: { stream: false } }, { changes });
    const response = await postChat(address, { messages, stream: true });
    const events = await response.text();
    expect(events).toMatch(/^: still at work\n\n/);
    expect(events).toContain("You said:");
    expect(events).toMatch(/data: \[DONE\]\n\n$/);
  });

  test("may answer with more than a stream's events may hold, to a slow reader, too", async () => {
    const long = "many words ".repeat(2_200_000);
    const choices = [{ index: 0, message: { role: "assistant", content: long }, finish_reason: "stop" }];
    const baseUrl = await serve((_, response) => void response.end(JSON.stringify({ id: "a", choices })));
    const target = { provider: "own", model: "m", params: { stream: false } };
    const providers = [{ name: "own", base_url: baseUrl }];
    const limits = { stalled: "1s", buffered: "1GiB" };
    const server = { limits };
    const { address } = await startGateway({ server, providers, models: [{ name: "think", targets: [target] }] });
    const response = await postChat(address, { messages, stream: true });
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    const pieces: string[] = [];
    for (let turn = 0; ; turn++) {
      // For more than twice as long as a client may take nothing; some MiB a second, for TCP tells of room in large steps.
      if (turn < 120) await new Promise((resolve) => setTimeout(resolve, 20));
      const read = await reader?.read();
      if (!read || read.done) break;
      pieces.push(read.value);
    }
    const events = pieces.join("");
    const [first = ""] = events.split("\n\n");
    expect(JSON.parse(first.slice("data: ".length))).toMatchObject({ choices: [{ delta: { content: long } }] });
    expect(events).toMatch(/data: \[DONE\]\n\n$/);
  });

  test("is given no more memory than there is", async () => {
    const changes = { server: { limits: { buffered: "1MiB" } } };
    const schedule: Fault[] = [{ kind: "long_line", bytes: 3 << 20 }];
    const { address } = await start({ only: { schedule } }, { only: { stream: false } }, { changes });
    const response = await postChat(address, { messages, stream: true });
    expect(response.status).toBe(503);
    await response.text();
  });

  test.each(["REST", "gRPC"] as const)("goes on with a stream that broke elsewhere, over %s", async (name) => {
    const words = Array.from({ length: 60 }, (_, index) => `word${index}`).join(" ");
    const schedule: Fault[] = [{ kind: "cut_after", events: 41 }];
    const behaviours = { first: { text: words, schedule, eventPerWrite: true }, second: { text: words } };
    const { address, providers } = await start(behaviours, { second: { stream: false } });
    const pieces: string[] = [];
    const told = await openWire(name, address).stream(
      { text, recovery: "continue" },
      { onText: (piece) => pieces.push(piece) },
    );
    expect(told.text).toBe(words);
    expect(pieces.join("")).toBe(words);
    expect(told.details?.attempts.map(({ purpose }) => purpose)).toEqual(["", "recovery"]);
    expect(providers.second.seen[0]?.json).not.toHaveProperty("stream");
  });

  test("begins a stream anew that broke elsewhere", async () => {
    const schedule: Fault[] = [{ kind: "cut_after", events: 5 }];
    const { address } = await start({ first: { schedule }, second: {} }, { second: { stream: false } });
    const hops: string[] = [];
    const told = await openWire("gRPC", address).stream(
      { text, recovery: "restart" },
      { onHop: (hop) => hops.push(`${hop.case} ${hop.value.provider}`) },
    );
    expect(told.text).toBe(`You said: ${text}`);
    expect(hops).toEqual(["restarted second"]);
  });
});

describe("a stream that is folded", () => {
  test("is read no further than the gateway takes, and then hops on", async () => {
    const ping = Buffer.from(`: ${"x".repeat((1 << 20) - 4)}\n\n`);
    const baseUrl = await serve((_, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      let left = 70;
      const write = () => {
        while (left-- > 0) if (!response.write(ping)) return;
        response.end();
      };
      response.on("drain", write);
      write();
    });
    const providers = await startProviders({ second: {} });
    const { address } = await startGateway(
      {
        providers: [{ name: "first", base_url: baseUrl }, ...poolConfig(providers).providers],
        models: [
          {
            name: "think",
            strategy: "ordered",
            targets: [
              { provider: "first", model: "m", params: { stream: true } },
              { provider: "second", model: "second-model" },
            ],
          },
        ],
        server: { limits: { buffered: "1GiB" } },
      },
      providers,
    );
    const told = await openWire("REST", address).complete({ text });
    expect(told.trail?.attempts).toMatchObject([
      { outcome: "transient_fault", hint: expect.stringContaining("larger than the gateway takes") },
      { outcome: "ok" },
    ]);
  });

  test("ends with its caller", async () => {
    const { address, providers } = await start(
      { only: { schedule: [{ kind: "stall_after" }] } },
      { only: { stream: true } },
    );
    const abort = new AbortController();
    const leaving = expect(postChat(address, { messages }, { signal: abort.signal })).rejects.toThrow();
    await providers.only.arrived(1);
    abort.abort();
    await leaving;
    await providers.only.idle();
    expect(providers.only.seen[0]?.aborted).toBe(true);
  });
});

/** The simulated providers refuse an effort that is no text. */
const refused = { reasoning_effort: 7 };
const hint = expect.stringContaining("models[].targets[].params");

describe.each(wireNames)("over %s", (name) => {
  test.each(modes)("what is refused with a target's parameters goes to the next target, %s", async (mode) => {
    const { address, breakers } = await start({ first: {}, second: {} }, { first: refused });
    const wire = openWire(name, address);
    for (let call = 0; call < 6; call++) {
      const told = await send(wire, mode, { text });
      expect(told).toMatchObject({ text: `You said: ${text}`, provider: "second" });
      // The provider names the parameter that it refuses: it is not asked again without what a stream is asked for its cost by.
      expect(told.trail?.attempts.map(({ outcome }) => outcome)).toEqual(["request_refused", "ok"]);
      expect(told.trail?.attempts[0]).toMatchObject({ httpStatus: 400, hint });
    }
    expect(breakers).toEqual([]);
  });

  test.each(modes)("a refusal that nobody else can answer for is the caller's, %s", async (mode) => {
    const { address } = await start({ first: {}, second: {} }, { first: refused, second: refused });
    const failure = await failureOf(send(openWire(name, address), mode, { text }));
    expect(failure.message).toContain("'reasoning_effort' must be a string");
    expect(failure.status).toBe(name === "REST" ? 400 : "InvalidArgument");
    expect(failure.reason).toBe(name === "REST" ? "invalid_request" : "REFUSED_BY_PROVIDER");
    expect(new Set(failure.trail?.attempts.map(({ provider }) => provider))).toEqual(new Set(["first", "second"]));
  });
});

describe("a refusal", () => {
  test("is the caller's at once where the parameters have changed nothing of what it sent", async () => {
    const { address, providers } = await start({ first: {}, second: {} }, { first: { ...refused, top_p: 1 } });
    const response = await postChat(address, { messages, ...refused, top_p: 1 });
    expect(response.status).toBe(400);
    await response.text();
    expect(providers.second.seen.length).toBe(0);
  });

  test("may be the doing of default parameters, too, and is not where the caller has said more", async () => {
    const { address, providers } = await start(
      { first: {}, second: {} },
      {},
      { changes: { defaults: { params: refused } } },
    );
    const response = await postChat(address, { messages });
    expect(response.status).toBe(400);
    await response.text();
    expect([providers.first.seen.length, providers.second.seen.length]).toEqual([1, 1]);
    expect((await postChat(address, { messages, reasoning_effort: "low" })).status).toBe(200);
    expect(providers.first.seen.length).toBe(2);
  });

  test("may be of the stream that a target is asked for", async () => {
    const refuses: Fault = { kind: "status", status: 400, message: "this model does not stream" };
    const { address } = await start({ first: { schedule: [refuses] }, second: {} }, { first: { stream: true } });
    const told = await openWire("REST", address).complete({ text });
    expect(told.trail?.attempts.map(({ provider }) => provider)).toEqual(["first", "first", "second"]);
    expect(told.trail?.attempts[1]).toMatchObject({ outcome: "request_refused", hint });
  });

  test.each(modes)("counts as one inside of a success, too, %s", async (mode) => {
    const refuses: Fault = { kind: "json_error_in_200", type: "invalid_request_error", message: "no top_k" };
    const params = { first: { top_k: 5, stream: false } };
    const { address } = await start({ first: { schedule: [refuses] }, second: {} }, params);
    const told = await send(openWire("REST", address), mode, { text });
    expect(told.trail?.attempts).toMatchObject([{ outcome: "request_refused", hint }, { outcome: "ok" }]);
  });

  test.each([
    ["too long a prompt", "context_length_exceeded"],
    ["its content", "content_filter"],
  ])("for %s is told at once, whatever the parameters", async (_, code) => {
    const refuses: Fault = { kind: "status", status: 400, code, message: "no" };
    const params = { first: { top_k: 5 } };
    const { address, providers } = await start({ first: { schedule: [refuses] }, second: {} }, params);
    const failure = await failureOf(openWire("REST", address).complete({ text }));
    expect(failure).toMatchObject({ status: 400, reason: code });
    expect(providers.second.seen.length).toBe(0);
  });

  test("that parameters may have caused says nothing once another endpoint has failed by itself", async () => {
    const down: Fault = { kind: "status", status: 500 };
    const { address } = await start({ first: {}, second: { schedule: [down] } }, { first: refused });
    const failure = await failureOf(openWire("REST", address).complete({ text, retryCount: 1 }));
    expect(failure).toMatchObject({ status: 502, reason: "all_providers_failed" });
  });
});

test("a refusal that parameters may have caused is not the caller's while another endpoint cannot be asked", async () => {
  const down: Fault = { kind: "status", status: 429, headers: { "retry-after": "60" } };
  const { address, trails } = await start({ first: {}, second: { schedule: [down] } }, { first: refused });
  await failureOf(openWire("REST", address).complete({ text, provider: "second" }));
  const failure = await failureOf(openWire("REST", address).complete({ text }));
  expect(failure).toMatchObject({ status: 502, reason: "all_providers_failed" });
  expect(trails.at(-1)?.skips).toMatchObject([{ endpoint: "second/second-model", reason: "rate_limited" }]);
  // An endpoint that is off for good would not have served it either.
  const providers = await startProviders({ first: {}, second: {} });
  const targets = ["first", "second"].map((name) => ({ provider: name, model: "m", params: refused }));
  const alone = await startGateway(
    { ...poolConfig(providers, { second: { enabled: false } }), models: [{ name: "think", targets }] },
    providers,
  );
  expect(await failureOf(openWire("REST", alone.address).complete({ text }))).toMatchObject({ status: 400 });
});

describe("parameters of the configuration reach the provider", () => {
  const targetParams = { temperature: 0.1, top_k: 5, vendor: { deep: [1, null] } };
  const changes = { defaults: { model: "think", params: { temperature: 0.7, max_tokens: 4 } } };

  test.each(everywhere)(
    "$mode over $name, before what the caller says and before the defaults",
    async ({ name, mode }) => {
      const { address, providers } = await start({ only: {} }, { only: targetParams }, { changes });
      const told = await send(openWire(name, address), mode, { text });
      expect(told.trail?.attempts.length).toBe(1);
      expect(providers.only.seen[0]?.json).toMatchObject({ ...targetParams, max_tokens: 4 });
    },
  );

  test("also where a provider's own model is asked for, which only the defaults are for", async () => {
    const { address, providers } = await start({ only: {} }, { only: targetParams }, { changes });
    await openWire("REST", address).complete({ text, model: "only:anything" });
    expect(providers.only.seen[0]?.json).toEqual({ model: "anything", messages, temperature: 0.7, max_tokens: 4 });
  });

  test("of each target its own, as a request hops", async () => {
    const params = { first: { temperature: 0.1 }, second: { stream: true, max_completion_tokens: 9 } };
    const schedule: Fault[] = [{ kind: "status", status: 503 }];
    const { address, providers } = await start({ first: { schedule }, second: {} }, params);
    await openWire("REST", address).complete({ text });
    expect(providers.first.seen[0]?.json).toEqual({ model: "first-model", messages, temperature: 0.1 });
    expect(providers.second.seen[0]?.json).toEqual({
      ...{ model: "second-model", messages, stream: true, max_completion_tokens: 9 },
      stream_options: { include_usage: true },
    });
  });

  test("and a pin keeps them", async () => {
    const { address, providers } = await start({ first: {}, second: {} }, { second: { top_k: 5 } });
    await openWire("gRPC", address).complete({ text, provider: "second" });
    expect(providers.second.seen[0]?.json).toMatchObject({ top_k: 5 });
  });

  test("and a text that they give a shape is not gone on with", async () => {
    const schedule: Fault[] = [{ kind: "cut_after", events: 5 }];
    const params = { first: { response_format: { type: "json_object" } } };
    const { address } = await start({ first: { schedule }, second: {} }, params);
    for (const name of ["REST", "gRPC"] as const) {
      const failure = await failureOf(openWire(name, address).stream({ text, recovery: "continue" }));
      expect(failure.trail?.attempts).toMatchObject([{ hint: expect.stringContaining("must have a shape") }]);
    }
  });

  test("a text that is gone on with has what is left of the target's own limit", async () => {
    const words = Array.from({ length: 60 }, (_, index) => `word${index}`).join(" ");
    const providers = await startProviders({
      first: { text: words, schedule: [{ kind: "cut_after", events: 41 }], eventPerWrite: true },
      second: { text: words, prefill: "goes_on" },
    });
    const config = poolConfig(providers, { second: { models: [{ id: "second-model", prefill: "assistant" }] } });
    const targets = [
      { provider: "first", model: "first-model" },
      { provider: "second", model: "second-model", params: { max_tokens: 500 } },
    ];
    const { address } = await startGateway({ ...config, models: [{ name: "think", targets }] }, providers);
    for (const name of ["REST", "gRPC"] as const) {
      expect((await openWire(name, address).stream({ text, recovery: "continue" })).text).toBe(words);
    }
    for (const { json } of providers.second.seen) expect(json).toMatchObject({ max_tokens: 460 });
  });
});
