import { describe, expect, test } from "vitest";
import type { UpstreamFault } from "../../src/chat/fault.ts";
import { faultOf, faultOfError } from "../../src/providers/openai/faults.ts";
import { retryAfterMs } from "../../src/providers/retry-after.ts";

function fault(status: number, body: unknown, headers: Record<string, string> = {}): UpstreamFault {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return faultOf({ status, headers, body: Buffer.from(text) });
}

const error = (fields: object) => ({ error: fields });

describe("an answer that is no success is", () => {
  test.each<[string, number, unknown, UpstreamFault["kind"]]>([
    ["a limit: any 429", 429, error({ message: "slow down", code: "rate_limit_exceeded" }), "rate_limited"],
    [
      "a spent quota, though it is a 429",
      429,
      error({ message: "pay", code: "insufficient_quota" }),
      "quota_exhausted",
    ],
    ["a spent balance: 402", 402, error({ message: "Insufficient Balance" }), "quota_exhausted"],
    ["a bad key: 401", 401, error({ message: "Incorrect key", code: "invalid_api_key" }), "key_refused"],
    ["a bad key told in one bare word", 401, { error: "Unauthorized" }, "key_refused"],
    [
      "a bad key, though a gateway behind says 400",
      400,
      error({ type: "no_db_connection", code: "400" }),
      "key_refused",
    ],
    ["a key that may not: 403 as JSON", 403, error({ message: "not allowed" }), "key_refused"],
    ["a firewall in between: 403 as a page", 403, "<html>blocked</html>", "server_error"],
    ["an unknown model by its code", 404, error({ message: "no such", code: "model_not_found" }), "model_unavailable"],
    [
      "an unknown model by its words",
      404,
      error({ message: "The model `x` does not exist.", type: "NotFoundError", code: 404 }),
      "model_unavailable",
    ],
    [
      "a wrong path: a 404 that says nothing of a model",
      404,
      error({ message: "File Not Found", type: "not_found_error", code: 404 }),
      "misconfigured",
    ],
    ["a wrong path: a bare detail", 404, { detail: "Not Found" }, "misconfigured"],
    ["a wrong path: a page", 404, "<html>nginx</html>", "misconfigured"],
    ["a wrong method", 405, { detail: "Method Not Allowed" }, "misconfigured"],
    ["too long a prompt by its code", 400, error({ code: "context_length_exceeded" }), "context_length_exceeded"],
    [
      "too long a prompt by its type",
      400,
      error({ code: 400, type: "exceed_context_size_error", n_ctx: 1024 }),
      "context_length_exceeded",
    ],
    [
      "too long a prompt by its words",
      400,
      error({ message: "This model's maximum context length is 1024 tokens.", type: "BadRequestError", code: 400 }),
      "context_length_exceeded",
    ],
    ["content that the provider withholds", 400, error({ code: "content_filter" }), "content_filtered"],
    ["a bad request: 400", 400, error({ message: "no", param: "temperature" }), "refused_request"],
    [
      "a bad request: 422 with a list of details",
      422,
      { detail: [{ loc: ["body"], msg: "Field required", type: "missing" }] },
      "refused_request",
    ],
    [
      "a bad key, though Gemini says 400",
      400,
      [error({ code: 400, status: "INVALID_ARGUMENT", message: "API key not valid." })],
      "key_refused",
    ],
    [
      "a bad key, though xAI says 400",
      400,
      { code: "Client specified an invalid argument", error: "Incorrect API key provided" },
      "key_refused",
    ],
    [
      "a spent balance in words",
      400,
      error({ type: "invalid_request_error", message: "Your credit balance is too low" }),
      "quota_exhausted",
    ],
    [
      "moderation, though it is a 403",
      403,
      error({ code: 403, message: "Your input was flagged" }),
      "content_filtered",
    ],
    ["a model that is not for this key: 403", 403, error({ code: "model_not_available" }), "model_unavailable"],
    [
      "a bad request that quotes what the caller wrote",
      400,
      error({ message: "Invalid value: 'invalid api key'" }),
      "refused_request",
    ],
    [
      "an unknown model, whatever it is called",
      404,
      error({ message: "The model `insufficient balance` does not exist", code: "model_not_found" }),
      "model_unavailable",
    ],
    [
      "an account that is banned, which is no moderation",
      403,
      error({ message: "Your account has been flagged" }),
      "key_refused",
    ],
    ["a page where JSON was due: 400", 400, "<html>400</html>", "malformed"],
    ["nothing that is the caller's: 409, 425", 409, error({ message: "conflict" }), "malformed"],
    ["overload: 503", 503, error({ message: "Loading model" }), "overloaded"],
    ["overload: 529", 529, "", "overloaded"],
    ["overload by its type", 500, error({ type: "overloaded_error" }), "overloaded"],
    ["the provider's own failure: 500 in plain text", 500, "Internal Server Error", "server_error"],
    ["the provider's own failure: 408", 408, "", "server_error"],
    ["nothing that the API has: a redirect", 302, "", "malformed"],
  ])("%s", (_, status, body, kind) => {
    expect(fault(status, body).kind).toBe(kind);
  });

  test("told with the provider's own words, status and code, but without addresses and keys", () => {
    const told = fault(
      400,
      error({
        message: "Bad key sk-test-canary-12345678 at https://internal.example/v1?key=1\nsee docs",
        code: "odd",
        param: "messages[0]",
      }),
    );
    expect(told).toMatchObject({ status: 400, providerCode: "odd", param: "messages[0]" });
    expect(told.message).toBe("Bad key [key] at [address] see docs");
  });

  test("told with words that only look like addresses left alone", () => {
    const words = "max_tokens:4096 is too many at line 1:29; see api.internal:8080 or localhost:80";
    expect(fault(400, error({ message: words })).message).toBe(
      "max_tokens:4096 is too many at line 1:29; see [address] or [address]",
    );
  });

  test("told with its type where the code only repeats the status", () => {
    expect(fault(400, error({ code: 400, type: "BadRequestError" })).providerCode).toBe("BadRequestError");
    expect(fault(400, error({ code: "400", type: "BadRequestError" })).providerCode).toBe("BadRequestError");
  });

  test("told with the wait that it asks for", () => {
    expect(fault(429, "", { "retry-after": "20" })).toMatchObject({ retryAfterMs: 20_000 });
  });
});

