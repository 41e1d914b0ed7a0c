import { once } from "node:events";
import http, { type IncomingMessage, type ServerResponse } from "node:http";
import http2 from "node:http2";
import { type AddressInfo, connect } from "node:net";
import { createClient } from "@connectrpc/connect";
import { describe, expect, onTestFinished, test } from "vitest";
import { ChatService } from "../../gen/ts/everhop/v1/chat_service_pb.ts";
import { ModelsService } from "../../gen/ts/everhop/v1/models_service_pb.ts";
import type { Fault } from "../../src/providers/simulated/fault.ts";
import { poolConfig, startGateway, startProviders } from "../support/gateway.ts";
import { type Json, postChat, readAll } from "../support/rest.ts";
import { openTransport, openWire, rpcNames, WireError } from "../support/wires.ts";

const messages = [{ role: "user", content: "hello" }];
const good = { model: "think", messages };
const requestIdPattern = /^req_[\da-f]{24}$/;

async function startOne(schedule: Fault[] = [], changes: object = {}) {
  const providers = await startProviders({ only: { schedule } });
  const config = poolConfig(providers, { only: { models: ["only-model"] } });
  return { ...(await startGateway({ ...config, ...changes }, providers)), providers };
}

/** A failure as REST tells it, checked for its shape. */
async function errorOf(response: Response) {
  expect(response.headers.get("content-type")).toMatch(/^application\/json/);
  const body = (await response.json()) as {
    error: { message: string; type: string; param: string | null; code: string; details: Record<string, unknown> };
    timestamp: string;
    request_id: string;
  };
  expect(Object.keys(body).sort()).toEqual(["error", "request_id", "timestamp"]);
  expect(body.error).toEqual({
    message: expect.stringMatching(/\S/),
    type: expect.stringMatching(/_error$/),
    param: body.error.param === null ? null : expect.stringMatching(/\S/),
    code: expect.stringMatching(/^[a-z_]+$/),
    details: expect.objectContaining({ request_id: body.request_id }),
  });
  expect(response.headers.get("x-request-id")).toBe(body.request_id);
  expect(response.headers.get("x-everhop-trace-id")).toMatch(/^[\da-f]{32}$/);
  expect(Number.isNaN(Date.parse(body.timestamp))).toBe(false);
  return { ...body.error, status: response.status, response, body };
}

describe("a bad parameter is refused before any provider is asked, by its name", () => {
  const wrong: [param: string, values: unknown[]][] = [
    ["temperature", [-0.1, 2.1, "1", true, {}]],
    ["top_p", [-0.1, 1.1, "1"]],
    ["top_k", [1.5, -2, "1"]],
    ["presence_penalty", [-2.1, 2.1, "0"]],
    ["frequency_penalty", [-2.1, 2.1, []]],
    ["max_tokens", [0, -1, 1.5, 2 ** 31, "7"]],
    ["max_completion_tokens", [0, -1, 1.5, 2 ** 31]],
    ["n", [0, 129, 1.5, "2"]],
    ["top_logprobs", [-1, 21, 0.5]],
    ["retry_count", [-1, 10, 0.5, "1"]],
    ["timeout", [0, -1, "30s"]],
    ["model", [7, {}, []]],
    ["messages", [undefined, null, [], "hello", {}, ["hello"], [null]]],
    ["stream", ["yes", 1]],
    ["stream_options", [true, []]],
    ["logprobs", [2, "true"]],
    ["seed", [1.5, "7"]],
    ["tools", [{}, "x"]],
    ["stop", [7, ["a", 7], ["a", "b", "c", "d", "e"]]],
    ["logit_bias", [[], { "50256": 101 }, { "50256": "1" }]],
    ["provider", [7, true, []]],
    ["fallback_providers", ["only", [7], Array.from({ length: 17 }, () => "only")]],
  ];
  const table = wrong.flatMap(([param, values]) =>
    values.map((value) => ({ param, value, shown: JSON.stringify(value)?.slice(0, 40) ?? "nothing" })),
  );

  test.each(table)("$param: $shown", async ({ param, value }) => {
    const { address, providers } = await startOne();
    for (const stream of param === "stream" ? [undefined] : [false, true]) {
      const body = { ...good, ...(stream !== undefined && { stream }), [param]: value };
      const error = await errorOf(await postChat(address, body));
      expect(error).toMatchObject({ status: 400, type: "invalid_request_error", code: "invalid_request", param });
      expect(error.message).toContain(param);
    }
    expect(providers.only.seen.length).toBe(0);
  });

  const fine: [param: string, values: unknown[]][] = [
    ["temperature", [0, 2, null]],
    ["top_p", [0, 1]],
    ["top_k", [-1, 40]],
    ["presence_penalty", [-2, 2]],
    ["max_tokens", [1, 2 ** 31 - 1]],
    ["n", [1, 128, null]],
    ["retry_count", [0, 9, null]],
    ["timeout", [0.5, 1e9, null]],
    ["seed", [0, -1]],
    ["stop", ["x", ["a", "b", "c", "d"], null]],
    ["model", [null, ""]],
    ["stream", [false, null]],
    ["provider", [null, "", "only"]],
    ["fallback_providers", [[], null]],
    ["tools", [[], null]],
    ["metadata", [{ any: "thing" }]],
  ];
  test.each(fine)("%s at the ends of its range, or null, may go: %j", async (param, values) => {
    const { address } = await startOne();
    for (const value of values) {
      const response = await postChat(address, { ...good, [param]: value });
      expect(response.status, `${param}: ${JSON.stringify(value)}`).toBe(200);
      await response.text();
    }
  });

  test("all of them are told at once", async () => {
    const { address } = await startOne();
    const error = await errorOf(await postChat(address, { ...good, temperature: 9, n: 0, stop: 7 }));
    expect(error.details["violations"]).toMatchObject([{ field: "temperature" }, { field: "n" }, { field: "stop" }]);
  });
});

