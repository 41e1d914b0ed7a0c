import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { ChatService } from "../../gen/ts/everhop/v1/chat_service_pb.ts";
import type { Behaviour } from "../../src/providers/simulated/behaviour.ts";
import type { Fault } from "../../src/providers/simulated/fault.ts";
import type { SimulatedProvider } from "../../src/providers/simulated/simulated-provider.ts";
import { type ProviderConfig, poolConfig, startGateway, startProviders } from "../support/gateway.ts";
import { postChat, readAll } from "../support/rest.ts";
import {
  type Ask,
  bodyOf,
  everywhere,
  failureOf,
  modes,
  openTransport,
  openWire,
  requestOf,
  send,
  type ToldTrail,
  type WireName,
  wireNames,
} from "../support/wires.ts";
import { status } from "./fault-table.ts";

const ask: Ask = { text: "over the hedge and home 🦘" };
const answer = `You said: ${ask.text}`;

const limitedFor = (seconds: string) => status(429, { headers: { "retry-after": seconds } });
const page: Fault = { kind: "html" };
const healthy: Fault = { kind: "none" };
/** Goes on until whoever holds it lets go. */
const endless: Fault = { kind: "stall_after" };
/** These faults first, and health ever after. */
const begins =
  (...faults: readonly Fault[]) =>
  (number: number): Fault =>
    faults[number - 1] ?? healthy;

/** Providers behind one model, with whatever else the file says. */
async function start<Name extends string>(
  behaviours: Readonly<Record<Name, Partial<Behaviour>>>,
  changes: Parameters<typeof poolConfig>[1] = {},
  rest: object = {},
) {
  const providers = await startProviders(behaviours);
  const gateway = await startGateway({ ...poolConfig(providers, changes), ...rest }, providers);
  return { ...gateway, providers };
}

/** Resolves as soon as something is so; the test's own time limit bounds it. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await sleep(5);
}

/** Begins a stream that takes a place for as long as it is held; resolves when its first content has come. */
async function hold(address: string, options: { ask?: Partial<Ask>; headers?: Record<string, string> } = {}) {
  const letGo = new AbortController();
  const begun = Promise.withResolvers<void>();
  const { headers } = options;
  const told = openWire("REST", address).stream(
    { ...ask, ...options.ask },
    { signal: letGo.signal, onText: () => begun.resolve(), ...(headers && { headers }) },
  );
  const over = told.catch(() => {});
  await Promise.race([begun.promise, told]);
  return async () => {
    letGo.abort();
    await over;
  };
}

const attempted = (trail: ToldTrail | undefined) =>
  trail?.attempts.map(({ provider, outcome }) => `${provider} ${outcome}`);
const keysSeen = ({ seen }: SimulatedProvider) => seen.map(({ headers }) => headers.authorization);
const chats = ({ seen }: SimulatedProvider) => seen.filter(({ method }) => method === "POST");

/** How a wire tells that something is limited, and that nothing helps now. */
const limited = (name: WireName) =>
  name === "REST"
    ? { status: 429, reason: "rate_limit_exceeded" }
    : { status: "ResourceExhausted", reason: "RATE_LIMIT_EXCEEDED" };
const allFailed = (name: WireName) =>
  name === "REST"
    ? { status: 502, reason: "all_providers_failed" }
    : { status: "Unavailable", reason: "ALL_PROVIDERS_FAILED" };
const nothingToTry = (name: WireName) =>
  name === "REST"
    ? { status: 503, reason: "service_unavailable" }
    : { status: "Unavailable", reason: "SERVICE_UNAVAILABLE" };

/** The wait that a failure tells of must stand in the headers that clients heed. */
function expectWait(failure: Awaited<ReturnType<typeof failureOf>>, name: WireName): number {
  const { retryDelayMs = 0, headers } = failure;
  expect(retryDelayMs).toBeGreaterThan(0);
  if (name === "REST") expect(headers.get("retry-after")).toBe(String(Math.ceil(retryDelayMs / 1000)));
  else expect(Number(headers.get("grpc-retry-pushback-ms"))).toBeGreaterThan(0);
  return retryDelayMs;
}

