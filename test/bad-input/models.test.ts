import { expect, test } from "vitest";
import { httpRequest, talk } from "./http1.ts";
import { startTarget } from "./target.ts";

/** What stands after `GET /v1/models`. */
const rows: readonly (readonly [what: string, rest: string, status: number | readonly number[]])[] = [
  ["one that there is", "/think", 200],
  ["its provider's, with a colon", "/only:only-model", 200],
  ["its provider's, with an escaped colon", "/only%3Aonly-model", 200],
  ["none", "/", 404],
  ["blanks", "/%20", 404],
  ["with a slash", "/a/b", 404],
  ["with many slashes", "/a//b///c", 404],
  ["with an escaped slash", "/a%2Fb", 404],
  ["with a colon", "/a:b", 404],
  ["with colons", "/only:only-model:x", 404],
  ["a provider alone", "/only:", 404],
  ["with NUL", "/%00", [400, 404]],
  ["with NUL behind one that there is", "/think%00", [400, 404]],
  ["with line ends", "/think%0D%0Ax-injected:%201", 404],
  ["with a line end alone", "/%0A", 404],
  ["half an escape", "/%2", [400, 404]],
  ["no UTF-8", "/%C3%28", [400, 404]],
  ["an emoji", "/%F0%9F%98%80", 404],
  ["twice escaped", "/think%2525", 404],
  ["..", "/..", 404],
  ["../ and a route", "/../health", 404],
  ["escaped ../", "/%2e%2e%2fhealth", 404],
  ["a name of properties", "/__proto__", 404],
  ["another name of properties", "/constructor", 404],
  ["SQL", "/'%20OR%201=1--", 404],
  ["10 kB", `/${"x".repeat(10_000)}`, 404],
  ["10 kB of slashes", "/".repeat(10_000), 404],
  ["10 kB of escapes", `/${"%41".repeat(3000)}`, 404],
  ["in capitals", "/THINK", 404],
  ["with a blank behind it", "/think%20", 404],
  ["with a slash behind it", "/think/", 404],
  ["a limit below nothing", "?limit=-1", 200],
  ["a limit that is no number", "?limit=x", 200],
  ["a query of nonsense", "?%&&&=%zz#", [200, 400]],
  ["a query on one", "/think?limit=-1", 200],
];

test.each(rows)("/v1/models: %s", async (_, rest, status) => {
  const target = await startTarget();
  const { answers } = await talk(target.port, httpRequest(`GET /v1/models${rest}`));
  expect([status].flat()).toContain(answers[0]?.status);
  expect(answers[0]?.headers).not.toHaveProperty("x-injected");
  const body = JSON.parse(answers[0]?.body ?? "");
  if (answers[0]?.status === 404)
    expect(body).toMatchObject({ error: { code: "not_found", type: "invalid_request_error" } });
  await target.survives();
});

test.each(["/v1/models", "/v1/models/think", "/health"])("HEAD of %s has headers alone", async (path) => {
  const target = await startTarget();
  const said = `${httpRequest(`HEAD ${path}`)}${httpRequest("GET /v1/models/nowhere")}`;
  const { text } = await talk(target.port, said, { afterwards: "end", answers: 9, head: true });
  // Had the first answer a body, the second would not begin where it does.
  expect(text.split("\r\n\r\n")[1]).toMatch(/^HTTP\/1\.1 404/);
  await target.survives();
});

/** The health routes ask for nothing and take nothing. */
test.each([
  ["/healthz with a body", httpRequest("GET /healthz", ["Content-Type: application/json"], '{"x":1}'), 200],
  [
    "/healthz with garbage",
    httpRequest("GET /healthz", ["Transfer-Encoding: chunked"], "5\r\nhello\r\n0\r\n\r\n"),
    200,
  ],
  ["POST", httpRequest("POST /healthz", [], "x"), 405],
  ["PUT", httpRequest("PUT /health", [], "x"), 405],
  ["a query", httpRequest("GET /healthz?x=%00&y=%"), 200],
  ["a slash behind it", httpRequest("GET /healthz/"), 404],
  ["capitals", httpRequest("GET /HEALTHZ"), 404],
  ["a wrong key", httpRequest("GET /healthz", ["Authorization: Bearer x"]), 200],
  ["two wrong keys", httpRequest("GET /readyz", ["Authorization: Bearer x", "X-API-Key: y"]), 200],
  ["POST to /readyz", httpRequest("POST /readyz"), 405],
] as const)("the health routes: %s", async (_, said, status) => {
  const target = await startTarget();
  const { answers } = await talk(target.port, said);
  expect(answers.map((answer) => answer.status)).toEqual([status]);
  await target.survives();
});
