import { Validator } from "@seriousme/openapi-schema-validator";
import { describe, expect, test } from "vitest";
import { routes } from "../../src/api/rest/routes.ts";
import { postChat } from "../support/rest.ts";
import { callerKey, documentOf, judgeOf, startDescribed } from "./described.ts";

const key = { authorization: `Bearer ${callerKey}` };
const good = { messages: [{ role: "user", content: "Hello!" }], max_tokens: 1 };

/** How the document writes the path of a route. */
const pathOf = (path: string | RegExp) => (typeof path === "string" ? path : "/v1/models/{model}");

describe("the OpenAPI document", () => {
  test("is valid OpenAPI 3.1, served as JSON to whoever asks", async () => {
    const { address } = await startDescribed();
    const response = await fetch(`${address}/openapi.json`);
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "application/json; charset=utf-8"]);
    const document = (await response.json()) as { readonly openapi: string };
    const validator = new Validator();
    expect(await validator.validate(structuredClone(document))).toEqual({ valid: true });
    expect([document.openapi, validator.version]).toEqual(["3.1.0", "3.1"]);
    // The judge is one: it finds what is wrong.
    expect((await validator.validate({ ...document, paths: { "/x": { get: { responses: 1 } } } })).valid).toBe(false);
  });

  test("has every route of the table, and no other", async () => {
    const { address } = await startDescribed();
    const { paths } = await documentOf(address);
    const documented = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const served = routes.map(({ method, path }) => `${method} ${pathOf(path)}`);
    expect(documented.sort()).toEqual(served.sort());
    const ids = Object.values(paths).flatMap((methods) => Object.values(methods).map((each) => each.operationId));
    expect(new Set(ids).size).toBe(routes.length);
  });

  test("says of every route who may use it, as the table does", async () => {
    const { address } = await startDescribed();
    const { paths } = await documentOf(address);
    const schemes = { public: [], caller: ["callerBearer", "callerKey"], admin: ["adminBearer", "adminKey"] };
    for (const { method, path, access } of routes) {
      const security = paths[pathOf(path)]?.[method.toLowerCase()]?.security ?? [];
      expect([String(path), security.flatMap((each) => Object.keys(each))]).toEqual([String(path), schemes[access]]);
    }
  });

  test("asks for no key where the gateway is open", async () => {
    const { address } = await startDescribed({ auth: {} });
    const { paths } = await documentOf(address);
    expect(paths["/v1/chat/completions"]?.["post"]?.security).toContainEqual({});
  });

  test("shows requests and answers that its own schemas allow", async () => {
    const { address } = await startDescribed();
    const document = await documentOf(address);
    const judge = judgeOf(document);
    let shown = 0;
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const [method, { requestBody, responses }] of Object.entries(methods)) {
        for (const [name, { value }] of Object.entries(requestBody?.content["application/json"]?.examples ?? {})) {
          expect([name, judge.named("ChatCompletionRequest", value)]).toEqual([name, []]);
        }
        for (const [status, { content }] of Object.entries(responses)) {
          for (const [media, { examples }] of Object.entries(content)) {
            for (const [name, { value }] of Object.entries(examples)) {
              const label = `${method} ${path} ${status} ${name}`;
              expect([label, judge.answer(path, method, Number(status), media, value)]).toEqual([label, []]);
              shown++;
            }
          }
        }
      }
    }
    expect(shown).toBeGreaterThan(30);
    expect(judge.named("ChatCompletionRequest", { ...good, temperature: 3 })).not.toEqual([]);
    expect(judge.named("ChatCompletion", { choices: [] })).not.toEqual([]);
  });

  test("names the ranges that are really kept: the last value within is served, the first without is refused", async () => {
    const { address } = await startDescribed();
    const { schemas } = (await documentOf(address)).components;
    const numbers = Object.entries(schemas["ChatCompletionRequest"]?.properties ?? {}).filter(
      ([, { minimum, maximum }]) => minimum !== undefined && maximum !== undefined,
    );
    expect(numbers.map(([name]) => name)).toEqual(
      expect.arrayContaining(["temperature", "top_p", "n", "max_tokens", "presence_penalty", "retry_count", "top_k"]),
    );
    for (const [name, { minimum = 0, maximum = 0 }] of numbers) {
      const statuses: number[] = [];
      for (const value of [minimum, maximum, null, minimum - 1, maximum + 1]) {
        const body = { ...good, ...(name === "top_logprobs" && { logprobs: true }), [name]: value };
        const response = await postChat(address, body, { headers: key });
        await response.arrayBuffer();
        statuses.push(response.status);
      }
      expect([name, statuses]).toEqual([name, [200, 200, 200, 400, 400]]);
    }
  });

  test.each([
    ["no messages", { messages: [] }],
    ["more messages than it allows", { messages: Array(10_001).fill({ role: "user", content: "" }) }],
    ["more fallbacks than it allows", { fallback_providers: Array(17).fill("openai") }],
    ["more stops than it allows", { stop: ["a", "b", "c", "d", "e"] }],
    ["a timeout of nothing", { timeout: 0 }],
    ["a model that is no text", { model: 7 }],
    ["a model with too long a name", { model: "m".repeat(257) }],
    ["a stream that is neither", { stream: "yes" }],
    ["a bias beyond its range", { logit_bias: { 1: 101 } }],
    ["a task with too long a name", { task: "t".repeat(65) }],
    ["a provider that is a number", { provider: 7 }],
  ])("forbids what the gateway refuses: %s", async (_, change) => {
    const { address } = await startDescribed();
    const body = { ...good, ...change };
    expect(judgeOf(await documentOf(address)).named("ChatCompletionRequest", body)).not.toEqual([]);
    expect((await postChat(address, body, { headers: key })).status).toBe(400);
  });

  test("allows what the gateway passes through: members that it does not know", async () => {
    const { address, providers } = await startDescribed();
    const body = { ...good, min_p: 0.1, provider: { order: ["somebody"] } };
    expect(judgeOf(await documentOf(address)).named("ChatCompletionRequest", body)).toEqual([]);
    expect((await postChat(address, body, { headers: key })).status).toBe(200);
    expect(providers["openai-primary"].seen[0]?.json).toMatchObject({ min_p: 0.1, provider: { order: ["somebody"] } });
  });
});