describe("a caller's own limit", () => {
  const asHeld = { headers: { authorization: "Bearer key-of-held" } };
  const asFree = { headers: { authorization: "Bearer key-of-free" } };
  const startCallers = (limits: object, schedule: Behaviour["schedule"] = []) =>
    start(
      { only: { schedule } },
      {},
      {
        auth: {
          callers: [
            { name: "held", key: "key-of-held", ...limits },
            { name: "free", key: "key-of-free" },
          ],
        },
      },
    );

  test.each(everywhere)(
    "of requests a minute answers the next one with the time to wait, and nobody else's, $mode over $name",
    async ({ name, mode }) => {
      const { address, providers } = await startCallers({ rpm: 2 });
      const wire = openWire(name, address);
      const served = [await send(wire, mode, ask, asHeld), await send(wire, mode, ask, asHeld)];
      const failure = await failureOf(send(wire, mode, ask, asHeld));
      expect(failure).toMatchObject({ ...limited(name), text: "", trail: undefined });
      expect(expectWait(failure, name)).toBeLessThanOrEqual(30_000);
      expect((await send(wire, mode, ask, asFree)).text).toBe(answer);
      expect(providers.only.seen.length).toBe(3);
      if (name !== "REST") return;
      const told = (header: string) => served.map(({ headers }) => headers.get(`x-ratelimit-${header}-requests`));
      expect(told("limit")).toEqual(["2", "2"]);
      expect(told("remaining")).toEqual(["1", "0"]);
      for (const reset of told("reset")) expect(reset).toMatch(/^[1-9]\d*ms$/);
    },
  );

  test("of requests a minute stands in the headers of a refusal, too", async () => {
    const { address } = await startCallers({ rpm: 1 });
    const wire = openWire("REST", address);
    await wire.complete(ask, asHeld);
    const { headers } = await failureOf(wire.complete(ask, asHeld));
    expect(headers.get("x-ratelimit-limit-requests")).toBe("1");
    expect(headers.get("x-ratelimit-remaining-requests")).toBe("0");
    expect(headers.get("x-ratelimit-reset-requests")).toMatch(/^[1-9]\d*ms$/);
  });

  test("of requests a minute is not told to a caller that has none", async () => {
    const { address } = await startCallers({ rpm: 2 });
    const { headers } = await openWire("REST", address).complete(ask, asFree);
    expect([...headers.keys()].filter((header) => header.startsWith("x-ratelimit"))).toEqual([]);
  });

  test.each(everywhere)(
    "of calls at once refuses another one until a stream has ended, $mode over $name",
    async ({ name, mode }) => {
      const { address } = await startCallers({ max_concurrent: 1 }, begins({ kind: "none", tokensPerSecond: 20 }));
      const wire = openWire(name, address);
      const begun = Promise.withResolvers<void>();
      const streaming = wire.stream(ask, { ...asHeld, onText: () => begun.resolve() });
      await begun.promise;
      const failure = await failureOf(send(wire, mode, ask, asHeld));
      expect(failure).toMatchObject({ ...limited(name), text: "", trail: undefined });
      expectWait(failure, name);
      expect((await send(wire, mode, ask, asFree)).text).toBe(answer);
      expect((await streaming).text).toBe(answer);
      expect((await send(wire, mode, ask, asHeld)).text).toBe(answer);
    },
  );

  test.each(wireNames)("of calls at once refuses another one until a stream was left, over %s", async (name) => {
    const { address, ended } = await startCallers({ max_concurrent: 1 }, begins(endless));
    const wire = openWire(name, address);
    const letGo = await hold(address, asHeld);
    expect(await failureOf(wire.stream(ask, asHeld))).toMatchObject(limited(name));
    await letGo();
    await ended(1);
    expect((await wire.stream(ask, asHeld)).text).toBe(answer);
  });

  test.each(everywhere)(
    "of calls at once refuses another one until a call was abandoned, $mode over $name",
    async ({ name, mode }) => {
      const { address, providers, ended } = await startCallers({ max_concurrent: 1 }, begins({ kind: "silence" }));
      const wire = openWire(name, address);
      const leaving = new AbortController();
      const left = expect(send(wire, mode, ask, { ...asHeld, signal: leaving.signal })).rejects.toThrow();
      await providers.only.arrived(1);
      expect(await failureOf(send(wire, mode, ask, asHeld))).toMatchObject(limited(name));
      leaving.abort();
      await left;
      await ended(1);
      expect((await send(wire, mode, ask, asHeld)).text).toBe(answer);
    },
  );
});

describe("a provider's limit", () => {
  test.each(everywhere)("of requests a second is routed around, $mode over $name", async ({ name, mode }) => {
    const { address, providers } = await start({ first: {}, second: {} }, { first: { max_rps: 0.01 } });
    const wire = openWire(name, address);
    expect((await send(wire, mode, ask)).provider).toBe("first");
    const { provider, trail, details } = await send(wire, mode, ask);
    expect(provider).toBe("second");
    expect(trail).toMatchObject({ attempts: [{ outcome: "ok" }], skips: ["first/first-model rate_limited 1"] });
    expect(details?.skips[0]?.untilTimeMs).toBeGreaterThan(Date.now());
    expect(providers.first.seen.length).toBe(1);
  });

  test.each(everywhere)("of calls at once is routed around, $mode over $name", async ({ name, mode }) => {
    const { address, providers } = await start(
      { first: { schedule: begins(endless) }, second: {} },
      { first: { max_concurrent: 1 } },
    );
    const letGo = await hold(address);
    const { provider, trail } = await send(openWire(name, address), mode, ask);
    expect(provider).toBe("second");
    expect(trail).toMatchObject({ attempts: [{ outcome: "ok" }], skips: ["first/first-model concurrency 1"] });
    expect(providers.first.seen.length).toBe(1);
    await letGo();
  });

  test("of requests a second holds requests for a moment when nobody else serves", async () => {
    const { address, providers } = await start(
      { only: {} },
      { only: { max_rps: 4 } },
      { routing: { queue: { max_wait: "20s" } } },
    );
    const told = await Promise.all(everywhere.map(({ name, mode }) => send(openWire(name, address), mode, ask)));
    expect(told.map(({ text }) => text)).toEqual(everywhere.map(() => answer));
    // Four may come at once; those behind them waited, and say so.
    const waits = told.map(({ details }) => details?.attempts[0]?.waitReason);
    expect(waits).toContain("queue");
    expect(waits).toContain("");
    expect(providers.only.seen.length).toBe(everywhere.length);
  });

  test.each(everywhere)(
    "of calls at once holds requests until there is room when nobody else serves, $mode over $name",
    async ({ name, mode }) => {
      const { address, trails } = await start(
        { only: { schedule: begins(endless) } },
        { only: { max_concurrent: 1 } },
        { routing: { queue: { max_wait: "20s" } } },
      );
      const letGo = await hold(address);
      const waiting = send(openWire(name, address), mode, ask);
      await until(() => trails.length === 2);
      await letGo();
      const { text, trail, details } = await waiting;
      expect(text).toBe(answer);
      expect(trail).toMatchObject({ attempts: [{ outcome: "ok" }], skips: ["only/only-model concurrency 1"] });
      expect(details?.attempts[0]?.waitReason).toBe("queue");
    },
  );

  test.each(everywhere)(
    "of requests a second is told, with the time to wait, when waiting was in vain, $mode over $name",
    async ({ name, mode }) => {
      const { address, providers } = await start(
        { only: {} },
        { only: { max_rps: 0.01 } },
        { routing: { queue: { max_wait: "20ms" } } },
      );
      const wire = openWire(name, address);
      expect((await send(wire, mode, ask)).text).toBe(answer);
      const failure = await failureOf(send(wire, mode, ask));
      expect(failure).toMatchObject({ ...limited(name), trail: { attempts: [] } });
      expect(expectWait(failure, name)).toBeLessThanOrEqual(100_000);
      expect(providers.only.seen.length).toBe(1);
    },
  );

  test.each(everywhere)(
    "of calls at once is told, with a time to wait, when waiting was in vain, $mode over $name",
    async ({ name, mode }) => {
      const { address, providers } = await start(
        { only: { schedule: begins(endless) } },
        { only: { max_concurrent: 1 } },
        { routing: { queue: { max_wait: "20ms" } } },
      );
      const letGo = await hold(address);
      const failure = await failureOf(send(openWire(name, address), mode, ask));
      expect(failure).toMatchObject({ ...limited(name), trail: { attempts: [] } });
      expectWait(failure, name);
      expect(providers.only.seen.length).toBe(1);
      await letGo();
    },
  );
});

