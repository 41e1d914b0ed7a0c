import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { createClient } from "@connectrpc/connect";
import OpenAI from "openai";
import { describe, expect, test } from "vitest";
import { ChatService } from "../../gen/ts/everhop/v1/chat_service_pb.ts";
import { ModelsService } from "../../gen/ts/everhop/v1/models_service_pb.ts";
import { poolConfig, startGateway, startProviders } from "../support/gateway.ts";
import { postChat, readAll } from "../support/rest.ts";
import { openTransport, openWire, rpcNames, rpcWire, transportNames, type Wire } from "../support/wires.ts";

const root = join(import.meta.dirname, "..", "..");

/** Two providers behind one model, the first of which is out of order. */
async function startPair() {
  const providers = await startProviders({ failing: { schedule: [{ kind: "html" }] }, healthy: {} });
  const gateway = await startGateway(poolConfig(providers), providers);
  return { ...gateway, providers };
}

const twoAttempts = [
  { provider: "failing", outcome: "transient_fault", httpStatus: 200, hint: expect.stringMatching(/\S/) },
  { provider: "healthy", outcome: "ok", httpStatus: 200, hint: "" },
];

const clients: Readonly<Record<string, (address: string) => Wire>> = {
  ...Object.fromEntries(
    transportNames.map((name) => [
      name,
      (address: string) => rpcWire(createClient(ChatService, openTransport(name, address))),
    ]),
  ),
  "REST by fetch": (address) => openWire("REST", address),
};

describe.each(Object.entries(clients))("a prompt that comes by %s", (name, open) => {
  test("is answered by the second provider when the first fails, and the trail tells of both", async () => {
    const { address, providers, trails } = await startPair();
    const nonce = `nonce ${name} é ✓ 🦘`;
    const { text, provider, trail, headers } = await open(address).complete({ text: nonce });
    expect(text).toBe(`You said: ${nonce}`);
    expect(provider).toBe("healthy");
    expect(trail).toEqual({ attempts: twoAttempts, skips: [], partial: false });
    expect(headers.get("x-everhop-provider")).toBe("healthy");
    expect(headers.get("x-everhop-attempts")).toBe("2");
    expect(headers.get("x-everhop-trail")).toMatch(
      /^failing\/failing-model#k1 transient_fault \d+ms, healthy\/healthy-model#k1 200 \d+ms$/,
    );
    expect(providers.failing.seen.map(({ model }) => model)).toEqual(["failing-model"]);
    expect(providers.healthy.seen.map(({ model }) => model)).toEqual(["healthy-model"]);
    expect(providers.healthy.seen[0]?.headers.authorization).toBe("Bearer secret-of-healthy");
    expect(trails.map(({ attempts }) => attempts.length)).toEqual([2]);
  });

  test("is streamed by the second provider when the first fails, and the trail tells of both", async () => {
    const { address } = await startPair();
    const nonce = `nonce of a stream by ${name} é ✓ 🦘`;
    const pieces: string[] = [];
    const { text, provider, trail } = await open(address).stream(
      { text: nonce },
      { onText: (piece) => pieces.push(piece) },
    );
    expect(text).toBe(`You said: ${nonce}`);
    expect(provider).toBe("healthy");
    expect(pieces.length).toBeGreaterThan(1);
    expect(trail).toEqual({ attempts: twoAttempts, skips: [], partial: false });
  });
});

