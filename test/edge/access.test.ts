import { connect as connectHttp2, type IncomingHttpHeaders } from "node:http2";
import { getOption } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { Access, access } from "../../gen/ts/everhop/v1/access_pb.ts";
import { routes } from "../../src/api/rest/routes.ts";
import { accessOf, services } from "../../src/api/rpc/handler.ts";
import { poolConfig, startGateway, startProviders } from "../support/gateway.ts";

const callerKey = "sk-test-canary-caller";
const otherKey = "sk-test-canary-other";
const adminKey = "sk-test-canary-admin-0123456789abcdef";

async function startClosed(auth: object = {}) {
  const providers = await startProviders({ only: {} });
  const gateway = await startGateway(
    {
      ...poolConfig(providers),
      auth: {
        callers: [
          { name: "team", key: callerKey },
          { name: "other", key: otherKey },
        ],
        admin_keys: [adminKey],
        ...auth,
      },
    },
    providers,
  );
  return { ...gateway, providers };
}

/** A path that a route of the table takes. */
const pathOf = (path: string | RegExp) => (typeof path === "string" ? path : "/v1/models/think");
const methods = services.flatMap((service) =>
  service.methods.map((method) => ({ path: `/${service.typeName}/${method.name}`, access: accessOf(method, false) })),
);
const httpMethods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/** Every way to be nobody. */
const nobodies: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
  ["without a key", {}],
  ["with an empty key", { authorization: "" }],
  ["with a scheme and no key", { authorization: "Bearer" }],
  ["with a scheme and blanks", { authorization: "Bearer   " }],
  ["with another scheme", { authorization: `Basic ${callerKey}` }],
  ["with a wrong key", { authorization: "Bearer sk-test-canary-wrong" }],
  ["with a wrong key by X-API-Key", { "x-api-key": "sk-test-canary-wrong" }],
  ["with a beginning of a key", { authorization: `Bearer ${callerKey.slice(0, -1)}` }],
  ["with more than a key", { authorization: `Bearer ${callerKey}x` }],
  ["with a key in other letters", { authorization: `Bearer ${callerKey.toUpperCase()}` }],
  ["with two keys that disagree", { authorization: `Bearer ${callerKey}`, "x-api-key": otherKey }],
  ["with a key beside another scheme", { authorization: "Basic eDp5", "x-api-key": callerKey }],
  ["with two keys in one", { authorization: `Bearer ${callerKey}, Bearer ${callerKey}` }],
];

/** Asks over HTTP/2, which every method takes. */
function ask(
  port: number,
  path: string,
  type: string,
  headers: Readonly<Record<string, string>> = {},
  body: readonly number[] = [],
): Promise<{ readonly status: number; readonly text: string; readonly trailers: IncomingHttpHeaders }> {
  return new Promise((resolve, reject) => {
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    session.on("error", reject);
    const head = { ":path": path, ":method": "POST", "content-type": type, te: "trailers", ...headers };
    const stream = session.request(head);
    let status = 0;
    let text = "";
    let trailers: IncomingHttpHeaders = {};
    stream.on("response", (answered) => {
      status = Number(answered[":status"]);
      if (answered["grpc-status"]) trailers = answered;
    });
    stream.on("trailers", (told) => {
      trailers = told;
    });
    stream.setEncoding("utf8").on("data", (piece) => {
      text += piece;
    });
    stream.on("close", () => {
      session.close();
      resolve({ status, text, trailers });
    });
    stream.on("error", reject);
    stream.end(Buffer.from(body));
  });
}

/** What the body of an error says apart from whose request it was and when. */
async function bareBody(response: Response): Promise<string> {
  return (await response.text()).replace(/req_\w+/g, "ID").replace(/"timestamp":"[^"]+"/, "");
}