describe("requests in line for a provider's limit", () => {
  test.each(everywhere)("leave it with their callers, $mode over $name", async ({ name, mode }) => {
    const { address, providers, trails, gateway } = await start(
      { only: { schedule: begins(endless) } },
      { only: { max_concurrent: 1 } },
      { routing: { queue: { max_wait: "20s" } } },
    );
    const letGo = await hold(address);
    const wire = openWire(name, address);
    const leaving = new AbortController();
    const left = expect(send(wire, mode, ask, { signal: leaving.signal })).rejects.toThrow();
    await until(() => trails.length === 2);
    const staying = send(wire, mode, ask);
    // Behind the other one, by all likelihood: nothing tells of it.
    await sleep(20);
    leaving.abort();
    await left;
    // Nobody is kept waiting by one who has left, nor is a place kept for it: it had one for a moment at most.
    await letGo();
    expect((await staying).text).toBe(answer);
    const [, gone] = trails;
    for (const { outcome } of gone?.attempts ?? []) expect(outcome).toBe("caller_gone");
    await providers.only.idle();
    expect(gateway.explain("think").candidates.map(({ inFlight }) => inFlight)).toEqual([0]);
  });

  const patient = { routing: { queue: { max_wait: "2s" }, backoff: { base: "1ms", max: "1ms" } } };

  test("do not hold up one that another provider can serve at once", async () => {
    const { address, trails } = await start(
      { busy: { schedule: begins(endless) }, free: {} },
      { busy: { max_concurrent: 1 } },
      patient,
    );
    const letGo = await hold(address);
    const wire = openWire("gRPC", address);
    const pinned = wire.complete({ ...ask, provider: "busy" }).catch(() => {});
    await until(() => trails.length === 2);
    const { provider, details } = await wire.complete(ask);
    await letGo();
    await pinned;
    expect(provider).toBe("free");
    expect(details?.attempts[0]?.waitReason).toBe("");
  });

  test("do not make another one's attempts more than it may have", async () => {
    const { address, providers, trails } = await start(
      { first: { schedule: [{ ...page, delayMs: 200 }] }, second: { schedule: begins(endless) } },
      { second: { max_concurrent: 1 } },
      patient,
    );
    const letGo = await hold(address, { ask: { provider: "second" } });
    const wire = openWire("gRPC", address);
    const capped = wire.complete({ ...ask, retryCount: 0 }).then(
      ({ trail }) => attempted(trail),
      ({ trail }) => attempted(trail),
    );
    await providers.first.arrived(1);
    const pinned = wire.complete({ ...ask, provider: "second" }).catch(() => {});
    await until(() => trails.some(({ attempts }) => attempts[0]?.outcome === "transient_fault"));
    await letGo();
    await pinned;
    expect(await capped).toEqual(["first transient_fault"]);
  });

  test("do not delay another one's refusal, nor does that delay them", async () => {
    const tooLong = status(400, { code: "context_length_exceeded", delayMs: 20 });
    const { address } = await start({ only: { schedule: begins(tooLong) } }, { only: { max_concurrent: 1 } }, patient);
    const wire = openWire("gRPC", address);
    const told: string[] = [];
    const calls = Array.from({ length: 6 }, () =>
      wire.complete(ask).then(
        ({ details }) => told.push(`ok ${details?.attempts[0]?.waitReason}`),
        ({ reason }) => told.push(reason),
      ),
    );
    await Promise.all(calls);
    // The one that came first, and then the others.
    expect(told).toEqual(["CONTEXT_LENGTH_EXCEEDED", ...Array(5).fill("ok queue")]);
  });

  test("do not keep one that has met a bad key from trying the next at once", async () => {
    const keys = ["key-that-is-bad", "key-that-is-good"];
    const { address, providers } = await start(
      { only: { keys: ["key-that-is-good"], latencyMs: 20 } },
      { only: { keys, max_concurrent: 1 } },
      patient,
    );
    const wire = openWire("gRPC", address);
    const told = await Promise.all(Array.from({ length: 6 }, () => wire.complete(ask)));
    expect(keysSeen(providers.only)).toContain("Bearer key-that-is-bad");
    const rotated = told.find(({ trail }) => trail?.attempts[0]?.outcome === "key_refused");
    expect(rotated?.details?.attempts.map(({ waitReason }) => waitReason).slice(1)).toEqual([""]);
  });
});

