import { describe, expect, test, vi } from "vitest";
import type { Fault } from "../../src/providers/simulated/fault.ts";
import type { AttemptRecord, Trail } from "../../src/routing/trail.ts";
import { poolConfig, startGateway, startProviders, type TestGateway } from "../support/gateway.ts";
import { type Figures, fetchFigures } from "../support/prometheus.ts";
import { postChat, readAll } from "../support/rest.ts";
import { openWire, wireNames } from "../support/wires.ts";

const adminKey = "sk-test-canary-admin-0123456789abcdef";
const auth = { open: true, admin_keys: [adminKey] };
const healthy: Fault = { kind: "none" };
const limited: Fault = { kind: "status", status: 429, code: "rate_limit_exceeded", headers: { "retry-after": "1" } };
const failing: Fault = { kind: "status", status: 500 };
const silent: Fault = { kind: "headers_then_silence" };

/** A gateway's figures when nothing is under way but their own fetching. */
async function settled({ address }: Pick<TestGateway, "address">): Promise<Figures> {
  return vi.waitFor(
    async () => {
      const figures = await fetchFigures(address, adminKey);
      expect(figures.sum("everhop_requests_in_flight")).toBe(1);
      expect(figures.sum("everhop_endpoint_in_flight")).toBe(0);
      return figures;
    },
    { timeout: 10_000 },
  );
}

/** How often each thing comes, by its words. */
function tally(words: Iterable<string>): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1;
  return counts;
}

/** The lines of one metric that are not 0, by the values of their labels. */
function told(figures: Figures, name: string, ...labels: string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { name: own, labels: all, value } of figures.samples) {
    if (own !== name || value === 0) continue;
    const words = labels.map((label) => all[label] ?? "").join(" ");
    counts[words] = (counts[words] ?? 0) + value;
  }
  return counts;
}

const attemptsOf = (trails: readonly Trail[]) =>
  trails.flatMap((trail) => trail.attempts.map((attempt) => ({ trail, attempt })));

/** What all trails together come to must be what the figures say. */
function expectAgreement(figures: Figures, { trails, breakers }: Pick<TestGateway, "trails" | "breakers">): void {
  const attempts = attemptsOf(trails);
  const sumBy = (value: (attempt: AttemptRecord) => number | undefined) => {
    const sums: Record<string, number> = {};
    for (const { attempt } of attempts) {
      const own = value(attempt) ?? 0;
      if (own > 0) sums[attempt.endpoint] = (sums[attempt.endpoint] ?? 0) + own;
    }
    return sums;
  };
  const byEndpoint = (name: string) => {
    const sums = told(figures, name, "everhop_provider", "gen_ai_request_model");
    return Object.fromEntries(Object.entries(sums).map(([words, value]) => [words.replace(" ", "/"), value]));
  };
  expect(told(figures, "everhop_hops_total", "model", "provider", "endpoint", "outcome")).toEqual(
    tally(
      attempts.map(({ trail, attempt }) =>
        [trail.model, attempt.provider, attempt.endpoint, attempt.outcome].join(" "),
      ),
    ),
  );
  const withDuration = attempts.filter(({ attempt }) => attempt.outcome !== "superseded");
  expect(told(figures, "gen_ai_client_inference_duration_seconds_count", "gen_ai_request_model", "error_type")).toEqual(
    tally(
      withDuration.map(({ attempt }) => `${attempt.upstreamModel} ${attempt.outcome === "ok" ? "" : attempt.outcome}`),
    ),
  );
  const seconds = withDuration.reduce((sum, { attempt }) => sum + (attempt.durationMs ?? 0) / 1000, 0);
  expect(figures.sum("gen_ai_client_inference_duration_seconds_sum")).toBeCloseTo(seconds, 6);
  expect(byEndpoint("gen_ai_client_inference_time_to_first_chunk_seconds_count")).toEqual(
    sumBy(({ firstContentMs }) => (firstContentMs === undefined ? 0 : 1)),
  );
  expect(byEndpoint("gen_ai_client_inference_usage_input_tokens_total")).toEqual(
    sumBy(({ usage }) => usage?.inputTokens),
  );
  expect(byEndpoint("gen_ai_client_inference_usage_output_tokens_total")).toEqual(
    sumBy(({ usage }) => usage?.outputTokens),
  );
  expect(byEndpoint("gen_ai_client_inference_operation_output_tokens_count")).toEqual(
    sumBy(({ usage }) => (usage && !usage.estimated ? 1 : 0)),
  );
  const micros = attempts.reduce((sum, { attempt }) => sum + (attempt.costMicros ?? 0), 0);
  expect(figures.sum("everhop_cost_dollars_total")).toBeCloseTo(micros / 1e6, 9);
  const skips = trails.flatMap((trail) => trail.skips);
  expect(told(figures, "everhop_skips_total", "endpoint", "reason")).toEqual(
    tally(skips.map(({ endpoint, reason }) => `${endpoint} ${reason}`)),
  );
  const waits = trails.flatMap((trail) => trail.waits);
  expect(told(figures, "everhop_waits_seconds_count", "reason")).toEqual(tally(waits.map(({ reason }) => reason)));
  expect(figures.sum("everhop_waits_seconds_sum")).toBeCloseTo(
    waits.reduce((sum, { durationMs }) => sum + durationMs / 1000, 0),
    6,
  );
  expect(told(figures, "everhop_breaker_transitions_total", "endpoint", "state")).toEqual(tally(breakers));
  expect(told(figures, "everhop_failovers_total", "model")).toEqual(
    tally(trails.filter((trail) => trail.attempts.length > 1).map(({ model }) => model)),
  );
  const routed = told(figures, "everhop_requests_total", "model");
  delete routed[""];
  expect(routed).toEqual(tally(trails.map(({ model }) => model)));
  const streams = trails.filter((trail) => trail.attempts.some(({ firstContentMs }) => firstContentMs !== undefined));
  expect(told(figures, "everhop_first_token_seconds_count", "model")).toEqual(tally(streams.map(({ model }) => model)));
}

