import http2 from "node:http2";
import net from "node:net";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { Agent, request } from "undici";
import { describe, expect, onTestFinished, test } from "vitest";
import { ChatService } from "../../gen/ts/everhop/v1/chat_service_pb.ts";
import type { Behaviour } from "../../src/providers/simulated/behaviour.ts";
import { poolConfig, startProviders } from "../support/gateway.ts";
import { createGrpcJsTransport } from "../support/grpc-js.ts";
import { bodyOf, failureOf, openWire, rpcWire, wireNames } from "../support/wires.ts";
import { startBalancer } from "./balancer.ts";
import { type EverhopProcess, startEverhop } from "./everhop-process.ts";
import { startFountain } from "./fountain.ts";
import { callRaw, type Way, ways, word } from "./raw-call.ts";

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
const answer = `${word} `.repeat(20).trim();
const question = { text: "how far?" };

/** A gateway in a process of its own, in front of a provider that is fine. */
async function start(drain: object, behaviour: Partial<Behaviour> = {}, more: Parameters<typeof startEverhop>[1] = {}) {
  const providers = await startProviders({
    only: { text: answer, tokensPerSecond: 100, eventPerWrite: true, ...behaviour },
  });
  const config = { ...poolConfig(providers), drain, log: { level: "error" } };
  return { everhop: await startEverhop(config, more), provider: providers.only };
}

/** Whether a new connection is taken. */
function takes(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}

/** Resolves when no new connection is taken any more. */
async function closed(port: number): Promise<void> {
  while (await takes(port)) await pause(5);
}

const readiness = async (address: string) =>
  (await fetch(`${address}/readyz`, { headers: { connection: "close" } })).status;

/** A client without retries: it makes one call and says what it heard of the answer. */
interface LoadClient {
  readonly name: string;
  call(): Promise<string>;
}

/** Clients as services have them: connections that are kept, and one call after the other. */
function loadClients(address: string): LoadClient[] {
  const rest = (name: string, allowH2: boolean): LoadClient => {
    const dispatcher = new Agent({ connections: 4, allowH2, pipelining: 1 });
    onTestFinished(() => dispatcher.destroy());
    return {
      name,
      async call() {
        const { statusCode, body } = await request(`${address}/v1/chat/completions`, {
          dispatcher,
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ ...bodyOf(question), stream: true }),
        });
        const text = await body.text();
        if (statusCode !== 200 || !text.endsWith("data: [DONE]\n\n"))
          throw new Error(`${statusCode} ${text.slice(-300)}`);
        return textOf(text);
      },
    };
  };
  const { transport, close } = createGrpcJsTransport(address);
  onTestFinished(close);
  const grpcJs = rpcWire(createClient(ChatService, transport));
  const sessionManager = new Http2SessionManager(address);
  onTestFinished(() => sessionManager.abort());
  const connect = rpcWire(createClient(ChatService, createGrpcTransport({ baseUrl: address, sessionManager })));
  return [
    rest("REST over HTTP/1.1", false),
    { name: "gRPC", call: async () => (await grpcJs.stream(question)).text },
    // Node's HTTP/2 client takes back what it was about to send when it hears that the connection will be closed. Nobody has seen
    // it, and other clients of gRPC send it again by themselves.
    {
      name: "gRPC by Connect's client",
      call: () =>
        connect
          .stream(question)
          .catch((error) => {
            if (!/NGHTTP2_REFUSED_STREAM/.test(String(error))) throw error;
            return connect.stream(question);
          })
          .then(({ text }) => text),
    },
  ];
}

function textOf(sse: string): string {
  const chunks = [...sse.matchAll(/^data: (\{.*\})$/gm)].map(([, json = ""]) => JSON.parse(json));
  return chunks.map(({ choices }) => choices?.[0]?.delta?.content ?? "").join("");
}

/** Load without a break, until it is told to stop. */
function startLoad(clients: readonly LoadClient[], callersEach: number) {
  let stopped = false;
  const lost: string[] = [];
  const served = new Map(clients.map(({ name }) => [name, 0]));
  const work = async ({ name, call }: LoadClient) => {
    while (!stopped) {
      try {
        expect(await call()).toBe(answer);
        served.set(name, (served.get(name) ?? 0) + 1);
      } catch (error) {
        lost.push(
          `${name}: ${error instanceof Error ? `${error.message} ${String(error.cause ?? "")}` : String(error)}`,
        );
        await pause(50);
      }
    }
  };
  const working = clients.flatMap((client) => Array.from({ length: callersEach }, () => work(client)));
  return {
    lost,
    served,
    async stop() {
      stopped = true;
      await Promise.all(working);
    },
  };
}

