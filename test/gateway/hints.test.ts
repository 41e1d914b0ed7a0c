import { describe, expect, test } from "vitest";
import type { Fault } from "../../src/chat/fault.ts";
import { hintOf } from "../../src/gateway/hints.ts";
import { dialects } from "../../src/providers/openai/fault-kind.ts";
import { faultOf } from "../../src/providers/openai/faults.ts";

/** What an operator is told of a provider's answer. */
function told(status: number, body: unknown): string {
  const fault = faultOf({ status, headers: {}, body: Buffer.from(JSON.stringify(body)) });
  return `${fault.kind}: ${hintOf(fault)}`;
}

const openai = (error: object) => ({ error: { param: null, ...error } });

describe("what to do about a provider's refusal is told by its code and its words", () => {
  test.each<[string, number, unknown, RegExp]>([
    [
      "OpenAI, a wrong key",
      401,
      openai({ code: "invalid_api_key", type: "invalid_request_error", message: "Incorrect API key provided: sk-no." }),
      /^key_refused: check that the key is valid.*providers\[\]\.keys/,
    ],
    [
      "OpenAI, no quota",
      429,
      openai({ code: "insufficient_quota", type: "insufficient_quota", message: "You exceeded your current quota." }),
      /^quota_exhausted: no quota left: check plan, budget and balance/,
    ],
    [
      "OpenAI, tokens a minute",
      429,
      openai({
        code: "rate_limit_exceeded",
        type: "tokens",
        message:
          "Rate limit reached for gpt-4o in organization org-1 on tokens per min (TPM): Limit 30000, Used 29000.",
      }),
      /^rate_limited: out of tokens a minute/,
    ],
    [
      "OpenAI, requests a minute",
      429,
      openai({
        code: "rate_limit_exceeded",
        type: "requests",
        message: "Rate limit reached for gpt-4o in organization org-1 on requests per min (RPM): Limit 3, Used 3.",
      }),
      /^rate_limited: out of requests a minute: set max_rps/,
    ],
    [
      "OpenAI, requests a day",
      429,
      openai({
        code: "rate_limit_exceeded",
        type: "requests",
        message: "Rate limit reached for gpt-4o in organization org-1 on requests per day (RPD): Limit 200, Used 200.",
      }),
      /^rate_limited: the rate limit of a whole day/,
    ],
    [
      "OpenAI, one request beyond a minute's tokens",
      429,
      openai({
        code: "rate_limit_exceeded",
        type: "tokens",
        message:
          "Request too large for gpt-4o in organization org-1 on tokens per min (TPM): Limit 30000, Requested 40000.",
      }),
      /^rate_limited: this one request is beyond the key's tokens a minute/,
    ],
    [
      "OpenAI, billing",
      429,
      openai({ code: "billing_not_active", type: "billing_not_active", message: "Your account is not active." }),
      /^quota_exhausted: billing is not active/,
    ],
    [
      "OpenAI, an account that is closed",
      401,
      openai({ code: "account_deactivated", type: "invalid_request_error", message: "The account was deactivated." }),
      /^key_refused: the provider has closed or restricted the key's account/,
    ],
    [
      "OpenAI, no such model",
      404,
      openai({ code: "model_not_found", type: "invalid_request_error", message: "The model `gpt-9` does not exist." }),
      /^model_unavailable: no such model for this key: check models\[\]\.targets\[\]\.model/,
    ],
    [
      "OpenAI, a country",
      403,
      openai({
        code: "unsupported_country_region_territory",
        type: "request_forbidden",
        message: "Country, region, or territory not supported",
      }),
      /^key_refused: the provider does not serve this country/,
    ],
    [
      "Anthropic, overloaded",
      529,
      { type: "error", error: { type: "overloaded_error", message: "Overloaded" } },
      /^overloaded: the provider says that it is overloaded/,
    ],
    [
      "Anthropic, no permission",
      403,
      { type: "error", error: { type: "permission_error", message: "Your API key does not have permission." } },
      /^key_refused: the key is known but may not use this/,
    ],
    [
      "Azure, no such deployment",
      404,
      openai({ code: "DeploymentNotFound", message: "The API deployment for this resource does not exist." }),
      /^model_unavailable: no such deployment: targets\[\]\.model is the deployment's name/,
    ],
    [
      "Azure, a key of another resource",
      401,
      openai({ code: "401", message: "Access denied due to invalid subscription key or wrong API endpoint." }),
      /^key_refused: key and base_url must be of the same resource/,
    ],
    [
      "Gemini, a key that was found",
      403,
      [{ error: { code: 403, message: "Your API key was reported as leaked.", status: "PERMISSION_DENIED" } }],
      /^key_refused: the provider found the key in public/,
    ],
    [
      "Gemini, an API that is off",
      403,
      [
        {
          error: {
            code: 403,
            message: "Generative Language API has not been used in project 1 before or it is disabled.",
            status: "PERMISSION_DENIED",
          },
        },
      ],
      /^key_refused: the API is off in the key's project/,
    ],
    [
      "Gemini, the quota of a project",
      429,
      [{ error: { code: 429, message: "Resource has been exhausted.", status: "RESOURCE_EXHAUSTED" } }],
      /^rate_limited: the project's quota or rate is spent/,
    ],
    [
      "Groq, a model that is gone",
      400,
      openai({ code: "model_decommissioned", type: "invalid_request_error", message: "It has been decommissioned." }),
      /^model_unavailable: the provider has retired this model/,
    ],
    [
      "DeepSeek, no balance",
      402,
      openai({ code: "invalid_request_error", type: "unknown_error", message: "Insufficient Balance" }),
      /^quota_exhausted: no balance or quota left/,
    ],
    [
      "OpenRouter, a call that is too dear",
      402,
      { error: { code: 402, message: "This request requires more credits, or fewer max_tokens. You requested 9." } },
      /^rate_limited: this call may cost more than is left/,
    ],
    [
      "OpenRouter, nobody behind it",
      404,
      { error: { code: 404, message: "No endpoints found matching your data policy." } },
      /^model_unavailable: nobody behind the router serves the model/,
    ],
    [
      "llama.cpp, a prompt that is too long",
      400,
      openai({
        code: 400,
        type: "exceed_context_size_error",
        message: "the request exceeds the available context size",
      }),
      /^context_length_exceeded: start llama-server with a larger --ctx-size/,
    ],
    [
      "llama.cpp, that is still loading",
      503,
      openai({ code: 503, type: "unavailable_error", message: "Loading model" }),
      /^overloaded: the server is loading its model/,
    ],
    [
      "vLLM, a model by another name",
      404,
      openai({ code: 404, type: "NotFoundError", message: "The model `m` does not exist." }),
      /^model_unavailable: no such model for this key/,
    ],
    [
      "SGLang, whose queue is full",
      503,
      { object: "error", message: "The request queue is full.", type: "InternalServerError", code: 503 },
      /^overloaded: the server's queue is full: set max_concurrent/,
    ],
    [
      "LiteLLM, a budget",
      400,
      openai({ code: "400", type: "budget_exceeded", message: "Budget has been exceeded!" }),
      /^quota_exhausted: the budget of the proxy's key, team or user is spent/,
    ],
    [
      "LiteLLM, a key of its own",
      401,
      openai({ code: "401", type: "auth_error", message: "litellm.AuthenticationError: OpenAIException - bad key" }),
      /^server_error: a key of the proxy's own is bad/,
    ],
    ["xAI, a wrong key", 400, { code: "unauthenticated:bad-credentials", error: "no" }, /^key_refused: check that/],
    ["a proxy that has given up", 524, { error: "a timeout occurred" }, /^server_error: failed waiting: a proxy/],
    ["a code that nobody knows", 429, openai({ code: "enhance_your_calm", message: "no" }), /^rate_limited: add keys/],
  ])("%s", (_, status, body, hint) => {
    expect(told(status, body)).toMatch(hint);
  });

  test("in a line that fits into a trail, for every code that is known", () => {
    const codes = dialects.flatMap(({ words = {} }) =>
      Object.entries(words).flatMap(([kind, list]) => list.map((providerCode) => ({ kind, providerCode }) as Fault)),
    );
    expect(codes.length).toBeGreaterThan(60);
    for (const fault of codes) {
      const hint = hintOf(fault);
      // What is the caller's own to mend has none.
      if (!["refused_request", "content_filtered"].includes(fault.kind))
        expect([fault, hint]).toEqual([fault, expect.any(String)]);
      expect((hint ?? "").length).toBeLessThanOrEqual(120);
    }
  });

  test("never in the provider's own words", () => {
    const words = {
      message: "sk-test-canary-word: tokens per min expired suspended",
      providerCode: "sk-test-canary-word",
    };
    for (const kind of ["rate_limited", "quota_exhausted", "key_refused", "model_unavailable", "overloaded"] as const) {
      expect(hintOf({ kind, ...words })).not.toContain("canary");
    }
  });

  test("by the time limit that was passed", () => {
    expect(hintOf({ kind: "timed_out", phase: "first_content" })).toContain("timeouts.first_token");
    expect(hintOf({ kind: "timed_out", phase: "idle" })).toContain("timeouts.idle");
    expect(hintOf({ kind: "timed_out", phase: "total" })).toContain("timeouts.total");
    expect(hintOf({ kind: "unreachable", cause: "connect_timeout" })).toContain("timeouts.connect");
    expect(hintOf({ kind: "invalid_request", violations: [] })).toBeUndefined();
  });
});
