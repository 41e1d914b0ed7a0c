import { expect } from "vitest";
import type { AttemptRecord } from "../../src/routing/trail.ts";
import type { Attributes, SpanStatus } from "./otlp-messages.ts";
import type { SpanTree } from "./span-tree.ts";

/** A number that differs from run to run. */
export const someNumber: unknown = expect.any(Number);

const unset: SpanStatus = { code: "UNSET", message: "" };

/** The status of what went wrong. */
export function failed(message: string): SpanStatus {
  return { code: "ERROR", message };
}

/** How one span is to look beside what every one of its kind has. An attribute that is undefined is not there. */
export interface Look {
  readonly status?: SpanStatus;
  readonly attributes?: Attributes;
  readonly events?: SpanTree["events"];
  readonly links?: SpanTree["links"];
}

/** What the span of a request says of the wire that it came by. */
export interface WireLook {
  readonly name: string;
  readonly attributes: Attributes;
}

const http: Attributes = {
  "http.request.method": "POST",
  "url.scheme": "http",
  "http.response.status_code": 200,
  "client.address": "127.0.0.1",
  "server.address": "127.0.0.1",
  "server.port": expect.any(Number),
  "everhop.request.id": expect.stringMatching(/^req_[\da-f]{24}$/),
  "everhop.caller": "anyone",
  "everhop.kept": "sampled",
};

const chatPath = "/v1/chat/completions";

/** A chat over REST. */
export const restChat: WireLook = {
  name: `POST ${chatPath}`,
  attributes: {
    ...http,
    "url.path": chatPath,
    "http.route": chatPath,
    "network.protocol.version": "1.1",
    "user_agent.original": "node",
  },
};

/** A call over gRPC, by grpc-js. */
export function grpcCall(method: string): WireLook {
  return {
    name: method,
    attributes: {
      ...http,
      "url.path": `/${method}`,
      "network.protocol.version": "2",
      "user_agent.original": expect.stringMatching(/^grpc-node-js\/\d+\.\d+\.\d+$/),
      "rpc.system.name": "grpc",
      "rpc.method": method,
      "rpc.status_code": "OK",
    },
  };
}

/** A call over gRPC-Web, as from a page. */
export function grpcWebCall(method: string): WireLook {
  const { attributes } = grpcCall(method);
  return {
    name: method,
    attributes: { ...attributes, "network.protocol.version": "1.1", "user_agent.original": "node" },
  };
}

/** A call over Connect, by its client for Node; one that goes well has no status there. */
export function connectCall(method: string): WireLook {
  return {
    name: method,
    attributes: {
      ...grpcCall(method).attributes,
      "user_agent.original": expect.stringMatching(/^connect-es\/\d+\.\d+\.\d+/),
      "rpc.system.name": "connectrpc",
      "rpc.status_code": undefined,
    },
  };
}

/** The root of a trace. */
export function server(wire: WireLook, look: Look, ...children: SpanTree[]): SpanTree {
  return span(wire.name, "SERVER", wire.attributes, look, children);
}

/** The routing of a request for `think`. @param hops how many attempts it came to */
export function route(hops: number, look: Look, ...children: SpanTree[]): SpanTree {
  const own = { "everhop.model": "think", "everhop.policy": "weighted", "everhop.hops": hops, "everhop.skips": 0 };
  return span("route think", "INTERNAL", own, look, children);
}

/** A hop at `PROVIDER/PROVIDER-model` that goes well. @param index from 1 */
export function hop(provider: string, index: number, look: Look = {}): SpanTree {
  const own = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": `${provider}-model`,
    "gen_ai.request.stream": false,
    "server.address": "127.0.0.1",
    "server.port": someNumber,
    "everhop.model": "think",
    "everhop.attempt": index,
    "everhop.provider": provider,
    "everhop.endpoint": `${provider}/${provider}-model`,
    "everhop.key": "k1",
    "everhop.tier": 1,
    "everhop.outcome": "ok",
    "everhop.breaker": "closed",
  };
  return span(`chat ${provider}-model`, "CLIENT", own, look, []);
}

/** What a whole answer of a simulated provider tells. */
export function answered(provider: string, inputTokens: number, outputTokens: unknown): Attributes {
  return {
    "gen_ai.response.model": `${provider}-model`,
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.usage.input_tokens": inputTokens,
    "gen_ai.usage.output_tokens": outputTokens,
    ...status(200),
  };
}

/** What a simulated provider's answer says in its head. */
export function status(code: number): Attributes {
  return {
    "http.response.status_code": code,
    "everhop.upstream.request_id": expect.stringMatching(/^req_[\da-f]{24}$/),
  };
}

/** A stream of a simulated provider, as far as `answered` does not tell it. */
export function streamed(provider: string, inputTokens: number, outputTokens: unknown): Attributes {
  return {
    ...answered(provider, inputTokens, outputTokens),
    "gen_ai.request.stream": true,
    "gen_ai.response.time_to_first_chunk": someNumber,
  };
}

/** What makes a hop that has failed, as its trail says. @param verdict where it sent the request */
export function hopFailed(
  attempt: AttemptRecord | undefined,
  outcome: string,
  verdict: string,
  blame: string,
  more: Attributes = {},
): Look {
  const hint = attempt?.hint;
  if (!hint) throw new Error("a failure that hints at nothing");
  return {
    status: failed(hint),
    attributes: {
      "error.type": outcome,
      "everhop.outcome": outcome,
      "everhop.verdict": verdict,
      "everhop.blame": blame,
      "everhop.hint": hint,
      ...more,
    },
  };
}

/** The first content of a stream that had some. */
export const firstContent: SpanTree["events"] = [{ name: "first content", attributes: {} }];

/** A wait. @param before of the attempt that it was before */
export function wait(reason: string, before: number): SpanTree {
  const own = { "everhop.wait.reason": reason, "everhop.before_attempt": before, "everhop.model": "think" };
  return span(`wait ${reason}`, "INTERNAL", own, {}, []);
}

/** One candidate was passed over. */
export function skipped(
  endpoint: string,
  reason: string,
  before: number,
  more: Attributes = {},
): SpanTree["events"][number] {
  return {
    name: "skipped",
    attributes: {
      "everhop.endpoint": endpoint,
      "everhop.skip.reason": reason,
      "everhop.before_attempt": before,
      ...more,
    },
  };
}

function span(
  name: string,
  kind: SpanTree["kind"],
  own: Attributes,
  { status = unset, attributes = {}, events = [], links = [] }: Look,
  children: readonly SpanTree[],
): SpanTree {
  const all = Object.entries({ ...own, ...attributes }).filter(([, value]) => value !== undefined);
  return { name, kind, status, attributes: Object.fromEntries(all), events, links, children };
}
