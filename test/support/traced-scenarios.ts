import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import type { Fault } from "../../src/providers/simulated/fault.ts";
import type { Trail } from "../../src/routing/trail.ts";
import { hopSpanId } from "../../src/runtime/trace-context.ts";
import {
  answered,
  connectCall,
  failed,
  firstContent,
  grpcCall,
  grpcWebCall,
  hop,
  hopFailed,
  restChat,
  route,
  server,
  skipped,
  someNumber,
  status,
  streamed,
  type WireLook,
  wait,
} from "./expected-spans.ts";
import { callHttp2 } from "./http2-call.ts";
import type { Attributes } from "./otlp-messages.ts";
import type { SpanTree } from "./span-tree.ts";
import { type Collector, startTraced, type TracedGateway } from "./traced-gateway.ts";
import { type Ask, failureOf, openWire, rpcNames, type WireName, wireNames } from "./wires.ts";

/** A trace that a collector must have now. */
export interface ExpectedTrace {
  readonly traceId: string;
  readonly tree: SpanTree;
}

/** Something that happens to requests, and the traces that it must leave. */
export interface Scenario {
  readonly title: string;
  /** Plays it. The traces have been taken by the collector when it resolves. */
  play(collector: Collector): Promise<{ readonly traces: readonly ExpectedTrace[] }>;
}

const complete = "everhop.v1.ChatService/CompleteChat";
const stream = "everhop.v1.ChatService/StreamChat";

/** Three tokens, which are answered by `You said: …`, five. */
const ask: Ask = { text: "where to hop?" };
const inTokens = 3;
const outTokens = 5;
/** Where nobody has counted them. */
const estimatedInTokens = 4;

function refuses(code: number, headers: Record<string, string> = {}): Fault {
  return { kind: "status", status: code, headers };
}
const quickBackoff = { routing: { backoff: { base: "20ms", max: "20ms" } } };

const wires: Readonly<Record<WireName, WireLook>> = {
  REST: restChat,
  gRPC: grpcCall(complete),
  "gRPC-Web": grpcWebCall(complete),
  Connect: connectCall(complete),
};

const streamWires: Readonly<Record<WireName, WireLook>> = {
  REST: restChat,
  gRPC: grpcCall(stream),
  "gRPC-Web": grpcWebCall(stream),
  Connect: connectCall(stream),
};

const someTime = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);

function trailOf({ trails }: Pick<TracedGateway<string>, "trails">, index = 0): Trail {
  const trail = trails[index];
  if (!trail) throw new Error(`there was no request number ${index + 1}`);
  return trail;
}

/** The trace of a gateway's request by its position; default: the first. */
function trace({ records }: Pick<TracedGateway<string>, "records">, tree: SpanTree, index = 0): ExpectedTrace {
  const record = records[index];
  if (!record) throw new Error(`there was no request number ${index + 1}`);
  return { traceId: record.traceId, tree };
}

/** What a pool's route tells of its endpoints, which are named after their providers. */
function candidates(...told: readonly [provider: string, tier: number, became: string][]): Attributes {
  const lines = told.map(
    ([provider, tier, became]) => `${provider}/${provider}-model tier ${tier} weight 100: ${became}`,
  );
  return { "everhop.candidates": lines };
}

/** What a request's own span says of the way that it took. */
function hops(count: number, kept: "sampled" | "failover" | "error" = "sampled"): Attributes {
  return { "everhop.hops": count, "everhop.failover": count > 1 ? true : undefined, "everhop.kept": kept };
}

/** Resolves when a condition holds; the test's own time limit ends it. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(2);
}

/** A request that holds on to a provider until it is let go. */
function hold(address: string): () => Promise<void> {
  const leaving = new AbortController();
  const held = openWire("REST", address)
    .stream(ask, { signal: leaving.signal })
    .catch(() => {});
  return async () => {
    leaving.abort();
    await held;
  };
}

