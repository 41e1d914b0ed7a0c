import type { Client } from "./clients/client.ts";
import { createGrpcClient, type GrpcTarget } from "./clients/grpc.ts";
import { createHttp1Client, type Http1Target } from "./clients/http1.ts";
import type { Load } from "./load.ts";
import * as payloads from "./payloads.ts";
import type { Door } from "./processes/tested.ts";
import { eventsPerSilentStream, eventsPerStream } from "./stream-shape.ts";
import type { Peer, Via } from "./via.ts";

/** One kind of call that is measured. */
export interface Case {
  readonly name: string;
  /** What its CPU time is told per. */
  readonly unit: "request" | "event";
  readonly unitsPerCall: number;
  readonly load: Load;
  /** How many rounds' time it takes: at a pace there are few calls in one. 1 if left out. */
  readonly stretch?: number;
  readonly via: readonly Via[];
  /** The case whose direct calls and floor it is compared with, for want of its own. */
  readonly comparedWith?: string;
  /** Whether it belongs to a quick run. */
  readonly isQuick: boolean;
  client(door: Door): Client;
}

/** Streams that are all open at once, silent after their first content, and then end. */
export interface OpenCase {
  readonly name: string;
  readonly streams: number;
  readonly via: readonly Via[];
  client(door: Door): Client;
}

const unary = { unit: "request", unitsPerCall: 1, load: { concurrency: 32 }, isQuick: false } as const;
const stream = { unit: "event", unitsPerCall: eventsPerStream, load: { concurrency: 8 }, isQuick: false } as const;
const peers: readonly Peer[] = ["nginx", "envoy", "portkey"];
const ours: readonly Via[] = ["direct", "floor", "gateway"];
/** As many as a handful of services with one channel each. */
const sessions = 4;
const streamsPerSession = 500;

/** The names of the cases, by which ratios refer to them. */
export const caseNames = {
  unary: "REST unary",
  large: "REST unary, 16 KB",
  failover: "REST unary, one failed hop",
  stream: "REST stream of 50",
  grpc: "gRPC unary",
  grpcStream: "gRPC stream of 50",
  grpcWeb: "gRPC-Web unary",
  connect: "Connect JSON unary",
  paced: "REST unary, 200/s",
  pacedStream: "REST stream, 100 open",
  pacedGrpcStream: "gRPC stream, 100 open",
} as const;

/** 200 a second of half a second each: 100 are open. */
const hundredOpen = { concurrency: 200, perSecond: 200 };

/** All that is measured by calls that come and go, in the order in which it is told. */
export const cases: readonly Case[] = [
  { ...unary, name: caseNames.unary, isQuick: true, via: [...ours, ...peers], client: rest({}) },
  {
    ...unary,
    name: caseNames.large,
    via: [...ours, ...peers],
    client: rest({ payload: payloads.chatBody({ large: true }) }),
  },
  {
    ...unary,
    name: caseNames.failover,
    isQuick: true,
    via: ["gateway", ...peers],
    comparedWith: caseNames.unary,
    client: rest({ payload: payloads.chatBody({ model: payloads.failoverModel }), attempts: 2 }, "failoverDress"),
  },
  {
    ...stream,
    name: caseNames.stream,
    isQuick: true,
    via: [...ours, ...peers],
    client: restStream(payloads.plainModel, { connections: stream.load.concurrency }),
  },
  {
    ...unary,
    name: caseNames.grpc,
    isQuick: true,
    via: ["gateway"],
    comparedWith: caseNames.unary,
    client: grpc({ method: "CompleteChat", payload: payloads.completeChatFrame() }),
  },
  {
    ...stream,
    name: caseNames.grpcStream,
    isQuick: true,
    via: ["gateway"],
    comparedWith: caseNames.stream,
    client: grpc({ payload: payloads.streamChatFrame() }),
  },
  {
    ...unary,
    name: caseNames.grpcWeb,
    via: ["gateway"],
    comparedWith: caseNames.unary,
    client: rest({
      path: "/everhop.v1.ChatService/CompleteChat",
      payload: payloads.completeChatFrame(),
      mode: "grpc-web",
    }),
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
    stretch: 3,
    via: ours,
    client: rest({}),
  },
  {
    ...stream,
    name: caseNames.pacedStream,
    load: hundredOpen,
    via: ours,
    client: restStream(payloads.pacedModel, { connections: hundredOpen.concurrency }),
  },
  {
    ...stream,
    name: caseNames.pacedGrpcStream,
    load: hundredOpen,
    via: ["gateway"],
    comparedWith: caseNames.pacedStream,
    client: grpc({ payload: payloads.streamChatFrame(payloads.pacedModel) }),
  },
];

/** The numbers of streams that are opened at once. */
export const openCounts = [1000, 5000] as const;

/** The name of a case of open streams. */
export function openCaseName(wire: "REST" | "gRPC", streams: number): string {
  return `${wire}, ${streams.toLocaleString("en")} streams open`;
}

/** All that is measured by streams that stay open. */
export const openCases: readonly OpenCase[] = openCounts.flatMap((streams) => [
  {
    name: openCaseName("REST", streams),
    streams,
    via: ["floor", "gateway", ...peers],
    client: silentRestStreams(streams),
  },
  { name: openCaseName("gRPC", streams), streams, via: ["gateway"], client: silentGrpcStreams(streams) },
]);

/** Up to so many streams over REST that fall silent. */
export function silentRestStreams(streams: number): (door: Door) => Client {
  return restStream(payloads.silentModel, { connections: streams, events: eventsPerSilentStream });
}

function silentGrpcStreams(streams: number): (door: Door) => Client {
  return grpc({
    payload: payloads.streamChatFrame(payloads.silentModel),
    sessions: Math.ceil(streams / streamsPerSession),
    events: eventsPerSilentStream,
  });
}

function restStream(model: string, changes: Partial<Omit<Http1Target, "origin">>): (door: Door) => Client {
  return rest({ payload: payloads.chatBody({ model, stream: true }), mode: "stream", ...changes });
}

/** Calls over HTTP/1.1; what is not said is a small unary chat request. */
function rest(
  changes: Partial<Omit<Http1Target, "origin">>,
  dressed: "dress" | "failoverDress" = "dress",
): (door: Door) => Client {
  const usual = {
    path: "/v1/chat/completions",
    payload: payloads.chatBody(),
    mode: "unary",
    connections: unary.load.concurrency,
  } as const;
  return ({ origin, [dressed]: { pathPrefix = "", headers = {} } = {} }) => {
    const target = { ...usual, ...changes, origin };
    return createHttp1Client({ ...target, headers, path: pathPrefix + target.path });
  };
}

function grpc(changes: Omit<Partial<GrpcTarget>, "origin"> & Pick<GrpcTarget, "payload">): (door: Door) => Client {
  return ({ origin }) => createGrpcClient({ method: "StreamChat", sessions, ...changes, origin });
}
