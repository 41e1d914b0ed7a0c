import { describe, expect, test } from "vitest";
import type { Fault } from "../../src/providers/simulated/fault.ts";
import { startProviders } from "../support/gateway.ts";
import { openWire, rpcNames } from "../support/wires.ts";
import { pool, serveLogged } from "./log-program.ts";

const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
const ms = expect.any(Number);
const refused: Fault = { kind: "status", status: 401 };
const limited: Fault = { kind: "status", status: 429 };
const broken: Fault = { kind: "status", status: 500 };
/** Waits that nobody has to wait for. */
const routing = { backoff: { base: "1ms", max: "1ms" }, last_patience: 0 };

describe("the log of requests", () => {
  test("says what may be done where nobody could be asked, too", async () => {
    const { only } = await startProviders({ only: { schedule: [refused] } });
    const program = await serveLogged({ ...pool({ only }), routing });
    await program.chat({ model: "think" });
    await program.chat({ model: "think" });
    const line = await program.logged({ ns: "everhop:request", outcome: "nothing_to_try" });
    expect(line).toMatchObject({
      hops: 0,
      fix: expect.stringMatching(/^only\/m: the provider has refused every key: /),
    });
    expect(await program.stop()).toBe(0);
  });

  test("has one line for a request, with its way, and one for each time it went on elsewhere, by one trace id", async () => {
    const { first, second } = await startProviders({
      first: { schedule: [limited] },
      second: { text: "Here I am." },
    });
    const program = await serveLogged({
      ...pool({ first, second }),
      auth: { callers: [{ name: "team", key: "sk-test-canary-caller" }] },
    });
    const asked = { authorization: "Bearer sk-test-canary-caller" };
    const { status, headers } = await program.chat({ model: "think" }, asked);
    expect(status).toBe(200);
    await program.logged({ ns: "everhop:request" });
    expect(await program.stop()).toBe(0);
    const ids = { request_id: headers.get("x-request-id"), trace_id: headers.get("x-everhop-trace-id") };
    const hint = "add keys or providers, or raise the rate limit";
    expect(program.lines()).toEqual([
      {
        level: "warn",
        time,
        ns: "everhop:hop",
        ...ids,
        caller: "team",
        model: "think",
        from: "first/m#k1",
        to: "second/m#k1",
        attempt: 2,
        switch: "tier",
        class: "rate_limited",
        http_status: 429,
        provider_code: "rate_limit_exceeded",
        reason: "it limits the key's rate",
        fix: hint,
        msg: "first/m#k1 → second/m#k1: it limits the key's rate",
      },
      {
        level: "info",
        time,
        ns: "everhop:request",
        ...ids,
        protocol: "rest",
        method: "POST",
        operation: "/v1/chat/completions",
        caller: "team",
        model: "think",
        stream: false,
        http_status: 200,
        outcome: "ok",
        duration_ms: ms,
        provider: "second",
        hops: 2,
        input_tokens: ms,
        output_tokens: ms,
        trail: [
          {
            attempt: 1,
            endpoint: "first/m",
            key: "k1",
            tier: 1,
            outcome: "rate_limited",
            http_status: 429,
            start_ms: ms,
            duration_ms: ms,
            provider_code: "rate_limit_exceeded",
            next: "key",
            hint,
          },
          {
            attempt: 2,
            endpoint: "second/m",
            key: "k1",
            tier: 2,
            outcome: "ok",
            http_status: 200,
            start_ms: ms,
            duration_ms: ms,
          },
        ],
        msg: "request served",
      },
    ]);
  });

  test("has a line for a request by whatever protocol it came", async () => {
    const { only } = await startProviders({ only: {} });
    const program = await serveLogged(pool({ only }));
    for (const name of rpcNames) {
      const wire = openWire(name, program.address);
      await wire.complete({ text: "Hello", model: "think" });
      await wire.stream({ text: "Hello", model: "think" });
      await expect(wire.complete({ text: "Hello", model: "nobody's" })).rejects.toThrow();
    }
    await program.chat({ model: "think", stream: true });
    await program.logged({ protocol: "rest" });
    const told = program.lines().map(({ protocol, operation, rpc_status: rpc, http_status: http, outcome, stream }) => {
      return [protocol, operation, rpc, http, outcome, stream].join(" ");
    });
    expect(new Set(told)).toEqual(
      new Set([
        ...["grpc", "grpc_web", "connect"].flatMap((protocol) => [
          `${protocol} everhop.v1.ChatService/CompleteChat ok 200 ok false`,
          `${protocol} everhop.v1.ChatService/StreamChat ok 200 ok true`,
          `${protocol} everhop.v1.ChatService/CompleteChat not_found ${protocol === "connect" ? 404 : 200} unknown_model false`,
        ]),
        "rest /v1/chat/completions  200 ok true",
      ]),
    );
    for (const line of program.lines()) {
      expect(line["trace_id"]).toMatch(/^[\da-f]{32}$/);
      if (line["stream"]) expect(line["first_token_ms"]).toEqual(ms);
    }
  });

  test("says from where to where a request went on: another key, the same again, another endpoint, another tier", async () => {
    const { first, second, third } = await startProviders({
      first: { schedule: [refused, broken, refused] },
      second: { schedule: [broken] },
      third: {},
    });
    const { providers, models } = pool({ first, second, third });
    const config = {
      providers: providers.map((each) => ({
        ...each,
        priority: each.name === "third" ? 2 : 1,
        keys: [`sk-test-canary-${each.name}-1`, ...(each.name === "first" ? ["sk-test-canary-first-2"] : [])],
      })),
      models: models.map((each) => ({ ...each, strategy: "ordered" })),
      routing,
    };
    const program = await serveLogged(config);
    expect((await program.chat({ model: "think" })).status).toBe(200);
    await program.logged({ ns: "everhop:request" });
    const switches = program.lines().filter((line) => line["switch"] !== undefined);
    const [key, same, endpoint, tier, ...more] = switches;
    expect(more).toEqual([]);
    const [refusedKey, otherKey] = [key?.["from"], key?.["to"]];
    expect([refusedKey, otherKey].sort()).toEqual(["first/m#k1", "first/m#k2"]);
    expect(key).toMatchObject({ switch: "key", class: "key_refused", http_status: 401 });
    expect(same).toMatchObject({ switch: "same", class: "transient_fault", from: otherKey, to: otherKey });
    expect(same).toMatchObject({ wait_reason: "backoff", wait_ms: ms });
    expect(endpoint).toMatchObject({ switch: "endpoint", class: "key_refused", from: otherKey, to: "second/m#k1" });
    expect(tier).toMatchObject({ switch: "tier", class: "transient_fault", from: "second/m#k1", to: "third/m#k1" });
    for (const line of switches) expect(line["fix"]).toMatch(/\S/);
  });

  test("says that a stream has broken and went on, and who served it in the end", async () => {
    const { first, second } = await startProviders({
      first: { schedule: [{ kind: "cut_after" }], text: "one two three four five six seven eight" },
      second: { text: "one two three four five six seven eight" },
    });
    const { providers, models } = pool({ first, second });
    const program = await serveLogged({
      providers: providers.map((each) => ({ ...each, models: [{ id: "m", prefill: "none" }] })),
      models: models.map((each) => ({ ...each, stream_recovery: "continue" })),
      routing,
    });
    const { text } = await program.chat({ model: "think", stream: true });
    expect(text).toContain("[DONE]");
    const line = await program.logged({ ns: "everhop:request" });
    expect(line).toMatchObject({ outcome: "ok", provider: "second", hops: 2, stream: true });
    expect(program.lines()[0]).toMatchObject({
      ...{ level: "warn", switch: "recovery", from: "first/m#k1", to: "second/m#k1" },
      reason: "its answer broke off",
    });
  });

  test("says at warn what was not served, and what might be done; at info what callers have done wrong", async () => {
    const { only } = await startProviders({
      only: { schedule: [refused, { kind: "cut_after" }, { kind: "none" }] },
    });
    const program = await serveLogged({
      ...pool({ only }),
      auth: { callers: [{ name: "team", key: "sk-test-canary-caller" }] },
      routing: { ...routing, max_attempts: 1 },
    });
    const key = { authorization: "Bearer sk-test-canary-caller" };
    expect((await program.chat({ model: "think" }, key)).status).toBe(502);
    expect(await program.logged({ outcome: "all_failed" })).toMatchObject({
      ...{ level: "warn", http_status: 502, hops: 1, msg: "request not served" },
      fix: "check that the key is valid, and one of this provider's: providers[].keys",
    });
    const next = await serveLogged({ ...pool({ only }), routing: { ...routing, max_attempts: 1 } });
    await next.chat({ model: "think", stream: true });
    expect(await next.logged({ ns: "everhop:request" })).toMatchObject({
      ...{ level: "warn", http_status: 200, partial: true, provider: "only", msg: "request broken off" },
      fix: expect.stringMatching(/^the provider closed the connection too early: /),
    });
    await program.chat({ model: "think" });
    await program.chat({ model: "nobody's" }, key);
    await program.chat({ model: "think", messages: 7 }, key);
    await fetch(`${program.address}/v1/no-such-thing/sk-test-canary-path`, { headers: key });
    await program.logged({ outcome: "unknown_route" });
    expect(
      program
        .lines()
        .filter(({ level }) => level === "info")
        .map(({ http_status: status, outcome, operation, caller, msg }) => [status, outcome, operation, caller, msg]),
    ).toEqual([
      [401, "unauthorized", "/v1/chat/completions", undefined, "request refused"],
      [404, "unknown_model", "/v1/chat/completions", "team", "request refused"],
      [400, "invalid_request", "/v1/chat/completions", "team", "request refused"],
      [404, "unknown_route", undefined, "team", "request refused"],
    ]);
  });

  test("tells of probes only in detail, unless they fail", async () => {
    const { only } = await startProviders({ only: { schedule: [{ kind: "silence" }] } });
    const config = { ...pool({ only }), drain: { pre_stop: "30s" } };
    const quiet = await serveLogged(config);
    const probe = async (path: string) => (await fetch(`${quiet.address}${path}`)).status;
    expect([await probe("/healthz"), await probe("/readyz")]).toEqual([200, 200]);
    await fetch(`${quiet.address}/v1/models`);
    quiet.child.kill("SIGTERM");
    await quiet.said(/SIGTERM: leaving/);
    expect([await probe("/readyz"), await probe("/healthz")]).toEqual([503, 200]);
    await quiet.logged({ level: "warn" });
    expect(quiet.lines().map(({ level, operation, http_status: status }) => [level, operation, status])).toEqual([
      ["info", "/v1/models", 200],
      ["warn", "/readyz", 503],
    ]);
    const talkative = await serveLogged({ ...config, log: { level: "debug" } });
    await fetch(`${talkative.address}/healthz`);
    expect(await talkative.logged({ operation: "/healthz" })).toMatchObject({ level: "debug", outcome: "ok" });
  });

  test("tells when a breaker opens, half opens and closes", async () => {
    let calls = 0;
    const { only } = await startProviders({
      only: { schedule: () => (++calls <= 2 ? broken : { kind: "none" }) },
    });
    const program = await serveLogged({
      ...pool({ only }),
      routing: { ...routing, max_attempts: 1, breaker: { consecutive: 2, open: "300ms", successes_to_close: 1 } },
    });
    await program.chat({ model: "think" });
    await program.chat({ model: "think" });
    const opened = await program.logged({ state: "open" });
    expect(opened).toEqual({
      ...{ level: "warn", time, ns: "everhop:breaker", endpoint: "only/m", state: "open", until: time },
      msg: "breaker open",
    });
    while ((await program.chat({ model: "think" })).status !== 200);
    expect(await program.logged({ state: "half_open" })).toMatchObject({ level: "info", endpoint: "only/m" });
    expect(await program.logged({ state: "closed" })).toMatchObject({ level: "info", endpoint: "only/m" });
  });

  test("tells once that a collector is away, and shows none of its headers", async () => {
    const { only } = await startProviders({ only: {} });
    const program = await serveLogged({
      ...pool({ only }),
      telemetry: { otlp: { endpoint: "http://127.0.0.1:9", headers: { "x-key": "sk-test-canary-collector" } } },
    });
    await program.chat({ model: "think" });
    expect(await program.logged({ ns: "everhop:telemetry" })).toMatchObject({
      level: "warn",
      msg: expect.stringContaining("http://127.0.0.1:9 does not take traces"),
    });
    expect(program.output()).not.toContain("sk-test-canary");
  });
});