describe("a body that is none", () => {
  const bodies = {
    "bad JSON": '{"model":"think",',
    "an empty body": "",
    "an array": "[]",
    "a text": '"hello"',
    null: "null",
    "JSON and more": '{"model":"think"} {}',
  };
  test.each(Object.entries(bodies))("is refused: %s", async (_, body) => {
    const { address, providers } = await startOne();
    const error = await errorOf(await postChat(address, body));
    expect(error).toMatchObject({ status: 400, code: "invalid_request", type: "invalid_request_error" });
    expect(providers.only.seen.length).toBe(0);
  });

  test("but a byte order mark before a good one is passed over", async () => {
    const { address } = await startOne();
    expect((await postChat(address, `\ufeff${JSON.stringify(good)}`)).status).toBe(200);
  });

  test.each([
    ["another media type", { "content-type": "text/plain" }],
    ["a form", { "content-type": "application/x-www-form-urlencoded" }],
    ["a compressed body", { "content-encoding": "gzip" }],
  ])("of %s is answered by 415", async (_, headers) => {
    const { address } = await startOne();
    const error = await errorOf(await postChat(address, good, { headers }));
    expect(error).toMatchObject({ status: 415, code: "unsupported_media_type" });
  });

  test("may say its charset beside its media type", async () => {
    const { address } = await startOne();
    const headers = { "content-type": "Application/JSON; charset=utf-8" };
    expect((await postChat(address, good, { headers })).status).toBe(200);
  });

  test("larger than 32 MiB is answered by 413: by the length that it announces", async () => {
    const { address, port } = await startOne();
    const request = http.request(`${address}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", "content-length": String((32 << 20) + 1) },
    });
    request.on("error", () => {});
    request.flushHeaders();
    const [response] = (await once(request, "response")) as [IncomingMessage];
    expect(response.statusCode).toBe(413);
    const body = await textOf(response);
    expect(JSON.parse(body)).toMatchObject({ error: { code: "request_too_large" } });
    request.destroy();
    expect((await postChat(`http://127.0.0.1:${port}`, good)).status).toBe(200);
  });

  test("larger than 32 MiB is answered by 413: by what comes of it", async () => {
    const { address, providers } = await startOne();
    const request = http.request(`${address}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
    });
    onTestFinished(() => void request.destroy());
    // The rest of it is not read, so that sending it may fail.
    request.on("error", () => {});
    const answered = once(request, "response");
    const blank = Buffer.alloc(1 << 20, " ");
    for (let written = 0; written <= 32; written++) request.write(blank);
    const [response] = (await answered) as [IncomingMessage];
    expect(response.statusCode).toBe(413);
    expect(providers.only.seen.length).toBe(0);
  });

  test("larger than 32 MiB is answered by 413: by what comes of it, over HTTP/2", async () => {
    const { address, providers } = await startOne();
    const session = http2.connect(address);
    onTestFinished(() => session.destroy());
    const request = session.request({
      ":method": "POST",
      ":path": "/v1/chat/completions",
      "content-type": "application/json",
    });
    request.on("error", () => {});
    request.write('{"model":"think","messages":"');
    const blank = Buffer.alloc(1 << 20, " ");
    const answered = once(request, "response");
    for (let written = 0; written <= 32; written++) request.write(blank);
    const [headers] = (await answered) as [http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader];
    expect(headers[":status"]).toBe(413);
    expect(providers.only.seen.length).toBe(0);
  });

  test("of 16 MiB goes through whole", async () => {
    const { address, providers } = await startOne();
    const content = "kangaroo ".repeat((16 << 20) / 9);
    const response = await postChat(address, { ...good, messages: [{ role: "user", content }], max_tokens: 1 });
    expect(response.status).toBe(200);
    expect(providers.only.seen[0]?.body.length).toBeGreaterThan(content.length);
  });
});

async function textOf(stream: IncomingMessage): Promise<string> {
  let text = "";
  for await (const piece of stream.setEncoding("utf8")) text += piece;
  return text;
}

describe("what is not there", () => {
  test.each(["/", "/v1", "/v2/chat/completions", "/v1/chat/completions/", "/v1/models/", "/%ff", "/v1/%2e%2e/admin"])(
    "a route is answered by 404: %s",
    async (path) => {
      const { port } = await startOne();
      // By hand, for fetch would tidy the path up.
      const [head = "", body = ""] = (
        await rawAnswer(port, `GET ${path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n`)
      ).split("\r\n\r\n");
      expect(head).toMatch(/^HTTP\/1.1 404 /);
      expect(JSON.parse(body)).toMatchObject({ error: { code: "not_found", type: "invalid_request_error" } });
    },
  );

  test("a model is answered by 404 and named as the wrong parameter", async () => {
    const { address, providers } = await startOne();
    for (const model of ["nowhere", "only:nowhere", "nobody:only-model", "think "]) {
      const error = await errorOf(await postChat(address, { ...good, model }));
      expect(error).toMatchObject({ status: 404, code: "not_found", param: "model" });
    }
    expect((await errorOf(await fetch(`${address}/v1/models/nowhere`))).status).toBe(404);
    expect(providers.only.seen.length).toBe(0);
  });

  test("an RPC is answered as unimplemented", async () => {
    const { address } = await startOne();
    const response = await fetch(`${address}/everhop.v1.ChatService/Sing`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: "{}",
    });
    expect(response.status).toBe(404);
  });

  test.each([
    ["GET", "/v1/chat/completions", "POST"],
    ["DELETE", "/v1/chat/completions", "POST"],
    ["POST", "/v1/models", "GET"],
    ["PUT", "/v1/models/think", "GET"],
    ["POST", "/health", "GET"],
  ])("a method is answered by 405 that tells which there is: %s %s", async (method, path, allowed) => {
    const { address } = await startOne();
    const response = await fetch(`${address}${path}`, { method });
    const error = await errorOf(response);
    expect(error).toMatchObject({ status: 405, code: "method_not_allowed" });
    expect(response.headers.get("allow")).toContain(allowed);
  });
});

describe("a caller", () => {
  const callers = [
    { name: "team-a", key: "key-of-team-a" },
    { name: "team-b", key: "key-of-team-b", models: ["small"] },
    { name: "team-c", key: "key-of-team-c", trail: false },
  ];

  async function startKnown(first: Fault = { kind: "none" }, second: Fault = { kind: "none" }) {
    const providers = await startProviders({ first: { schedule: [first] }, second: { schedule: [second] } });
    const config = poolConfig(providers);
    const models = [
      ...config.models,
      { name: "small", targets: [{ provider: "first", model: "small-model" }] },
      { name: "large", targets: [{ provider: "second", model: "large-model" }] },
    ];
    const gateway = await startGateway(
      { ...config, models, defaults: { model: "think" }, auth: { callers } },
      providers,
    );
    return { ...gateway, providers };
  }
  const asBearer = (key: string) => ({ authorization: `Bearer ${key}` });

  test("without the right key is told the same thing whatever is wrong with it", async () => {
    const { address, providers } = await startKnown();
    const attempts: Record<string, string>[] = [
      {},
      asBearer("wrong"),
      asBearer(""),
      asBearer("key-of-team-a-and-more"),
      asBearer("key-of-team-"),
      { authorization: "key-of-team-a" },
      { authorization: "Basic key-of-team-a" },
      { "x-api-key": "wrong" },
      { ...asBearer("key-of-team-a"), "x-api-key": "key-of-team-b" },
      { ...asBearer("wrong"), "x-api-key": "key-of-team-a" },
      { ...asBearer("key-of-team-a"), "x-api-key": "wrong" },
    ];
    const bodies: unknown[] = [];
    for (const headers of attempts) {
      for (const response of [
        await postChat(address, good, { headers }),
        await fetch(`${address}/v1/models`, { headers }),
      ]) {
        const { status, body } = await errorOf(response);
        expect(status, JSON.stringify(headers)).toBe(401);
        expect(response.headers.get("www-authenticate")).toMatch(/^Bearer/);
        expect([...response.headers.keys()].filter((name) => /provider|attempts|trail/.test(name))).toEqual([]);
        const id = body.request_id;
        bodies.push(JSON.parse(JSON.stringify({ ...body, timestamp: "" }).replaceAll(id, "ID")));
      }
    }
    expect(bodies.length).toBe(2 * attempts.length);
    for (const body of bodies) expect(body).toEqual(bodies[0]);
    expect(bodies[0]).toMatchObject({ error: { code: "unauthorized", type: "authentication_error" } });
    expect(providers.first.seen.length).toBe(0);
  });

  test.each([
    ["Authorization: Bearer", asBearer("key-of-team-a")],
    ["authorization: bearer", { authorization: "bearer key-of-team-a" }],
    ["X-API-Key", { "X-API-Key": "key-of-team-a" }],
    ["both, when they agree", { ...asBearer("key-of-team-a"), "x-api-key": "key-of-team-a" }],
  ])("comes in by %s, and its key goes no further", async (_, headers) => {
    const { address, providers } = await startKnown();
    expect((await postChat(address, good, { headers })).status).toBe(200);
    const [seen] = providers.first.seen;
    expect(seen?.headers.authorization).toBe("Bearer secret-of-first");
    expect(JSON.stringify(seen?.headers)).not.toContain("key-of-team-a");
  });

  test.each(rpcNames)("needs its key over %s as well", async (name) => {
    const { address } = await startKnown();
    const wire = openWire(name, address);
    for (const headers of [{}, asBearer("wrong"), { ...asBearer("key-of-team-a"), "x-api-key": "wrong" }]) {
      const expected = { status: "Unauthenticated", reason: "UNAUTHORIZED" };
      await expect(wire.complete({ text: "x" }, { headers })).rejects.toMatchObject(expected);
      await expect(wire.stream({ text: "x" }, { headers })).rejects.toMatchObject(expected);
      const models = createClient(ModelsService, openTransport(name, address));
      await expect(models.listModels({}, { headers })).rejects.toThrow(/unauthenticated/);
    }
    expect((await wire.complete({ text: "x" }, { headers: { "x-api-key": "key-of-team-a" } })).text).toBe(
      "You said: x",
    );
  });

  test("is not asked for a key by the health routes", async () => {
    const { address } = await startKnown();
    for (const path of ["/health", "/healthz"]) expect((await fetch(`${address}${path}`)).status).toBe(200);
  });

  test("that is limited to some models sees and may use only these, over REST", async () => {
    const { address, providers } = await startKnown();
    const headers = asBearer("key-of-team-b");
    const { data } = (await (await fetch(`${address}/v1/models`, { headers })).json()) as { data: { id: string }[] };
    expect(data.map(({ id }) => id)).toEqual(["small"]);
    expect((await fetch(`${address}/v1/models/small`, { headers })).status).toBe(200);
    expect((await fetch(`${address}/v1/models/large`, { headers })).status).toBe(404);
    expect((await postChat(address, { ...good, model: "small" }, { headers })).status).toBe(200);
    // Not even by another way to the same endpoint, or as what stands behind its own model, or by default.
    const others: Json[] = [
      { model: "large" },
      { model: "think" },
      { model: "first:small-model" },
      { model: "small-model" },
      { model: "small-model", provider: "first" },
      { model: "large-model", provider: "second" },
      { model: "" },
      { model: null },
    ];
    for (const other of others) {
      const error = await errorOf(await postChat(address, { ...good, ...other }, { headers }));
      expect(error, JSON.stringify(other)).toMatchObject({ status: 404, code: "not_found", param: "model" });
    }
    expect(providers.first.seen.map(({ model }) => model)).toEqual(["small-model"]);
    expect(providers.second.seen.length).toBe(0);
  });

  test.each(rpcNames)("that is limited to some models sees and may use only these, over %s", async (name) => {
    const { address } = await startKnown();
    const headers = asBearer("key-of-team-b");
    const models = createClient(ModelsService, openTransport(name, address));
    expect((await models.listModels({}, { headers })).models.map(({ id }) => id)).toEqual(["small"]);
    await expect(models.getModel({ id: "large" }, { headers })).rejects.toThrow(/not_found/);
    const wire = openWire(name, address);
    expect((await wire.complete({ text: "x", model: "small" }, { headers })).text).toBe("You said: x");
    for (const model of ["large", "think", "first:small-model", ""]) {
      const expected = { status: "NotFound", reason: "MODEL_NOT_FOUND" };
      await expect(wire.complete({ text: "x", model }, { headers })).rejects.toMatchObject(expected);
      await expect(wire.stream({ text: "x", model }, { headers })).rejects.toMatchObject(expected);
    }
  });

  const trailHeaders = (headers: Headers) =>
    [...headers.keys()].filter((name) => /^x-everhop-(provider|attempts|trail)$/.test(name));
  const untold = { ...asBearer("key-of-team-c"), "x-everhop-include-trail": "true" };
  const failing: Fault = { kind: "html" };

  test("that is to see no trail sees none over REST: not in headers, answers or errors", async () => {
    const { address, providers } = await startKnown(failing);
    const unary = await postChat(address, good, { headers: untold });
    expect(unary.status).toBe(200);
    expect(trailHeaders(unary.headers)).toEqual([]);
    expect(await unary.json()).not.toHaveProperty("trail");
    const stream = await postChat(address, { ...good, stream: true }, { headers: untold });
    expect(trailHeaders(stream.headers)).toEqual([]);
    const events = await readAll(stream);
    expect(events.at(-1)).toBe("[DONE]");
    expect(events.filter((data) => data.includes("trail"))).toEqual([]);
    for (const fault of [failing, { kind: "status", status: 400 } satisfies Fault]) {
      for (const provider of Object.values(providers)) provider.behave({ schedule: [fault] });
      const response = await postChat(address, { ...good, retry_count: 1 }, { headers: untold });
      const error = await errorOf(response);
      expect(error.status).toBeGreaterThanOrEqual(400);
      expect(trailHeaders(response.headers)).toEqual([]);
      expect(error.details).not.toHaveProperty("trail");
    }
    providers.first.behave({ schedule: [{ kind: "cut_after" }], eventPerWrite: true });
    const broken = await readAll(await postChat(address, { ...good, stream: true }, { headers: untold }));
    expect(JSON.parse(broken.at(-1) ?? "")).toMatchObject({ error: { code: "stream_interrupted" } });
    expect(broken.at(-1)).not.toContain("trail");
  });

  test.each(rpcNames)("that is to see no trail sees none over %s: not in headers, answers or errors", async (name) => {
    const { address, providers } = await startKnown(failing);
    const wire = openWire(name, address);
    for (const told of [
      await wire.complete({ text: "x" }, { headers: untold }),
      await wire.stream({ text: "x" }, { headers: untold }),
    ]) {
      expect(told.text).toBe("You said: x");
      expect(told.trail).toBeUndefined();
      expect(trailHeaders(told.headers)).toEqual([]);
    }
    providers.second.behave({ schedule: [failing] });
    const ask = { text: "x", retryCount: 1 };
    for (const send of [() => wire.complete(ask, { headers: untold }), () => wire.stream(ask, { headers: untold })]) {
      const error = await send().catch((reason: unknown) => reason);
      if (!(error instanceof WireError)) throw error;
      expect(error.reason).toBe("ALL_PROVIDERS_FAILED");
      expect(error.trail).toBeUndefined();
      expect(trailHeaders(error.headers)).toEqual([]);
    }
  });

  test("that is to see no trail does not read it in an error's message either", async () => {
    const { address } = await startKnown(failing, failing);
    const { message } = await errorOf(await postChat(address, good, { headers: untold }));
    expect(message).not.toMatch(/first|second|-model/);
  });
});

describe("a request on its way to the provider", () => {
  test("keeps every byte of what the gateway does not know", async () => {
    const { address, providers } = await startOne();
    const body = [
      '{ "model" : "think",\n  "messages":[{"role":"user","content":"\\u00e9 \\/ \\"}","vendor":{"x":1.50}}] ,',
      ' "big":12345678901234567890, "tiny":1E-400,"precise":0.1000000000000000055511151231257827,',
      ' "nested":{"timeout":7,"provider":"x","model":"y","deep":[[[{"a":null}]]]}, "twice":1, "twice":{"model":2},',
      ' "retry_count":1, "timeout": 30.5, "fallback_providers" :[ "only" ], "provider":"only","last":true }\t\n',
    ].join("");
    const response = await postChat(address, body);
    expect(response.status).toBe(200);
    const expected = body
      .replace('"think"', '"only-model"')
      .replace(', "retry_count":1, "timeout": 30.5, "fallback_providers" :[ "only" ], "provider":"only"', "")
      // Of what is said twice the last counts; a provider that goes by the first must not see another request than was checked.
      .replace(' "twice":1,', "");
    expect(providers.only.seen[0]?.body).toBe(expected.trim());
  });

  test("keeps them on a stream, too", async () => {
    const { address, providers } = await startOne();
    const body = `{"big":12345678901234567890,"model":"think","messages":${JSON.stringify(messages)},"stream":true}`;
    const asking = body.replace("true}", 'true,"stream_options":{"vendor":1.50,"include_usage":true}}');
    for (const each of [body, asking]) await readAll(await postChat(address, each));
    const expected = (each: string) => each.replace('"think"', '"only-model"');
    const [first, second] = providers.only.seen;
    // The one thing that is added: what the stream will have cost.
    expect(first?.body).toBe(expected(body).replace("true}", 'true,"stream_options":{"include_usage":true}}'));
    expect(second?.body).toBe(expected(asking));
  });

  test("keeps a stream's own options beside the one that is added", async () => {
    const { address, providers } = await startOne();
    const options = (usage: string) => `"stream_options":{"vendor":1.50${usage}}`;
    const body = `{${options("")},"model":"think","messages":${JSON.stringify(messages)},"stream":true}`;
    await readAll(await postChat(address, body));
    expect(providers.only.seen[0]?.body).toContain(options(',"include_usage":true'));
    expect(providers.only.seen[0]?.body.match(/stream_options/g)?.length).toBe(1);
  });

  test("has its model in every place where a reader might look for it", async () => {
    const { address, providers } = await startOne();
    const rest = `"messages":${JSON.stringify(messages)}`;
    for (const body of [
      `{${rest}}`,
      `{"model":"other","model":"think",${rest}}`,
      `{"mod\\u0065l":"think",${rest}}`,
      `{"model":"",${rest}}`,
    ]) {
      const response = await postChat(address, body);
      expect(response.status, body).toBe(200);
      await response.text();
      expect(providers.only.seen.at(-1)?.json).toMatchObject({ model: "only-model" });
      expect(providers.only.seen.at(-1)?.body).not.toContain("other");
      expect(providers.only.seen.at(-1)?.body).not.toContain("think");
    }
  });

  test("keeps another gateway's `provider` object, and loses our `provider` name however it is spelt", async () => {
    const { address, providers } = await startOne();
    const provider = { order: ["deepinfra"], allow_fallbacks: false };
    await (await postChat(address, { ...good, provider })).text();
    expect(providers.only.seen[0]?.json).toMatchObject({ provider });
    const spelt = `{"model":"think","pr\\u006fvider":"only","messages":${JSON.stringify(messages)}}`;
    expect((await postChat(address, spelt)).status).toBe(200);
    expect(providers.only.seen[1]?.json).not.toHaveProperty("provider");
  });
});

/** A provider of a test's own, whose answers are written by hand. */
async function startByHand(answer: (response: ServerResponse) => void) {
  const server = http.createServer((request, response) => {
    request.resume();
    request.on("end", () => answer(response));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo; // a TCP server's address is one
  return startGateway(poolConfig({ byhand: { baseUrl: `http://127.0.0.1:${port}/v1` } }));
}

describe("an answer on its way to the caller", () => {
  const rest = '"big":12345678901234567890,"precise":1.50,"vendor":{"provider":"inner","deep":[null,1e3]}';
  const choices =
    '"choices":[{"index":0,"message":{"role":"assistant","content":"hi","odd":{"x":1.0}},"finish_reason":"stop"}]';

  test("keeps what the gateway does not know; the upstream's own provider makes room for ours", async () => {
    const body = `{"id":"x","provider":"DeepInfra","latency_ms":"theirs",${rest},${choices}}`;
    const { address } = await startByHand((response) => {
      response.writeHead(200, { "content-type": "application/json" }).end(body);
    });
    const text = await (await postChat(address, good)).text();
    expect(JSON.parse(text)).toMatchObject({ provider: "byhand", latency_ms: expect.any(Number) });
    // Each once, or readers would not agree on which counts; wherever they stand, all else is as it came.
    const ours = /,"(?:provider":"byhand"|latency_ms":\d+)/g;
    expect(text.match(ours)?.length).toBe(2);
    expect(text.replace(ours, "")).toBe(`{"id":"x","upstream_provider":"DeepInfra",${rest},${choices}}`);
  });

  test("is valid whatever stands first or last in it", async () => {
    for (const body of [
      `{"provider":"A",${choices}}`,
      `{${choices},"provider":"A"}`,
      `{"latency_ms":1,"trail":2,${choices},"latency_ms":3}`,
      `\n{ "latency_ms" : 1 , ${choices} , "trail" : [ ] }\n`,
      `{"provider":null,${choices}}`,
    ]) {
      const { address } = await startByHand((response) => {
        response.writeHead(200, { "content-type": "application/json" }).end(body);
      });
      for (const headers of [{}, { "x-everhop-include-trail": "true" }]) {
        const answer = (await (await postChat(address, good, { headers })).json()) as Json;
        expect(answer).toMatchObject({
          provider: "byhand",
          latency_ms: expect.any(Number),
          choices: [{ message: { content: "hi" } }],
        });
      }
    }
  });

  test("is passed on event by event as it came, unknown fields and unknown events included", async () => {
    const chunk = (delta: string, finish = "null") =>
      `{"id":"x",${rest},"choices":[{"index":0,"delta":${delta},"finish_reason":${finish},"odd":1.0}]}`;
    const sent = [
      chunk('{"role":"assistant","vendor":[1.0]}'),
      chunk('{"content":"hi"}'),
      chunk("{}", '"stop"'),
      "[DONE]",
    ];
    const { address } = await startByHand((response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.end(sent.map((data) => `event: odd\nid: 7\ndata: ${data}\n\n`).join(": comment\n\n"));
    });
    const response = await postChat(address, { ...good, stream: true });
    const text = await response.text();
    for (const data of sent.slice(0, -1)) expect(text).toContain(`event: odd\nid: 7\ndata: ${data}\n\n`);
    expect(text.match(/\[DONE\]/g)).toEqual(["[DONE]"]);
    expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
  });

  test("shows the simulated vendor's own field, unary and streamed", async () => {
    const { address } = await startOne();
    expect(await (await postChat(address, good)).json()).toMatchObject({ system_fingerprint: "sim-only" });
    const events = await readAll(await postChat(address, { ...good, stream: true }));
    expect(JSON.parse(events[0] ?? "")).toMatchObject({ system_fingerprint: "sim-only" });
  });

  test("never has the status 409, which a client in use repeats for ever", async () => {
    const { address } = await startOne([{ kind: "status", status: 409 }]);
    for (const stream of [false, true]) expect((await postChat(address, { ...good, stream })).status).not.toBe(409);
  });
});

describe("the headers of an answer", () => {
  const answers: [title: string, body: Json, fault: Fault, status: number][] = [
    ["a completion", good, { kind: "none" }, 200],
    ["a stream", { ...good, stream: true }, { kind: "none" }, 200],
    ["a refusal of the gateway", { ...good, n: 0 }, { kind: "none" }, 400],
    ["a refusal of the provider", good, { kind: "status", status: 400 }, 400],
    ["a failure", { ...good, stream: true, retry_count: 0 }, { kind: "status", status: 500 }, 502],
  ];

  test.each(answers)(
    "tell the request's id and trace of %s, the caller's own where they are fit",
    async (_, body, fault, status) => {
      const { address, trails } = await startOne([fault]);
      const fresh = await postChat(address, body);
      expect(fresh.status).toBe(status);
      await fresh.text();
      expect(fresh.headers.get("x-request-id")).toMatch(requestIdPattern);
      expect(fresh.headers.get("x-everhop-trace-id")).toMatch(/^[\da-f]{32}$/);
      const traceId = "0af7651916cd43dd8448eb211c80319c";
      const given = await postChat(address, body, {
        headers: { "x-request-id": "my-Request.7:a", traceparent: `00-${traceId}-b7ad6b7169203331-01` },
      });
      await given.text();
      expect(given.headers.get("x-request-id")).toBe("my-Request.7:a");
      expect(given.headers.get("x-everhop-trace-id")).toBe(traceId);
      if (trails.length > 0) expect(trails.at(-1)?.traceId).toBe(traceId);
      const unfit = await postChat(address, body, {
        headers: { "x-request-id": "<script>", traceparent: `00-${"0".repeat(32)}-b7ad6b7169203331-01` },
      });
      await unfit.text();
      expect(unfit.headers.get("x-request-id")).toMatch(requestIdPattern);
      expect(unfit.headers.get("x-everhop-trace-id")).not.toBe("0".repeat(32));
    },
  );

  test("tell the way: provider, attempts, trail and cache", async () => {
    const away: Fault = { kind: "status", status: 503, headers: { "retry-after": "60" } };
    const providers = await startProviders({ first: { schedule: [away] }, second: {} });
    const { address } = await startGateway(poolConfig(providers), providers);
    for (const stream of [false, true]) {
      const { headers } = await postChat(address, { ...good, stream });
      expect(headers.get("x-everhop-provider")).toBe("second");
      expect(headers.get("x-everhop-attempts")).toBe("2");
      expect(headers.get("x-everhop-trail")).toMatch(
        /^first\/first-model#k1 503 \d+ms, second\/second-model#k1 200 \d+ms$/,
      );
      expect(headers.get("x-everhop-cache")).toBe("off");
    }
  });

  test("name the key, never its value", async () => {
    const providers = await startProviders({ first: { schedule: [{ kind: "status", status: 401 }] } });
    const keys = [{ name: "spare", value: "sk-very-secret-value" }];
    const { address } = await startGateway(poolConfig(providers, { first: { keys } }), providers);
    const response = await postChat(address, good);
    expect(response.headers.get("x-everhop-trail")).toMatch(/#spare 401 /);
    const error = await errorOf(response);
    expect(JSON.stringify([...response.headers, error.body])).not.toContain("sk-very-secret-value");
  });

  test("are a stream's own: not to be stored, not to be gathered", async () => {
    const { address } = await startOne();
    const { headers } = await postChat(address, { ...good, stream: true });
    expect(headers.get("content-type")).toMatch(/^text\/event-stream/);
    expect(headers.get("cache-control")).toMatch(/no-cache|no-store/);
    expect(headers.get("content-encoding")).toBeNull();
  });
});

test("x-everhop-cache stands on errors, too", async () => {
  const { address } = await startOne();
  const response = await postChat(address, { ...good, n: 0 });
  await errorOf(response);
  expect(response.headers.get("x-everhop-cache")).toBe("off");
});

describe("x-everhop-include-trail", () => {
  const trail = {
    model: "think",
    policy: "weighted",
    trace_id: expect.stringMatching(/^[\da-f]{32}$/),
    attempts: [
      { index: 1, provider: "first", endpoint: "first/first-model", outcome: "overloaded", http_status: 503 },
      { index: 2, provider: "second", endpoint: "second/second-model", outcome: "ok", http_status: 200 },
    ],
    skips: [],
  };
  const headers = { "x-everhop-include-trail": "true" };
  const start = async () => {
    // For so long nobody waits while another is free.
    const away: Fault = { kind: "status", status: 503, headers: { "retry-after": "60" } };
    const providers = await startProviders({ first: { schedule: [away] }, second: {} });
    return startGateway(poolConfig(providers), providers);
  };

  test("puts the whole trail into a completion, which else has none", async () => {
    const { address } = await start();
    expect(await (await postChat(address, good, { headers })).json()).toMatchObject({ trail });
    expect(await (await postChat(address, good)).json()).not.toHaveProperty("trail");
  });

  test("puts the whole trail into a stream's last chunk, which clients pass over, with every attempt ended", async () => {
    const { address } = await start();
    const events = await readAll(await postChat(address, { ...good, stream: true }, { headers }));
    expect(events.at(-1)).toBe("[DONE]");
    expect(JSON.parse(events.at(-2) ?? "")).toMatchObject({ object: "chat.completion.chunk", choices: [], trail });
    expect(events.filter((data) => data.includes('"trail"')).length).toBe(1);
    const plain = await readAll(await postChat(address, { ...good, stream: true }));
    expect(plain.filter((data) => data.includes('"trail"'))).toEqual([]);
  });

  test("is not needed in errors, which always have it", async () => {
    const { address } = await startOne([{ kind: "status", status: 503 }]);
    const error = await errorOf(await postChat(address, { ...good, retry_count: 1 }));
    const attempt = { provider: "only", http_status: 503 };
    expect(error.details["trail"]).toMatchObject({
      attempts: [attempt, { ...attempt, wait_ms: expect.any(Number), wait_reason: "backoff" }],
      skips: [],
    });
  });
});

/** What a server says to bytes, up to the end of its first answer. */
function rawAnswer(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(bytes));
    let text = "";
    const finish = () => {
      resolve(text);
      socket.destroy();
    };
    socket.setEncoding("utf8");
    socket.on("data", (piece: string) => {
      text += piece;
      const [head = "", body] = text.split("\r\n\r\n", 2);
      const length = /^content-length: *(\d+)/im.exec(head)?.[1];
      if (body !== undefined && length !== undefined && Buffer.byteLength(body) >= Number(length)) finish();
    });
    socket.on("end", finish);
    socket.on("error", reject);
  });
}

describe("HTTP that is none", () => {
  const paths = ["/health", "/v1/models", "/everhop.v1.ChatService/CompleteChat"];

  test.each(["bad host[", "a b", "[::1", "host:port", "user@host:99999", ""])(
    "a bad Host is answered by 400, and the process lives: %j",
    async (host) => {
      const { address, port } = await startOne();
      for (const path of paths) {
        const answer = await rawAnswer(port, `POST ${path} HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 0\r\n\r\n`);
        expect(answer).toMatch(/^HTTP\/1\.1 400 /);
      }
      expect((await postChat(address, good)).status).toBe(200);
    },
  );

  test("a bad :authority is answered by 400, and the connection lives", async () => {
    const { address } = await startOne();
    const session = http2.connect(address);
    onTestFinished(() => session.destroy());
    const status = async (headers: http2.OutgoingHttpHeaders) => {
      const request = session.request(headers);
      request.resume();
      const [answered] = (await once(request, "response")) as [http2.IncomingHttpStatusHeader];
      return answered[":status"];
    };
    for (const authority of ["[::1", "host:99999"]) {
      for (const path of paths) expect(await status({ ":path": path, ":authority": authority })).toBe(400);
    }
    expect(await status({ ":path": "/health", ":authority": "good.example:80" })).toBe(200);
  });

  test.each([
    ["nonsense", "hello there\r\n\r\n"],
    ["no Host at all", "GET /health HTTP/1.1\r\n\r\n"],
    [
      "two lengths that differ",
      "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    ],
    [
      "a length and chunks at once",
      "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
  ])("is answered by 400, and the process lives: %s", async (_, bytes) => {
    const { address, port } = await startOne();
    expect(await rawAnswer(port, bytes)).toMatch(/^HTTP\/1\.1 400 /);
    expect((await postChat(address, good)).status).toBe(200);
  });

  test("headers that are too large are answered by 431", async () => {
    const { port } = await startOne();
    const head = `GET /v1/models HTTP/1.1\r\nHost: h\r\nx-large: ${"x".repeat(20_000)}\r\n\r\n`;
    expect(await rawAnswer(port, head)).toMatch(/^HTTP\/1\.1 431 /);
  });
});

describe("a request that no service of ours gets to see", () => {
  test.each(rpcNames)("is refused over %s when it is too large, and waiting does not help", async (name) => {
    const { address, providers } = await startOne();
    const told = openWire(name, address).complete({ text: "x".repeat((32 << 20) + 1) });
    await expect(told).rejects.toMatchObject({ status: "ResourceExhausted", retryDelayMs: undefined });
    expect(providers.only.seen.length).toBe(0);
  });

  test.each(rpcNames)("has an ErrorInfo all the same over %s", async (name) => {
    const { address } = await startOne();
    const told = openWire(name, address).complete({ text: "x".repeat((32 << 20) + 1) });
    await expect(told).rejects.toMatchObject({ reason: expect.stringMatching(/^[A-Z_]+$/) });
  });

  test.each(rpcNames)("is unimplemented over %s when there is no such method", async (name) => {
    const { address } = await startOne();
    const sing = { ...ChatService.method.completeChat, name: "Sing" };
    const told = openTransport(name, address).unary(sing, undefined, undefined, undefined, {});
    await expect(told).rejects.toThrow(/unimplemented/);
  });
});

test("errors over RPC always carry an ErrorInfo of our domain", async () => {
  const { address } = await startOne();
  for (const name of rpcNames) {
    const wire = openWire(name, address);
    const failures = [
      wire.complete({ text: "x", model: "nowhere" }),
      wire.complete({ text: "x", candidateCount: 999 }),
      wire.complete({ text: "x", provider: "nobody" }),
      wire.complete({ text: "x", retryCount: 99 }),
      wire.complete({ text: "x", timeoutMs: -1 }),
      wire.stream({ text: "x", timeoutMs: -1 }),
    ];
    for (const failure of await Promise.allSettled(failures)) {
      expect(failure).toMatchObject({ status: "rejected", reason: { reason: expect.stringMatching(/^[A-Z_]+$/) } });
    }
    const client = createClient(ChatService, openTransport(name, address));
    await expect(client.completeChat({})).rejects.toThrow(/invalid_argument.*prompt/);
  }
});