describe("keys", () => {
  test.each(wireNames)("that a provider refuses are used once and never again, over %s", async (name) => {
    const { address, providers } = await start(
      { only: { keys: ["key-that-is-good"] } },
      { only: { keys: ["key-that-is-bad", "key-that-is-good"] } },
    );
    const wire = openWire(name, address);
    // Whichever key comes first by chance, after two requests both have been used.
    for (const mode of modes) expect((await send(wire, mode, ask)).text).toBe(answer);
    const further = Array.from({ length: 200 }, (_, index) => send(wire, modes[index % 2] ?? "unary", ask));
    for (const { text, trail } of await Promise.all(further)) {
      expect(text).toBe(answer);
      expect(attempted(trail)).toEqual(["only ok"]);
    }
    expect(keysSeen(providers.only).filter((key) => key === "Bearer key-that-is-bad").length).toBe(1);
    expect(providers.only.seen.length).toBe(203);
  });

  test.each(everywhere)(
    "of which 45 in 50 are dead still serve the first request, $mode over $name",
    async ({ name, mode }) => {
      const alive = Array.from({ length: 5 }, (_, index) => `key-alive-${index}`);
      const dead = Array.from({ length: 45 }, (_, index) => `key-dead-${index}`);
      const { address } = await start({ only: { keys: alive } }, { only: { keys: [...dead, ...alive] } });
      const wire = openWire(name, address);
      const { text, trail } = await send(wire, mode, ask);
      expect(text).toBe(answer);
      const refused = trail?.attempts.slice(0, -1) ?? [];
      expect(refused.length).toBeLessThanOrEqual(45);
      for (const { outcome } of refused) expect(outcome).toBe("key_refused");
      expect(trail?.attempts.at(-1)?.outcome).toBe("ok");
    },
  );

  test.each(everywhere)(
    "that are all limited for long are told at once, and left alone, $mode over $name",
    async ({ name, mode }) => {
      const { address, providers } = await start(
        { only: { schedule: [limitedFor("20")] } },
        { only: { keys: ["key-number-1", "key-number-2"] } },
      );
      const wire = openWire(name, address);
      const since = performance.now();
      for (const attempts of [["only rate_limited", "only rate_limited"], []]) {
        const failure = await failureOf(send(wire, mode, ask));
        expect(failure).toMatchObject(limited(name));
        expect(attempted(failure.trail)).toEqual(attempts);
        const waitMs = expectWait(failure, name);
        expect(waitMs).toBeLessThanOrEqual(20_000);
        // Neither was waited for: what is left of the 20 s is all but what the test itself took.
        expect(waitMs).toBeGreaterThanOrEqual(20_000 - (performance.now() - since));
        if (attempts.length > 0) continue;
        expect(failure.trail?.skips).toEqual(["only/only-model rate_limited 1"]);
        expect(failure.details?.skips[0]?.untilTimeMs).toBeGreaterThan(Date.now());
      }
      expect(keysSeen(providers.only).sort()).toEqual(["Bearer key-number-1", "Bearer key-number-2"]);
    },
  );

  test.each(wireNames)(
    "of one account are not all tried when two of them are limited in the same moment, over %s",
    async (name) => {
      const keys = Array.from({ length: 6 }, (_, index) => `key-number-${index}`);
      const { address, providers } = await start(
        { first: { schedule: [limitedFor("20")] }, second: {} },
        { first: { keys } },
      );
      const { trail } = await openWire(name, address).complete(ask);
      expect(attempted(trail)).toEqual(["first rate_limited", "first rate_limited", "second ok"]);
      expect(new Set(keysSeen(providers.first)).size).toBe(2);
    },
  );

  test("that are all limited for a moment are waited for", async () => {
    const askOnce = async ({ name, mode }: (typeof everywhere)[number]) => {
      const { address } = await start(
        { only: { schedule: begins(limitedFor("1"), limitedFor("1")) } },
        { only: { keys: ["key-number-1", "key-number-2"] } },
      );
      return send(openWire(name, address), mode, ask);
    };
    for (const { text, trail, details } of await Promise.all(everywhere.map(askOnce))) {
      expect(text).toBe(answer);
      expect(attempted(trail)).toEqual(["only rate_limited", "only rate_limited", "only ok"]);
      expect(details?.attempts.map(({ waitReason }) => waitReason)).toEqual(["", "", "retry_after"]);
    }
  });

  test.each(everywhere)(
    "that are all refused everywhere are the operator's matter, not the caller's, $mode over $name",
    async ({ name, mode }) => {
      const refusing = { keys: ["key-that-nobody-has"] };
      const { address, providers } = await start(
        { first: refusing, second: refusing },
        { first: { keys: ["key-1-of-first", "key-2-of-first"] }, second: { keys: ["key-1-of-second"] } },
      );
      const wire = openWire(name, address);
      const failure = await failureOf(send(wire, mode, ask));
      expect(failure).toMatchObject(allFailed(name));
      expect(attempted(failure.trail)).toEqual(["first key_refused", "first key_refused", "second key_refused"]);
      const next = await failureOf(send(wire, mode, ask));
      expect(next).toMatchObject(nothingToTry(name));
      expect(next.trail).toMatchObject({
        attempts: [],
        skips: ["first/first-model no_key 1", "second/second-model no_key 1"],
      });
      expectWait(next, name);
      expect(providers.first.seen.length + providers.second.seen.length).toBe(3);
    },
  );
});

