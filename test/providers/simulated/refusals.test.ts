import { describe, expect, test } from "vitest";
import { json, saying, send, started } from "./client.ts";

describe("a request that is none", () => {
  test.for([
    ["", null],
    ["{", null],
    ["null", null],
    ["[]", null],
    ['"x"', null],
    ["{}", "model"],
    [{ model: "", messages: [] }, "model"],
    [{ model: 5, messages: [] }, "model"],
    [{ model: "m" }, "messages"],
    [{ model: "m", messages: [] }, "messages"],
    [{ model: "m", messages: {} }, "messages"],
    [{ model: "m", messages: [null] }, "messages[0]"],
    [{ model: "m", messages: [{ role: "user" }, { role: "wizard" }] }, "messages[1].role"],
    [saying("hi", { stream: "true" }), "stream"],
    [saying("hi", { n: 0 }), "n"],
    [saying("hi", { n: 1e9 }), "n"],
    [saying("hi", { temperature: 2.1 }), "temperature"],
    [saying("hi", { temperature: "1" }), "temperature"],
    [saying("hi", { top_p: -1 }), "top_p"],
    [saying("hi", { max_tokens: 0 }), "max_tokens"],
    [saying("hi", { max_completion_tokens: 1.5 }), "max_completion_tokens"],
    [saying("hi", { stop: [1] }), "stop"],
    [saying("hi", { top_logprobs: 2 }), "top_logprobs"],
    [saying("hi", { logprobs: true, top_logprobs: 21 }), "top_logprobs"],
    [saying("hi", { reasoning_effort: 3 }), "reasoning_effort"],
    [saying("hi", { response_format: { type: "xml" } }), "response_format"],
    [saying("hi", { tools: [], tool_choice: { type: "function", function: { name: "f" } } }), "tool_choice"],
  ] as const)("%j is a 400", async ([body, param]) => {
    const received = await send(await started(), body);
    expect(received.status).toBe(400);
    expect(json(received)["error"]).toMatchObject({
      type: "invalid_request_error",
      param,
      message: expect.any(String),
    });
  });

  test("is one when what is optional is null", async () => {
    const nothing = { stream: null, n: null, stop: null, max_tokens: null, temperature: null, response_format: null };
    expect((await send(await started(), saying("hi", nothing))).status).toBe(200);
  });

  test("is one however deep it nests", async () => {
    const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
    const body = JSON.stringify(saying("hi")).replace("}", `,"deep":${deep}}`);
    expect((await send(await started(), body)).status).toBe(200);
  });

  test("is a 413 beyond 64 MiB", { timeout: 20_000 }, async () => {
    const received = await send(await started(), "x".repeat(2 ** 26 + 1));
    // The connection is closed while the body may still be under way; a reset may overtake the answer.
    expect(received.status === 413 || received.end === "reset").toBe(true);
  });
});

describe("a key", () => {
  const status = async (headers: Record<string, string>, path?: string) => {
    const provider = await started({ keys: ["good", "better"] });
    const received = await send(provider, saying("hi"), path ? { method: "GET", path, headers } : { headers });
    if (received.status === 401) expect(json(received)["error"]).toMatchObject({ code: "invalid_api_key" });
    expect(received.body.toString()).not.toContain("secret");
    return received.status;
  };

  test("is asked for, also to see the models", async () => {
    expect(await status({})).toBe(401);
    expect(await status({}, "/v1/models")).toBe(401);
    expect(await status({ authorization: "Bearer secret" })).toBe(401);
    expect(await status({ authorization: "Basic good" })).toBe(401);
    expect(await status({ authorization: "Bearer better" })).toBe(200);
    expect(await status({ authorization: "bearer good" }, "/v1/models")).toBe(200);
  });

  test("comes before any fault", async () => {
    const provider = await started({ keys: ["good"], schedule: [{ kind: "html" }] });
    expect((await send(provider, saying("hi"))).status).toBe(401);
  });
});

describe("models", () => {
  const get = async (path: string, models = ["org/small", "large"]) =>
    send(await started({ name: "alpha", models }), undefined, { method: "GET", path });

  test("are listed", async () => {
    const answer = json(await get("/v1/models?limit=5"));
    expect(answer).toMatchObject({
      object: "list",
      data: [{ id: "org/small", object: "model", owned_by: "alpha" }, { id: "large" }],
    });
  });

  test("are shown one by one", async () => {
    for (const path of ["/v1/models/org/small", "/v1/models/org%2Fsmall"])
      expect(json(await get(path))).toMatchObject({ id: "org/small" });
    expect(json(await get("/v1/models/%zz", []))).toMatchObject({ id: "%zz" });
  });

  test("are a 404 when unknown", async () => {
    for (const path of ["/v1/models/none", "/v1/models/%00"]) {
      const received = await get(path);
      expect(received.status).toBe(404);
      expect(json(received)["error"]).toMatchObject({ code: "model_not_found" });
    }
    const received = await send(await started({ models: ["m"] }), saying("hi", { model: "other" }));
    expect(received.status).toBe(404);
    expect(json(received)["error"]).toMatchObject({ code: "model_not_found" });
  });

  test("have a fault of their own", async () => {
    const provider = await started({ modelsFault: { kind: "status", status: 503 } });
    expect((await send(provider, undefined, { method: "GET", path: "/v1/models" })).status).toBe(503);
    expect((await send(provider, saying("hi"))).status).toBe(200);
    provider.behave({ modelsFault: undefined });
    expect((await send(provider, undefined, { method: "GET", path: "/v1/models" })).status).toBe(200);
  });
});

test.for([
  ["GET", "/v1/chat/completions", 405],
  ["POST", "/v1/models", 405],
  ["POST", "/v1/unknown", 404],
  ["GET", "/", 404],
  ["POST", "//v1/chat/completions", 404],
] as const)("%s %s is a %i in JSON", async ([method, path, status]) => {
  const received = await send(await started(), saying("hi"), { method, path });
  expect(received.status).toBe(status);
  expect(json(received)["error"]).toMatchObject({ type: "invalid_request_error" });
});
