import type { DescEnum, MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, durationMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
  Http2SessionManager,
} from "@connectrpc/connect-node";
import * as web from "@connectrpc/connect-web";
import { onTestFinished } from "vitest";
import { type ChatOptionsSchema, ChatService, StreamRecovery } from "../../gen/ts/everhop/v1/chat_service_pb.ts";
import type { PromptSchema } from "../../gen/ts/everhop/v1/prompt_pb.ts";
import {
  AttemptOutcomeSchema,
  type RouteTrail,
  RouteTrailSchema,
  SkipReasonSchema,
} from "../../gen/ts/everhop/v1/route_trail_pb.ts";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../gen/ts/google/rpc/error_details_pb.ts";
import { createFold } from "../../src/chat/fold.ts";
import type { Completion } from "../../src/chat/messages.ts";
import { createGrpcJsTransport } from "./grpc-js.ts";
import { type Json, postChat, readSse } from "./rest.ts";

/** A question in words that every wire has. */
export interface Ask {
  readonly text: string;
  /** Default: `think`. */
  readonly model?: string;
  readonly provider?: string;
  readonly fallbackProviders?: readonly string[];
  readonly timeoutMs?: number;
  readonly retryCount?: number;
  readonly candidateCount?: number;
  readonly recovery?: "fail" | "restart" | "continue";
}

/** What belongs to a call and not to its question. */
export interface CallOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** The client's own deadline, where the wire has one. */
  readonly deadlineMs?: number;
  /** Told of every piece of text as it comes. */
  onText?(text: string): void;
  /** Told when the stream goes on elsewhere. */
  onHop?(hop: { readonly case: "restarted" | "resumed"; readonly value: { readonly provider: string } }): void;
}

/** One attempt, in the words of the trail's JSON. */
export interface Hop {
  readonly provider: string;
  readonly outcome: string;
  /** 0: no answer came. */
  readonly httpStatus: number;
  readonly hint: string;
}

/** The way of a request as the caller was told. */
export interface ToldTrail {
  readonly attempts: readonly Hop[];
  /** `endpoint reason before_attempt` */
  readonly skips: readonly string[];
  readonly partial: boolean;
}

/** What else the caller was told of the way. */
export interface ToldDetails {
  readonly attempts: readonly {
    readonly key: string;
    /** Empty: it did not wait. */
    readonly waitReason: string;
    /** Empty: the ordinary one. */
    readonly purpose: string;
    readonly usage:
      | { readonly inputTokens: number; readonly outputTokens: number; readonly estimated: boolean }
      | undefined;
  }[];
  readonly skips: readonly {
    readonly endpoint: string;
    readonly reason: string;
    readonly untilTimeMs: number | undefined;
  }[];
}

/** An answer, whatever wire it came by. */
export interface Told {
  readonly text: string;
  readonly provider: string;
  /** Undefined when the caller was told nothing of it. */
  readonly trail: ToldTrail | undefined;
  readonly details: ToldDetails | undefined;
  readonly headers: Headers;
}

/** A failure, whatever wire it came by. */
export class WireError extends Error {
  override name = "WireError";
  /** RPC: the code's name. REST: the HTTP status. */
  readonly status: string | number;
  /** RPC: the ErrorInfo's reason. REST: `error.code`. */
  readonly reason: string;
  readonly trail: ToldTrail | undefined;
  readonly details: ToldDetails | undefined;
  /** The wrong fields, or the wrong parameter. */
  readonly fields: readonly string[];
  readonly retryDelayMs: number | undefined;
  readonly headers: Headers;
  /** What of the answer had come. */
  readonly text: string;

  constructor(message: string, facts: Omit<WireError, keyof Error>) {
    super(message);
    this.status = facts.status;
    this.reason = facts.reason;
    this.trail = facts.trail;
    this.details = facts.details;
    this.fields = facts.fields;
    this.retryDelayMs = facts.retryDelayMs;
    this.headers = facts.headers;
    this.text = facts.text;
  }
}

/** One client on one wire. */
export interface Wire {
  /** @throws WireError */
  complete(ask: Ask, options?: CallOptions): Promise<Told>;
  /** Reads a stream to its end and checks that it follows its grammar. @throws WireError */
  stream(ask: Ask, options?: CallOptions): Promise<Told>;
}

/** The four wires, each by the client that people use for it. */
export const wireNames = ["gRPC", "gRPC-Web", "Connect", "REST"] as const;
export type WireName = (typeof wireNames)[number];
export const rpcNames = ["gRPC", "gRPC-Web", "Connect"] as const;