describe("an endpoint that has failed for a reason that lasts", () => {
  const rows: { title: string; fault: Fault; outcome: string; reason: string }[] = [
    { title: "its key was refused", fault: status(401), outcome: "key_refused", reason: "no_key" },
    { title: "its balance is spent", fault: status(402), outcome: "quota_exhausted", reason: "quota_exhausted" },
    { title: "it is limited", fault: limitedFor("60"), outcome: "rate_limited", reason: "rate_limited" },
    {
      title: "it does not serve the model",
      fault: status(404, { code: "model_not_found" }),
      outcome: "model_unavailable",
      reason: "model_off",
    },
    { title: "it has no such path", fault: { kind: "wrong_path" }, outcome: "misconfigured", reason: "unhealthy" },
  ];
  test.each(rows.flatMap((row) => everywhere.map((where) => ({ ...row, ...where }))))(
    "is passed over by later requests, and the trail tells why: $title, $mode over $name",
    async ({ fault, outcome, reason, name, mode }) => {
      const { address, providers } = await start({ first: { schedule: [fault] }, second: {} });
      const wire = openWire(name, address);
      expect(attempted((await send(wire, mode, ask)).trail)).toEqual([`first ${outcome}`, "second ok"]);
      for (let count = 0; count < 2; count++) {
        const { trail } = await send(wire, mode, ask);
        expect(attempted(trail)).toEqual(["second ok"]);
        expect(trail?.skips).toEqual([`first/first-model ${reason} 1`]);
      }
      expect(providers.first.seen.length).toBe(1);
    },
  );

  test.each(everywhere)(
    "is left alone before it is, when its answers say that nothing remains of its limit, $mode over $name",
    async ({ name, mode }) => {
      const { address, providers } = await start({
        first: { headers: { "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m0s" } },
        second: {},
      });
      const wire = openWire(name, address);
      expect(attempted((await send(wire, mode, ask)).trail)).toEqual(["first ok"]);
      const { trail } = await send(wire, mode, ask);
      expect(trail).toMatchObject({
        attempts: [{ provider: "second", outcome: "ok" }],
        skips: ["first/first-model rate_limited 1"],
      });
      expect(providers.first.seen.length).toBe(1);
    },
  );
});

describe("a repeat", () => {
  test.each(everywhere)(
    "is made at once and costs the caller none of its attempts when a kept connection turns out closed, $mode over $name",
    async ({ name, mode }) => {
      const schedule = begins(healthy, { kind: "close_before_headers" });
      const { address } = await start({ first: { schedule }, second: {} });
      const wire = openWire(name, address);
      expect(attempted((await send(wire, mode, ask)).trail)).toEqual(["first ok"]);
      const { text, trail, details } = await send(wire, mode, { ...ask, retryCount: 0 });
      expect(text).toBe(answer);
      expect(attempted(trail)).toEqual(["first not_sent", "first ok"]);
      expect(details?.attempts.map(({ waitReason }) => waitReason)).toEqual(["", ""]);
    },
  );

  test.each(everywhere)("of the only provider waits, and says so, $mode over $name", async ({ name, mode }) => {
    const { address } = await start(
      { only: { schedule: begins(status(500), page, status(503)) } },
      {},
      { routing: { backoff: { base: "10ms" } } },
    );
    const { text, trail, details } = await send(openWire(name, address), mode, ask);
    expect(text).toBe(answer);
    expect(attempted(trail)).toEqual(["only transient_fault", "only transient_fault", "only overloaded", "only ok"]);
    expect(details?.attempts.map(({ waitReason }) => waitReason)).toEqual(["", "backoff", "backoff", "backoff"]);
  });

  test("is not made where the provider says that it does not help, and a refusal goes on where it says that it may", async () => {
    const advised = (code: number, advice: string) => status(code, { headers: { "x-should-retry": advice } });
    const { address, providers } = await start({ first: { schedule: [advised(500, "false")] }, second: {} });
    const wire = openWire("gRPC", address);
    expect(attempted((await wire.complete(ask)).trail)).toEqual(["first transient_fault", "second ok"]);
    providers.first.behave({ schedule: [advised(400, "true")] });
    expect(attempted((await wire.complete(ask)).trail)).toEqual(["first request_refused", "second ok"]);
  });

  test("of the only provider is made for a fifth of its requests beyond a reserve, however many fail", async () => {
    const { address, providers } = await start(
      { only: { schedule: [status(500)] } },
      {},
      { routing: { backoff: { base: "1ms", max: "1ms" }, breaker: { enabled: false } } },
    );
    const wires = wireNames.map((name) => openWire(name, address));
    const requests = 200;
    for (let round = 0; round < 5; round++) {
      const told = Array.from({ length: requests / 5 }, (_, index) => wires[index % wires.length]?.complete(ask));
      for (const call of await Promise.allSettled(told)) expect(call.status).toBe("rejected");
    }
    expect(providers.only.seen.length).toBeGreaterThan(requests);
    // The reserve is three a second over ten seconds.
    expect(providers.only.seen.length).toBeLessThanOrEqual(requests * 1.2 + 30);
  });

  test("before a worse tier is still to be had when there was no use for one at an earlier tier", async () => {
    const { address } = await start({
      first: { schedule: [page] },
      second: { schedule: begins(status(500)) },
      third: {},
    });
    const { trail } = await openWire("gRPC", address).complete(ask);
    expect(attempted(trail)).toEqual(["first transient_fault", "second transient_fault", "second ok"]);
  });

  test("is nobody's where failover is off, and neither is another provider's attempt", async () => {
    const { address, providers } = await start(
      { first: { schedule: [page] }, second: {} },
      {},
      { routing: { failover: false, max_attempts: 1 } },
    );
    for (const name of wireNames) {
      const failure = await failureOf(openWire(name, address).complete(ask));
      expect(attempted(failure.trail)).toEqual(["first transient_fault"]);
    }
    expect(providers.second.seen.length).toBe(0);
  });
});