/** Serves at once, by every wire. */
const served: Scenario[] = (
  [
    { title: "a whole answer over REST", wire: restChat, name: "REST", lanes: "on" },
    { title: "a whole answer over gRPC, by the lane", wire: grpcCall(complete), name: "gRPC", lanes: "on" },
    { title: "a whole answer over gRPC, without lanes", wire: grpcCall(complete), name: "gRPC", lanes: "off" },
    { title: "a whole answer over gRPC-Web", wire: grpcWebCall(complete), name: "gRPC-Web", lanes: "on" },
    { title: "a whole answer over Connect", wire: connectCall(complete), name: "Connect", lanes: "on" },
  ] as const
).map(({ title, wire, name, lanes }) => ({
  title,
  async play(collector) {
    const gateway = await startTraced(collector, { first: {} }, { rest: { server: { lanes } } });
    await openWire(name, gateway.address).complete(ask);
    await gateway.sent(1);
    const tree = server(
      wire,
      { attributes: hops(1) },
      route(
        1,
        { attributes: candidates(["first", 1, "hop 1 ok"]) },
        hop("first", 1, { attributes: answered("first", inTokens, outTokens) }),
      ),
    );
    return { traces: [trace(gateway, tree)] };
  },
}));

/** What is answered without asking anybody, by every wire. */
const refused: Scenario[] = [
  ...wireNames.flatMap((name) => [
    refusal(name, {
      title: "a caller that is nobody",
      headers: { authorization: "Bearer sk-test-canary-nobody" },
      told: { fault: "unauthorized", http: 401, rpc: "UNAUTHENTICATED" },
      isCaller: false,
    }),
    refusal(name, {
      title: "a model that there is not",
      changes: { model: "dream" },
      told: { fault: "unknown_model", http: 404, rpc: "NOT_FOUND" },
    }),
    refusal(name, {
      title: "a prompt that may not be",
      changes: { candidateCount: 1000 },
      told: { fault: "invalid_request", http: 400, rpc: "INVALID_ARGUMENT" },
    }),
  ]),
  refusal("gRPC", {
    title: "a caller that is nobody, without lanes",
    headers: { authorization: "Bearer sk-test-canary-nobody" },
    told: { fault: "unauthorized", http: 401, rpc: "UNAUTHENTICATED" },
    isCaller: false,
    lanes: "off",
  }),
  {
    title: "a route that there is not",
    async play(collector) {
      const gateway = await startTraced(collector, { first: {} });
      const response = await fetch(`${gateway.address}/v1/nothing?key=sk-test-canary-query`, { method: "POST" });
      expect(response.status).toBe(404);
      await gateway.sent(1);
      const { attributes } = restChat;
      const unknown = {
        "url.path": "/v1/nothing",
        "http.route": undefined,
        "http.response.status_code": 404,
        "error.type": "unknown_route",
      };
      const tree = server({ name: "POST", attributes: { ...attributes, ...unknown } }, {});
      expect(response.headers.get("x-everhop-trace-id")).toBe(gateway.records[0]?.traceId);
      return { traces: [trace(gateway, tree)] };
    },
  },
  {
    title: "a method of RPC that there is not",
    async play(collector) {
      const gateway = await startTraced(collector, { first: {} });
      const headers = await callHttp2(gateway.port, { ":path": "/everhop.v1.ChatService/Sing" });
      await gateway.sent(1);
      const unknown = {
        "url.path": "/everhop.v1.ChatService/Sing",
        "http.route": undefined,
        "http.response.status_code": 404,
        "network.protocol.version": "2",
        "user_agent.original": undefined,
        "error.type": "unknown_route",
      };
      const tree = server({ name: "POST", attributes: { ...restChat.attributes, ...unknown } }, {});
      expect(headers["x-everhop-trace-id"]).toBe(gateway.records[0]?.traceId);
      return { traces: [trace(gateway, tree)] };
    },
  },
  {
    title: "a method of HTTP that is somebody's own",
    async play(collector) {
      const gateway = await startTraced(collector, { first: {} });
      const headers = await callHttp2(gateway.port, { ":method": "SING", ":path": "/v1/models" });
      await gateway.sent(1);
      const unknown = {
        "url.path": "/v1/models",
        "http.route": undefined,
        "http.request.method": "_OTHER",
        "http.request.method_original": "SING",
        "http.response.status_code": 405,
        "network.protocol.version": "2",
        "user_agent.original": undefined,
        "error.type": "method_not_allowed",
      };
      const tree = server({ name: "HTTP", attributes: { ...restChat.attributes, ...unknown } }, {});
      expect(headers["x-everhop-trace-id"]).toBe(gateway.records[0]?.traceId);
      return { traces: [trace(gateway, tree)] };
    },
  },
];