describe("who may come in", () => {
  test("every route refuses whoever has no key, by every method, but for those marked public", async () => {
    const { address } = await startClosed();
    expect(routes.length).toBeGreaterThan(5);
    for (const { path, method: own, access: who } of routes) {
      for (const method of httpMethods) {
        const response = await fetch(address + pathOf(path), { method });
        await response.arrayBuffer();
        const serves = method === own || (method === "HEAD" && own === "GET");
        const expected = !serves ? 405 : who === "public" ? 200 : 401;
        expect([String(path), method, response.status]).toEqual([String(path), method, expected]);
      }
    }
  });

  test("every method of every service refuses whoever has no key, but for those marked public", async () => {
    const { port } = await startClosed();
    expect(methods.length).toBeGreaterThan(6);
    for (const { path, access: who } of methods) {
      if (who === "public") continue;
      const told: unknown[] = [];
      for (const type of [
        "application/json",
        "application/proto",
        "application/connect+json",
        "application/grpc-web",
      ]) {
        const { status, text, trailers } = await ask(port, path, type);
        // A method that streams is of another media type than one that does not.
        if (status === 415) continue;
        const refused = `${text} ${JSON.stringify(trailers)}`;
        told.push(/"code":"unauthenticated"|grpc-status: 16/.test(refused) || refused);
      }
      const grpc = await ask(port, path, "application/grpc");
      told.push(grpc.trailers["grpc-status"] === "16" || grpc);
      expect([path, told]).toEqual([path, told.map(() => true)]);
      expect(told.length).toBeGreaterThan(2);
    }
  });

  test.each(nobodies)("a caller %s gets the one and only 401", async (_, headers) => {
    const { address, providers } = await startClosed();
    const plain = await bareBody(await fetch(`${address}/v1/models`));
    const ask = (path: string, method: string) =>
      fetch(address + path, {
        method,
        headers: { ...headers, "content-type": "application/json" },
        ...(method === "POST" && { body: "{}" }),
      });
    for (const [path, method] of [
      ["/v1/models", "GET"],
      ["/v1/models/nowhere", "GET"],
      ["/v1/chat/completions", "POST"],
    ] as const) {
      const response = await ask(path, method);
      expect([path, response.status, response.headers.get("www-authenticate")]).toEqual([path, 401, "Bearer"]);
      expect(await bareBody(response)).toBe(plain);
    }
    const rpc = await ask("/everhop.v1.ModelsService/ListModels", "POST");
    expect([rpc.status, ((await rpc.json()) as { readonly code: string }).code]).toEqual([401, "unauthenticated"]);
    expect(providers.only.seen.length).toBe(0);
  });

  test.each([
    ["Bearer", { authorization: `Bearer ${callerKey}` }],
    ["bearer in small letters", { authorization: `bearer ${callerKey}` }],
    ["X-API-Key", { "x-api-key": callerKey }],
    ["both alike", { authorization: `Bearer ${callerKey}`, "x-api-key": callerKey }],
    ["an admin's key beside the caller's", { authorization: `Bearer ${callerKey}`, "x-admin-key": adminKey }],
  ])("a caller is known by %s", async (_, headers) => {
    const { address } = await startClosed();
    expect((await fetch(`${address}/v1/models`, { headers })).status).toBe(200);
  });

  test("an admin's key opens no caller's door, and a caller's none of an admin's: 403, whatever is asked", async () => {
    const { address, port } = await startClosed();
    const models = await fetch(`${address}/v1/models`, { headers: { authorization: `Bearer ${adminKey}` } });
    expect([models.status, ((await models.json()) as { error: { code: string } }).error.code]).toEqual([
      403,
      "forbidden",
    ]);
    const reflect = async (headers: Record<string, string>) => {
      const path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
      const { text } = await ask(port, path, "application/connect+json", headers, [0, 0, 0, 0, 2, 0x7b, 0x7d]);
      return /"code":"(\w+)"/.exec(text)?.[1] ?? "none";
    };
    expect(await reflect({ authorization: `Bearer ${callerKey}` })).toBe("permission_denied");
    expect(await reflect({ "x-admin-key": callerKey })).toBe("unauthenticated");
    expect(await reflect({})).toBe("unauthenticated");
    // Let in, it is told that it has asked nothing.
    expect(await reflect({ "x-admin-key": adminKey })).toBe("invalid_argument");
    expect(await reflect({ authorization: `Bearer ${adminKey}` })).toBe("invalid_argument");
  });

  test("what a caller may not see is not there for it", async () => {
    const { address } = await startClosed({
      callers: [{ name: "narrow", key: callerKey, models: [] }],
    });
    const response = await fetch(`${address}/v1/models/think`, { headers: { authorization: `Bearer ${callerKey}` } });
    expect(response.status).toBe(404);
  });

  test("every method of ours declares who may call it, and one that does not is refused at start", () => {
    for (const service of services.filter(({ typeName }) => typeName.startsWith("everhop."))) {
      for (const method of service.methods) expect(getOption(method, access)).not.toBe(Access.UNSPECIFIED);
    }
    const [chat] = services;
    const undeclared = { ...chat?.methods[0], proto: { ...chat?.methods[0]?.proto, options: undefined } };
    expect(() => accessOf(undeclared as never, true)).toThrow(/does not declare who may call it/); // a method without options
  });
});
