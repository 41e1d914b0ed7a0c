import { describe, expect, test } from "vitest";
import type { Fault } from "../../src/providers/simulated/fault.ts";
import { poolConfig, startGateway, startProviders } from "../support/gateway.ts";
import { openWire, wireNames } from "../support/wires.ts";

const healthy: Fault = { kind: "none" };
const silent: Fault = { kind: "headers_then_silence" };
const ask = { text: "over the hedge" };

/** A first provider that is silent from its `from`th request on, and a second one that always serves. */
async function start(from: number, hedge = "on") {
  const providers = await startProviders({
    first: { schedule: (number) => (number < from ? healthy : silent) },
    second: {},
  });
  const config = { ...poolConfig(providers, { each: { timeouts: { first_token: "30s" } } }), routing: { hedge } };
  return { ...(await startGateway(config, providers)), providers };
}

describe.each(wireNames)("a stream that is slower than nearly all of its endpoint's, over %s,", (name) => {
  test("is answered by another endpoint, the slow call is closed, and the trail tells both", async () => {
    const { address, providers } = await start(21);
    const wire = openWire(name, address);
    for (let turn = 0; turn < 20; turn++) await wire.stream(ask);
    const { text, trail, details } = await wire.stream(ask);
    expect(text).toBe(`You said: ${ask.text}`);
    expect(trail?.attempts.map(({ provider, outcome }) => `${provider} ${outcome}`)).toEqual([
      "first superseded",
      "second ok",
    ]);
    expect(details?.attempts.map(({ purpose }) => purpose)).toEqual(["", "hedge"]);
    // Closed by the gateway, long before its limit of thirty seconds.
    await providers.first.idle();
    expect(providers.first.seen.at(-1)?.aborted).toBe(true);
  });
});

test("whole answers are not hedged, nor is anything while it is off", async () => {
  const { address, providers } = await start(41);
  const wire = openWire("REST", address);
  for (let turn = 0; turn < 40; turn++) await wire.stream(ask);
  await expect(wire.complete({ ...ask, timeoutMs: 300 })).rejects.toThrow();
  expect(providers.second.seen).toHaveLength(0);

  const off = await start(41, "off");
  const plain = openWire("REST", off.address);
  for (let turn = 0; turn < 40; turn++) await plain.stream(ask);
  await expect(plain.stream({ ...ask, timeoutMs: 300 })).rejects.toThrow();
  expect(off.providers.second.seen).toHaveLength(0);
});