describe("SIGTERM", () => {
  test("loses no call that ends within the grace, also of those that begin before the port is closed", async () => {
    const { everhop } = await start({ pre_stop: "3s", grace: "20s" });
    const { address, child, port } = everhop;
    const load = startLoad(loadClients(address), 4);
    await pause(500);
    const streaming = wireNames.map((name) => openWire(name, address).stream(question));
    child.kill("SIGTERM");
    await everhop.said(/SIGTERM/);
    expect(await readiness(address)).toBe(503);
    // Whoever comes now is served: not every balancer has noticed.
    expect(await takes(port)).toBe(true);
    const late = await Promise.all(wireNames.map((name) => openWire(name, address).stream(question)));
    expect(late.map(({ text }) => text)).toEqual(wireNames.map(() => answer));
    await pause(300);
    await load.stop();
    expect(load.lost).toEqual([]);
    for (const [name, count] of load.served) expect(count, name).toBeGreaterThan(4);
    expect((await Promise.all(streaming)).map(({ text }) => text)).toEqual(wireNames.map(() => answer));
    expect(await everhop.exited).toBe(0);
    expect(everhop.output()).toContain("Stopped.");
  });

  test("lets streams end that are open on every protocol when the port is closed, and takes nobody new", async () => {
    const { everhop } = await start({ pre_stop: 0, grace: "20s" }, { tokensPerSecond: 20 });
    const calls = ways.map((way) => callRaw(everhop.port, way, question, { mode: "stream" }));
    await Promise.all(calls.map((call) => call.words(2)));
    everhop.child.kill("SIGTERM");
    await everhop.said(/SIGTERM/);
    await closed(everhop.port);
    await Promise.all(calls.map((call) => call.words(20)));
    await Promise.all(calls.map(({ over }) => over));
    expect(await everhop.exited).toBe(0);
  });

  test("asks clients that come while the port is still open to go elsewhere, before it closes their connections", async () => {
    const { everhop } = await start({ pre_stop: "2s", grace: "20s" });
    everhop.child.kill("SIGTERM");
    await everhop.said(/SIGTERM/);
    const session = http2.connect(everhop.address);
    session.on("error", () => {});
    const asked = new Promise<{ code: number; lastStreamId: number }>((resolve) =>
      session.once("goaway", (code, lastStreamId) => resolve({ code, lastStreamId })),
    );
    const request = session.request({ ":path": "/readyz" }).resume();
    const status = new Promise((resolve) => request.on("response", (headers) => resolve(headers[":status"])));
    expect(await status).toBe(503);
    // Every stream that is on its way is still served: none is refused.
    expect(await asked).toEqual({ code: 0, lastStreamId: 2 ** 31 - 1 });
    expect(everhop.output()).not.toContain("Stopped.");
    expect(await everhop.exited).toBe(0);
  });

  test.each(wireNames)("ends a stream that is longer than the grace visibly, over %s", async (name) => {
    const { everhop, provider } = await start({ pre_stop: 0, grace: "200ms" }, { schedule: [{ kind: "stall_after" }] });
    const begun = Promise.withResolvers<void>();
    const told = failureOf(openWire(name, everhop.address).stream(question, { onText: () => begun.resolve() }));
    await begun.promise;
    everhop.child.kill("SIGTERM");
    const failure = await told;
    expect(failure.reason).toBe(name === "REST" ? "service_unavailable" : "SHUTTING_DOWN");
    if (name !== "REST") expect(failure.status).toBe("Unavailable");
    expect(failure.trail?.partial).toBe(true);
    expect(failure.text).toContain(word);
    expect(await everhop.exited).toBe(0);
    await provider.idle();
  });

  test("a second time ends the process at once", async () => {
    const { everhop } = await start({ pre_stop: "1h", grace: "1h" });
    everhop.child.kill("SIGTERM");
    await everhop.said(/SIGTERM/);
    everhop.child.kill("SIGTERM");
    expect(await everhop.exited).toBe(1);
  });

  const grpc = ways.find(({ protocol }) => protocol === "gRPC") as Way; // there is one
  const deaf = (["socket", "window"] as const).flatMap((unread) =>
    (["stays", "leaves", "reads again"] as const).map((then) => ({ unread, then })),
  );
  test.each(deaf)(
    "is survived while a client of HTTP/2 does not read, by its $unread, and then $then",
    async ({ unread, then }) => {
      const fountain = await startFountain();
      onTestFinished(() => fountain.close());
      const providers = await startProviders({ steady: { text: answer, tokensPerSecond: 20, eventPerWrite: true } });
      const config = {
        ...poolConfig({ fountain, ...providers }),
        models: ["fountain", "steady"].map((provider) => ({ name: provider, targets: [{ provider, model: "any" }] })),
        drain: { pre_stop: "300ms", grace: "20s" },
        server: { limits: { stalled: "2s" } },
      };
      const everhop = await startEverhop(config);
      const stalled = callRaw(everhop.port, grpc, { ...question, model: "fountain" }, { mode: "stream", unread });
      onTestFinished(() => stalled.leave("FIN"));
      await fountain.stuck(1);
      const told = openWire("gRPC", everhop.address).stream({ ...question, model: "steady" });
      await providers.steady.arrived(1);
      everhop.child.kill("SIGTERM");
      await everhop.said(/SIGTERM/);
      await pause(50);
      if (then === "leaves") stalled.leave("FIN");
      for (let times = 0; then === "reads again" && times < 100; times++) {
        stalled.take(Number.POSITIVE_INFINITY);
        await pause(2);
      }
      expect((await told).text).toBe(answer);
      await fountain.idle();
      stalled.leave("FIN");
      expect(await everhop.exited).toBe(0);
    },
  );
});