describe("an error inside a 200 is classified as if its own code had been the status", () => {
  test.each<[object, UpstreamFault["kind"]]>([
    [error({ code: 429 }), "rate_limited"],
    [error({ code: "503", message: "busy" }), "overloaded"],
    [error({ type: "rate_limit_error" }), "rate_limited"],
    [error({ type: "invalid_request_error" }), "refused_request"],
    [error({ type: "server_error" }), "server_error"],
    [{ error: "something broke" }, "server_error"],
  ])("%o", (json, kind) => {
    expect(faultOfError(json as Record<string, unknown>).kind).toBe(kind);
  });
});

describe("how long to wait", () => {
  test.each<[Record<string, string>, number | undefined]>([
    [{ "retry-after": "2" }, 2000],
    [{ "retry-after": "1.5" }, 1500],
    [{ "retry-after-ms": "300", "retry-after": "9" }, 300],
    [{ "retry-after": "-1" }, undefined],
    [{ "retry-after": "1e9" }, undefined],
    [{ "retry-after": "1000000000" }, undefined],
    [{ "retry-after": "soon" }, undefined],
    [{ "retry-after": "" }, undefined],
    [{ "retry-after": "Sun, 01 Nov 2026 08:00:30 GMT", date: "Sun, 01 Nov 2026 08:00:00 GMT" }, 30_000],
    [{ "retry-after": "Sun, 01 Nov 2026 08:00:30 GMT" }, undefined],
    [{}, undefined],
  ])("%o means %s ms", (headers, ms) => {
    expect(retryAfterMs(headers)).toBe(ms);
  });
});
