import { describe, expect, test } from "vitest";
import { routes } from "../../src/api/rest/routes.ts";
import { randomHex, seededRng } from "../../src/runtime/rng.ts";
import { envelope } from "../bad-input/rpc.ts";
import { bodyOf as grpcBody, pathOf } from "../interop/raw-grpc.ts";
import { callHttp2 } from "../support/http2-call.ts";
import { overHttp, startCollector, startTraced } from "../support/traced-gateway.ts";
import { bodyOf } from "../support/wires.ts";

const rng = seededRng(2);
const ask = { text: "where am I?" };
const callerKey = "sk-test-canary-caller";
const adminKey = "sk-test-canary-admin-0123456789abcdef";
const asCaller = { authorization: `Bearer ${callerKey}` };
const asAdmin = { authorization: `Bearer ${adminKey}` };

type Headers = Readonly<Record<string, string>>;

/** A request of some kind, and how it is answered. */
interface Case {
  readonly title: string;
  /** Of HTTP. */
  readonly status: number;
  /** @returns the status and what the answer calls its trace */
  ask(gateway: { readonly address: string; readonly port: number }, headers: Headers): Promise<[number, unknown]>;
}

function http(
  title: string,
  status: number,
  path: string,
  init: RequestInit & { readonly headers?: Headers } = {},
): Case {
  return {
    title,
    status,
    async ask({ address }, headers) {
      const response = await fetch(`${address}${path}`, {
        redirect: "manual",
        ...init,
        headers: { ...init.headers, ...headers },
      });
      await response.arrayBuffer();
      return [response.status, response.headers.get("x-everhop-trace-id")];
    },
  };
}

function post(title: string, status: number, path: string, body: object | string, headers: Headers = asCaller): Case {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return http(title, status, path, {
    method: "POST",
    body: text,
    headers: { "content-type": "application/json", ...headers },
  });
}

function http2(title: string, headers: Headers, body?: Uint8Array): Case {
  return {
    title,
    status: 200,
    async ask({ port }, more) {
      const head = await callHttp2(
        port,
        { te: "trailers", "content-type": "application/grpc", ...headers, ...more },
        body,
      );
      return [Number(head[":status"]), head["x-everhop-trace-id"]];
    },
  };
}

const chat = "/v1/chat/completions";
const prompt = { prompt: { model: "think", messages: [{ role: "ROLE_USER", parts: [{ text: "x" }] }] } };
const [complete, stream] = [pathOf("unary"), pathOf("stream")];
const nothing = envelope(0, "");
const reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

