import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { UpstreamFault, UpstreamWords } from "../../src/chat/fault.ts";
import { errorObject, readErrorBody } from "../../src/providers/openai/error-body.ts";
import { dialects } from "../../src/providers/openai/fault-kind.ts";
import { faultOf, faultOfError } from "../../src/providers/openai/faults.ts";

/** A refusal of one dialect, and what it must be taken for. */
interface Fixture extends UpstreamWords {
  readonly dialect: string;
  /** What it is, and what makes it easy to get wrong. */
  readonly title: string;
  /** Missing for an error inside of a stream or a 200. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: unknown;
  readonly kind: UpstreamFault["kind"];
}

const folder = join(import.meta.dirname, "../fixtures");
const fixtures = readdirSync(folder).flatMap((dialect) =>
  readdirSync(join(folder, dialect)).map((file) => {
    const fixture = JSON.parse(readFileSync(join(folder, dialect, file), "utf8")) as Omit<Fixture, "dialect">;
    return { ...fixture, dialect };
  }),
);

function faultFor({ status, headers = {}, body }: Pick<Fixture, "status" | "headers" | "body">): UpstreamFault {
  if (status === undefined) return faultOfError(body as Record<string, unknown>);
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return faultOf({ status, headers, body: Buffer.from(text) });
}

const fault = (status: number, body: unknown, headers: Record<string, string> = {}) =>
  faultFor({ status, headers, body });
const error = (fields: object) => ({ error: fields });

describe.each(dialects.map(({ dialect }) => dialect))("%s: a refusal is taken for", (dialect) => {
  test.each(fixtures.filter((fixture) => fixture.dialect === dialect))("$kind: $title", (fixture) => {
    const { dialect: _, title: __, headers: ___, body: ____, ...expected } = fixture;
    const told = faultFor(fixture);
    expect(told).toMatchObject(expected);
    expect(told.retryAfterMs).toBe(expected.retryAfterMs);
    expect(told.shouldRetry).toBe(expected.shouldRetry);
  });
});

describe("the rules", () => {
  test("have at least five refusals of every dialect to answer for, and none of a dialect that they do not know", () => {
    const counts = dialects.map(({ dialect }) => fixtures.filter((fixture) => fixture.dialect === dialect).length);
    expect(Math.min(...counts)).toBeGreaterThanOrEqual(5);
    expect(counts.reduce((sum, count) => sum + count)).toBe(fixtures.length);
  });

  test("give a word one meaning, whoever says it", () => {
    const words = dialects.flatMap(({ words: lists = {} }) => Object.values(lists).flat());
    expect(words).toEqual([...new Set(words)]);
    expect(words).toEqual(words.map((word) => word.toLowerCase()));
  });

  test("have a refusal of their own dialect for every message that they know", () => {
    const unused = dialects.flatMap(({ dialect, messages = [] }) =>
      messages
        .filter(({ says, kind }) =>
          fixtures.every((fixture) => {
            const body = readErrorBody(errorObject(fixture.body) ?? {});
            return fixture.dialect !== dialect || fixture.kind !== kind || !says.test(body.message ?? "");
          }),
        )
        .map(({ says }) => `${dialect} ${says}`),
    );
    expect(unused).toEqual([]);
  });
});

describe("an answer that is no success is", () => {
  test.each<[string, number, unknown, UpstreamFault["kind"]]>([
    ["a limit: any 429", 429, error({ message: "slow down" }), "rate_limited"],
    ["a bad key: any 401", 401, error({ message: "who are you?" }), "key_refused"],
    ["a key that may not: 403 as JSON", 403, error({ message: "not allowed" }), "key_refused"],
    ["a firewall in between: 403 as a page", 403, "<html>blocked</html>", "server_error"],
    ["a spent balance: any 402", 402, "", "quota_exhausted"],
    ["a wrong path: 404 as a page", 404, "<html>nginx</html>", "misconfigured"],
    [
      "a wrong path: a 404 whose message speaks of a model but not as an API's own",
      404,
      { message: "no model" },
      "misconfigured",
    ],
    ["a bad request: 413, 415", 415, error({ message: "no" }), "refused_request"],
    [
      "an account that is banned, which is no moderation",
      403,
      error({ message: "Your account has been flagged" }),
      "key_refused",
    ],
    [
      "an unknown model, whatever it is called",
      404,
      error({ message: "The model `insufficient balance` does not exist", code: "model_not_found" }),
      "model_unavailable",
    ],
    [
      "a bad request that quotes a context length",
      400,
      error({ message: "Unknown value 'exceeds the context length' for stop" }),
      "refused_request",
    ],
    ["a page where JSON was due: 400", 400, "<html>400</html>", "malformed"],
    ["nothing that is the caller's: 409, 425", 409, error({ message: "conflict" }), "malformed"],
    ["overload: any 503", 503, error({ message: "later" }), "overloaded"],
    ["overload: 529", 529, "", "overloaded"],
    ["overload by its type, though it is a 500", 500, error({ type: "overloaded_error" }), "overloaded"],
    ["the provider's own failure: 408", 408, "", "server_error"],
    [
      "the provider's own failure, though its words would mean a bad key",
      500,
      error({ message: "Invalid API key" }),
      "server_error",
    ],
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

  test.each([
    [{ "x-should-retry": "true" }, true],
    [{ "x-should-retry": "False" }, false],
    [{ "x-should-retry": "perhaps" }, undefined],
    [{}, undefined],
  ])("told with what it says of trying again: %o is %s", (headers, shouldRetry) => {
    expect(fault(500, "", headers as Record<string, string>).shouldRetry).toBe(shouldRetry);
  });

  test("never anything that throws, whatever the body is", () => {
    const body = fc.oneof(
      fc.jsonValue(),
      fc.string(),
      fc.record({ error: fc.jsonValue(), detail: fc.jsonValue() }, { requiredKeys: [] }),
      fc.record({ error: fc.record({ message: fc.jsonValue(), code: fc.jsonValue(), metadata: fc.jsonValue() }) }),
    );
    fc.assert(
      fc.property(fc.integer({ min: 300, max: 599 }), body, (status, value) => {
        const told = fault(status, value);
        expect(told.kind).toMatch(/^[a-z_]+$/);
        expect(told.message ?? "").not.toMatch(/[\u0000-\u001f\u007f]/);
        expect((told.message ?? "").length).toBeLessThan(2000);
      }),
    );
  });
});

describe("an error inside a 200 is classified as if its own code had been the status", () => {
  test.each<[object, UpstreamFault["kind"]]>([
    [error({ code: 429 }), "rate_limited"],
    [error({ code: "503", message: "busy" }), "overloaded"],
    [error({ status: 402 }), "quota_exhausted"],
    [error({ type: "rate_limit_error" }), "rate_limited"],
    [error({ type: "invalid_request_error" }), "refused_request"],
    [error({ type: "permission_error" }), "key_refused"],
    [error({ type: "server_error" }), "server_error"],
    [error({ message: "This model's maximum context length is 96 tokens." }), "context_length_exceeded"],
    [{ error: "something broke" }, "server_error"],
  ])("%o", (json, kind) => {
    expect(faultOfError(json as Record<string, unknown>).kind).toBe(kind);
  });
});

describe("how long to wait, as a body says it", () => {
  const wait = (message: string, status = 429) => fault(status, error({ message })).retryAfterMs;

  test.each([
    ["Please try again in 20ms.", 20],
    ["Please try again in 1.2s.", 1200],
    ["Please try again in 6m0s.", 360_000],
    ["Please try again in 1h2m3.5s. Thanks.", 3_723_500],
    ["Please retry after 6 seconds.", 6000],
    ["Try again in 1 minute", 60_000],
    ["retry in 0.5 seconds", 500],
    ["Please try again in 900 hours.", undefined],
    ["Please try again in a moment.", undefined],
    ["Please try again in 5", undefined],
  ])("%s", (message, ms) => {
    expect(wait(message)).toBe(ms);
  });

  test("counts only where waiting helps", () => {
    expect(wait("Please try again in 2s.", 503)).toBe(2000);
    expect(wait("Please try again in 2s.", 400)).toBeUndefined();
    expect(wait("Please try again in 2s.", 500)).toBeUndefined();
  });

  test("gives way to a header", () => {
    expect(fault(429, error({ message: "Please try again in 9s." }), { "retry-after": "1" }).retryAfterMs).toBe(1000);
  });
});