export const modes = ["unary", "stream"] as const;
export type Mode = (typeof modes)[number];
/** Both modes on each of the four wires. */
export const everywhere = wireNames.flatMap((name) => modes.map((mode) => ({ name, mode })));

/** Asks in one mode or the other. @throws WireError */
export function send(wire: Wire, mode: Mode, ask: Ask, options?: CallOptions): Promise<Told> {
  return mode === "unary" ? wire.complete(ask, options) : wire.stream(ask, options);
}

/** The failure of a call that must fail. */
export async function failureOf(told: Promise<unknown>): Promise<WireError> {
  const error = await told.then(
    () => new Error("the call succeeded"),
    (reason: unknown) => reason,
  );
  if (error instanceof WireError) return error;
  throw error;
}

/** Opens a client, which is closed with the test. */
export function openWire(name: WireName, address: string): Wire {
  if (name === "REST") return restWire(address);
  return rpcWire(createClient(ChatService, openTransport(name, address)));
}

/** The transports by which people reach an RPC service. */
export function openTransport(name: TransportName, address: string): Transport {
  return transports[name](address);
}

const transports = {
  gRPC(address: string) {
    const { transport, close } = createGrpcJsTransport(address);
    onTestFinished(close);
    return transport;
  },
  "gRPC-Web": (address: string) => web.createGrpcWebTransport({ baseUrl: address }),
  Connect: (address: string) => createConnectTransport({ baseUrl: address, httpVersion: "2", ...session(address) }),
  "Connect over HTTP/1.1": (address: string) => createConnectTransport({ baseUrl: address, httpVersion: "1.1" }),
  "Connect in JSON over HTTP/2": (address: string) =>
    createConnectTransport({ baseUrl: address, httpVersion: "2", useBinaryFormat: false, ...session(address) }),
  "gRPC by Connect's client": (address: string) => createGrpcTransport({ baseUrl: address, ...session(address) }),
  "gRPC-Web over HTTP/1.1": (address: string) => createGrpcWebTransport({ baseUrl: address, httpVersion: "1.1" }),
  "gRPC-Web over HTTP/2": (address: string) =>
    createGrpcWebTransport({ baseUrl: address, httpVersion: "2", ...session(address) }),
  "Connect in a browser": (address: string) => web.createConnectTransport({ baseUrl: address }),
  "Connect in a browser, binary": (address: string) =>
    web.createConnectTransport({ baseUrl: address, useBinaryFormat: true }),
  "gRPC-Web in a browser": (address: string) => web.createGrpcWebTransport({ baseUrl: address }),
} satisfies Record<string, (address: string) => Transport>;

export type TransportName = keyof typeof transports;
export const transportNames = Object.keys(transports) as readonly TransportName[]; // the table has no other keys

function session(address: string): { sessionManager: Http2SessionManager } {
  const sessionManager = new Http2SessionManager(address);
  onTestFinished(() => sessionManager.abort());
  return { sessionManager };
}

const recoveries = {
  fail: StreamRecovery.FAIL,
  restart: StreamRecovery.RESTART,
  continue: StreamRecovery.CONTINUE,
};

/** A question as the contract's message. */
export function requestOf(ask: Ask): {
  prompt: MessageInitShape<typeof PromptSchema>;
  options: MessageInitShape<typeof ChatOptionsSchema>;
} {
  const { provider = "", fallbackProviders = [], timeoutMs, retryCount, recovery } = ask;
  return {
    prompt: {
      model: ask.model ?? "think",
      messages: [{ role: 2, parts: [{ kind: { case: "text", value: ask.text } }] }],
      candidateCount: ask.candidateCount ?? 0,
    },
    options: {
      provider,
      fallbackProviders: [...fallbackProviders],
      ...(timeoutMs !== undefined && { timeout: durationFromMs(timeoutMs) }),
      ...(retryCount !== undefined && { retryCount }),
      ...(recovery && { streamRecovery: recoveries[recovery] }),
    },
  };
}

/** A question as the body of an OpenAI request. */
export function bodyOf(ask: Ask): Json {
  const { provider, fallbackProviders, timeoutMs, retryCount, candidateCount } = ask;
  return {
    model: ask.model ?? "think",
    messages: [{ role: "user", content: ask.text }],
    ...(provider !== undefined && { provider }),
    ...(fallbackProviders !== undefined && { fallback_providers: [...fallbackProviders] }),
    ...(timeoutMs !== undefined && { timeout: timeoutMs / 1000 }),
    ...(retryCount !== undefined && { retry_count: retryCount }),
    ...(candidateCount !== undefined && { n: candidateCount }),
  };
}