const cases: readonly Case[] = [
  ...routes
    .filter(({ method }) => method === "GET")
    .flatMap((route) => {
      const path = "template" in route ? "/v1/models/think" : route.path;
      const [right, wrong] =
        route.access === "public"
          ? [{}, { authorization: "Bearer nobody" }]
          : [route.access === "admin" ? asAdmin : asCaller, {}];
      return [
        http(`GET ${path}`, 200, path, { headers: right as Headers }),
        http(`HEAD ${path}`, 200, path, { headers: right as Headers, method: "HEAD" }),
        http(`GET ${path} by whom nobody knows`, route.access === "public" ? 200 : 401, path, {
          headers: wrong as Headers,
        }),
        http(`PUT ${path}`, 405, path, { headers: right as Headers, method: "PUT" }),
      ];
    }),
  http("/ in a browser", 302, "/", { headers: { accept: "text/html" } }),
  http("/ in a program", 404, "/"),
  http("no such route", 404, "/v1/nothing"),
  http("no path at all", 404, "/%"),
  http("a model that there is not", 404, "/v1/models/dream", { headers: asCaller }),
  post("a whole answer", 200, chat, bodyOf(ask)),
  post("a stream", 200, chat, { ...bodyOf(ask), stream: true }),
  post("an answer that took two hops", 200, chat, { ...bodyOf(ask), model: "pair" }),
  post("a failure of every provider", 502, chat, { ...bodyOf(ask), model: "failing" }),
  post("a stream that never began", 502, chat, { ...bodyOf(ask), model: "failing", stream: true }),
  post("a caller that is nobody", 401, chat, bodyOf(ask), { authorization: "Bearer nobody" }),
  post("a model that is not the caller's", 404, chat, { ...bodyOf(ask), model: "dream" }),
  post("what is no JSON", 400, chat, "{"),
  post("what may not be", 400, chat, { ...bodyOf(ask), n: -1 }),
  post("a body that is too long", 413, chat, { ...bodyOf({ text: "long ".repeat(2000) }) }),
  post("what is no JSON by its own account", 415, chat, "x", { ...asCaller, "content-type": "text/plain" }),
  post("a whole answer over Connect", 200, complete, prompt),
  post("a stream over Connect", 200, stream, envelope(0, JSON.stringify(prompt)).toString("latin1"), {
    ...asCaller,
    "content-type": "application/connect+json",
  }),
  post("a caller that is nobody, over Connect", 401, complete, prompt, {}),
  post("what is no message, over Connect", 400, complete, "{"),
  post("a model that there is not, over Connect", 404, complete, { prompt: { ...prompt.prompt, model: "dream" } }),
  post("a failure of every provider, over Connect", 503, complete, { prompt: { ...prompt.prompt, model: "failing" } }),
  post("a message that is too long, over Connect", 429, complete, {
    prompt: { ...prompt.prompt, user: "x".repeat(9000) },
  }),
  post("no media type of any protocol", 415, complete, "x", { ...asCaller, "content-type": "text/plain" }),
  http("a method that no protocol has", 405, complete, { headers: asCaller }),
  post("a service of everybody's, over Connect", 200, "/grpc.health.v1.Health/Check", {}, {}),
  post("our own health, over Connect", 200, "/everhop.v1.HealthService/GetHealth", {}),
  post("models, over Connect", 200, "/everhop.v1.ModelsService/ListModels", {}),
  ...(["application/grpc-web+proto", "application/grpc-web"] as const).map((type) =>
    post(`a whole answer over ${type}`, 200, complete, grpcBody("unary", ask).toString("latin1"), {
      ...asCaller,
      "content-type": type,
    }),
  ),
  post("a caller that is nobody, over gRPC-Web", 200, complete, grpcBody("unary", ask).toString("latin1"), {
    "content-type": "application/grpc-web+proto",
  }),
  post("gRPC by HTTP/1.1", 200, complete, "", { ...asCaller, "content-type": "application/grpc" }),
  post("a call both ways by HTTP/1.1", 505, reflection, "", { ...asAdmin, "content-type": "application/connect+json" }),
  http2("a whole answer over gRPC", { ":path": complete, ...asCaller }, grpcBody("unary", ask)),
  http2("a stream over gRPC", { ":path": stream, ...asCaller }, grpcBody("stream", ask)),
  http2("a caller that is nobody, over gRPC", { ":path": complete }, grpcBody("unary", ask)),
  http2(
    "a failure of every provider, over gRPC",
    { ":path": complete, ...asCaller },
    grpcBody("unary", { ...ask, model: "failing" }),
  ),
  http2("what may not be, over gRPC", { ":path": complete, ...asCaller }, nothing),
  http2("what is no message, over gRPC", { ":path": complete, ...asCaller }, envelope(0, "\xff\xff\xff")),
  http2(
    "a message that is packed in an unknown way, over gRPC",
    { ":path": complete, ...asCaller, "grpc-encoding": "br" },
    envelope(1, "x"),
  ),
  http2("the standard health service, over gRPC", { ":path": "/grpc.health.v1.Health/Check" }, nothing),
  http2("reflection, over gRPC", { ":path": reflection, ...asAdmin }, envelope(0, "\x3a\x00")),
  http2("reflection that may not be, over gRPC", { ":path": reflection, ...asCaller }, envelope(0, "\x3a\x00")),
  {
    ...http2("a service that there is not, over gRPC", { ":path": "/no.Such/Method", ...asCaller }, nothing),
    status: 404,
  },
];

async function start(lanes: "on" | "off") {
  const collector = await startCollector();
  const gateway = await startTraced(
    overHttp(collector),
    { first: {}, second: { schedule: [{ kind: "status", status: 500 }] } },
    {
      providers: { first: { models: ["first-model"] }, second: { models: ["second-model"] } },
      rest: {
        server: { lanes, limits: { body: 8192 } },
        auth: { callers: [{ name: "shop", key: callerKey }], admin_keys: [adminKey] },
        routing: { backoff: { base: "1ms", max: "1ms" }, breaker: { enabled: false } },
        models: [
          { name: "think", targets: [{ provider: "first", model: "first-model" }] },
          { name: "failing", targets: [{ provider: "second", model: "second-model" }] },
          {
            name: "pair",
            targets: [
              { provider: "second", model: "second-model", priority: 1 },
              { provider: "first", model: "first-model", priority: 2 },
            ],
          },
        ],
      },
    },
  );
  return { ...gateway, collector };
}

describe.each(["on", "off"] as const)("with lanes %s, every answer names its trace:", (lanes) => {
  test.each(cases)("$title", async ({ ask: askFor, status }) => {
    const gateway = await start(lanes);
    // A trace of its sender's is kept whatever it is about.
    const traceId = randomHex(rng, 32);
    expect(await askFor(gateway, { traceparent: `00-${traceId}-${randomHex(rng, 16)}-01` })).toEqual([status, traceId]);
    await gateway.sent(1);
    const roots = gateway.collector.spans.filter(({ kind }) => kind === "SERVER");
    expect(roots.map((root) => root.traceId)).toEqual([traceId]);
    // Where it has none, one is begun.
    const [, own] = await askFor(gateway, {});
    expect(own).toMatch(/^[\da-f]{32}$/);
    expect(own).toBe(gateway.records[1]?.traceId);
  });
});