describe("a stream's usage", () => {
  const asksForUsage = ({ json }: { json: unknown }) => "stream_options" in (json as object);

  test.each(wireNames)(
    "is not asked for again where that is refused, and the stream is served all the same, over %s",
    async (name) => {
      const refusal = status(400, { message: "Unrecognized request argument supplied: stream_options" });
      const { address, providers } = await start({ first: { schedule: begins(refusal) }, second: {} });
      const wire = openWire(name, address);
      const told = [await wire.stream(ask), await wire.stream(ask)];
      expect(told.map(({ trail }) => attempted(trail))).toEqual([["first request_refused", "first ok"], ["first ok"]]);
      for (const { text, details } of told) {
        expect(text).toBe(answer);
        const usage = details?.attempts.at(-1)?.usage;
        expect(usage).toMatchObject({ estimated: true });
        expect(usage?.inputTokens).toBeGreaterThan(0);
        expect(usage?.outputTokens).toBeGreaterThan(0);
      }
      expect(providers.first.seen.map(asksForUsage)).toEqual([true, false, false]);
      expect(providers.second.seen.length).toBe(0);
    },
  );

  test.each(wireNames)("is the provider's own count where it counts, over %s", async (name) => {
    const { address } = await start({ only: {} });
    const { details } = await openWire(name, address).stream(ask);
    const usage = details?.attempts[0]?.usage;
    expect(usage).toMatchObject({ estimated: false });
    expect(usage?.outputTokens).toBeGreaterThan(0);
  });

  test.each(everywhere)(
    "is estimated, and said to be, where the provider does not count, $mode over $name",
    async ({ name, mode }) => {
      const { address } = await start({ only: { usage: false } });
      const { details } = await send(openWire(name, address), mode, ask);
      const usage = details?.attempts[0]?.usage;
      expect(usage).toMatchObject({ estimated: true });
      expect(usage?.inputTokens).toBeGreaterThan(0);
      expect(usage?.outputTokens).toBeGreaterThan(0);
    },
  );

  test("is shown over REST to those alone who asked for it", async () => {
    const { address, providers } = await start({ only: {} });
    const body = { ...bodyOf(ask), stream: true };
    const usages = async (extra: object) => {
      const events = await readAll(await postChat(address, { ...body, ...extra }));
      expect(events.at(-1)).toBe("[DONE]");
      const chunks = events.slice(0, -1).map((data) => JSON.parse(data) as { choices: unknown[]; usage?: object });
      expect(chunks.filter(({ choices }) => choices.length === 0).length).toBe(
        chunks.filter(({ usage }) => usage).length,
      );
      return chunks.flatMap(({ usage }) => usage ?? []).length;
    };
    expect(await usages({})).toBe(0);
    expect(await usages({ stream_options: {} })).toBe(0);
    expect(await usages({ stream_options: { include_usage: false } })).toBe(0);
    expect(await usages({ stream_options: { include_usage: true } })).toBe(1);
    for (const { json } of providers.only.seen) {
      expect(json).toMatchObject({ stream_options: { include_usage: true } });
    }
  });
});

describe("a breaker", () => {
  test.each(everywhere)(
    "keeps requests from a provider that has failed too often, and says until when, $mode over $name",
    async ({ name, mode }) => {
      const { address, providers } = await start(
        { first: { schedule: [page] }, second: {} },
        {},
        { routing: { breaker: { open: "10m", quick_cap: "10m" } } },
      );
      const wire = openWire(name, address);
      for (let count = 0; count < 5; count++) {
        expect(attempted((await send(wire, mode, ask)).trail)).toEqual(["first transient_fault", "second ok"]);
      }
      const { trail, details } = await send(wire, mode, ask);
      expect(attempted(trail)).toEqual(["second ok"]);
      expect(trail?.skips).toEqual(["first/first-model breaker_open 1"]);
      expect(details?.skips[0]?.untilTimeMs).toBeGreaterThan(Date.now());
      expect(providers.first.seen.length).toBe(5);
    },
  );

  test.each(wireNames)("lets a provider that has recovered come back, over %s", async (name) => {
    const { address, providers, gateway } = await start(
      { first: { schedule: [page] }, second: {} },
      {},
      { routing: { breaker: { consecutive: 2, open: "100ms", quick_cap: "100ms" } } },
    );
    const wire = openWire(name, address);
    const breaker = () => gateway.explain("think").candidates.find(({ endpoint }) => endpoint.provider === "first");
    // One failed probe after the other, for as long as it fails.
    while (providers.first.seen.length < 5) {
      expect((await wire.complete(ask)).text).toBe(answer);
      await sleep(5);
    }
    expect(breaker()?.breaker).not.toBe("closed");
    providers.first.behave({ schedule: [] });
    while (breaker()?.breaker !== "closed") {
      expect((await wire.complete(ask)).text).toBe(answer);
      await sleep(5);
    }
    const last = providers.first.seen.slice(-2).map(({ finished, fault }) => [finished, fault.kind]);
    expect(last).toEqual([
      [true, "none"],
      [true, "none"],
    ]);
  });

  test("stays closed however often a caller in a hurry gives up on a slow provider", async () => {
    const { address, providers } = await start({
      first: { schedule: begins(...Array.from({ length: 20 }, (): Fault => ({ kind: "silence" }))) },
      second: {},
    });
    const wires = wireNames.map((name) => openWire(name, address));
    for (let round = 0; round < 5; round++) {
      const told = wires.map((wire) => failureOf(wire.stream({ ...ask, timeoutMs: 300 })));
      for (const failure of await Promise.all(told)) {
        expect(failure.reason.toLowerCase()).toBe("deadline_exceeded");
        expect(attempted(failure.trail)).toEqual(["first caller_gone"]);
      }
    }
    expect(providers.first.seen.length).toBe(20);
    for (const wire of wires) {
      const { trail } = await wire.stream(ask);
      expect(trail).toMatchObject({ attempts: [{ provider: "first", outcome: "ok" }], skips: [] });
    }
  });

  test.each(wireNames)(
    "of the only provider lets some requests through all the same, and answers the others at once, over %s",
    async (name) => {
      const { address, providers } = await start(
        { only: { schedule: [page] } },
        {},
        { routing: { max_attempts: 1, breaker: { sole_cap: "10m", open: "10m", quick_cap: "10m" } } },
      );
      const wire = openWire(name, address);
      for (let count = 0; count < 6; count++) {
        expect(await failureOf(wire.complete(ask))).toMatchObject(allFailed(name));
      }
      // The sixth was the one that finds out whether it has recovered; none in the same moment does.
      const failures = await Promise.all(Array.from({ length: 5 }, () => failureOf(wire.complete(ask))));
      const kept = failures.filter(({ trail }) => trail?.attempts.length === 0);
      expect(kept.length).toBeGreaterThan(0);
      for (const failure of kept) {
        expect(failure).toMatchObject({
          ...nothingToTry(name),
          trail: { attempts: [], skips: ["only/only-model breaker_open 1"] },
        });
        expectWait(failure, name);
      }
      expect(providers.only.seen.length).toBe(6 + failures.length - kept.length);
    },
  );
});

