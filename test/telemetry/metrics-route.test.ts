import { request } from "node:http";
import { describe, expect, test } from "vitest";
import { checkConfig } from "../../src/server/config.ts";
import { poolConfig, startGateway, startProviders, withLanes } from "../support/gateway.ts";
import { parseFigures } from "../support/prometheus.ts";
import { hasPromtool, promtool } from "../support/promtool.ts";
import { postChat } from "../support/rest.ts";

const adminKey = "sk-test-canary-admin-0123456789abcdef";
const callerKey = "sk-test-canary-caller";
const closed = { callers: [{ name: "team", key: callerKey }], admin_keys: [adminKey] };
const mediaType = "text/plain; version=0.0.4; charset=utf-8";
const origin = "https://app.example.com";

async function start(changes: object = {}) {
  const providers = await startProviders({ only: {} });
  const config = { ...poolConfig(providers), auth: closed, ...changes };
  return { ...(await startGateway(config, providers)), config };
}

/** What the body of an error says apart from whose request it was and when. */
async function bareBody(response: Response): Promise<string> {
  return (await response.text()).replace(/req_\w+/g, "ID").replace(/"timestamp":"[^"]+"/, "");
}

/** Asks under another name than the gateway's own. @returns the status */
function statusAs(host: string, port: number): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request({ port, path: "/metrics", headers: { host, "x-admin-key": adminKey } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on("error", reject)
      .end();
  });
}

describe("GET /metrics", () => {
  test.each([
    ["Authorization", { authorization: `Bearer ${adminKey}` }],
    ["X-Admin-Key", { "x-admin-key": adminKey }],
  ])("is for operators, by %s", async (_, headers) => {
    const { address } = await start();
    const response = await fetch(`${address}/metrics`, { headers });
    expect([response.status, response.headers.get("content-type")]).toEqual([200, mediaType]);
    expect(response.headers.get("x-request-id")).toMatch(/^req_/);
    expect(parseFigures(await response.text()).families.size).toBeGreaterThan(30);
  });

  test("says to others what every route says to them, and whose key it takes", async () => {
    const { address } = await start();
    const plain = await bareBody(await fetch(`${address}/v1/models`));
    const ofOperators = plain.replace("A valid key", "An admin key").replace("X-API-Key", "X-Admin-Key");
    for (const headers of [{}, { authorization: "Bearer sk-test-canary-wrong" }, { "x-admin-key": callerKey }]) {
      const response = await fetch(`${address}/metrics`, { headers: headers as Record<string, string> });
      expect([response.status, response.headers.get("www-authenticate")]).toEqual([401, "Bearer"]);
      expect(await bareBody(response)).toBe(ofOperators);
    }
    const caller = await fetch(`${address}/metrics`, { headers: { authorization: `Bearer ${callerKey}` } });
    expect(caller.status).toBe(403);
    expect(await caller.text()).toContain(
      "an admin key is needed, as `Authorization: Bearer KEY` or `X-Admin-Key: KEY`",
    );
    expect((await fetch(`${address}/metrics`, { method: "POST" })).status).toBe(405);
  });

  test("is for operators alone where chat is open to everybody, too", async () => {
    const { address } = await start({ auth: { open: true, admin_keys: [adminKey] } });
    expect((await fetch(`${address}/v1/models`)).status).toBe(200);
    expect((await fetch(`${address}/metrics`)).status).toBe(401);
  });

  test("is for whoever comes once the configuration says so, from its next reading on", async () => {
    const { address, gateway, config } = await start();
    expect((await fetch(`${address}/metrics`)).status).toBe(401);
    gateway.adopt(checkConfig(withLanes({ ...config, metrics: { public: true } }), "the test"));
    const response = await fetch(`${address}/metrics`);
    expect(response.status).toBe(200);
    parseFigures(await response.text());
    const document = (await (await fetch(`${address}/openapi.json`)).json()) as {
      paths: Record<string, { get: { security: object[] } }>;
    };
    expect(document.paths["/metrics"]?.get.security).toEqual([]);
    gateway.adopt(checkConfig(withLanes(config), "the test"));
    expect((await fetch(`${address}/metrics`)).status).toBe(401);
  });

  test("answers HEAD with its head", async () => {
    const { address } = await start();
    const response = await fetch(`${address}/metrics`, { method: "HEAD", headers: { "x-admin-key": adminKey } });
    expect([response.status, response.headers.get("content-type")]).toEqual([200, mediaType]);
    expect(Number(response.headers.get("content-length"))).toBeGreaterThan(1000);
    expect(await response.text()).toBe("");
  });

  test("is read by no page, not even of an allowed origin, unless anybody may read it", async () => {
    const headers = { origin, "x-admin-key": adminKey };
    const server = { cors: { origins: [origin] } };
    const keyed = await fetch(`${(await start({ server })).address}/metrics`, { headers });
    expect([keyed.status, keyed.headers.get("access-control-allow-origin")]).toEqual([200, null]);
    const open = await fetch(`${(await start({ server, metrics: { public: true } })).address}/metrics`, { headers });
    expect([open.status, open.headers.get("access-control-allow-origin")]).toEqual([200, origin]);
    await Promise.all([keyed.text(), open.text()]);
  });

  test("is kept from pages under a foreign name where the gateway is open without anybody having said so", async () => {
    const { port } = await start({ auth: { admin_keys: [adminKey] } });
    expect(await statusAs("rebound.example.com", port)).toBe(400);
    expect(await statusAs("localhost", port)).toBe(200);
  });

  test.skipIf(!hasPromtool)("gives what Prometheus' own judge takes", async () => {
    const { address } = await start({ metrics: { public: true } });
    const body = { messages: [{ role: "user", content: "hello" }] };
    const headers = { authorization: `Bearer ${callerKey}` };
    for (const stream of [true, false]) await (await postChat(address, { ...body, stream }, { headers })).text();
    const text = await (await fetch(`${address}/metrics`)).text();
    expect(text).toContain("gen_ai_client_inference_duration_seconds_bucket");
    expect(promtool(["check", "metrics"], text)).toEqual({ code: 0, said: "" });
  });
});