export function rpcWire(client: Client<typeof ChatService>): Wire {
  return {
    async complete(ask, options = {}) {
      let headers = new Headers();
      try {
        const { completion, trail } = await client.completeChat(requestOf(ask), {
          ...rpcOptions(options),
          onHeader: (header) => {
            headers = header;
          },
        });
        return {
          text: textOf(completion),
          provider: completion?.provider ?? "",
          trail: trail && toldTrail(trail),
          details: trail && toldDetails(trail),
          headers,
        };
      } catch (error) {
        throw wireErrorOf(error, "");
      }
    },
    async stream(ask, options = {}) {
      let headers = new Headers();
      let trail: RouteTrail | undefined;
      let text = "";
      const fold = createFold();
      try {
        const events = client.streamChat(requestOf(ask), {
          ...rpcOptions(options),
          onHeader: (header) => {
            headers = header;
          },
        });
        for await (const { event } of events) {
          if (!event) throw new Error("a response without an event");
          fold.push(event);
          if (event.kind.case === "partDelta" && event.kind.value.delta.case === "text") {
            text += event.kind.value.delta.value;
            options.onText?.(event.kind.value.delta.value);
          }
          if (event.kind.case === "restarted") text = "";
          if (event.kind.case === "restarted" || event.kind.case === "resumed") options.onHop?.(event.kind);
          if (event.kind.case === "end") trail = event.kind.value.trail;
        }
      } catch (error) {
        throw wireErrorOf(error, text);
      }
      if (!fold.ended) throw new Error("the stream ended well without its end event");
      const { completion } = fold;
      return {
        text: textOf(completion),
        provider: completion.provider,
        trail: trail && toldTrail(trail),
        details: trail && toldDetails(trail),
        headers,
      };
    },
  };
}

function rpcOptions({ headers, signal, deadlineMs }: CallOptions) {
  return {
    ...(headers && { headers }),
    ...(signal && { signal }),
    ...(deadlineMs !== undefined && { timeoutMs: deadlineMs }),
  };
}

/** The text of an answer's first candidate. */
export function textOf(completion: Completion | undefined): string {
  const parts = completion?.candidates[0]?.message?.parts ?? [];
  return parts.map(({ kind }) => (kind.case === "text" ? kind.value : "")).join("");
}

function toldTrail({ attempts, skips, partial }: RouteTrail): ToldTrail {
  return {
    attempts: attempts.map(({ provider, outcome, httpStatus, hint }) => ({
      provider,
      outcome: nameOf(AttemptOutcomeSchema, outcome),
      httpStatus,
      hint,
    })),
    skips: skips.map(
      ({ endpoint, reason, beforeAttempt }) => `${endpoint} ${nameOf(SkipReasonSchema, reason)} ${beforeAttempt}`,
    ),
    partial,
  };
}

function toldDetails({ attempts, skips }: RouteTrail): ToldDetails {
  return {
    attempts: attempts.map(({ keyName: key, waitReason, purpose, usage }) => ({ key, waitReason, purpose, usage })),
    skips: skips.map(({ endpoint, reason, untilTime }) => ({
      endpoint,
      reason: nameOf(SkipReasonSchema, reason),
      untilTimeMs: untilTime && timestampMs(untilTime),
    })),
  };
}

/** An enum's value as the trail's JSON has it. */
function nameOf(schema: DescEnum, value: number): string {
  return schema.value[value]?.localName.toLowerCase() ?? String(value);
}

function wireErrorOf(error: unknown, text: string): unknown {
  if (!(error instanceof ConnectError)) return error;
  const [trail] = error.findDetails(RouteTrailSchema);
  const [info] = error.findDetails(ErrorInfoSchema);
  const [retry] = error.findDetails(RetryInfoSchema);
  const violations = error.findDetails(BadRequestSchema).flatMap(({ fieldViolations }) => fieldViolations);
  return new WireError(error.rawMessage, {
    status: Code[error.code],
    reason: info?.domain === "everhop" ? info.reason : "",
    trail: trail && toldTrail(trail),
    details: trail && toldDetails(trail),
    fields: violations.map(({ field }) => field),
    retryDelayMs: retry?.retryDelay && durationMs(retry.retryDelay),
    headers: error.metadata,
    text,
  });
}