describe("a prompt that is too long for its target", () => {
  const tooLong = status(400, { code: "context_length_exceeded" });
  const windows = (first: number, second: number, third: number) => {
    const models = (name: string, window: number) => ({ models: [{ id: `${name}-model`, context_window: window }] });
    return { first: models("first", first), second: models("second", second), third: models("third", third) };
  };

  test.each(everywhere)("goes to one with a larger context window, $mode over $name", async ({ name, mode }) => {
    const { address, providers } = await start(
      { first: { schedule: [tooLong] }, second: {}, third: {} },
      windows(8000, 4000, 128_000),
    );
    const { text, trail } = await send(openWire(name, address), mode, ask);
    expect(text).toBe(answer);
    expect(attempted(trail)).toEqual(["first request_refused", "third ok"]);
    expect(trail?.skips).toEqual(["second/second-model context_window 2"]);
    expect(providers.second.seen.length).toBe(0);
  });

  test.each(everywhere)("is refused when there is none, $mode over $name", async ({ name, mode }) => {
    const { address, providers } = await start(
      { first: { schedule: [tooLong] }, second: {}, third: {} },
      windows(8000, 4000, 8000),
    );
    const failure = await failureOf(send(openWire(name, address), mode, ask));
    expect(failure.reason.toLowerCase()).toBe("context_length_exceeded");
    expect(attempted(failure.trail)).toEqual(["first request_refused"]);
    expect(providers.first.seen.length).toBe(1);
  });

  test("goes to the next one, or nowhere, where the model is configured so", async () => {
    const providers = await startProviders({ first: { schedule: [tooLong] }, second: {}, third: {} });
    const config = poolConfig(providers, windows(8000, 4000, 128_000));
    const [model] = config.models;
    const models = ["next", "stop"].map((way) => ({ ...model, name: way, on_context_overflow: way }));
    const { address } = await startGateway({ ...config, models }, providers);
    const wire = openWire("gRPC", address);
    const { trail } = await wire.complete({ ...ask, model: "next" });
    expect(attempted(trail)).toEqual(["first request_refused", "second ok"]);
    const failure = await failureOf(wire.complete({ ...ask, model: "stop" }));
    expect(failure.reason).toBe("CONTEXT_LENGTH_EXCEEDED");
    expect(attempted(failure.trail)).toEqual(["first request_refused"]);
  });
});

describe("a health check", () => {
  test("asks for the list of models with the provider's key, and never for a chat", async () => {
    const { providers } = await start({ only: {} }, { only: { health_check: { interval: "100ms" } } });
    await providers.only.arrived(3);
    for (const { method, path, headers, body } of providers.only.seen) {
      expect([method, path, body]).toEqual(["GET", "/v1/models", ""]);
      expect(headers.authorization).toBe("Bearer secret-of-only");
    }
  });

  test.each(wireNames)("that succeeds takes an endpoint in again that had a wrong base URL, over %s", async (name) => {
    const { address, providers } = await start(
      { first: { schedule: [{ kind: "wrong_path" }], modelsFault: { kind: "wrong_path" } }, second: {} },
      { first: { health_check: { interval: "100ms" } } },
    );
    const wire = openWire(name, address);
    expect(attempted((await wire.complete(ask)).trail)).toEqual(["first misconfigured", "second ok"]);
    // Checks that fail change nothing.
    const checks = providers.first.seen.length;
    await until(() => providers.first.seen.length >= checks + 2);
    const { trail } = await wire.complete(ask);
    expect(trail).toMatchObject({ attempts: [{ provider: "second" }], skips: ["first/first-model unhealthy 1"] });
    providers.first.behave({ schedule: [], modelsFault: undefined });
    while ((await wire.complete(ask)).provider !== "first") await sleep(5);
    expect(chats(providers.first).length).toBe(2);
  });
});