describe("the official OpenAI client", () => {
  const messages = [{ role: "user" as const, content: "a nonce for the SDK 🦘" }];
  const expected = "You said: a nonce for the SDK 🦘";
  const open = (address: string) => new OpenAI({ baseURL: `${address}/v1`, apiKey: "anything", maxRetries: 0 });

  test("gets a completion, with the provider's name and the time it took beside it", async () => {
    const { address, trails } = await startPair();
    const completion = await open(address).chat.completions.create({ model: "think", messages });
    expect(completion.choices[0]?.message.content).toBe(expected);
    expect(completion.usage?.total_tokens).toBeGreaterThan(0);
    expect(completion).toMatchObject({ provider: "healthy", latency_ms: expect.any(Number) });
    expect(trails[0]?.attempts.map(({ outcome }) => outcome)).toEqual(["transient_fault", "ok"]);
  });

  test("gets a stream, with its usage when it asks for it", async () => {
    const { address, trails } = await startPair();
    const stream = await open(address).chat.completions.create({
      model: "think",
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = "";
    let tokens = 0;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
      tokens = chunk.usage?.total_tokens ?? tokens;
    }
    expect(text).toBe(expected);
    expect(tokens).toBeGreaterThan(0);
    expect(trails[0]?.attempts.map(({ outcome }) => outcome)).toEqual(["transient_fault", "ok"]);
  });

  test.each([
    ["no model", {} as { model: string }], // the gateway asks for none, the SDK's types do
    ["an empty model", { model: "" }],
  ])("is served by the default model when it names %s", async (_, model) => {
    const { address, providers } = await startPair();
    const client = open(address);
    const completion = await client.chat.completions.create({ ...model, messages });
    expect(completion.choices[0]?.message.content).toBe(expected);
    const stream = client.chat.completions.stream({ ...model, messages });
    expect(await stream.finalContent()).toBe(expected);
    expect(providers.healthy.seen.map((seen) => seen.model)).toEqual(["healthy-model", "healthy-model"]);
  });

  test("lists the models, and finds one whose name has a slash", async () => {
    const providers = await startProviders({ only: {} });
    const config = poolConfig(providers);
    const models = [{ name: "vendor/think:free", targets: [{ provider: "only", model: "only-model" }] }];
    const { address } = await startGateway({ ...config, models }, providers);
    const client = open(address);
    const listed: string[] = [];
    for await (const { id } of client.models.list()) listed.push(id);
    expect(listed).toEqual(["vendor/think:free"]);
    expect((await client.models.retrieve("vendor/think:free")).id).toBe("vendor/think:free");
  });

  test("reads our errors as its own, without a second call when trying again cannot help", async () => {
    const providers = await startProviders({ only: { schedule: [{ kind: "silence" }] } });
    // A provider that declares its models: else it would be asked for any.
    const { address } = await startGateway(poolConfig(providers, { each: { models: ["only-model"] } }), providers);
    // With its retries on: it is told that its deadline will not come back.
    const client = new OpenAI({ baseURL: `${address}/v1`, apiKey: "anything", maxRetries: 2 });
    const body = { model: "think", messages, timeout: 0.1 };
    await expect(client.chat.completions.create(body)).rejects.toMatchObject({
      status: 504,
      code: "deadline_exceeded",
    });
    expect(providers.only.seen.length).toBe(1);
    await expect(client.chat.completions.create({ model: "nowhere", messages })).rejects.toBeInstanceOf(
      OpenAI.NotFoundError,
    );
  });

  test("raises an error when a stream breaks off, and never takes the half for the whole", async () => {
    const providers = await startProviders({ only: { schedule: [{ kind: "cut_after" }], eventPerWrite: true } });
    const { address } = await startGateway(poolConfig(providers), providers);
    const stream = await open(address).chat.completions.create({ model: "think", messages, stream: true });
    let text = "";
    const read = async () => {
      for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
    };
    await expect(read()).rejects.toBeInstanceOf(OpenAI.APIError);
    expect(text).toMatch(/^You/);
    expect(expected.startsWith(text)).toBe(true);
  });
});

describe("buf curl", () => {
  const run = promisify(execFile);
  const call = async (address: string, protocol: string, method: string, data: object): Promise<unknown[]> => {
    const flags = ["--schema", "proto", "--http2-prior-knowledge", "--protocol", protocol];
    const url = `${address}/everhop.v1.${method}`;
    const { stdout } = await run(
      join("node_modules", ".bin", "buf"),
      ["curl", ...flags, "--data", JSON.stringify(data), url],
      {
        cwd: root,
      },
    );
    // One JSON text after the other, each indented: an object that begins a line ends one.
    return stdout.split(/(?<=^\})\n/m).flatMap((text) => (text.trim() ? [JSON.parse(text)] : []));
  };
  const prompt = { model: "think", messages: [{ role: "ROLE_USER", parts: [{ text: "a nonce for buf 🦘" }] }] };
  const attempts = [
    { provider: "failing", outcome: "ATTEMPT_OUTCOME_TRANSIENT_FAULT" },
    { provider: "healthy", outcome: "ATTEMPT_OUTCOME_OK" },
  ];

  test.each(["grpc", "grpcweb", "connect"])("gets a completion and a stream by %s", async (protocol) => {
    const { address, trails } = await startPair();
    const [answer] = await call(address, protocol, "ChatService/CompleteChat", { prompt });
    expect(answer).toMatchObject({
      completion: {
        provider: "healthy",
        candidates: [
          { message: { parts: [{ text: "You said: a nonce for buf 🦘" }] }, finishReason: "FINISH_REASON_STOP" },
        ],
      },
      trail: { attempts },
    });
    const events = (await call(address, protocol, "ChatService/StreamChat", { prompt })) as {
      event: Record<string, { text?: string; trail?: object }>;
    }[];
    expect(events[0]?.event).toHaveProperty("start");
    expect(events.map(({ event }) => event["partDelta"]?.text ?? "").join("")).toBe("You said: a nonce for buf 🦘");
    expect(events.at(-1)).toMatchObject({ event: { end: { trail: { attempts } } } });
    expect(trails.map((trail) => trail.attempts.length)).toEqual([2, 2]);
  });
});