const question = { messages: [{ role: "user", content: "hello there" }] };

/** Asks and reads the whole answer. @returns its status */
async function ask(address: string, changes: object = {}): Promise<number> {
  const response = await postChat(address, { ...question, ...changes });
  await response.text();
  return response.status;
}

describe("figures agree with the trails", () => {
  test("of limits, failures, skips, breakers, tokens and cost", async () => {
    const providers = await startProviders({
      first: { schedule: [limited, healthy, failing, failing, failing, healthy, failing] },
      second: { schedule: [healthy, healthy, healthy, failing, { kind: "close_before_headers" }] },
      third: {},
    });
    const prices = { input_per_1k: 0.5, output_per_1k: 2 };
    const config = {
      ...poolConfig(providers, {
        first: { keys: ["sk-test-canary-1", "sk-test-canary-2"], models: [{ id: "first-model", prices }] },
      }),
      auth,
      routing: { breaker: { consecutive: 3, min_failures: 3, min_calls: 3 }, backoff: { base: "5ms", max: "10ms" } },
    };
    const gateway = await startGateway(config, providers);
    const statuses: number[] = [];
    for (let turn = 0; turn < 24; turn++) statuses.push(await ask(gateway.address, { stream: turn % 2 === 0 }));
    expect(statuses.every((status) => status === 200)).toBe(true);
    const figures = await settled(gateway);
    expectAgreement(figures, gateway);
    // What the run was for has happened.
    expect(figures.sum("everhop_hops_total", { outcome: "rate_limited" })).toBeGreaterThan(0);
    expect(figures.sum("everhop_hops_total", { outcome: "transient_fault" })).toBeGreaterThan(2);
    expect(figures.sum("everhop_skips_total", { reason: "breaker_open" })).toBeGreaterThan(0);
    expect(figures.sum("everhop_breaker_transitions_total", { state: "open" })).toBeGreaterThan(0);
    expect(figures.sum("everhop_failovers_total")).toBeGreaterThan(1);
    expect(figures.sum("everhop_cost_dollars_total", { provider: "first", model: "think" })).toBeGreaterThan(0);
    expect(figures.sum("everhop_requests_total", { protocol: "rest", outcome: "ok", model: "think" })).toBe(24);
    expect(figures.sum("everhop_request_duration_seconds_count", { streaming: "true" })).toBe(12);
    expect(figures.sum("everhop_request_duration_seconds_count", { streaming: "false" })).toBe(12);
  });

  test("of requests that nobody could serve, by the kind of failure that their callers were told", async () => {
    const providers = await startProviders({ first: { schedule: [failing] }, second: { schedule: [limited] } });
    const config = {
      ...poolConfig(providers),
      auth,
      routing: { patience: 0, last_patience: 0, backoff: { base: "1ms", max: "2ms" } },
    };
    const gateway = await startGateway(config, providers);
    const codes: Record<string, number> = {};
    for (let turn = 0; turn < 12; turn++) {
      const response = await postChat(gateway.address, question);
      const { code } = ((await response.json()) as { error: { code: string } }).error;
      codes[code] = (codes[code] ?? 0) + 1;
    }
    await ask(gateway.address, { temperature: "hot" });
    await ask(gateway.address, { model: "nobody-has-this" });
    const figures = await settled(gateway);
    expectAgreement(figures, gateway);
    const outcomes = told(figures, "everhop_requests_total", "outcome");
    expect(outcomes["all_failed"]).toBe(codes["all_providers_failed"]);
    expect((outcomes["all_limited"] ?? 0) + (outcomes["nothing_to_try"] ?? 0)).toBe(12 - (outcomes["all_failed"] ?? 0));
    expect(outcomes).toMatchObject({ invalid_request: 1 });
    expect(figures.sum("everhop_requests_total", { model: "", outcome: "invalid_request" })).toBe(1);
  });

  test("of a slow stream that another one was quicker than", async () => {
    const providers = await startProviders({
      first: { schedule: (number) => (number <= 20 ? healthy : silent) },
      second: {},
    });
    const gateway = await startGateway(
      { ...poolConfig(providers, { each: { timeouts: { first_token: "30s" } } }), auth, routing: { hedge: "on" } },
      providers,
    );
    const stream = async () => readAll(await postChat(gateway.address, { ...question, stream: true }));
    for (let turn = 0; turn < 20; turn++) await stream();
    expect((await settled(gateway)).sum("everhop_hedge_budget_left")).toBe(1);
    await stream();
    const figures = await settled(gateway);
    expectAgreement(figures, gateway);
    expect(told(figures, "everhop_hedges_total", "outcome")).toEqual({ won: 1 });
    expect(figures.sum("everhop_hops_total", { outcome: "superseded", endpoint: "first/first-model" })).toBe(1);
    expect(figures.sum("everhop_hedge_budget_left")).toBe(0);
  });

  test("of streams that break and go on, and of those that do not", async () => {
    const words = Array.from({ length: 60 }, (_, index) => `word${index}`).join(" ");
    const providers = await startProviders({
      first: { text: words, schedule: [{ kind: "cut_after", events: 41 }], eventPerWrite: true },
      second: { text: words, schedule: [healthy, { kind: "cut_after", events: 41 }], eventPerWrite: true },
    });
    const gateway = await startGateway(
      {
        ...poolConfig(providers, { second: { models: [{ id: "second-model", prefill: "none" }] } }),
        auth,
        routing: { breaker: { enabled: false } },
      },
      providers,
    );
    const headers = { "x-everhop-stream-recovery": "continue" };
    const streamed = { ...question, stream: true };
    for (let turn = 0; turn < 2; turn++) await (await postChat(gateway.address, streamed, { headers })).text();
    await (await postChat(gateway.address, streamed)).text();
    const figures = await settled(gateway);
    expectAgreement(figures, gateway);
    const recoveries = gateway.trails.filter(({ attempts }) => attempts.some(({ purpose }) => purpose === "recovery"));
    expect(figures.sum("everhop_recoveries_total")).toBe(recoveries.length);
    expect(figures.sum("everhop_recoveries_total", { outcome: "resumed" })).toBeGreaterThan(0);
    // What a broken stream has cost is a guess, and told apart from what providers count.
    expect(
      figures.sum("gen_ai_client_inference_usage_output_tokens_total", { everhop_usage_estimated: "true" }),
    ).toBeGreaterThan(0);
  });

  test("of requests that wait in line, while they wait and after", async () => {
    const providers = await startProviders({ only: { schedule: [silent, healthy] } });
    const gateway = await startGateway(
      {
        ...poolConfig(providers, { only: { max_concurrent: 1, timeouts: { total: "20s" } } }),
        auth: { ...auth, callers: [{ name: "patient", key: "sk-test-canary-patient", queue: { max_wait: "1m" } }] },
      },
      providers,
    );
    const leaving = new AbortController();
    const first = postChat(gateway.address, question, { signal: leaving.signal }).catch(() => "left");
    await providers.only.arrived(1);
    const second = postChat(gateway.address, question, { headers: { "x-api-key": "sk-test-canary-patient" } });
    const waiting = await vi.waitFor(async () => {
      const figures = await fetchFigures(gateway.address, adminKey);
      expect(figures.sum("everhop_queue_length", { model: "think" })).toBe(1);
      return figures;
    });
    expect(waiting.sum("everhop_requests_in_flight", { protocol: "rest" })).toBe(3);
    expect(waiting.sum("everhop_endpoint_in_flight", { endpoint: "only/only-model" })).toBe(1);
    leaving.abort();
    expect(await first).toBe("left");
    expect((await second).status).toBe(200);
    const figures = await settled(gateway);
    expectAgreement(figures, gateway);
    expect(figures.sum("everhop_waits_seconds_count", { reason: "queue" })).toBe(1);
    expect(figures.sum("everhop_queue_length")).toBe(0);
    expect(figures.sum("everhop_requests_total", { outcome: "caller_gone" })).toBe(1);
  });

  test.each(wireNames)("over %s, under the name of the protocol and the method", async (name) => {
    const providers = await startProviders({ only: {} });
    const gateway = await startGateway({ ...poolConfig(providers), auth }, providers);
    const wire = openWire(name, gateway.address);
    await wire.complete({ text: "hello" });
    await wire.stream({ text: "hello" });
    const figures = await settled(gateway);
    expectAgreement(figures, gateway);
    const protocol = { REST: "rest", gRPC: "grpc", "gRPC-Web": "grpc_web", Connect: "connect" }[name as string] ?? "";
    const operations = {
      rest: { "/v1/chat/completions ok": 2 },
      rpc: { "everhop.v1.ChatService/CompleteChat ok": 1, "everhop.v1.ChatService/StreamChat ok": 1 },
    };
    const requests = figures.samples.filter(
      ({ name: metric, labels }) => metric === "everhop_requests_total" && labels["model"] !== "",
    );
    expect(requests.every(({ labels }) => labels["protocol"] === protocol)).toBe(true);
    expect(
      Object.fromEntries(requests.map(({ labels, value }) => [`${labels["operation"]} ${labels["outcome"]}`, value])),
    ).toEqual(protocol === "rest" ? operations.rest : operations.rpc);
  });
});

