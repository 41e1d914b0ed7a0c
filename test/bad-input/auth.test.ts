import { describe, expect, test } from "vitest";
import { type Answer, httpRequest, talk } from "./http1.ts";
import { fieldBlock, flag, frame, openRawSession, pseudo, type } from "./http2-frames.ts";
import { callHttp2, envelope, outcomeOf } from "./rpc.ts";
import { goodBody, startTarget } from "./target.ts";

const key = "key-of-the-team";
const other = "key-of-another-team";
const adminKey = "key-of-an-operator-who-may-do-everything";
const callers = [
  { name: "team", key },
  { name: "another", key: other },
];
const json = "Content-Type: application/json";

/** Whoever comes with these fields is nobody, or may not do this: 401 unless said otherwise. */
const nobody: readonly [what: string, fields: readonly string[], status?: number | readonly number[]][] = [
  ["no header", []],
  ["an empty Authorization", ["Authorization: "]],
  ["Bearer alone", ["Authorization: Bearer"]],
  ["Bearer and a blank", ["Authorization: Bearer "]],
  ["a wrong key", ["Authorization: bearer x"]],
  ["a wrong X-API-Key", ["X-API-Key: x"]],
  ["an empty X-API-Key", ["X-API-Key: "]],
  ["a key without its scheme", [`Authorization: ${key}`]],
  ["Basic", [`Authorization: Basic ${Buffer.from(`team:${key}`).toString("base64")}`]],
  ["another scheme before the key", [`Authorization: Token ${key}`]],
  ["Bearer twice in one field", [`Authorization: Bearer Bearer ${key}`]],
  ["no blank after Bearer", [`Authorization: Bearer${key}`]],
  ["a tab after Bearer", [`Authorization: Bearer\t${key}`]],
  ["a blank of Latin-1 after Bearer", [`Authorization: Bearer\xa0${key}`]],
  ["a form feed after Bearer", [`Authorization: Bearer\x0c${key}`], 400],
  ["a quoted key", [`Authorization: Bearer "${key}"`]],
  ["a key and a comma", [`Authorization: Bearer ${key},`]],
  ["a key and more", [`Authorization: Bearer ${key} and more`]],
  ["a key in two lines", [`Authorization: Bearer ${key.slice(0, 5)}\r\n ${key.slice(5)}`], [400, 401]],
  ["a key in capitals", [`Authorization: Bearer ${key.toUpperCase()}`]],
  ["the beginning of a key", [`Authorization: Bearer ${key.slice(0, -1)}`]],
  ["more than a key", [`Authorization: Bearer ${key}s`]],
  ["two keys in Authorization", [`Authorization: Bearer ${key}`, `Authorization: Bearer ${other}`]],
  ["the same key twice", [`Authorization: Bearer ${key}`, `Authorization: Bearer ${key}`]],
  ["a wrong key and then a right one", ["Authorization: Bearer x", `Authorization: Bearer ${key}`]],
  ["a right key and then a wrong one", [`Authorization: Bearer ${key}`, "Authorization: Bearer x"]],
  ["two keys in one Authorization", [`Authorization: Bearer ${key}, Bearer ${other}`]],
  ["two keys in X-API-Key", [`X-API-Key: ${key}`, `X-API-Key: ${other}`]],
  ["two headers that disagree", [`Authorization: Bearer ${key}`, `X-API-Key: ${other}`]],
  ["a right key beside a wrong one", [`Authorization: Bearer ${key}`, "X-API-Key: x"]],
  ["a wrong key beside a right one", ["Authorization: Bearer x", `X-API-Key: ${key}`]],
  ["Basic beside a right key", ["Authorization: Basic eDp5", `X-API-Key: ${key}`]],
  ["NUL in a key", [`Authorization: Bearer ${key}\0`], 400],
  ["NUL in X-API-Key", [`X-API-Key: ${key}\0`], 400],
  ["a control character in a key", [`X-API-Key: \x01${key}`], [400, 401]],
  ["CRLF in a key", [`Authorization: Bearer x\r\nX-Injected: ${key}`]],
  ["a key in UTF-8", ["Authorization: Bearer clé-\xf0\x9f\x94\x91"]],
  ["a blank of Unicode around a key", [`X-API-Key: \xe2\x80\x83${key}\xe2\x80\x83`]],
  ["a blank of Latin-1 around a key", [`X-API-Key: \xa0${key}\xa0`]],
  ["a key of 8 KiB", [`Authorization: Bearer ${"k".repeat(8 << 10)}`]],
  ["a key of 64 KiB", [`Authorization: Bearer ${"k".repeat(64 << 10)}`], 431],
  ["an X-API-Key of 64 KiB", [`X-API-Key: ${"k".repeat(64 << 10)}`], 431],
  ["a key in a cookie", [`Cookie: api_key=${key}`]],
  ["a key in another header", [`Api-Key: ${key}`, `Proxy-Authorization: Bearer ${key}`]],
  ["SQL", ["Authorization: Bearer '/**/OR/**/1=1--"]],
  ["the name of a caller", ["Authorization: Bearer team"]],
  ["the name of a property", ["Authorization: Bearer __proto__"]],
  ["an operator's key", [`Authorization: Bearer ${adminKey}`], [401, 403]],
  ["an operator's key as X-API-Key", [`X-API-Key: ${adminKey}`], [401, 403]],
  ["an operator's key in its own header", [`X-Admin-Key: ${adminKey}`], [401, 403]],
];

