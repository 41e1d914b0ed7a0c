import { describe, expect, test, vi } from "vitest";
import type { AttemptRecord, Trail } from "../../src/routing/trail.ts";
import { checkConfig } from "../../src/server/config.ts";
import { createMetrics } from "../../src/telemetry/metrics/metrics.ts";
import { prometheusText } from "../../src/telemetry/metrics/prometheus-text.ts";
import type { MetricScope } from "../../src/telemetry/metrics/scope.ts";
import { poolConfig, startGateway, startProviders, withLanes } from "../support/gateway.ts";
import { fetchFigures, parseFigures } from "../support/prometheus.ts";
import { postChat } from "../support/rest.ts";

const adminKey = "sk-test-canary-admin-0123456789abcdef";
const callerKey = "sk-test-canary-caller";
const auth = { callers: [{ name: "canary-team", key: callerKey }], admin_keys: [adminKey] };
const headers = { authorization: `Bearer ${callerKey}` };

/** The figures as soon as so many requests for chat are over. */
async function figuresAfter(address: string, requests: number) {
  return vi.waitFor(async () => {
    const figures = await fetchFigures(address, adminKey);
    expect(figures.sum("everhop_requests_total", { operation: "/v1/chat/completions" })).toBe(requests);
    return figures;
  });
}

describe("what stands in labels", () => {
  test("is nothing that a caller has said: no model of its own, no path, no header, no prompt, no key", async () => {
    const providers = await startProviders({ only: { text: "canary-answer" } });
    const { address } = await startGateway({ ...poolConfig(providers), auth }, providers);
    const say = (changes: object) =>
      postChat(
        address,
        {
          messages: [{ role: "user", content: "canary-prompt" }],
          user: "canary-user",
          metadata: { canary: "canary-metadata" },
          ...changes,
        },
        { headers: { ...headers, "x-request-id": "canary-id", "user-agent": "canary-agent" } },
      );
    // The provider declares no models, so it is asked for whatever a caller names.
    for (const model of ["think", "only:canary-direct", "only:canary-other", "canary-unknown"]) {
      await (await say({ model })).text();
    }
    await (await say({ model: "think", provider: "canary-provider" })).text();
    await (await fetch(`${address}/canary-path?canary-query`, { headers })).text();
    await (await fetch(`${address}/v1/models/canary-model`, { headers })).text();
    const figures = await figuresAfter(address, 5);
    expect([...figures.labelValues()].filter((value) => /canary|secret-of/.test(value))).toEqual([]);
    expect(figures.sum("everhop_hops_total", { endpoint: "only/only-model", model: "think", outcome: "ok" })).toBe(1);
    // What callers alone have named is counted together.
    expect(figures.sum("everhop_hops_total", { endpoint: "only/*", model: "*", outcome: "ok" })).toBeGreaterThan(1);
    expect(figures.sum("everhop_hops_total")).toBe(providers.only.seen.length);
    expect(figures.sum("everhop_requests_total", { model: "*" })).toBeGreaterThan(1);
    const text = await (await fetch(`${address}/metrics`, { headers: { "x-admin-key": adminKey } })).text();
    expect(text).not.toMatch(/canary|secret-of/);
  });

  test("is the same number of names however many models callers make up", async () => {
    const providers = await startProviders({ only: {} });
    const { address } = await startGateway({ ...poolConfig(providers), auth }, providers);
    const ask = async (model: string) =>
      (await postChat(address, { model, messages: [{ role: "user", content: "x" }] }, { headers })).text();
    for (let number = 0; number < 5; number++) await ask(`only:made-up-${number}`);
    const few = await figuresAfter(address, 5);
    for (let number = 5; number < 60; number++) await ask(`only:made-up-${number}`);
    const many = await figuresAfter(address, 60);
    const linesOf = ({ samples }: typeof few) =>
      samples
        .filter(({ labels }) => labels["operation"] !== "/metrics")
        .map(({ name, labels }) => JSON.stringify([name, labels]));
    expect(linesOf(many)).toEqual(linesOf(few));
  });

  test("are the names of the configuration in force: with another one the old ones go, and what all have stays", async () => {
    const providers = await startProviders({ old: {}, fresh: {} });
    const configOf = (name: "old" | "fresh") => ({
      ...poolConfig({ [name]: providers[name] }),
      models: [{ name: `${name}-public`, targets: [{ provider: name, model: `${name}-model` }] }],
      auth,
    });
    const { address, gateway } = await startGateway(configOf("old"), providers);
    const ask = async () =>
      (await postChat(address, { messages: [{ role: "user", content: "x" }] }, { headers })).text();
    for (let turn = 0; turn < 3; turn++) await ask();
    expect((await figuresAfter(address, 3)).labelValues()).toContain("old/old-model");
    gateway.adopt(checkConfig(withLanes(configOf("fresh")), "the test"));
    await ask();
    const figures = await figuresAfter(address, 1);
    expect([...figures.labelValues()].filter((value) => value.startsWith("old"))).toEqual([]);
    expect(figures.sum("everhop_hops_total", { endpoint: "fresh/fresh-model", model: "fresh-public" })).toBe(1);
    // It belongs to no model.
    expect(figures.sum("everhop_request_duration_seconds_count", { operation: "/v1/chat/completions" })).toBe(4);
  });
});

