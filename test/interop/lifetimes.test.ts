import { connect } from "node:net";
import { createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { describe, expect, test } from "vitest";
import { ChatService } from "../../gen/ts/everhop/v1/chat_service_pb.ts";
import type { Fault } from "../../src/providers/simulated/fault.ts";
import { ShuttingDown } from "../../src/runtime/cancellation.ts";
import { drain } from "../../src/server/shutdown.ts";
import { type ProviderConfig, poolConfig, startGateway, startProviders } from "../support/gateway.ts";
import {
  everywhere,
  failureOf,
  type Mode,
  modes,
  openWire,
  rpcWire,
  send,
  type WireName,
  wireNames,
} from "../support/wires.ts";

const question = { text: "how long is a kangaroo's way home, hop by hop by hop" };
const answer = `You said: ${question.text}`;

/** A first provider that fails as told and a second that is fine. */
async function startPair(fault: Fault, first: ProviderConfig = {}) {
  const providers = await startProviders({ first: { schedule: [fault], eventPerWrite: true }, second: {} });
  const gateway = await startGateway(poolConfig(providers, { first }), providers);
  return { ...gateway, providers };
}

/** Wires that tell the gateway of a deadline and do not watch it themselves, so that the gateway's own answer is seen. */
const byHeader = {
  "grpc-timeout": (address: string, text: string) =>
    rpcWire(
      createClient(
        ChatService,
        createGrpcTransport({
          baseUrl: address,
          idleConnectionTimeoutMs: 1,
          interceptors: [withHeader("grpc-timeout", text)],
        }),
      ),
    ),
  "grpc-timeout of gRPC-Web": (address: string, text: string) =>
    rpcWire(
      createClient(
        ChatService,
        createGrpcWebTransport({
          baseUrl: address,
          httpVersion: "1.1",
          interceptors: [withHeader("grpc-timeout", text)],
        }),
      ),
    ),
  "connect-timeout-ms": (address: string, text: string) =>
    rpcWire(
      createClient(
        ChatService,
        createConnectTransport({
          baseUrl: address,
          httpVersion: "1.1",
          interceptors: [withHeader("connect-timeout-ms", text)],
        }),
      ),
    ),
};

function withHeader(name: string, value: string): Interceptor {
  return (next) => (request) => {
    request.header.set(name, value);
    return next(request);
  };
}

const deadlineTold = (name: string) =>
  name === "REST"
    ? { status: 504, reason: "deadline_exceeded" }
    : { status: "DeadlineExceeded", reason: "DEADLINE_EXCEEDED" };

describe("the caller's deadline", () => {
  test.each(everywhere)(
    "in the request itself ends a silent upstream's attempt, $mode over $name",
    async ({ name, mode }) => {
      const { address, providers, ended } = await startPair({ kind: "silence" });
      const wire = openWire(name, address);
      const ask = { ...question, timeoutMs: 250 };
      const failure = await failureOf(send(wire, mode, ask));
      expect(failure).toMatchObject(deadlineTold(name));
      expect(failure.trail).toMatchObject({
        attempts: [{ provider: "first", outcome: "caller_gone" }],
        partial: false,
      });
      await providers.first.idle();
      expect(providers.first.seen[0]?.aborted).toBe(true);
      expect(providers.second.seen.length).toBe(0);
      expect((await ended(1))[0]?.outcome).toBe("caller_gone");
      if (name === "REST") expect(failure.headers.get("x-should-retry")).toBe("false");
      else expect(failure.headers.get("grpc-retry-pushback-ms")).toBe("-1");
    },
  );

  const headers = [
    { name: "grpc-timeout", value: "250m" },
    { name: "grpc-timeout of gRPC-Web", value: "250m" },
    { name: "connect-timeout-ms", value: "250" },
  ] as const;
  test.each(headers.flatMap((row) => modes.map((mode) => ({ ...row, mode }))))(
    "by $name ends a silent upstream's attempt, $mode",
    async ({ name, value, mode }) => {
      const { address, providers, ended } = await startPair({ kind: "silence" });
      const wire = byHeader[name](address, value);
      const failure = await failureOf(send(wire, mode, question));
      expect(failure).toMatchObject(deadlineTold(name));
      expect(failure.trail?.attempts).toMatchObject([{ provider: "first", outcome: "caller_gone" }]);
      await providers.first.idle();
      expect(providers.first.seen[0]?.aborted).toBe(true);
      expect((await ended(1)).map(({ outcome }) => outcome)).toEqual(["caller_gone"]);
    },
  );

  test.each(["gRPC", "gRPC-Web", "Connect"] as const)(
    "that a client keeps by itself aborts the upstream, over %s",
    async (name) => {
      const first = { schedule: (number: number): Fault => ({ kind: number === 1 ? "none" : "silence" }) };
      const providers = await startProviders({ first });
      const { address, ended } = await startGateway(poolConfig(providers), providers);
      const wire = openWire(name, address);
      // The way to the upstream is open before the time runs: else it might run out on the way.
      expect((await wire.complete(question)).text).toBe(answer);
      const told = [wire.complete(question, { deadlineMs: 500 }), wire.stream(question, { deadlineMs: 500 })];
      for (const failure of await Promise.all(told.map(failureOf))) expect(failure.status).toBe("DeadlineExceeded");
      await providers.first.idle();
      expect(providers.first.seen.map(({ aborted }) => aborted)).toEqual([false, true, true]);
      expect((await ended(3)).map(({ outcome }) => outcome)).toEqual(["ok", "caller_gone", "caller_gone"]);
    },
  );

  test.each(wireNames)(
    "is for the whole call: it also ends a stream that stalls in the middle, over %s",
    async (name) => {
      const { address, providers, ended } = await startPair({ kind: "stall_after" });
      const failure = await failureOf(openWire(name, address).stream({ ...question, timeoutMs: 300 }));
      expect(failure.reason).toBe(deadlineTold(name).reason);
      expect(failure.text).not.toBe("");
      expect(failure.trail?.partial).toBe(true);
      await providers.first.idle();
      expect(providers.first.seen[0]?.aborted).toBe(true);
      expect((await ended(1))[0]?.outcome).toBe("caller_gone");
    },
  );

  test.each(wireNames)("counts over all attempts, not for each, over %s", async (name) => {
    const providers = await startProviders({
      first: { schedule: [{ kind: "html", delayMs: 100 }] },
      second: { schedule: [{ kind: "silence" }] },
    });
    const gateway = await startGateway(poolConfig(providers), providers);
    const failure = await failureOf(openWire(name, gateway.address).complete({ ...question, timeoutMs: 600 }));
    expect(failure).toMatchObject(deadlineTold(name));
    expect(failure.trail?.attempts.map(({ outcome }) => outcome)).toEqual(["transient_fault", "caller_gone"]);
  });

  test("the sooner of the call's own and the options' one counts", async () => {
    const { address } = await startPair({ kind: "silence" });
    const wire = byHeader["connect-timeout-ms"](address, "3600000");
    expect(await failureOf(wire.complete({ ...question, timeoutMs: 100 }))).toMatchObject(deadlineTold("RPC"));
    const other = byHeader["connect-timeout-ms"](address, "100");
    expect(await failureOf(other.complete({ ...question, timeoutMs: 3_600_000 }))).toMatchObject(deadlineTold("RPC"));
  });

  const huge = [
    { name: "grpc-timeout", value: "99999999H" },
    { name: "grpc-timeout of gRPC-Web", value: "99999999H" },
    { name: "grpc-timeout", value: "99999999S" },
    { name: "connect-timeout-ms", value: "9999999999" },
    { name: "connect-timeout-ms", value: "2147483648" },
  ] as const;
  test.each(huge)("of $value by $name does not fire early", async ({ name, value }) => {
    const { address } = await startPair({ kind: "none", delayMs: 60, tokensPerSecond: 500 });
    const wire = byHeader[name](address, value);
    expect((await wire.complete(question)).text).toBe(answer);
    expect((await wire.stream(question)).text).toBe(answer);
  });

  test.each(everywhere)(
    "of 30 years in the request itself does not fire early, $mode over $name",
    async ({ name, mode }) => {
      const { address } = await startPair({ kind: "none", delayMs: 60 });
      const wire = openWire(name, address);
      const ask = { ...question, timeoutMs: 1_000_000_000_000 };
      expect((await send(wire, mode, ask)).text).toBe(answer);
    },
  );

  test("a client's hint of its patience binds until the first content and no longer", async () => {
    const { address, providers } = await startPair({ kind: "silence" });
    const wire = openWire("REST", address);
    const headers = { "x-stainless-timeout": "0.25" };
    expect(await failureOf(wire.stream(question, { headers }))).toMatchObject(deadlineTold("REST"));
    providers.first.behave({ schedule: [{ kind: "none", tokensPerSecond: 10 }] });
    expect((await wire.stream(question, { headers: { "x-stainless-timeout": "1" } })).text).toBe(answer);
  });
});

describe("a caller that leaves", () => {
  const leave = async (name: WireName, mode: Mode, fault: Fault, when: "before" | "amid") => {
    const { address, providers, ended, trails } = await startPair(fault);
    const leaving = new AbortController();
    const wire = openWire(name, address);
    const options = {
      signal: leaving.signal,
      ...(when === "amid" && { onText: () => leaving.abort() }),
    };
    const told = send(wire, mode, question, options);
    const failed = expect(told).rejects.toThrow();
    await providers.first.arrived(1);
    if (when === "before") leaving.abort();
    await failed;
    const [last] = await ended(1);
    expect(last).toMatchObject({ provider: "first", outcome: "caller_gone" });
    await providers.first.idle();
    expect(providers.first.open).toBe(0);
    expect(providers.first.seen[0]?.aborted).toBe(true);
    expect(providers.second.seen.length).toBe(0);
    expect(trails.map(({ attempts }) => attempts.length)).toEqual([1]);
    return trails;
  };

  test.each(everywhere)(
    "before the first content takes the upstream call along, $mode over $name",
    async ({ name, mode }) => {
      const [trail] = await leave(name, mode, { kind: "silence" }, "before");
      expect(trail?.partial).toBe(false);
    },
  );

  test.each(everywhere)(
    "after the upstream's headers takes the upstream call along, $mode over $name",
    async ({ name, mode }) => {
      await leave(name, mode, { kind: "headers_then_silence" }, "before");
    },
  );

  test.each(wireNames)("amid a stream that stalls takes the upstream call along, over %s", async (name) => {
    const [trail] = await leave(name, "stream", { kind: "stall_after" }, "amid");
    expect(trail?.partial).toBe(true);
  });

  test.each(wireNames)("amid a stream that flows takes the upstream call along, over %s", async (name) => {
    await leave(name, "stream", { kind: "none", tokensPerSecond: 3 }, "amid");
  });

  test.each(wireNames)("does not disturb another's call on the same connection, over %s", async (name) => {
    const providers = await startProviders({
      first: { schedule: [{ kind: "silence" }, { kind: "none", tokensPerSecond: 200 }] },
    });
    const { address } = await startGateway(poolConfig(providers), providers);
    const wire = openWire(name, address);
    const leaving = new AbortController();
    const gone = expect(wire.stream(question, { signal: leaving.signal })).rejects.toThrow();
    await providers.first.arrived(1);
    const staying = wire.stream(question);
    await providers.first.arrived(2);
    leaving.abort();
    await gone;
    expect((await staying).text).toBe(answer);
  });
});

describe("the caller's routing", () => {
  const three = async (faults: readonly Fault[] = []) => {
    const schedule = (index: number) => (faults[index] ? { schedule: [faults[index]] } : {});
    const providers = await startProviders({ first: schedule(0), second: schedule(1), third: schedule(2) });
    const config = poolConfig(providers, { third: { kind: "vllm" }, second: { kind: "vllm" } });
    const routing = { backoff: { base: "1ms", max: "1ms" } };
    return { ...(await startGateway({ ...config, routing }, providers)), providers };
  };
  // What is no answer at all is not asked for again while anybody else is left.
  const broken: Fault = { kind: "html" };
  const attempted = (trail: { attempts: readonly { provider: string }[] } | undefined) =>
    trail?.attempts.map(({ provider }) => provider);

  test.each(everywhere)("retry_count 0 means one attempt, $mode over $name", async ({ name, mode }) => {
    const { address, providers } = await three([broken]);
    const wire = openWire(name, address);
    const ask = { ...question, retryCount: 0 };
    const failure = await failureOf(send(wire, mode, ask));
    expect(attempted(failure.trail)).toEqual(["first"]);
    expect(failure.trail?.skips).toEqual(["second/second-model attempt_cap 2", "third/third-model attempt_cap 2"]);
    expect(providers.second.seen.length + providers.third.seen.length).toBe(0);
  });

  test.each(everywhere)("retry_count 1 means two attempts, $mode over $name", async ({ name, mode }) => {
    const { address } = await three([broken, broken]);
    const wire = openWire(name, address);
    const ask = { ...question, retryCount: 1 };
    const failure = await failureOf(send(wire, mode, ask));
    expect(attempted(failure.trail)).toEqual(["first", "second"]);
  });

  test("retry_count cannot raise the gateway's own cap", async () => {
    const providers = await startProviders({ first: { schedule: [broken] }, second: {} });
    const config = { ...poolConfig(providers), routing: { max_attempts: 1 } };
    const { address } = await startGateway(config, providers);
    for (const name of wireNames) {
      const failure = await failureOf(openWire(name, address).complete({ ...question, retryCount: 9 }));
      expect(attempted(failure.trail)).toEqual(["first"]);
    }
  });

  test.each(everywhere)(
    "a provider's name pins the call to it, also when it fails, $mode over $name",
    async ({ name, mode }) => {
      const { address, providers } = await three([{ kind: "none" }, broken]);
      const wire = openWire(name, address);
      const pinned = (provider: string) => send(wire, mode, { ...question, provider });
      expect(attempted((await pinned("third")).trail)).toEqual(["third"]);
      expect(attempted((await failureOf(pinned("second"))).trail)).toEqual(Array(4).fill("second"));
      expect(providers.first.seen.length).toBe(0);
    },
  );

  test.each(everywhere)(
    "a kind pins the call to the providers of that kind, in their order, $mode over $name",
    async ({ name, mode }) => {
      const { address, providers } = await three([{ kind: "none" }, broken]);
      const wire = openWire(name, address);
      const ask = { ...question, provider: "vllm" };
      const { trail, provider } = await send(wire, mode, ask);
      expect(attempted(trail)).toEqual(["second", "third"]);
      expect(provider).toBe("third");
      expect(providers.first.seen.length).toBe(0);
    },
  );

  test.each(everywhere)(
    "fallback_providers are tried in the caller's order, $mode over $name",
    async ({ name, mode }) => {
      const { address } = await three([{ kind: "none" }, broken, broken]);
      const wire = openWire(name, address);
      const ask = { ...question, provider: "third", fallbackProviders: ["second", "first"] };
      const { trail } = await send(wire, mode, ask);
      expect(attempted(trail)).toEqual(["third", "second", "first"]);
    },
  );

  test.each(wireNames)(
    "fallback_providers without a provider come after the model's own pool, over %s",
    async (name) => {
      const providers = await startProviders({ own: { schedule: [broken] }, spare: {} });
      const config = poolConfig(providers, { spare: { default_model: "spare-default" } });
      const models = [{ name: "think", targets: [{ provider: "own", model: "own-model" }] }];
      const { address } = await startGateway({ ...config, models }, providers);
      const { trail } = await openWire(name, address).complete({ ...question, fallbackProviders: ["spare"] });
      expect(attempted(trail)).toEqual(["own", "spare"]);
      expect(providers.spare.seen[0]?.model).toBe("spare-default");
    },
  );

  test.each(everywhere)(
    "a name that nobody bears is the caller's mistake, and told by its field, $mode over $name",
    async ({ name, mode }) => {
      const { address, providers } = await three();
      const wire = openWire(name, address);
      const prefix = name === "REST" ? "" : "options.";
      const refused =
        name === "REST"
          ? { status: 400, reason: "invalid_request" }
          : { status: "InvalidArgument", reason: "INVALID_REQUEST" };
      for (const [ask, field] of [
        [{ provider: "nobody" }, "provider"],
        [{ provider: "first", fallbackProviders: ["second", "nobody"] }, "fallback_providers[1]"],
      ] as const) {
        const whole = { ...question, ...ask };
        const failure = await failureOf(send(wire, mode, whole));
        expect(failure).toMatchObject({ ...refused, fields: [`${prefix}${field}`] });
      }
      expect(Object.values(providers).flatMap(({ seen }) => seen)).toEqual([]);
    },
  );

  test("provider:model asks that provider for that model", async () => {
    const { address, providers } = await three();
    for (const name of wireNames) {
      const { trail } = await openWire(name, address).complete({ ...question, model: "second:any/model:free" });
      expect(attempted(trail)).toEqual(["second"]);
    }
    expect(providers.second.seen.map(({ model }) => model)).toEqual(wireNames.map(() => "any/model:free"));
  });
});

describe("a gateway that drains", () => {
  /** Longer than any test: what is to end must end by itself. */
  const neverMs = 600_000;
  /** Whether a new connection is refused. */
  const refuses = (port: number) =>
    new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1");
      socket.on("connect", () => {
        socket.destroy();
        resolve(false);
      });
      socket.on("error", () => resolve(true));
    });

  test.each(wireNames)("lets a stream in flight end whole and refuses new connections, over %s", async (name) => {
    const providers = await startProviders({ only: { tokensPerSecond: 30 } });
    const { address, port, gateway, listener, clock } = await startGateway(poolConfig(providers), providers);
    const begun = Promise.withResolvers<void>();
    let text = "";
    const told = openWire(name, address).stream(question, {
      onText: (piece) => {
        text += piece;
        begun.resolve();
      },
    });
    await begun.promise;
    const drained = drain({ gateway, listener, clock }, { preStopMs: 0, graceMs: neverMs });
    expect(await refuses(port)).toBe(true);
    // Or nothing was in flight.
    expect(text).not.toBe(answer);
    expect((await told).text).toBe(answer);
    await drained;
    expect(providers.only.seen.map(({ finished }) => finished)).toEqual([true]);
  });

  test.each(wireNames)("lets a unary call in flight end, over %s", async (name) => {
    const providers = await startProviders({ only: { latencyMs: 200 } });
    const { address, gateway, listener, clock } = await startGateway(poolConfig(providers), providers);
    const told = openWire(name, address).complete(question);
    await providers.only.arrived(1);
    const drained = drain({ gateway, listener, clock }, { preStopMs: 0, graceMs: neverMs });
    expect((await told).text).toBe(answer);
    await drained;
  });

  test.each(wireNames)("cuts a stream that outlives the grace, and says so, over %s", async (name) => {
    const { address, providers, gateway, listener, clock, ended } = await startPair({ kind: "stall_after" });
    const begun = Promise.withResolvers<void>();
    const told = failureOf(openWire(name, address).stream(question, { onText: () => begun.resolve() }));
    await begun.promise;
    const drained = drain({ gateway, listener, clock }, { preStopMs: 0, graceMs: 50 });
    const failure = await told;
    if (name !== "REST") expect(failure.status).toBe("Unavailable");
    expect(failure.reason).toBe(name === "REST" ? "service_unavailable" : "SHUTTING_DOWN");
    expect(failure.text).not.toBe("");
    await drained;
    await ended(1);
    await providers.first.idle();
    expect(providers.first.seen[0]?.aborted).toBe(true);
  });

  test.each(everywhere)(
    "cuts what waits for its first content when the grace is over, $mode over $name",
    async ({ name, mode }) => {
      const { address, providers, gateway, listener, clock } = await startPair({ kind: "silence" });
      const wire = openWire(name, address);
      const told = failureOf(send(wire, mode, question));
      await providers.first.arrived(1);
      const drained = drain({ gateway, listener, clock }, { preStopMs: 0, graceMs: 20 });
      const failure = await told;
      expect(failure.status).toBe(name === "REST" ? 503 : "Unavailable");
      await drained;
      expect(providers.second.seen.length).toBe(0);
    },
  );

  test("serves whatever still comes until its grace is over, then turns it away", async () => {
    const providers = await startProviders({ only: {} });
    const { address, gateway } = await startGateway(poolConfig(providers), providers);
    gateway.enter("draining");
    for (const name of wireNames) expect((await openWire(name, address).complete(question)).text).toBe(answer);
    expect(await (await fetch(`${address}/health`)).json()).toMatchObject({ status: "draining" });
    gateway.enter("closing");
    for (const name of wireNames) expect((await openWire(name, address).complete(question)).text).toBe(answer);
    gateway.cut(new ShuttingDown());
    for (const { name, mode } of everywhere) {
      const wire = openWire(name, address);
      const failure = await failureOf(send(wire, mode, question));
      expect(failure.status).toBe(name === "REST" ? 503 : "Unavailable");
      expect(failure.retryDelayMs).toBeGreaterThan(0);
    }
    expect(providers.only.seen.length).toBe(2 * wireNames.length);
  });
});