const surfaces: Readonly<Record<string, (fields: readonly string[]) => string>> = {
  "/v1/chat/completions": (fields) => httpRequest("POST /v1/chat/completions", [json, ...fields], goodBody),
  "/v1/models": (fields) => httpRequest("GET /v1/models", fields),
  "a unary RPC": (fields) => httpRequest("POST /everhop.v1.ModelsService/ListModels", [json, ...fields], "{}"),
  "a chat by RPC": (fields) => httpRequest("POST /everhop.v1.ChatService/CompleteChat", [json, ...fields], "{}"),
};

describe.each(Object.entries(surfaces))("on %s", (name, requestWith) => {
  test.each(nobody)("%s lets nobody in", async (_, fields, statuses = 401) => {
    const target = await startTarget({ auth: { callers, admin_keys: [adminKey] } });
    const [said, missing] = await Promise.all(
      [fields, []].map(async (each) => (await talk(target.port, requestWith(each))).answers[0]),
    );
    expect([statuses].flat()).toContain(said?.status);
    if (said?.status === 401) {
      expect(bodyOf(said)).toEqual(bodyOf(missing));
      // Connect has no place for it.
      if (name.startsWith("/")) expect(said.headers["www-authenticate"]).toMatch(/^Bearer/);
    }
    expect(said?.body).not.toContain(key);
    expect(target.provider.seen.length).toBe(0);
    await target.survives();
  });
});

/** What is said, without what is different each time. */
function bodyOf(answer: Answer | undefined): unknown {
  const id = answer?.headers["x-request-id"] ?? "";
  const text = (answer?.body ?? "").replaceAll(id, "ID").replace(/"timestamp":"[^"]*"/, '"timestamp":""');
  const body = JSON.parse(text) as { details?: { value?: string; debug?: unknown }[] };
  // The id stands inside of a Connect detail, too, where its length is always the same.
  for (const detail of body.details ?? []) if (detail.value) detail.value = String(detail.value.length);
  return body;
}

test.each([
  ["two headers that agree", [`Authorization: Bearer ${key}`, `X-API-Key: ${key}`]],
  ["bearer in small letters", [`authorization: bearer ${key}`]],
  ["BEARER in capitals", [`AUTHORIZATION: BEARER ${key}`]],
  ["two blanks after Bearer", [`Authorization: Bearer  ${key}`]],
  ["blanks around the value", [`Authorization:   Bearer ${key}  \t`]],
  ["an empty X-API-Key beside the key", [`Authorization: Bearer ${key}`, "X-API-Key: "]],
])("what only looks odd lets the caller in: %s", async (_, fields) => {
  const target = await startTarget({ auth: { callers } });
  for (const requestWith of [surfaces["/v1/models"], surfaces["a unary RPC"]]) {
    const { answers } = await talk(target.port, requestWith?.(fields) ?? "");
    expect(answers.map(({ status }) => status)).toEqual([200]);
  }
});

test("two Authorization fields let nobody in over HTTP/2", async () => {
  const target = await startTarget({ auth: { callers } });
  const session = openRawSession(target.port);
  const block = fieldBlock([
    ...pseudo("GET", "/v1/models"),
    ["authorization", `Bearer ${key}`],
    ["authorization", `Bearer ${other}`],
  ]);
  await session.send(frame(type.headers, flag.endHeaders | flag.endStream, 1, block));
  expect(await session.ended(1)).toEqual({ status: 401, reset: undefined });
  session.leave();
  await target.survives();
});

describe.each(["application/grpc", "application/grpc-web+proto", "application/connect+proto"])("%s", (contentType) => {
  const wrong: readonly [what: string, fields: Readonly<Record<string, string>>][] = [
    ["no key", {}],
    ["Bearer alone", { authorization: "Bearer" }],
    ["a wrong key", { authorization: "Bearer x" }],
    ["two that disagree", { authorization: `Bearer ${key}`, "x-api-key": other }],
    ["a blank of Latin-1 after Bearer", { authorization: `Bearer\xa0${key}` }],
  ];
  test.each(wrong)("lets nobody in with %s", async (_, fields) => {
    const target = await startTarget({ auth: { callers, admin_keys: [adminKey] } });
    const answer = await callHttp2(
      target.address,
      "/everhop.v1.ChatService/StreamChat",
      { "content-type": contentType, ...fields },
      [envelope(0, "")],
    );
    expect(outcomeOf(answer)).toMatchObject({
      code: "unauthenticated",
      reason: "UNAUTHORIZED",
      message: outcomeOf(answer).message,
    });
    await target.survives();
  });

  test("lets an operator do nothing with models", async () => {
    const target = await startTarget({ auth: { callers, admin_keys: [adminKey] } });
    const fields = { "content-type": contentType, authorization: `Bearer ${adminKey}` };
    const answer = await callHttp2(target.address, "/everhop.v1.ChatService/StreamChat", fields, [envelope(0, "")]);
    expect(outcomeOf(answer).code).toBe("permission_denied");
    await target.survives();
  });
});

test("a caller may not do what is an operator's", async () => {
  const target = await startTarget({ auth: { callers, admin_keys: [adminKey] } });
  const path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
  for (const [fields, code] of [
    [{}, "unauthenticated"],
    [{ authorization: "Bearer x" }, "unauthenticated"],
    [{ authorization: `Bearer ${key}` }, "permission_denied"],
    [{ "x-api-key": key }, "permission_denied"],
  ] as const) {
    const answer = await callHttp2(
      target.address,
      path,
      { "content-type": "application/grpc", te: "trailers", ...fields },
      [],
    );
    expect(outcomeOf(answer).code, JSON.stringify(fields)).toBe(code);
  }
  await target.survives();
});