describe("the models", () => {
  /** Three public models, one of them with a name that paths find hard, and two that a provider has besides. */
  async function startModels() {
    const providers = await startProviders({ first: {}, second: {} });
    const config = poolConfig(providers, { each: { models: ["small", "org/large:v2"] } });
    const target = (provider: string, model: string) => ({ provider, model });
    const models = [
      { name: "think", targets: [target("first", "small"), target("second", "org/large:v2")] },
      { name: "deepseek-r1:free", targets: [target("second", "small")] },
      { name: "vendor/with:both", targets: [target("first", "org/large:v2")] },
    ];
    return startGateway({ ...config, models, defaults: { model: "think" } }, providers);
  }
  const publicIds = ["think", "deepseek-r1:free", "vendor/with:both"];
  const directIds = ["first:small", "first:org/large:v2", "second:small", "second:org/large:v2"];

  test.each(rpcNames)("are listed page by page over %s, public ones first", async (name) => {
    const { address } = await startModels();
    const client = createClient(ModelsService, openTransport(name, address));
    expect((await client.listModels({})).models.map(({ id }) => id)).toEqual([...publicIds, ...directIds]);
    const pages: string[][] = [];
    let pageToken = "";
    do {
      const page = await client.listModels({ pageSize: 3, pageToken });
      pages.push(page.models.map(({ id }) => id));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(pages.map(({ length }) => length)).toEqual([3, 3, 1]);
    expect(pages.flat()).toEqual([...publicIds, ...directIds]);
  });

  test.each(rpcNames)("end with a full page over %s without an empty one after it", async (name) => {
    const { address } = await startModels();
    const client = createClient(ModelsService, openTransport(name, address));
    const { models, nextPageToken } = await client.listModels({ pageSize: 7 });
    expect(models.length).toBe(7);
    expect(nextPageToken).toBe("");
  });

  test.each(rpcNames)("are described one by one over %s, with their targets in order", async (name) => {
    const { address } = await startModels();
    const client = createClient(ModelsService, openTransport(name, address));
    const { model } = await client.getModel({ id: "think" });
    expect(model?.targets).toMatchObject([
      { provider: "first", upstreamModel: "small", priority: 1 },
      { provider: "second", upstreamModel: "org/large:v2", priority: 2 },
    ]);
    for (const id of [...publicIds, ...directIds]) expect((await client.getModel({ id })).model?.id).toBe(id);
    const missing = openWire(name, address).complete({ text: "x", model: "nowhere" });
    await expect(missing).rejects.toMatchObject({ status: "NotFound", reason: "MODEL_NOT_FOUND" });
    await expect(client.getModel({ id: "nowhere" })).rejects.toThrow(/not_found/);
  });

  test.each(rpcNames)("refuse a page size or token that makes no sense over %s", async (name) => {
    const { address } = await startModels();
    const client = createClient(ModelsService, openTransport(name, address));
    for (const request of [{ pageSize: -1 }, { pageSize: 1001 }, { pageToken: "nothing of ours" }]) {
      await expect(client.listModels(request)).rejects.toThrow(/invalid_argument/);
    }
  });

  test("are listed by GET /v1/models in OpenAI's shape", async () => {
    const { address } = await startModels();
    const response = await fetch(`${address}/v1/models`);
    expect(response.status).toBe(200);
    const body = (await response.json()) as { object: string; data: { id: string }[] };
    expect(body.object).toBe("list");
    expect(body.data.map(({ id }) => id)).toEqual([...publicIds, ...directIds]);
    for (const model of body.data) {
      expect(model).toMatchObject({ object: "model", created: expect.any(Number), owned_by: expect.any(String) });
    }
  });

  test.each([...publicIds, ...directIds])("are found by GET /v1/models/%s, as it stands and escaped", async (id) => {
    const { address } = await startModels();
    for (const path of [id, encodeURIComponent(id)]) {
      const response = await fetch(`${address}/v1/models/${path}`);
      expect(response.status).toBe(200);
      expect(await response.json()).toMatchObject({ id, object: "model" });
    }
  });

  test.each([...publicIds, ...directIds])("are all accepted as the model of a request: %s", async (model) => {
    const { address } = await startModels();
    const response = await postChat(address, { model, messages: [{ role: "user", content: "hello" }] });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ choices: [{ message: { content: "You said: hello" } }] });
    const stream = await postChat(address, { model, messages: [{ role: "user", content: "hello" }], stream: true });
    expect((await readAll(stream)).at(-1)).toBe("[DONE]");
  });
});
