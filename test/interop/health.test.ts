import { createClient, type Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { ChatService } from "../../gen/ts/everhop/v1/chat_service_pb.ts";
import { BreakerState, HealthService, HealthStatus } from "../../gen/ts/everhop/v1/health_service_pb.ts";
import { ModelsService } from "../../gen/ts/everhop/v1/models_service_pb.ts";
import { SkipReason } from "../../gen/ts/everhop/v1/route_trail_pb.ts";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../gen/ts/grpc/health/v1/health_pb.ts";
import type { Behaviour } from "../../src/providers/simulated/behaviour.ts";
import type { Fault } from "../../src/providers/simulated/fault.ts";
import type { ManualState } from "../../src/routing/state.ts";
import { drain } from "../../src/server/shutdown.ts";
import { poolConfig, startGateway, startProviders, type TestGateway } from "../support/gateway.ts";
import { postChat } from "../support/rest.ts";
import { openTransport } from "../support/wires.ts";

const adminKey = "admin-key-of-the-test-0123456789abcdef";

/** Breakers open at the first failure and stay so. */
const quickBreakers = {
  routing: { breaker: { consecutive: 1, open: "10m", quick_cap: "10m", slow_cap: "10m", sole_cap: "10m" } },
};

const serverError: Fault = { kind: "status", status: 500 };
const badKey: Fault = { kind: "status", status: 401 };
const noQuota: Fault = { kind: "status", status: 429, code: "insufficient_quota" };
const limited: Fault = { kind: "status", status: 429, headers: { "retry-after": "600" } };

/** A gateway with the providers `a` and then `b` behind the model `think`, and what is asked of it. */
async function startPair(
  behaviours: { readonly a?: Partial<Behaviour>; readonly b?: Partial<Behaviour> } = {},
  { changes = {}, ...rest }: { readonly changes?: Parameters<typeof poolConfig>[1] } & Record<string, unknown> = {},
) {
  const providers = await startProviders({ a: behaviours.a ?? {}, b: behaviours.b ?? {} });
  const started = await startGateway({ ...poolConfig(providers, changes), ...rest }, providers);
  return { ...started, ...healthOf(started), providers };
}

/** What grpc-js is told about a gateway. */
function healthOf({ address }: TestGateway, transport: Transport = openTransport("gRPC", address)) {
  const client = createClient(Health, transport);
  return {
    async check(service: string): Promise<string> {
      const { status } = await client.check({ service });
      return nameOf(status);
    },
    watch(service: string) {
      const leave = new AbortController();
      onTestFinished(() => leave.abort());
      return { ...reader(client.watch({ service }, { signal: leave.signal })), leave: () => leave.abort() };
    },
  };
}

function nameOf(status: Status): string {
  return Object.entries(Status).find(([, value]) => value === status)?.[0] ?? String(status);
}

/** Reads a stream piece by piece; its end is told as the failure that it ends with. */
function reader(stream: AsyncIterable<{ readonly status: Status }>) {
  const iterator = stream[Symbol.asyncIterator]();
  return {
    async next(): Promise<string> {
      const { done, value } = await iterator.next();
      return done ? "end" : nameOf(value.status);
    },
  };
}

function ask(address: string, headers: Record<string, string> = {}): Promise<Response> {
  return postChat(address, { model: "think", messages: [{ role: "user", content: "how are you" }] }, { headers });
}

const names = ["gRPC", "Connect", "Connect over HTTP/1.1", "gRPC-Web"] as const;

describe.each(names)("the standard health service over %s", (name) => {
  test("knows the process, every service and every public model, and nothing else", async () => {
    const gateway = await startPair({}, { changes: { each: { models: ["a-model", "b-model"] } } });
    const { check } = healthOf(gateway, openTransport(name, gateway.address));
    const served = [
      ChatService.typeName,
      ModelsService.typeName,
      HealthService.typeName,
      Health.typeName,
      "grpc.reflection.v1.ServerReflection",
      "grpc.reflection.v1alpha.ServerReflection",
    ];
    for (const service of ["", ...served, "model/think"])
      expect([service, await check(service)]).toEqual([service, "SERVING"]);
    // What a provider calls its model tells who the providers are.
    for (const service of ["think", "model/", "model/nowhere", "model/a:a-model", "everhop.v1", "model/THINK"]) {
      await expect(check(service), service).rejects.toMatchObject({ code: 5 });
    }
  });

  test("tells a watcher at once, and that a service is unknown without leaving it", async () => {
    const gateway = await startPair();
    const { watch } = healthOf(gateway, openTransport(name, gateway.address));
    const known = watch("model/think");
    const unknown = watch("model/nowhere");
    expect(await known.next()).toBe("SERVING");
    expect(await unknown.next()).toBe("SERVICE_UNKNOWN");
    gateway.gateway.enter("draining");
    expect(await known.next()).toBe("NOT_SERVING");
    gateway.gateway.enter("closing");
    // The stream was there all the while, and had nothing more to say.
    await expect(unknown.next()).rejects.toMatchObject({ code: 14 });
  });
});

test("a model that a provider would only forward is no public model, whoever asks", async () => {
  const providers = await startProviders({ only: {} });
  const config = poolConfig(providers);
  const { check, address } = await startGateway({ ...config }, providers).then((each) => ({
    ...each,
    ...healthOf(each),
  }));
  // It is served all the same.
  const answer = await postChat(address, { model: "anything", messages: [{ role: "user", content: "hi" }] });
  expect(answer.status).toBe(200);
  await expect(check("model/anything")).rejects.toMatchObject({ code: 5 });
});

/** Sets an endpoint by hand, as an operator does. */
function setByHand({ gateway }: TestGateway, state: ManualState["state"], ...providers: string[]): void {
  for (const { endpoint } of gateway.explain("think").candidates) {
    if (!providers.includes(endpoint.provider)) continue;
    gateway.state.endpoint(endpoint).manual = { state, reason: "test", sinceTimeMs: 0 };
  }
}

describe("a model", () => {
  const rows: readonly {
    readonly title: string;
    readonly expected: "SERVING" | "NOT_SERVING";
    readonly start?: () => ReturnType<typeof startPair>;
    readonly happen?: (pair: Awaited<ReturnType<typeof startPair>>) => unknown;
  }[] = [
    {
      title: "whose breakers are all open",
      expected: "NOT_SERVING",
      start: () => startPair({ a: { schedule: [serverError] }, b: { schedule: [serverError] } }, quickBreakers),
      happen: async ({ address, breakers }) => {
        expect((await ask(address)).status).toBe(502);
        expect(breakers).toEqual(["a/a-model open", "b/b-model open"]);
      },
    },
    {
      title: "one of whose breakers is open",
      expected: "SERVING",
      start: () => startPair({ a: { schedule: [serverError] } }, quickBreakers),
      happen: async ({ address, breakers }) => {
        expect((await ask(address)).status).toBe(200);
        expect(breakers).toEqual(["a/a-model open"]);
      },
    },
    {
      title: "whose breakers are forced open",
      expected: "NOT_SERVING",
      happen: (pair) => setByHand(pair, "forced_open", "a", "b"),
    },
    {
      title: "one of whose breakers is forced open",
      expected: "SERVING",
      happen: (pair) => setByHand(pair, "forced_open", "a"),
    },
    {
      title: "whose open breakers are forced closed",
      expected: "SERVING",
      start: () => startPair({ a: { schedule: [serverError] }, b: { schedule: [serverError] } }, quickBreakers),
      happen: async (pair) => {
        await ask(pair.address);
        setByHand(pair, "forced_closed", "b");
      },
    },
    {
      title: "whose providers are switched off by configuration",
      expected: "NOT_SERVING",
      start: () => startPair({}, { changes: { each: { enabled: false } } }),
    },
    {
      title: "one of whose providers is switched off by configuration",
      expected: "SERVING",
      start: () => startPair({}, { changes: { a: { enabled: false } } }),
    },
    {
      title: "whose endpoints are switched off by hand",
      expected: "NOT_SERVING",
      happen: (pair) => setByHand(pair, "disabled", "a", "b"),
    },
    {
      title: "whose endpoints are left to run dry",
      expected: "NOT_SERVING",
      happen: (pair) => setByHand(pair, "draining", "a", "b"),
    },
    {
      title: "whose endpoints serve only who names them",
      expected: "NOT_SERVING",
      start: () => startPair({}, { changes: { each: { weight: 0 } } }),
    },
    {
      title: "whose keys are all refused",
      expected: "NOT_SERVING",
      start: () => startPair({ a: { schedule: [badKey] }, b: { schedule: [badKey] } }),
      happen: async ({ address, providers }) => {
        await ask(address);
        expect(providers.b.seen.length).toBe(1);
      },
    },
    {
      title: "whose keys are all without quota",
      expected: "NOT_SERVING",
      start: () => startPair({ a: { schedule: [noQuota] }, b: { schedule: [noQuota] } }),
      happen: ({ address }) => ask(address),
    },
    {
      title: "whose endpoints are out, each for another reason",
      expected: "NOT_SERVING",
      start: () => startPair({ a: { schedule: [badKey] }, b: { schedule: [serverError] } }, quickBreakers),
      happen: ({ address }) => ask(address),
    },
    {
      title: "whose keys are all limited",
      expected: "SERVING",
      start: () => startPair({ a: { schedule: [limited] }, b: { schedule: [limited] } }),
      happen: async ({ address, gateway }) => {
        expect((await ask(address)).status).toBe(429);
        expect(gateway.explain("think").candidates.map(({ skip }) => skip?.reason)).toEqual([
          "rate_limited",
          "rate_limited",
        ]);
      },
    },
    {
      title: "with a limited key among refused ones",
      expected: "SERVING",
      start: () => {
        const schedule = (_: number, key: string | undefined) => (key === "limited" ? limited : badKey);
        const changes = { a: { keys: ["refused", "limited"] }, b: { enabled: false } };
        return startPair({ a: { schedule } }, { changes });
      },
      happen: async ({ address, providers }) => {
        await ask(address);
        await ask(address);
        expect(new Set(providers.a.seen.map(({ headers }) => headers.authorization))).toEqual(
          new Set(["Bearer refused", "Bearer limited"]),
        );
      },
    },
    {
      title: "with a good key among refused ones",
      expected: "SERVING",
      start: () => {
        const schedule = (_: number, key: string | undefined) => (key === "bad" ? badKey : undefined);
        return startPair({ a: { schedule } }, { changes: { a: { keys: ["bad", "good"] }, b: { enabled: false } } });
      },
      happen: async ({ address, providers }) => {
        for (let turn = 0; turn < 2; turn++) expect((await ask(address)).status).toBe(200);
        expect(providers.a.seen.map(({ headers }) => headers.authorization)).toContain("Bearer bad");
      },
    },
    {
      title: "whose endpoints are at our own limit of requests",
      expected: "SERVING",
      start: () => startPair({}, { changes: { each: { max_rps: 0.01 }, b: { enabled: false } } }),
      happen: async ({ address, gateway }) => {
        expect((await ask(address)).status).toBe(200);
        expect(gateway.explain("think").candidates[0]?.skip?.reason).toBe("rate_limited");
      },
    },
    {
      title: "whose endpoints are at our own limit of calls in flight",
      expected: "SERVING",
      start: () =>
        startPair(
          { a: { schedule: [{ kind: "silence" }] } },
          { changes: { a: { max_concurrent: 1 }, b: { enabled: false } } },
        ),
      happen: async ({ address, gateway }) => {
        const leave = new AbortController();
        onTestFinished(() => leave.abort());
        const body = { model: "think", messages: [{ role: "user", content: "a long one" }] };
        postChat(address, body, { signal: leave.signal }).catch(() => {});
        await vi.waitFor(() => expect(gateway.explain("think").candidates[0]?.skip?.reason).toBe("concurrency"));
      },
    },
  ];

  test.each(rows)("$title is $expected", async ({ expected, start = () => startPair(), happen }) => {
    const pair = await start();
    await happen?.(pair);
    expect(await pair.check("model/think")).toBe(expected);
    expect(await pair.watch("model/think").next()).toBe(expected);
    // What providers do is no reason to restart a process.
    expect(await pair.check("")).toBe("SERVING");
    expect(await pair.check(ChatService.typeName)).toBe("SERVING");
  });

  test("is told to its watchers when its breakers open, and again when a call would be let through", async () => {
    const failing = { schedule: [serverError] };
    const { watch, address, clock } = await startPair({ a: failing, b: failing }, quickBreakers);
    const watcher = watch("model/think");
    expect(await watcher.next()).toBe("SERVING");
    await ask(address);
    expect(await watcher.next()).toBe("NOT_SERVING");
    // Their time is over, and no call has come: a balancer sends none to whoever cannot serve.
    const { now } = clock;
    vi.spyOn(clock, "now").mockImplementation(() => now() + 11 * 60_000);
    onTestFinished(() => void vi.restoreAllMocks());
    expect(await watcher.next()).toBe("SERVING");
  });

  test("is told to a watcher who came later as it is then", async () => {
    const gateway = await startPair();
    const early = gateway.watch("model/think");
    expect(await early.next()).toBe("SERVING");
    setByHand(gateway, "disabled", "a", "b");
    expect(await gateway.watch("model/think").next()).toBe("NOT_SERVING");
    expect(await early.next()).toBe("NOT_SERVING");
  });
});

/** Whether a timer is being started for the look that all watchers share. */
function isLook(): boolean {
  return new Error().stack?.includes("/watched.ts") ?? false;
}

describe("a process that leaves", () => {
  const everything = ["", ChatService.typeName, "model/think"];

  test("is NOT_SERVING with all that it has, at once", async () => {
    const { gateway, check, watch, clock } = await startPair();
    // The look that comes every second does not come to its help.
    const { schedule } = clock;
    vi.spyOn(clock, "schedule").mockImplementation((ms, callback) => (isLook() ? () => {} : schedule(ms, callback)));
    onTestFinished(() => void vi.restoreAllMocks());
    const watchers = everything.map((service) => watch(service));
    for (const watcher of watchers) expect(await watcher.next()).toBe("SERVING");
    gateway.enter("draining");
    for (const watcher of watchers) expect(await watcher.next()).toBe("NOT_SERVING");
    for (const service of everything) expect(await check(service)).toBe("NOT_SERVING");
    expect(await watch("").next()).toBe("NOT_SERVING");
    await expect(check("nowhere")).rejects.toMatchObject({ code: 5 });
  });

  test("says so to its watchers before it closes their streams, however quickly it leaves", async () => {
    const { gateway, watch } = await startPair();
    const watchers = everything.map((service) => watch(service));
    for (const watcher of watchers) expect(await watcher.next()).toBe("SERVING");
    gateway.enter("draining");
    gateway.enter("closing");
    for (const watcher of watchers) {
      expect(await watcher.next()).toBe("NOT_SERVING");
      await expect(watcher.next()).rejects.toMatchObject({ code: 14 });
    }
  });

  test("does not wait for its watchers", async () => {
    const { gateway, listener, clock, watch } = await startPair();
    const watcher = watch("");
    expect(await watcher.next()).toBe("SERVING");
    // Far longer than the test may take.
    await drain({ gateway, listener, clock }, { preStopMs: 0, graceMs: 3_600_000 });
    expect(await watcher.next()).toBe("NOT_SERVING");
    await expect(watcher.next()).rejects.toMatchObject({ code: 14 });
  });
});

test("a name that nobody could have given is refused instead of kept", async () => {
  const { watch, check } = await startPair();
  await expect(watch("x".repeat(1025)).next()).rejects.toMatchObject({ code: 3 });
  await expect(check("x".repeat(1025))).rejects.toMatchObject({ code: 5 });
});

describe("a thousand watchers", () => {
  /** Counts the looks that are due. */
  function countLooks(clock: TestGateway["clock"]): { readonly due: number } {
    const { schedule } = clock;
    let due = 0;
    vi.spyOn(clock, "schedule").mockImplementation((delayMs, callback) => {
      if (!isLook()) return schedule(delayMs, callback);
      let over = false;
      const end = () => {
        if (!over) due -= 1;
        over = true;
      };
      due += 1;
      const stop = schedule(delayMs, () => {
        end();
        callback();
      });
      return () => {
        end();
        stop();
      };
    });
    onTestFinished(() => void vi.restoreAllMocks());
    return {
      get due() {
        return due;
      },
    };
  }

  test("share one look a second, and leave nothing behind", async () => {
    const gateway = await startPair();
    const looks = countLooks(gateway.clock);
    const connections = Array.from({ length: 10 }, () => new Http2SessionManager(gateway.address));
    onTestFinished(() => {
      for (const connection of connections) connection.abort();
    });
    const services = ["", "model/think", "nowhere", ChatService.typeName];
    const watchers = connections.flatMap((sessionManager) => {
      const { watch } = healthOf(gateway, createGrpcTransport({ baseUrl: gateway.address, sessionManager }));
      return Array.from({ length: 100 }, (_, index) => watch(services[index % services.length] ?? ""));
    });
    expect(looks.due, "nobody has been told anything yet").toBe(0);
    const told = await Promise.all(watchers.map((watcher) => watcher.next()));
    expect(told.filter((status) => status === "SERVING").length).toBe(750);
    expect(looks.due).toBe(1);
    const ends = watchers.map((watcher) => watcher.next().catch(() => "gone"));
    // All but one: by leaving the call, or with the whole connection.
    for (const watcher of watchers.slice(1, 500)) watcher.leave();
    for (const connection of connections.slice(5)) connection.abort();
    await Promise.all(ends.slice(1));
    expect(looks.due).toBe(1);
    watchers[0]?.leave();
    await vi.waitFor(() => expect(looks.due).toBe(0), { timeout: 20_000 });
    // And the next one is served as the first was.
    expect(await gateway.watch("model/think").next()).toBe("SERVING");
    expect(looks.due).toBe(1);
  });
});

describe("GetHealth", () => {
  const callers = { auth: { callers: [{ name: "team", key: "key-of-a-team" }], admin_keys: [adminKey] } };
  const open = ({ address }: TestGateway) => createClient(HealthService, openTransport("gRPC", address));
  const asAdmin = { headers: { authorization: `Bearer ${adminKey}` } };
  const rowsOf = ({ components }: { components: readonly { name: string; status: HealthStatus; detail: string }[] }) =>
    components.map(({ name, status, detail }) => [name, status, detail]);

  test("tells anybody that all is well, with the version and each component", async () => {
    const gateway = await startPair({}, callers);
    const health = await open(gateway).getHealth({});
    expect(health.status).toBe(HealthStatus.SERVING);
    expect(health.version).toMatch(/^\d+\.\d+\.\d+/);
    expect(rowsOf(health)).toEqual([
      ["process", HealthStatus.SERVING, ""],
      ["models", HealthStatus.SERVING, "1 of 1 can be served"],
      ["keys", HealthStatus.SERVING, "2 of 2 can be used"],
    ]);
  });

  test.each([
    ["nobody", {}],
    ["a caller", { authorization: "Bearer key-of-a-team" }],
    ["a wrong key", { authorization: `Bearer ${adminKey}x` }],
  ])("keeps the endpoints from %s", async (_, headers) => {
    const gateway = await startPair({}, callers);
    const health = await open(gateway).getHealth({}, { headers: headers as Record<string, string> }); // one shape
    expect(health.status).toBe(HealthStatus.SERVING);
    expect(health.endpoints).toEqual([]);
    expect(JSON.stringify(rowsOf(health))).not.toMatch(/think|a-model|\ba\b/);
  });

  test("is degraded when one of two models cannot be served, and tells an admin why", async () => {
    const providers = await startProviders({ a: { schedule: [serverError] }, b: { schedule: [badKey] } });
    const config = poolConfig(providers, { b: { keys: ["secret-of-b", "other-of-b"] } });
    const models = [
      { name: "think", targets: [{ provider: "a", model: "a-model" }] },
      { name: "other", targets: [{ provider: "b", model: "b-model" }] },
    ];
    const gateway = await startGateway({ ...config, ...callers, ...quickBreakers, models }, providers);
    await ask(gateway.address, { authorization: "Bearer key-of-a-team" });
    const health = await open(gateway).getHealth({}, asAdmin);
    expect(health.status).toBe(HealthStatus.DEGRADED);
    expect(rowsOf(health).slice(1)).toEqual([
      ["models", HealthStatus.DEGRADED, "1 of 2 can be served"],
      ["keys", HealthStatus.SERVING, "3 of 3 can be used"],
    ]);
    const [first, second] = health.endpoints;
    expect(health.endpoints.length).toBe(2);
    expect(first).toMatchObject({
      endpoint: "a/a-model",
      breaker: BreakerState.OPEN,
      keys: 1,
      usableKeys: 1,
      inFlight: 0,
      skipReason: SkipReason.BREAKER_OPEN,
    });
    const seconds = Number(first?.untilTime?.seconds);
    expect(seconds).toBeGreaterThan(gateway.clock.wallTime() / 1000);
    expect(second).toMatchObject({
      endpoint: "b/b-model",
      breaker: BreakerState.CLOSED,
      keys: 2,
      usableKeys: 2,
      skipReason: SkipReason.UNSPECIFIED,
      detail: "",
    });
    expect(second?.untilTime).toBeUndefined();
  });

  test("cannot serve when no model can, and tells an admin of the keys", async () => {
    const gateway = await startPair({ a: { schedule: [badKey] }, b: { schedule: [noQuota] } }, callers);
    await ask(gateway.address, { authorization: "Bearer key-of-a-team" });
    const health = await open(gateway).getHealth({}, asAdmin);
    expect(health.status).toBe(HealthStatus.NOT_SERVING);
    expect(rowsOf(health).slice(1)).toEqual([
      ["models", HealthStatus.NOT_SERVING, "0 of 1 can be served"],
      ["keys", HealthStatus.NOT_SERVING, "0 of 2 can be used"],
    ]);
    expect(health.endpoints).toMatchObject([
      { endpoint: "a/a-model", keys: 1, usableKeys: 0, skipReason: SkipReason.NO_KEY, detail: "1 refused" },
      {
        endpoint: "b/b-model",
        keys: 1,
        usableKeys: 0,
        skipReason: SkipReason.QUOTA_EXHAUSTED,
        detail: "1 without quota",
      },
    ]);
  });

  test("is degraded when some keys are refused", async () => {
    const gateway = await startPair({ a: { schedule: [badKey] } }, callers);
    await ask(gateway.address, { authorization: "Bearer key-of-a-team" });
    const health = await open(gateway).getHealth({});
    expect(health.status).toBe(HealthStatus.DEGRADED);
    expect(rowsOf(health).slice(1)).toEqual([
      ["models", HealthStatus.SERVING, "1 of 1 can be served"],
      ["keys", HealthStatus.DEGRADED, "1 of 2 can be used"],
    ]);
  });

  test("counts an admin the calls in flight", async () => {
    const gateway = await startPair({ a: { schedule: [{ kind: "silence" }] } }, callers);
    const leave = new AbortController();
    onTestFinished(() => leave.abort());
    const body = { model: "think", messages: [{ role: "user", content: "a long one" }] };
    const headers = { authorization: "Bearer key-of-a-team" };
    postChat(gateway.address, body, { signal: leave.signal, headers }).catch(() => {});
    const health = open(gateway);
    await vi.waitFor(async () => {
      const { endpoints } = await health.getHealth({}, asAdmin);
      expect(endpoints.map(({ inFlight }) => inFlight)).toEqual([1, 0]);
    });
  });

  test("names no host, address or key to anybody", async () => {
    const gateway = await startPair(
      { a: { schedule: [badKey] }, b: { schedule: [serverError] } },
      { ...callers, ...quickBreakers },
    );
    await ask(gateway.address, { authorization: "Bearer key-of-a-team" });
    for (const options of [{}, asAdmin]) {
      const health = await open(gateway).getHealth({}, options);
      const told = JSON.stringify(health, (_, value) => (typeof value === "bigint" ? String(value) : value));
      expect(told).toContain("can be served");
      expect(told).not.toMatch(/127\.0\.0\.1|localhost|http|secret|key-of|k1/i);
      for (const { baseUrl } of Object.values(gateway.providers)) expect(told).not.toContain(new URL(baseUrl).port);
    }
  });

  test("is draining from the first moment of the leaving", async () => {
    const gateway = await startPair({ a: { schedule: [badKey] } }, callers);
    const health = open(gateway);
    gateway.gateway.enter("draining");
    const { status, components } = await health.getHealth({});
    expect(status).toBe(HealthStatus.DRAINING);
    expect(components[0]).toMatchObject({ name: "process", status: HealthStatus.DRAINING });
  });
});