interface Refusal {
  readonly title: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly changes?: Partial<Ask>;
  readonly told: { readonly fault: string; readonly http: number; readonly rpc: string };
  readonly isCaller?: boolean;
  readonly lanes?: "on" | "off";
}

/** A refusal is the caller's own doing, so nothing is in error. */
function refusal(
  name: WireName,
  { title, headers = {}, changes, told, isCaller = true, lanes = "on" }: Refusal,
): Scenario {
  return {
    title: `${title}, over ${name}`,
    async play(collector) {
      const key = "sk-test-canary-caller";
      const auth = { callers: [{ name: "shop", key }] };
      const gateway = await startTraced(
        collector,
        { first: {} },
        { providers: { first: { models: ["first-model"] } }, rest: { auth, server: { lanes } } },
      );
      await failureOf(
        openWire(name, gateway.address).complete(
          { ...ask, ...changes },
          { headers: { authorization: `Bearer ${key}`, ...headers } },
        ),
      );
      await gateway.sent(1);
      const byWire: Readonly<Record<WireName, Attributes>> = {
        REST: { "http.response.status_code": told.http },
        gRPC: { "rpc.status_code": told.rpc },
        "gRPC-Web": { "rpc.status_code": told.rpc },
        Connect: { "http.response.status_code": told.http, "rpc.status_code": told.rpc.toLowerCase() },
      };
      const attributes = {
        "everhop.caller": isCaller ? "shop" : undefined,
        "error.type": told.fault,
        ...byWire[name],
      };
      const tree = server(wires[name], { attributes });
      return { traces: [trace(gateway, tree)] };
    },
  };
}