describe("figures of what is now", () => {
  test("tell the state of each breaker, 0 closed, 1 half open, 2 open", async () => {
    const providers = await startProviders({ first: { schedule: [failing] }, second: {} });
    const gateway = await startGateway(
      { ...poolConfig(providers), auth, routing: { breaker: { consecutive: 2, min_failures: 2, min_calls: 2 } } },
      providers,
    );
    const stateOf = async (endpoint: string) =>
      (await fetchFigures(gateway.address, adminKey)).sum("everhop_breaker_state", { endpoint });
    // An endpoint that nobody has asked is told, too.
    expect((await fetchFigures(gateway.address, adminKey)).families.get("everhop_breaker_state")?.samples).toHaveLength(
      2,
    );
    expect(await stateOf("first/first-model")).toBe(0);
    while (gateway.breakers.length === 0) await ask(gateway.address);
    expect(await stateOf("first/first-model")).toBe(2);
    expect(await stateOf("second/second-model")).toBe(0);
  });

  test("tell how many keys of a provider are in which state, and nothing of one that wants none", async () => {
    const bad = { kind: "status", status: 401 } as const;
    const spent = { kind: "status", status: 429, code: "insufficient_quota" } as const;
    const ends: Readonly<Record<string, Fault>> = {
      "sk-test-canary-a": bad,
      "sk-test-canary-b": spent,
      "sk-test-canary-c": { ...limited, headers: { "retry-after": "60" } },
    };
    const providers = await startProviders({
      keyed: { schedule: (_number, key) => ends[key ?? ""] ?? healthy },
      keyless: {},
    });
    const gateway = await startGateway(
      {
        ...poolConfig(providers, {
          keyed: { keys: [...Object.keys(ends), "sk-test-canary-d"] },
          keyless: { keys: [] },
        }),
        auth,
      },
      providers,
    );
    for (let turn = 0; turn < 8; turn++) await ask(gateway.address);
    const figures = await settled(gateway);
    expect(told(figures, "everhop_keys", "provider", "state")).toEqual({
      "keyed available": 1,
      "keyed rate_limited": 1,
      "keyed quota_exhausted": 1,
      "keyed key_refused": 1,
    });
    expect(figures.sum("everhop_keys", { provider: "keyless" })).toBe(0);
  });

  test("tell of the process itself", async () => {
    const providers = await startProviders({ only: {} });
    const figures = await settled(await startGateway({ ...poolConfig(providers), auth }, providers));
    const value = (name: string) => figures.sum(name);
    expect(value("process_resident_memory_bytes")).toBeGreaterThan(value("nodejs_heap_size_used_bytes"));
    expect(value("process_cpu_seconds_total")).toBeGreaterThan(0);
    expect(Math.abs(value("process_start_time_seconds") - (Date.now() / 1000 - process.uptime()))).toBeLessThan(5);
    expect(value("nodejs_eventloop_lag_max_seconds")).toBeGreaterThanOrEqual(value("nodejs_eventloop_lag_p50_seconds"));
    expect(figures.families.get("everhop_build_info")?.samples[0]?.labels["version"]).toMatch(/^\d+\.\d+\.\d+/);
  });

  test("count probes, but leave them out of latencies", async () => {
    const providers = await startProviders({ only: {} });
    const gateway = await startGateway({ ...poolConfig(providers), auth }, providers);
    for (let turn = 0; turn < 3; turn++) await (await fetch(`${gateway.address}/readyz`)).text();
    await ask(gateway.address);
    const figures = await settled(gateway);
    expect(figures.sum("everhop_requests_total", { operation: "/readyz", outcome: "ok" })).toBe(3);
    expect(told(figures, "everhop_request_duration_seconds_count", "operation")).toEqual({ "/v1/chat/completions": 1 });
  });
});
