import { createClient } from "@connectrpc/connect";
import { describe, expect, onTestFinished, test } from "vitest";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../gen/ts/grpc/health/v1/health_pb.ts";
import { checkConfig } from "../../src/server/config.ts";
import { poolConfig, startGateway, startProviders, type TestGateway } from "../support/gateway.ts";
import { postChat, readAll } from "../support/rest.ts";
import { openTransport, openWire, send, wireNames } from "../support/wires.ts";

const question = { model: "think", messages: [{ role: "user", content: "Hello" }] };

function adopt({ gateway }: TestGateway, config: object): void {
  gateway.adopt(checkConfig(config, "the test"));
}

describe("a provider that goes with a changed configuration", () => {
  test("serves on whom it serves, over every protocol, and fails over to others that have gone, too", async () => {
    const providers = await startProviders({
      one: { tokensPerSecond: 200 },
      two: { schedule: [{ kind: "status", status: 500, delayMs: 300 }] },
      three: {},
      new: {},
    });
    const { one, two, three } = providers;
    const started = await startGateway({ ...poolConfig({ one }), routing: { breaker: { enabled: false } } }, providers);
    const text = "one word after another, and a good many of them. ".repeat(6);
    const ask = () => Promise.all(wireNames.map((name) => send(openWire(name, started.address), "stream", { text })));
    const streams = ask();
    while (one.open < wireNames.length) await new Promise((resolve) => setTimeout(resolve, 1));
    adopt(started, { ...poolConfig({ two, three }), routing: { breaker: { enabled: false } } });
    const hopping = ask();
    while (two.open < wireNames.length) await new Promise((resolve) => setTimeout(resolve, 1));
    adopt(started, poolConfig({ new: providers.new }));
    expect((await streams).map((answer) => [answer.provider, answer.text === `You said: ${text}`])).toEqual(
      wireNames.map(() => ["one", true]),
    );
    expect((await hopping).map(({ provider }) => provider)).toEqual(wireNames.map(() => "three"));
    const { provider } = await send(openWire("REST", started.address), "unary", { text: "Who is there?" });
    expect(provider).toBe("new");
  });

  test("may come back elsewhere, and nothing is held against it", async () => {
    const { one, two } = await startProviders({ one: { schedule: [{ kind: "status", status: 401 }] }, two: {} });
    const started = await startGateway(poolConfig({ one }), { one, two });
    const ask = async () => (await postChat(started.address, question)).status;
    expect([await ask(), await ask()]).toEqual([502, 503]);
    adopt(started, poolConfig({ two }));
    expect(await ask()).toBe(200);
    adopt(started, poolConfig({ one: two }));
    expect(await ask()).toBe(200);
  });

  test("is told to those who watch its model, as is its return", async () => {
    const { one } = await startProviders({ one: {} });
    const started = await startGateway(poolConfig({ one }), { one });
    const leave = new AbortController();
    onTestFinished(() => leave.abort());
    const client = createClient(Health, openTransport("gRPC", started.address));
    const told = client.watch({ service: "model/other" }, { signal: leave.signal })[Symbol.asyncIterator]();
    const next = async () => (await told.next()).value?.status;
    expect(await next()).toBe(Status.SERVICE_UNKNOWN);
    const other = { ...poolConfig({ one }), models: [{ name: "other", targets: [{ provider: "one", model: "m" }] }] };
    adopt(started, other);
    expect(await next()).toBe(Status.SERVING);
    adopt(started, poolConfig({ one }));
    expect(await next()).toBe(Status.SERVICE_UNKNOWN);
  });
});

describe("limits that change with a configuration", () => {
  test("of a caller are not given back by a call that began under the old ones", async () => {
    const { one } = await startProviders({ one: { tokensPerSecond: 20, text: "slowly ".repeat(20) } });
    const limited = (rpm: number) => ({
      ...poolConfig({ one }),
      auth: { callers: [{ name: "a", key: "sk-test-canary-a", rpm }] },
    });
    const started = await startGateway(limited(100), { one });
    const headers = { "x-api-key": "sk-test-canary-a" };
    const stream = await postChat(started.address, { ...question, stream: true }, { headers });
    one.behave({ tokensPerSecond: Number.POSITIVE_INFINITY });
    adopt(started, limited(2));
    const ask = async () => (await postChat(started.address, question, { headers })).status;
    expect([await ask(), await ask(), await ask()]).toEqual([200, 200, 429]);
    await readAll(stream);
    expect(await ask()).toBe(429);
  });

  test("of a provider let those in who wait, and hold for who comes after", async () => {
    const { one } = await startProviders({ one: { tokensPerSecond: 40 } });
    const limited = (maxConcurrent: number) => ({
      ...poolConfig({ one }, { one: { max_concurrent: maxConcurrent } }),
      routing: { queue: { max_wait: "10s" } },
    });
    const started = await startGateway(limited(1), { one });
    const ask = async () => (await postChat(started.address, question)).status;
    const waiting = [ask(), ask(), ask()];
    while (one.open < 1) await new Promise((resolve) => setTimeout(resolve, 1));
    adopt(started, limited(3));
    const later = [ask(), ask()];
    expect(await Promise.all([...waiting, ...later])).toEqual([200, 200, 200, 200, 200]);
  });
});

test("a configuration that is taken over leaves no timer and no connection of the one before", async () => {
  const { one, two } = await startProviders({ one: {}, two: {} });
  const config = (provider: { readonly baseUrl: string }) =>
    poolConfig({ one: provider }, { one: { health_check: { interval: "1h" } } });
  const started = await startGateway(config(one), { one, two });
  const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
  await (await postChat(started.address, question)).text();
  const before = timers();
  for (let turn = 0; turn < 300; turn++) adopt(started, config(turn % 2 === 0 ? two : one));
  // The clients' own connections come and go with theirs.
  expect(timers()).toBeLessThan(before + 20);
  expect((await postChat(started.address, question)).status).toBe(200);
});