function restWire(address: string): Wire {
  const send = async (ask: Ask, { headers, signal }: CallOptions, stream: boolean) => {
    const response = await postChat(
      address,
      { ...bodyOf(ask), ...(stream && { stream }) },
      {
        ...(signal && { signal }),
        headers: {
          "x-everhop-include-trail": "true",
          ...(ask.recovery && { "x-everhop-stream-recovery": ask.recovery }),
          ...headers,
        },
      },
    );
    if (response.status !== 200) throw restError(response, (await response.json()) as RestError, "");
    return response;
  };
  return {
    async complete(ask, options = {}) {
      const response = await send(ask, options, false);
      const body = (await response.json()) as RestAnswer;
      const text = body.choices[0]?.message?.content ?? "";
      return {
        text,
        provider: body.provider ?? "",
        trail: body.trail && restTrail(body.trail),
        details: body.trail && restDetails(body.trail),
        headers: response.headers,
      };
    },
    async stream(ask, options = {}) {
      const response = await send(ask, options, true);
      let text = "";
      let trail: RestTrail | undefined;
      let done = 0;
      let failure: RestError | undefined;
      for await (const data of readSse(response)) {
        if (failure) throw new Error(`an event after an error: ${data}`);
        if (data === "[DONE]") {
          done += 1;
          continue;
        }
        if (done > 0) throw new Error(`an event after [DONE]: ${data}`);
        const chunk = JSON.parse(data) as RestAnswer & Partial<RestError>;
        if (chunk.error) failure = chunk as RestError; // it has an error
        trail = chunk.trail ?? trail;
        if (chunk.resumed) options.onHop?.({ case: "resumed", value: chunk.resumed });
        const piece = chunk.choices?.find(({ index }) => index === 0)?.delta?.content ?? "";
        text += piece;
        if (piece) options.onText?.(piece);
      }
      if (failure) throw restError(response, failure, text);
      if (done !== 1) throw new Error(`a stream without an error had ${done} [DONE]`);
      const provider = response.headers.get("x-everhop-provider") ?? "";
      return {
        text,
        provider,
        trail: trail && restTrail(trail),
        details: trail && restDetails(trail),
        headers: response.headers,
      };
    },
  };
}

interface RestAnswer {
  readonly choices: readonly {
    readonly index: number;
    readonly message?: { readonly content: string | null };
    readonly delta?: { readonly content?: string | null };
  }[];
  readonly provider?: string;
  readonly trail?: RestTrail;
  readonly resumed?: { readonly provider: string };
}

interface RestTrail {
  readonly attempts: readonly {
    readonly provider: string;
    readonly outcome: string;
    readonly http_status?: number;
    readonly hint?: string;
    readonly key_name?: string;
    readonly wait_reason?: string;
    readonly purpose?: string;
    readonly usage?: { readonly input_tokens: number; readonly output_tokens: number; readonly estimated?: boolean };
  }[];
  readonly skips: readonly {
    readonly endpoint: string;
    readonly reason: string;
    readonly until_time?: string;
    readonly before_attempt: number;
  }[];
  readonly partial?: boolean;
}

interface RestError {
  readonly error: {
    readonly message: string;
    readonly code: string;
    readonly param: string | null;
    readonly partial?: boolean;
    readonly details: { readonly trail?: RestTrail };
  };
}

function restTrail({ attempts, skips, partial = false }: RestTrail): ToldTrail {
  return {
    attempts: attempts.map(({ provider, outcome, http_status: httpStatus = 0, hint = "" }) => ({
      provider,
      outcome,
      httpStatus,
      hint,
    })),
    skips: skips.map(({ endpoint, reason, before_attempt: before }) => `${endpoint} ${reason} ${before}`),
    partial,
  };
}

function restDetails({ attempts, skips }: RestTrail): ToldDetails {
  return {
    attempts: attempts.map(({ key_name: key = "", wait_reason: waitReason = "", purpose = "", usage }) => ({
      key,
      waitReason,
      purpose,
      usage: usage && {
        inputTokens: usage.input_tokens,
        outputTokens: usage.output_tokens,
        estimated: usage.estimated ?? false,
      },
    })),
    skips: skips.map(({ endpoint, reason, until_time: until }) => ({
      endpoint,
      reason,
      untilTimeMs: until === undefined ? undefined : Date.parse(until),
    })),
  };
}

function restError({ status, headers }: Response, { error }: RestError, text: string): WireError {
  const retryAfterMs = headers.get("retry-after-ms");
  const { trail } = error.details;
  return new WireError(error.message, {
    status,
    reason: error.code,
    trail: trail && { ...restTrail(trail), partial: error.partial ?? false },
    details: trail && restDetails(trail),
    fields: error.param === null ? [] : [error.param],
    retryDelayMs: retryAfterMs === null ? undefined : Number(retryAfterMs),
    headers,
    text,
  });
}
