import { describe, expect, test } from "vitest";
import { checkConfig } from "../../src/server/config.ts";
import { poolConfig, startGateway, startProviders } from "../support/gateway.ts";
import { postChat } from "../support/rest.ts";
import { openWire, send, wireNames } from "../support/wires.ts";

describe("a gateway that takes another configuration over", () => {
  test("ten times a second under load loses nothing: every answer is whole, and from where one of them leads", async () => {
    const providers = await startProviders({
      first: { tokensPerSecond: 400 },
      second: { tokensPerSecond: 400 },
      third: { schedule: (number) => (number % 2 === 0 ? { kind: "status", status: 503 } : undefined) },
    });
    const { first, second, third } = providers;
    const configs = [
      poolConfig({ first, third }),
      poolConfig({ third, second }, { third: { max_rps: 50 } }),
      { ...poolConfig({ second }), routing: { max_attempts: 2, breaker: { window: "5s" } } },
    ].map((config) => checkConfig(config, "the test"));
    const { address, gateway, clock } = await startGateway(poolConfig({ first, third }), providers);
    let turn = 0;
    let running = true;
    const swap = () => {
      const next = configs[turn++ % configs.length];
      if (next) gateway.adopt(next);
      if (running) clock.schedule(100, swap);
    };
    swap();
    const wires = wireNames.map((name) => openWire(name, address));
    const texts = await Promise.all(
      Array.from({ length: 32 }, async (_, client) => {
        const told: string[] = [];
        for (let count = 0; count < 12; count++) {
          const wire = wires[(client + count) % wires.length];
          if (!wire) continue;
          const text = `word ${client} of ${count} and a good many more of them`;
          const answer = await send(wire, count % 2 === 0 ? "stream" : "unary", { text });
          expect(["first", "second", "third"]).toContain(answer.provider);
          told.push(answer.text === `You said: ${text}` ? "whole" : answer.text);
        }
        return told;
      }),
    );
    running = false;
    expect(texts.flat()).toEqual(Array(32 * 12).fill("whole"));
    expect(turn).toBeGreaterThan(5);
  });

  test("keeps what it knows of keys and endpoints, and forgets what it knew of a provider that is elsewhere now", async () => {
    const { one, two } = await startProviders({ one: { schedule: [{ kind: "status", status: 401 }] }, two: {} });
    const at = (provider: { readonly baseUrl: string }, more: object = {}) => ({
      ...poolConfig({ one: provider }),
      ...more,
    });
    const { address, gateway } = await startGateway(at(one), { one, two });
    const ask = async () =>
      (await postChat(address, { model: "think", messages: [{ role: "user", content: "Hello" }] })).status;
    expect(await ask()).toBe(502);
    gateway.adopt(checkConfig(at(one, { log: { level: "debug" } }), "the test"));
    // The key is still known to be refused: nobody is asked.
    expect(await ask()).toBe(503);
    expect(one.seen).toHaveLength(1);
    gateway.adopt(checkConfig(at(two), "the test"));
    expect(await ask()).toBe(200);
  });

  test("routes by the new settings at once, known endpoints too", async () => {
    const providers = await startProviders({ one: { schedule: [{ kind: "status", status: 500 }] } });
    const { address, gateway, breakers, trails } = await startGateway(
      { ...poolConfig(providers), routing: { max_attempts: 1 } },
      providers,
    );
    const ask = () => postChat(address, { model: "think", messages: [{ role: "user", content: "Hello" }] });
    await ask();
    expect(breakers).toEqual([]);
    const routing = { max_attempts: 2, backoff: { base: "1ms" }, breaker: { consecutive: 3, window: "30s" } };
    gateway.adopt(checkConfig({ ...poolConfig(providers), routing }, "the test"));
    await ask();
    expect(trails.map(({ attempts }) => attempts.length)).toEqual([1, 2]);
    // The failure of before counts.
    expect(breakers).toEqual(["one/one-model open"]);
  });

  test("changes nothing when one of its files of keys cannot be read", async () => {
    const providers = await startProviders({ one: {} });
    const { address, gateway } = await startGateway(poolConfig(providers), providers);
    const broken = checkConfig(poolConfig(providers, { one: { keys_file: "/no/such/keys.txt" } }), "the test");
    expect(() => gateway.adopt(broken)).toThrow(/there is no such file/);
    expect((await postChat(address, { model: "think", messages: [{ role: "user", content: "Hello" }] })).status).toBe(
      200,
    );
  });
});