describe("SIGINT", () => {
  test("closes the port at once, and lets calls in flight end", async () => {
    const { everhop } = await start({ pre_stop: "1h", grace: "20s" }, { tokensPerSecond: 20 });
    const begun = Promise.withResolvers<void>();
    const told = openWire("gRPC", everhop.address).stream(question, { onText: () => begun.resolve() });
    await begun.promise;
    everhop.child.kill("SIGINT");
    await everhop.said(/SIGINT/);
    await closed(everhop.port);
    expect((await told).text).toBe(answer);
    expect(await everhop.exited).toBe(0);
  });
});

describe("something that nobody foresaw", () => {
  const throwing = {
    uncaughtException:
      'process.on("SIGUSR2", () => setTimeout(() => { throw new Error("the key is secret-of-only"); }, 1));',
    unhandledRejection: 'process.on("SIGUSR2", () => void Promise.reject(new Error("the key is secret-of-only")));',
  };

  test.each(Object.entries(throwing))(
    "is told without secrets, and ends in a drain and exit code 1: %s",
    async (_, preload) => {
      const { everhop } = await start({ pre_stop: "1s", grace: "20s" }, { tokensPerSecond: 20 }, { preload });
      const begun = Promise.withResolvers<void>();
      const told = openWire("gRPC", everhop.address).stream(question, { onText: () => begun.resolve() });
      await begun.promise;
      expect(await readiness(everhop.address)).toBe(200);
      everhop.child.kill("SIGUSR2");
      await everhop.said(/crash/);
      expect(await readiness(everhop.address)).toBe(503);
      expect((await told).text).toBe(answer);
      const code = await everhop.exited;
      expect(everhop.output()).toContain("the key is [secret]");
      expect(everhop.output()).not.toContain("secret-of-only");
      expect(everhop.output()).toContain("Stopped.");
      expect(code).toBe(1);
    },
  );
});

describe("three processes behind a balancer", () => {
  test("are restarted one after the other while everybody is served", { timeout: 120_000 }, async () => {
    const providers = await startProviders({ only: { text: answer, tokensPerSecond: 200, eventPerWrite: true } });
    const drain = { pre_stop: "2s", grace: "20s" };
    const config = { ...poolConfig(providers), drain, log: { level: "error" } };
    const replicas: EverhopProcess[] = await Promise.all([0, 1, 2].map(() => startEverhop(config)));
    const balancer = await startBalancer(replicas.map(({ port }) => port));
    onTestFinished(() => balancer.close());
    expect(balancer.ready.length).toBe(3);
    const load = startLoad(loadClients(`http://127.0.0.1:${balancer.port}`), 4);
    for (const [index, { port, child, exited }] of replicas.entries()) {
      child.kill("SIGTERM");
      await balancer.until(port, false);
      expect(await exited).toBe(0);
      replicas[index] = await startEverhop(config, { port });
      await balancer.until(port, true);
      await pause(300);
    }
    await load.stop();
    const served = [...load.served.values()].reduce((sum, count) => sum + count, 0);
    console.log(
      `rolling restart: ${served} served, ${load.lost.length} lost: ${[...load.served].map(([name, count]) => `${name} ${count}`).join(", ")}`,
    );
    expect(load.lost).toEqual([]);
    for (const [name, count] of load.served) expect(count, name).toBeGreaterThan(10);
  });
});
