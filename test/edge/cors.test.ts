import { describe, expect, test } from "vitest";
import { poolConfig, startGateway, startProviders } from "../support/gateway.ts";

const origin = "https://app.example.com";

async function startWith(origins: readonly string[], auth: object = {}) {
  const providers = await startProviders({ only: {} });
  return startGateway({ ...poolConfig(providers), server: { cors: { origins } }, auth }, providers);
}

function preflight(address: string, path: string, from = origin, method = "POST") {
  return fetch(address + path, {
    method: "OPTIONS",
    headers: {
      origin: from,
      "access-control-request-method": method,
      "access-control-request-headers": "authorization,content-type,x-stainless-os",
    },
  });
}

const doors = [
  "/v1/chat/completions",
  "/v1/models",
  "/everhop.v1.ChatService/StreamChat",
  "/grpc.health.v1.Health/Check",
];

describe("pages of other origins", () => {
  test.each(doors)("may ask for %s before they show a key", async (path) => {
    const { address } = await startWith([origin], { callers: [{ name: "team", key: "sk-test-canary-caller" }] });
    const response = await preflight(address, path);
    expect(response.status).toBe(204);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "access-control-allow-origin": origin,
      "access-control-allow-methods": "GET, POST",
      "access-control-allow-headers": "authorization,content-type,x-stainless-os",
      vary: "Origin",
    });
    // Nothing here goes by cookies, and nothing is to.
    expect(response.headers.get("access-control-allow-credentials")).toBeNull();
  });

  test("may read what the gateway says in headers, of answers and of refusals", async () => {
    const { address } = await startWith([origin], { callers: [{ name: "team", key: "sk-test-canary-caller" }] });
    const refused = await fetch(`${address}/v1/models`, { headers: { origin } });
    expect([refused.status, refused.headers.get("access-control-allow-origin")]).toEqual([401, origin]);
    const served = await fetch(`${address}/v1/models`, { headers: { origin, "x-api-key": "sk-test-canary-caller" } });
    const exposed = served.headers.get("access-control-expose-headers") ?? "";
    for (const name of ["x-request-id", "x-everhop-trail", "Retry-After", "grpc-status", "x-everhop-trace-id"]) {
      expect(exposed.toLowerCase()).toContain(name.toLowerCase());
    }
  });

  test.each([
    ["another origin", [origin], "https://evil.example.com"],
    ["an origin that ends alike", [origin], "https://evilapp.example.com"],
    ["the same name without TLS", [origin], "http://app.example.com"],
    ["an origin that is none", [origin], "null"],
    ["any origin where none is configured", [], origin],
  ])("are told nothing of %s", async (_, origins, from) => {
    const { address } = await startWith(origins);
    const asked = await preflight(address, "/v1/chat/completions", from);
    expect(asked.status).toBe(405);
    const answered = await fetch(`${address}/v1/models`, { headers: { origin: from } });
    for (const { headers } of [asked, answered]) {
      expect([...headers.keys()].filter((name) => name.startsWith("access-control"))).toEqual([]);
    }
  });

  test("may not use what is an operator's, whatever origins are configured", async () => {
    const { address } = await startWith(["*"], {
      callers: [{ name: "team", key: "sk-test-canary-caller" }],
      admin_keys: ["sk-test-canary-admin-0123456789abcdef"],
    });
    const path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    const asked = await preflight(address, path);
    expect(asked.headers.get("access-control-allow-origin")).toBeNull();
    expect(asked.status).toBe(405);
    expect((await preflight(address, "/v1/models")).headers.get("access-control-allow-origin")).toBe("*");
  });

  test("get no answer to a preflight for what is not there", async () => {
    const { address } = await startWith(["*"]);
    const response = await preflight(address, "/v1/nowhere");
    expect([response.status, response.headers.get("access-control-allow-origin")]).toEqual([404, null]);
  });
});
