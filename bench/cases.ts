import type { Client } from "./clients/client.ts";
import { createGrpcClient } from "./clients/grpc.ts";
import { createHttp1Client, type Http1Target } from "./clients/http1.ts";
import type { Load } from "./load.ts";
import * as payloads from "./payloads.ts";
import { eventsPerStream } from "./stream-shape.ts";

/** Whom the calls are made to: the upstream itself, the bare proxy before it, or the gateway before it. */
export type Via = "direct" | "floor" | "gateway";

/** One kind of call that is measured. */
export interface Case {
  readonly name: string;
  /** What its CPU time is told per. */
  readonly unit: "request" | "event";
  readonly unitsPerCall: number;
  readonly load: Load;
  readonly via: readonly Via[];
  /** The case whose direct calls and floor it is compared with, for want of its own. */
  readonly comparedWith?: string;
  client(origin: string): Client;
}

const unary = { unit: "request", unitsPerCall: 1, load: { concurrency: 32 } } as const;
const stream = { unit: "event", unitsPerCall: eventsPerStream, load: { concurrency: 8 } } as const;
const everyWay = ["direct", "floor", "gateway"] as const;
/** As many as a handful of services with one channel each. */
const sessions = 4;

/** The names of the cases, by which ratios refer to them. */
export const caseNames = {
  unary: "REST unary",
  large: "REST unary, 16 KB",
  stream: "REST stream of 50",
  failover: "REST unary, a page first",
  grpc: "gRPC unary",
  grpcStream: "gRPC stream of 50",
  connect: "Connect JSON unary",
  paced: "REST unary, 200/s",
  pacedStream: "REST stream, 100 open",
} as const;

/** All that is measured, in the order in which it is told. */
export const cases: readonly Case[] = [
  { ...unary, name: caseNames.unary, via: everyWay, client: rest({}) },
  { ...unary, name: caseNames.large, via: everyWay, client: rest({ payload: payloads.chatBody({ large: true }) }) },
  {
    ...unary,
    name: caseNames.failover,
    via: ["gateway"],
    comparedWith: caseNames.unary,
    client: rest({ payload: payloads.chatBody({ model: payloads.failoverModel }), attempts: 2 }),
  },
  {
    ...stream,
    name: caseNames.stream,
    via: everyWay,
    client: rest({
      payload: payloads.chatBody({ stream: true }),
      mode: "stream",
      connections: stream.load.concurrency,
    }),
  },
  {
    ...unary,
    name: caseNames.grpc,
    via: ["gateway"],
    comparedWith: caseNames.unary,
    client: (origin) =>
      createGrpcClient({ origin, sessions, method: "CompleteChat", payload: payloads.completeChatFrame() }),
  },
  {
    ...stream,
    name: caseNames.grpcStream,
    via: ["gateway"],
    comparedWith: caseNames.stream,
    client: (origin) =>
      createGrpcClient({ origin, sessions, method: "StreamChat", payload: payloads.streamChatFrame() }),
  },
  {
    ...unary,
    name: caseNames.connect,
    via: ["gateway"],
    comparedWith: caseNames.unary,
    client: rest({ path: "/everhop.v1.ChatService/CompleteChat", payload: payloads.completeChatJson() }),
  },
  {
    ...unary,
    name: caseNames.paced,
    load: { ...unary.load, perSecond: 200 },
    via: everyWay,
    client: rest({}),
  },
  {
    ...stream,
    name: caseNames.pacedStream,
    // 200 a second of half a second each: 100 are open.
    load: { concurrency: 200, perSecond: 200 },
    via: everyWay,
    client: rest({
      payload: payloads.chatBody({ model: payloads.pacedModel, stream: true }),
      mode: "stream",
      connections: 200,
    }),
  },
];

/** Calls over HTTP/1.1; what is not said is a small unary chat request. */
function rest(changes: Partial<Omit<Http1Target, "origin">>): (origin: string) => Client {
  const usual = {
    path: "/v1/chat/completions",
    payload: payloads.chatBody(),
    mode: "unary",
    connections: unary.load.concurrency,
  } as const;
  return (origin) => createHttp1Client({ ...usual, ...changes, origin });
}