export const scenarios: readonly Scenario[] = [
  ...served,
  ...refused,
  {
    title: "a limited key, and another one of the same endpoint that serves",
    async play(collector) {
      const keys = [
        { name: "team-a", value: "sk-test-canary-team-a" },
        { name: "team-b", value: "sk-test-canary-team-b" },
      ];
      const gateway = await startTraced(
        collector,
        { first: { schedule: (number) => (number === 1 ? refuses(429, { "retry-after": "30" }) : undefined) } },
        { providers: { first: { keys } } },
      );
      await openWire("REST", gateway.address).complete(ask);
      await gateway.sent(1);
      const { attempts } = trailOf(gateway);
      const [one = "", other = ""] = attempts.map(({ keyName }) => keyName);
      expect([one, other].toSorted()).toEqual(["team-a", "team-b"]);
      const limited = hopFailed(attempts[0], "rate_limited", "key", "key", {
        ...status(429),
        "everhop.key": one,
        "everhop.retry_after": 30,
        "everhop.provider_code": "rate_limit_exceeded",
      });
      const tree = server(
        restChat,
        { attributes: hops(2, "failover") },
        route(
          2,
          { attributes: candidates(["first", 1, "hop 1 rate_limited; hop 2 ok"]) },
          hop("first", 1, limited),
          hop("first", 2, { attributes: { ...answered("first", inTokens, outTokens), "everhop.key": other } }),
        ),
      );
      return { traces: [trace(gateway, tree)] };
    },
  },
  {
    title: "a provider that fails, and an equal that serves",
    async play(collector) {
      let calls = 0;
      const schedule = () => (++calls === 1 ? refuses(500) : undefined);
      const gateway = await startTraced(
        collector,
        { first: { schedule }, second: { schedule } },
        { providers: { each: { priority: 1 } } },
      );
      await openWire("REST", gateway.address).complete(ask);
      await gateway.sent(1);
      const { attempts } = trailOf(gateway);
      // Chance decides who comes first.
      const [one = "", other = ""] = attempts.map(({ provider }) => provider);
      expect([one, other].toSorted()).toEqual(["first", "second"]);
      const became = (name: string): [string, number, string] => [
        name,
        1,
        name === one ? "hop 1 transient_fault" : "hop 2 ok",
      ];
      const tree = server(
        restChat,
        { attributes: hops(2, "failover") },
        route(
          2,
          { attributes: candidates(became("first"), became("second")) },
          hop(
            one,
            1,
            hopFailed(attempts[0], "transient_fault", "other", "endpoint", {
              ...status(500),
              "everhop.provider_code": "internal_error",
            }),
          ),
          hop(other, 2, { attributes: answered(other, inTokens, outTokens) }),
        ),
      );
      return { traces: [trace(gateway, tree)] };
    },
  },
  {
    title: "a provider that is silent, and the next tier that serves",
    async play(collector) {
      const gateway = await startTraced(
        collector,
        { first: { schedule: [{ kind: "silence" }] }, second: {} },
        { providers: { first: { timeouts: { first_token: "100ms" } } } },
      );
      await openWire("REST", gateway.address).stream(ask);
      await gateway.sent(1);
      const { attempts } = trailOf(gateway);
      const silent = hopFailed(attempts[0], "transient_fault", "other", "endpoint", {
        "gen_ai.request.stream": true,
        "everhop.maybe_billed": true,
      });
      const tree = server(
        restChat,
        { attributes: hops(2, "failover") },
        route(
          2,
          { attributes: candidates(["first", 1, "hop 1 transient_fault"], ["second", 2, "hop 2 ok"]) },
          hop("first", 1, silent),
          hop("second", 2, {
            attributes: { ...streamed("second", inTokens, outTokens), "everhop.tier": 2 },
            events: firstContent,
          }),
        ),
      );
      return { traces: [trace(gateway, tree)] };
    },
  },
  {
    title: "a breaker that is open, and a link to the hop that has opened it",
    async play(collector) {
      const gateway = await startTraced(
        collector,
        { first: { schedule: [{ kind: "reset_before_headers" }] }, second: {} },
        { rest: { routing: { breaker: { consecutive: 1, open: "1h", quick_cap: "1h" } } } },
      );
      const wire = openWire("REST", gateway.address);
      await wire.complete(ask);
      await wire.complete(ask);
      await gateway.sent(2);
      const opening = trailOf(gateway);
      const reset = hopFailed(opening.attempts[0], "transient_fault", "other", "endpoint", {
        "everhop.maybe_billed": true,
      });
      const secondServes = (index: number) =>
        hop("second", index, { attributes: { ...answered("second", inTokens, outTokens), "everhop.tier": 2 } });
      const opened = server(
        restChat,
        { attributes: hops(2, "failover") },
        route(
          2,
          { attributes: candidates(["first", 1, "hop 1 transient_fault"], ["second", 2, "hop 2 ok"]) },
          hop("first", 1, reset),
          secondServes(2),
        ),
      );
      const link = {
        traceId: opening.traceId,
        spanId: hopSpanId(opening.spanId, 1),
        attributes: { "everhop.link": "breaker_opened_by", "everhop.endpoint": "first/first-model" },
      };
      const led = server(
        restChat,
        { attributes: hops(1, "failover") },
        route(
          1,
          {
            attributes: {
              ...candidates(["first", 1, "skipped, breaker_open"], ["second", 2, "hop 1 ok"]),
              "everhop.skips": 1,
            },
            events: [
              skipped("first/first-model", "breaker_open", 1, {
                "everhop.skip.until": someTime,
                "everhop.skip.opened_by": opening.traceId,
              }),
            ],
            links: [link],
          },
          secondServes(1),
        ),
      );
      return { traces: [trace(gateway, opened, 0), trace(gateway, led, 1)] };
    },
  },
  {
    title: "a stream that is cut after its first content",
    async play(collector) {
      const gateway = await startTraced(collector, {
        first: { schedule: [{ kind: "cut_after", events: 3 }], eventPerWrite: true },
      });
      await failureOf(openWire("REST", gateway.address).stream(ask));
      await gateway.sent(1);
      const { attempts } = trailOf(gateway);
      const cut = hopFailed(attempts[0], "transient_fault", "other", "endpoint", {
        ...streamed("first", estimatedInTokens, 3),
        "gen_ai.response.finish_reasons": undefined,
        "everhop.usage.estimated": true,
        "everhop.maybe_billed": true,
      });
      const broken = { "everhop.partial": true, "error.type": "connection_lost" };
      const tree = server(
        restChat,
        { status: failed("connection_lost"), attributes: { ...hops(1, "error"), ...broken } },
        route(
          1,
          {
            status: failed("connection_lost"),
            attributes: { ...candidates(["first", 1, "hop 1 transient_fault"]), ...broken },
          },
          hop("first", 1, { ...cut, events: firstContent }),
        ),
      );
      return { traces: [trace(gateway, tree)] };
    },
  },
  {
    title: "a stream that is cut, and goes on at another endpoint",
    async play(collector) {
      const text = Array.from({ length: 60 }, (_, index) => `word${index}`).join(" ");
      const gateway = await startTraced(collector, {
        first: { text, schedule: [{ kind: "cut_after", events: 41 }], eventPerWrite: true },
        second: { text },
      });
      await openWire("REST", gateway.address).stream({ ...ask, recovery: "continue" });
      await gateway.sent(1);
      const { attempts } = trailOf(gateway);
      const cut = hopFailed(attempts[0], "transient_fault", "other", "endpoint", {
        ...streamed("first", estimatedInTokens, 68),
        "gen_ai.response.finish_reasons": undefined,
        "everhop.usage.estimated": true,
        "everhop.maybe_billed": true,
      });
      const tree = server(
        restChat,
        { attributes: hops(2, "failover") },
        route(
          2,
          { attributes: candidates(["first", 1, "hop 1 transient_fault"], ["second", 2, "hop 2 ok"]) },
          hop("first", 1, { ...cut, events: firstContent }),
          hop("second", 2, {
            attributes: { ...streamed("second", inTokens, 60), "everhop.tier": 2, "everhop.recovery": true },
            events: firstContent,
          }),
        ),
      );
      return { traces: [trace(gateway, tree)] };
    },
  },
  ...(["REST", "gRPC"] as const).map(
    (name): Scenario => ({
      title: `providers that all fail, told over ${name}`,
      async play(collector) {
        const gateway = await startTraced(collector, {
          first: { schedule: [refuses(500)] },
          second: { schedule: [{ kind: "reset_before_headers" }] },
        });
        await failureOf(openWire(name, gateway.address).complete({ ...ask, retryCount: 1 }));
        await gateway.sent(1);
        const { attempts, skips } = trailOf(gateway);
        expect(skips).toEqual([]);
        const isRest = name === "REST";
        const tree = server(
          isRest ? restChat : grpcCall(complete),
          {
            status: failed("all_failed"),
            attributes: {
              ...hops(2, "error"),
              "error.type": "all_failed",
              ...(isRest ? { "http.response.status_code": 502 } : { "rpc.status_code": "UNAVAILABLE" }),
            },
          },
          route(
            2,
            {
              status: failed("all_failed"),
              attributes: {
                ...candidates(["first", 1, "hop 1 transient_fault"], ["second", 2, "hop 2 transient_fault"]),
                "error.type": "all_failed",
              },
            },
            hop(
              "first",
              1,
              hopFailed(attempts[0], "transient_fault", "other", "endpoint", {
                ...status(500),
                "everhop.provider_code": "internal_error",
              }),
            ),
            hop(
              "second",
              2,
              hopFailed(attempts[1], "transient_fault", "other", "endpoint", {
                "everhop.tier": 2,
                "everhop.maybe_billed": true,
              }),
            ),
          ),
        );
        return { traces: [trace(gateway, tree)] };
      },
    }),
  ),
  ...wireNames.map(
    (name): Scenario => ({
      title: `a caller that leaves, over ${name}`,
      async play(collector) {
        const gateway = await startTraced(collector, { first: { schedule: [{ kind: "silence" }] } });
        const leaving = new AbortController();
        const asked = openWire(name, gateway.address).complete(ask, { signal: leaving.signal });
        await gateway.providers.first.arrived(1);
        leaving.abort();
        await asked.catch(() => {});
        await gateway.sent(1);
        const gone = { "error.type": "caller_gone" };
        const told: Readonly<Record<WireName, Attributes>> = {
          REST: {},
          gRPC: { "rpc.status_code": "CANCELLED" },
          "gRPC-Web": { "rpc.status_code": "CANCELLED" },
          Connect: { "rpc.status_code": "canceled" },
        };
        const left = {
          "everhop.outcome": "caller_gone",
          "everhop.verdict": "stop",
          "everhop.blame": "nobody",
          ...gone,
        };
        const tree = server(
          wires[name],
          // Nothing was sent to whom nobody could send.
          { attributes: { ...hops(1), ...gone, ...told[name], "http.response.status_code": undefined } },
          route(
            1,
            { attributes: { ...candidates(["first", 1, "hop 1 caller_gone"]), ...gone } },
            hop("first", 1, { attributes: left }),
          ),
        );
        return { traces: [trace(gateway, tree)] };
      },
    }),
  ),
  ...wireNames.map(
    (name): Scenario => ({
      title: `a deadline that passes, over ${name}`,
      async play(collector) {
        const gateway = await startTraced(collector, { first: { schedule: [{ kind: "silence" }] } });
        await failureOf(openWire(name, gateway.address).complete({ ...ask, timeoutMs: 300 }));
        await gateway.sent(1);
        const late = { "error.type": "deadline_exceeded" };
        const told: Readonly<Record<WireName, Attributes>> = {
          REST: { "http.response.status_code": 504 },
          gRPC: { "rpc.status_code": "DEADLINE_EXCEEDED" },
          "gRPC-Web": { "rpc.status_code": "DEADLINE_EXCEEDED" },
          Connect: { "http.response.status_code": 504, "rpc.status_code": "deadline_exceeded" },
        };
        const outOfTime = {
          "everhop.outcome": "caller_gone",
          "everhop.verdict": "stop",
          "everhop.blame": "nobody",
          "error.type": "caller_gone",
        };
        const tree = server(
          wires[name],
          { status: failed("deadline_exceeded"), attributes: { ...hops(1, "error"), ...late, ...told[name] } },
          route(
            1,
            {
              status: failed("deadline_exceeded"),
              attributes: { ...candidates(["first", 1, "hop 1 caller_gone"]), ...late },
            },
            hop("first", 1, { attributes: outOfTime }),
          ),
        );
        return { traces: [trace(gateway, tree)] };
      },
    }),
  ),
  ...wireNames.map(
    (name): Scenario => ({
      title: `a caller that leaves in the middle of a stream, over ${name}`,
      async play(collector) {
        const gateway = await startTraced(collector, {
          first: { schedule: [{ kind: "stall_after", events: 3 }], eventPerWrite: true },
        });
        const leaving = new AbortController();
        const asked = openWire(name, gateway.address).stream(ask, {
          signal: leaving.signal,
          onText: () => leaving.abort(),
        });
        await asked.catch(() => {});
        await gateway.sent(1);
        const told: Readonly<Record<WireName, Attributes>> = {
          REST: {},
          gRPC: { "rpc.status_code": "CANCELLED" },
          "gRPC-Web": { "rpc.status_code": "CANCELLED" },
          Connect: { "rpc.status_code": "canceled" },
        };
        const gone = { "error.type": "caller_gone" };
        const left = {
          ...streamed("first", estimatedInTokens, someNumber),
          ...gone,
          "gen_ai.response.finish_reasons": undefined,
          "everhop.usage.estimated": true,
          "everhop.outcome": "caller_gone",
          "everhop.verdict": "stop",
          "everhop.blame": "nobody",
        };
        const partial = { "everhop.partial": true };
        const tree = server(
          streamWires[name],
          // What it does is its own affair, and no error.
          { attributes: { ...hops(1), ...gone, ...told[name], ...partial } },
          route(
            1,
            { attributes: { ...candidates(["first", 1, "hop 1 caller_gone"]), ...gone, ...partial } },
            hop("first", 1, { attributes: left, events: firstContent }),
          ),
        );
        return { traces: [trace(gateway, tree)] };
      },
    }),
  ),
  ...rpcNames.map(
    (name): Scenario => ({
      title: `a client's own deadline that passes, over ${name}`,
      async play(collector) {
        const gateway = await startTraced(collector, { first: { schedule: [{ kind: "silence" }] } });
        await failureOf(openWire(name, gateway.address).stream(ask, { deadlineMs: 300 }));
        await gateway.sent(1);
        const late = { "error.type": "deadline_exceeded" };
        const told = name === "Connect" ? "deadline_exceeded" : "DEADLINE_EXCEEDED";
        const tree = server(
          streamWires[name],
          {
            status: failed("deadline_exceeded"),
            attributes: {
              ...hops(1, "error"),
              ...late,
              "rpc.status_code": told,
              // It has left by itself, a little before or after it was told.
              "http.response.status_code": gateway.records[0]?.httpStatus || undefined,
            },
          },
          route(
            1,
            {
              status: failed("deadline_exceeded"),
              attributes: { ...candidates(["first", 1, "hop 1 caller_gone"]), ...late },
            },
            hop("first", 1, {
              attributes: {
                "gen_ai.request.stream": true,
                "error.type": "caller_gone",
                "everhop.outcome": "caller_gone",
                "everhop.verdict": "stop",
                "everhop.blame": "nobody",
              },
            }),
          ),
        );
        return { traces: [trace(gateway, tree)] };
      },
    }),
  ),
  {
    title: "a breaker that lets one through to see how it fares",
    async play(collector) {
      const gateway = await startTraced(
        collector,
        { first: { schedule: (number) => (number === 1 ? { kind: "reset_before_headers" } : undefined) }, second: {} },
        { rest: { routing: { breaker: { consecutive: 1, open: "50ms", quick_cap: "50ms" } } } },
      );
      const wire = openWire("gRPC", gateway.address);
      await wire.complete(ask);
      // It is open for its time, give or take a half.
      await sleep(100);
      await wire.complete(ask);
      await gateway.sent(2);
      const tree = server(
        grpcCall(complete),
        { attributes: hops(1) },
        route(
          1,
          { attributes: candidates(["first", 1, "hop 1 ok"], ["second", 2, "not needed"]) },
          hop("first", 1, {
            attributes: { ...answered("first", inTokens, outTokens), "everhop.breaker": "half_open" },
          }),
        ),
      );
      return { traces: [trace(gateway, tree, 1)] };
    },
  },
  ...(["REST", "gRPC"] as const).map(
    (name): Scenario => ({
      title: `nobody that could be asked, over ${name}`,
      async play(collector) {
        const gateway = await startTraced(
          collector,
          { first: {}, second: {} },
          { providers: { each: { enabled: false } } },
        );
        await failureOf(openWire(name, gateway.address).complete(ask));
        await gateway.sent(1);
        const none = { "error.type": "nothing_to_try" };
        const tree = server(
          wires[name],
          {
            status: failed("nothing_to_try"),
            attributes: {
              ...hops(0, "error"),
              ...none,
              ...(name === "REST" ? { "http.response.status_code": 503 } : { "rpc.status_code": "UNAVAILABLE" }),
            },
          },
          route(0, {
            status: failed("nothing_to_try"),
            attributes: {
              ...candidates(["first", 1, "skipped, disabled"], ["second", 2, "skipped, disabled"]),
              ...none,
              "everhop.skips": 2,
            },
            events: [skipped("first/first-model", "disabled", 1), skipped("second/second-model", "disabled", 1)],
          }),
        );
        return { traces: [trace(gateway, tree)] };
      },
    }),
  ),
  {
    title: "a wait in the queue, and the answer after it",
    async play(collector) {
      const gateway = await startTraced(
        collector,
        { first: { schedule: (number) => (number === 1 ? { kind: "silence" } : undefined) } },
        { providers: { first: { max_concurrent: 1 } }, rest: { routing: { queue: { max_wait: "20s" } } } },
      );
      const letGo = hold(gateway.address);
      await gateway.providers.first.arrived(1);
      const waiting = openWire("REST", gateway.address).complete(ask);
      await until(() => gateway.trails.length === 2);
      await letGo();
      await waiting;
      await gateway.sent(2);
      const tree = server(
        restChat,
        { attributes: hops(1) },
        route(
          1,
          {
            attributes: {
              ...candidates(["first", 1, "hop 1 ok; skipped, concurrency"]),
              "everhop.skips": 1,
            },
            events: [skipped("first/first-model", "concurrency", 1)],
          },
          wait("queue", 1),
          hop("first", 1, { attributes: answered("first", inTokens, outTokens) }),
        ),
      );
      return { traces: [trace(gateway, tree, 1)] };
    },
  },
  {
    title: "a wait in the queue that is given up",
    async play(collector) {
      const gateway = await startTraced(
        collector,
        { first: { schedule: [{ kind: "silence" }] } },
        { providers: { first: { max_concurrent: 1 } }, rest: { routing: { queue: { max_wait: "30ms" } } } },
      );
      const letGo = hold(gateway.address);
      await gateway.providers.first.arrived(1);
      const { status: told } = await failureOf(openWire("REST", gateway.address).complete(ask));
      expect(told).toBe(429);
      await letGo();
      await gateway.sent(2);
      const limited = { "error.type": "all_limited" };
      const tree = server(
        restChat,
        { attributes: { ...hops(0), ...limited, "http.response.status_code": 429 } },
        route(
          0,
          {
            attributes: {
              ...candidates(["first", 1, "skipped, concurrency"]),
              ...limited,
              "everhop.skips": 1,
            },
            events: [skipped("first/first-model", "concurrency", 1)],
          },
          wait("queue", 1),
        ),
      );
      return { traces: [trace(gateway, tree, 1)] };
    },
  },
  {
    title: "a wait as the provider has asked for it, and the answer after it",
    async play(collector) {
      const gateway = await startTraced(
        collector,
        { first: { schedule: (number) => (number === 1 ? refuses(429, { "retry-after-ms": "150" }) : undefined) } },
        // The longer one of the two is waited for.
        { rest: quickBackoff },
      );
      await openWire("REST", gateway.address).complete(ask);
      await gateway.sent(1);
      const { attempts } = trailOf(gateway);
      const limited = hopFailed(attempts[0], "rate_limited", "key", "key", {
        ...status(429),
        "everhop.retry_after": 0.15,
        "everhop.provider_code": "rate_limit_exceeded",
      });
      const tree = server(
        restChat,
        { attributes: hops(2, "failover") },
        route(
          2,
          { attributes: candidates(["first", 1, "hop 1 rate_limited; hop 2 ok"]) },
          hop("first", 1, limited),
          wait("retry_after", 2),
          hop("first", 2, { attributes: answered("first", inTokens, outTokens) }),
        ),
      );
      return { traces: [trace(gateway, tree)] };
    },
  },
  {
    title: "a wait before a sole provider is asked again",
    async play(collector) {
      const gateway = await startTraced(
        collector,
        { first: { schedule: (number) => (number === 1 ? refuses(500) : undefined) } },
        { rest: quickBackoff },
      );
      await openWire("REST", gateway.address).complete(ask);
      await gateway.sent(1);
      const { attempts } = trailOf(gateway);
      const tree = server(
        restChat,
        { attributes: hops(2, "failover") },
        route(
          2,
          { attributes: candidates(["first", 1, "hop 1 transient_fault; hop 2 ok"]) },
          hop(
            "first",
            1,
            hopFailed(attempts[0], "transient_fault", "other", "endpoint", {
              ...status(500),
              "everhop.provider_code": "internal_error",
            }),
          ),
          wait("backoff", 2),
          hop("first", 2, { attributes: answered("first", inTokens, outTokens) }),
        ),
      );
      return { traces: [trace(gateway, tree)] };
    },
  },
  ...(["won", "superseded"] as const).map(
    (end): Scenario => ({
      title: `a hedge that is ${end}`,
      async play(collector) {
        // The endpoint is known to be quick after twenty streams; then it is not.
        const slow: Fault = end === "won" ? { kind: "headers_then_silence" } : { kind: "none", delayMs: 300 };
        const gateway = await startTraced(
          collector,
          {
            first: { schedule: (number) => (number > 20 ? slow : undefined) },
            second: { schedule: end === "won" ? [] : [{ kind: "headers_then_silence" }] },
          },
          { rest: { routing: { hedge: "on" } } },
        );
        const wire = openWire("REST", gateway.address);
        for (let turn = 0; turn < 20; turn++) await wire.stream(ask);
        await wire.stream(ask);
        await gateway.sent(21);
        const given = {
          attributes: {
            "gen_ai.request.stream": true,
            ...status(200),
            "everhop.outcome": "superseded",
            "everhop.maybe_billed": true,
          },
        };
        const taken = (provider: string) => ({
          attributes: streamed(provider, inTokens, outTokens),
          events: firstContent,
        });
        const [first, second] = end === "won" ? [given, taken("second")] : [taken("first"), given];
        const became = end === "won" ? ["superseded", "ok"] : ["ok", "superseded"];
        const tree = server(
          restChat,
          { attributes: hops(2, "failover") },
          route(
            2,
            {
              attributes: candidates(["first", 1, `hop 1 ${became[0]}`], ["second", 2, `hop 2 ${became[1]}`]),
            },
            hop("first", 1, first),
            hop("second", 2, {
              ...second,
              attributes: { ...second.attributes, "everhop.tier": 2, "everhop.hedge": true },
            }),
          ),
        );
        return { traces: [trace(gateway, tree, 20)] };
      },
    }),
  ),
];
