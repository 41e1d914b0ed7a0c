import { request } from "node:http";
import { connect } from "node:http2";
import { describe, expect, test } from "vitest";
import { poolConfig, startGateway, startProviders } from "../support/gateway.ts";

const path = "/v1/chat/completions";
const body = JSON.stringify({ model: "think", messages: [{ role: "user", content: "Hello" }] });

/** Asks as a browser would whose page has let its own name lead here. */
function askAs(port: number, host: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = { host, origin: `http://${host}`, "content-type": "application/json" };
    const asked = request({ port, host: "127.0.0.1", path, method: "POST", headers }, (response) => {
      let text = "";
      response.on("data", (bytes) => (text += bytes));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
    });
    asked.on("error", reject);
    asked.end(body);
  });
}

function askHttp2As(port: number, authority: string): Promise<number> {
  const session = connect(`http://127.0.0.1:${port}`);
  return new Promise<number>((resolve, reject) => {
    session.on("error", reject);
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      ":authority": authority,
      "content-type": "application/json",
    });
    stream.on("response", (headers) => resolve(Number(headers[":status"])));
    stream.on("error", reject);
    stream.resume();
    stream.end(body);
  }).finally(() => session.close());
}

async function started(auth: object) {
  const providers = await startProviders({ one: {} });
  return { ...(await startGateway({ ...poolConfig(providers), auth }, providers)), providers };
}

describe("a gateway that is open because nothing says otherwise", () => {
  test("answers to localhost and to addresses", async () => {
    const { port } = await started({});
    for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, "everhop.localhost", `[::1]:${port}`]) {
      expect((await askAs(port, host)).status).toBe(200);
      expect(await askHttp2As(port, host)).toBe(200);
    }
  });

  test("does not answer to the name of a page that leads here", async () => {
    const { port, providers } = await started({});
    for (const host of ["evil.example", `evil.example:${port}`, "localhost.evil.example", "127.0.0.1.evil.example"]) {
      const { status, text } = await askAs(port, host);
      expect([status, JSON.parse(text).error.param]).toEqual([400, "host"]);
      expect(text).toContain("auth.open: true");
      expect(await askHttp2As(port, host)).toBe(400);
    }
    expect(providers.one.seen).toEqual([]);
  });
});

test("a gateway that is said to be open, or that asks for keys, answers to any name", async () => {
  expect((await askAs((await started({ open: true })).port, "gateway.example")).status).toBe(200);
  const callers = [{ name: "a", key: "sk-test-canary-a" }];
  expect((await askAs((await started({ callers })).port, "gateway.example")).status).toBe(401);
});