describe("equals of one tier", () => {
  const equal: ProviderConfig = { priority: 1 };
  /** Which providers were asked first, in the order of the requests. */
  const picks = (trails: readonly { attempts: readonly { provider: string }[] }[]) =>
    trails.map(({ attempts }) => attempts[0]?.provider);
  const many = (address: string, count: number) => {
    const wires = wireNames.map((name) => openWire(name, address));
    const all = Array.from({ length: count }, (_, index) => ({
      wire: wires[index % wires.length] as (typeof wires)[number], // in range: modulo
      mode: modes[Math.floor(index / wires.length) % modes.length] ?? "unary",
    }));
    return Promise.all(all.map(({ wire, mode }) => send(wire, mode, ask)));
  };
  const strategy = (name: string, providers: Parameters<typeof poolConfig>[0]) => ({
    models: poolConfig(providers).models.map((model) => ({ ...model, strategy: name })),
  });
  async function startEqual<Name extends string>(
    name: string,
    behaviours: Readonly<Record<Name, Partial<Behaviour>>>,
    changes: Parameters<typeof poolConfig>[1] = {},
  ) {
    const providers = await startProviders(behaviours);
    const config = { ...poolConfig(providers, { each: equal, ...changes }), ...strategy(name, providers) };
    return { ...(await startGateway(config, providers)), providers };
  }

  test("share by their weights, at every moment", async () => {
    const { address, trails } = await startEqual(
      "weighted",
      { heavy: {}, light: {} },
      { heavy: { weight: 3 }, light: { weight: 1 } },
    );
    for (let round = 0; round < 10; round++) await many(address, 40);
    const chosen = picks(trails);
    expect(chosen.length).toBe(400);
    let heavy = 0;
    for (const [index, provider] of chosen.entries()) {
      if (provider === "heavy") heavy += 1;
      expect(Math.abs(heavy - (index + 1) * 0.75)).toBeLessThan(2);
    }
    expect(heavy).toBe(300);
  });

  test("are no equals where they are ordered: the first is asked as long as it serves", async () => {
    const { address, trails, providers } = await startEqual("ordered", { first: {}, second: {}, third: {} });
    await many(address, 40);
    expect(new Set(picks(trails))).toEqual(new Set(["first"]));
    providers.first.behave({ schedule: [page] });
    const { trail } = await openWire("gRPC", address).complete(ask);
    expect(attempted(trail)).toEqual(["first transient_fault", "second ok"]);
    expect(providers.third.seen.length).toBe(0);
  });

  test("are chosen by price where the cheapest is wanted, whatever their weights", async () => {
    const priced = (name: string, input: number, output: number) => ({
      weight: name === "cheap" ? 1 : 1000,
      models: [{ id: `${name}-model`, prices: { input_per_1k: input, output_per_1k: output } }],
    });
    const { address, trails, providers } = await startEqual(
      "cheapest",
      { unpriced: {}, dear: {}, cheap: {} },
      { dear: priced("dear", 0.01, 0.03), cheap: priced("cheap", 0.001, 0.002), unpriced: { weight: 1000 } },
    );
    await many(address, 40);
    expect(new Set(picks(trails))).toEqual(new Set(["cheap"]));
    providers.cheap.behave({ schedule: [page] });
    providers.dear.behave({ schedule: [page] });
    const { trail } = await openWire("gRPC", address).complete(ask);
    expect(attempted(trail)).toEqual(["cheap transient_fault", "dear transient_fault", "unpriced ok"]);
  });

  test("are chosen by what they have in hand where the least busy is wanted", async () => {
    const { address, trails, providers } = await startEqual("least_busy", {
      left: { schedule: begins(endless) },
      right: {},
    });
    const letGo = await hold(address, { ask: { provider: "left" } });
    const wire = openWire("Connect", address);
    for (let count = 0; count < 20; count++) await wire.complete(ask);
    expect(new Set(picks(trails.slice(1)))).toEqual(new Set(["right"]));
    await letGo();
    while (providers.left.seen.length < 3) await wire.complete(ask);
  });

  test("are chosen by how soon they answer where the least latency is wanted", async () => {
    const { address, trails } = await startEqual("least_latency", { slow: { latencyMs: 200 }, fast: {} });
    const wires = wireNames.map((name) => openWire(name, address));
    // Whoever is asked first, both have been measured after one request each.
    for (const provider of ["slow", "fast"]) await wires[0]?.stream({ ...ask, provider });
    for (let round = 0; round < 10; round++) for (const wire of wires) await wire.stream(ask);
    expect(new Set(picks(trails.slice(2)))).toEqual(new Set(["fast"]));
  });
});

describe("requests that have something in common", () => {
  const four = { a: {}, b: {}, c: {}, d: {} };
  const equal = { each: { priority: 1 } };
  const groups = Array.from({ length: 8 }, (_, index) => `group-${index}`);

  test("go to one provider of equals: those of a caller, where that is wanted", async () => {
    const callers = groups.map((name) => ({ name, key: `key-of-${name}` }));
    const { address } = await start(four, equal, { routing: { affinity: "caller" }, auth: { callers } });
    const wires = wireNames.map((name) => openWire(name, address));
    const all: string[] = [];
    for (const { key } of callers) {
      const served: string[] = [];
      for (const wire of wires) {
        for (const mode of modes) {
          const { provider } = await send(wire, mode, ask, { headers: { authorization: `Bearer ${key}` } });
          served.push(provider);
        }
      }
      expect(new Set(served).size).toBe(1);
      all.push(...served);
    }
    expect(new Set(all).size).toBeGreaterThan(1);
  });

  const byCacheKey = async () => {
    const { address } = await start(four, equal, { routing: { affinity: "prompt_cache_key" } });
    const client = createClient(ChatService, openTransport("gRPC", address));
    const { prompt, options } = requestOf(ask);
    return {
      async overRest(key: string) {
        const response = await postChat(address, { ...bodyOf(ask), prompt_cache_key: key });
        return ((await response.json()) as { provider: string }).provider;
      },
      async overRpc(key: string) {
        const extensionJson = { prompt_cache_key: JSON.stringify(key) };
        const { completion } = await client.completeChat({ prompt: { ...prompt, extensionJson }, options });
        return completion?.provider;
      },
    };
  };

  test("go to one provider of equals: those with one key of a prompt cache, where that is wanted", async () => {
    const { overRest, overRpc } = await byCacheKey();
    for (const providerOf of [overRest, overRpc]) {
      const all: (string | undefined)[] = [];
      for (const key of groups) {
        const served = [await providerOf(key), await providerOf(key), await providerOf(key)];
        expect(new Set(served).size).toBe(1);
        all.push(...served);
      }
      expect(new Set(all).size).toBeGreaterThan(1);
    }
  });

  test("go to one provider whichever wire they come by", async () => {
    const { overRest, overRpc } = await byCacheKey();
    for (const key of groups) expect(await overRpc(key)).toBe(await overRest(key));
  });
});