/** A configuration of so many providers with an endpoint and a model each. */
function scopeOf(prefix: string, count: number): MetricScope {
  const names = Array.from({ length: count }, (_, index) => `${prefix}-${index}`);
  return {
    models: names,
    providers: names.map((name) => ({ name, kind: "openai", host: "127.0.0.1", port: 80 })),
    endpoints: names.map((name) => ({ id: `${name}/m`, provider: name, upstreamModel: "m" })),
  };
}

const usage = { inputTokens: 3, outputTokens: 4 };

/** Everything that can happen at an endpoint, once. */
function happen({ observer }: ReturnType<typeof createMetrics>, name: string): void {
  const endpoint = `${name}/m`;
  const trail = { model: name } as Trail;
  const attempt = { endpoint, provider: name, outcome: "ok", durationMs: 5, firstContentMs: 2, usage, costMicros: 7 };
  observer.attemptEnded?.(trail, attempt as unknown as AttemptRecord);
  observer.skipped?.(trail, { endpoint, reason: "breaker_open", at: 0, beforeAttempt: 1 });
  observer.breakerChanged?.(endpoint, "open", undefined);
}

describe("how many figures there are", () => {
  test("does not grow with reloads: after a thousand, each with other names, they are as many as after one", () => {
    const metrics = createMetrics(scopeOf("name0", 3), () => []);
    const linesAfter = (number: number) => {
      metrics.adopt(scopeOf(`name${number}`, 3));
      for (let index = 0; index < 3; index++) happen(metrics, `name${number}-${index}`);
      // What is still under way by the configuration before belongs to none of its names any more.
      happen(metrics, `name${number - 1}-0`);
      return prometheusText(metrics.collect()).split("\n").length;
    };
    const first = linesAfter(1);
    let last = 0;
    for (let number = 2; number <= 1000; number++) last = linesAfter(number);
    expect(last).toBe(first);
    expect(first).toBeGreaterThan(100);
    const figures = parseFigures(prometheusText(metrics.collect()));
    expect(figures.sum("everhop_hops_total", { endpoint: "*", provider: "*", model: "*" })).toBe(1000);
    expect([...figures.labelValues()].filter((value) => value.startsWith("name999-"))).toEqual([]);
  });

  test("has an end: beyond 2,000 endpoints none has figures of its own, and nothing is lost", () => {
    const count = 2500;
    const metrics = createMetrics(scopeOf("many", count), () => []);
    for (let index = 0; index < count; index++) happen(metrics, `many-${index}`);
    const families = metrics.collect();
    const hops = families.find(({ name }) => name === "everhop.hops");
    const values = hops?.points.map((point) => ("value" in point ? point.value : 0)) ?? [];
    expect(values).toHaveLength(2001);
    expect(values.reduce((sum, value) => sum + value, 0)).toBe(count);
    for (const { points } of families) expect(points.length).toBeLessThanOrEqual(2001);
  });
});
