import { ConnectError, type Interceptor, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { createChatClient } from "../../../api/rpc/chat-client.ts";
import { Role } from "../../../chat/messages.ts";
import type { TrafficCaller } from "./traffic-callers.ts";

/** What a caller has got. */
export interface Answer {
  readonly text: string;
  /** Whether another endpoint went on with it. */
  readonly isResumed: boolean;
}

/** Asks one question. Rejects with what is wrong, in a few words. */
export type TrafficCall = (prompt: string) => Promise<Answer>;

/** Longer than anything of the demo takes. */
const patienceMs = 30_000;

/** How a caller calls: as its library would, over sockets of its own. */
export function createTrafficCall(address: string, { key, wire }: TrafficCaller): TrafficCall {
  if (wire === "rest") return (prompt) => restAnswer(address, key, prompt);
  if (wire === "rest_stream") return (prompt) => restStream(address, key, prompt);
  const interceptors: Interceptor[] = [
    (next) => (request) => {
      request.header.set("authorization", `Bearer ${key}`);
      return next(request);
    },
  ];
  const shared = { baseUrl: address, interceptors, defaultTimeoutMs: patienceMs };
  if (wire === "connect") return rpcAnswer(createConnectTransport({ ...shared, httpVersion: "1.1" }));
  return rpcStream(createGrpcTransport(shared));
}

async function restAnswer(address: string, key: string, prompt: string): Promise<Answer> {
  const response = await post(address, key, { messages: [{ role: "user", content: prompt }] });
  const body = (await response.json()) as { choices: { message: { content: string } }[] }; // or what follows tells
  return { text: body.choices[0]?.message.content ?? "", isResumed: false };
}

async function restStream(address: string, key: string, prompt: string): Promise<Answer> {
  const response = await post(address, key, { stream: true, messages: [{ role: "user", content: prompt }] });
  let text = "";
  let isResumed = false;
  for (const line of (await response.text()).split("\n")) {
    if (line === "data: [DONE]") return { text, isResumed };
    if (!line.startsWith("data: ")) continue;
    const event = JSON.parse(line.slice("data: ".length)) as {
      error?: { code: string; details?: { trail?: unknown } };
      choices?: { delta: { content?: string } }[];
      resumed?: object;
    };
    if (event.error) throw new Error(`stream: ${event.error.code}`);
    text += event.choices?.[0]?.delta.content ?? "";
    isResumed ||= event.resumed !== undefined;
  }
  throw new Error("stream: ended without [DONE]");
}

async function post(address: string, key: string, body: object): Promise<Response> {
  const response = await fetch(`${address}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(patienceMs),
  });
  if (response.ok) return response;
  const { error } = (await response.json()) as { error?: { code: string } };
  throw new Error(`${response.status} ${error?.code}`);
}

function rpcAnswer(transport: Transport): TrafficCall {
  const client = createChatClient(transport);
  return async (prompt) => {
    const { completion } = await client.completeChat(requestOf(prompt)).catch(inWords);
    const parts = completion?.candidates[0]?.message?.parts ?? [];
    return { text: parts.map(({ kind }) => (kind.case === "text" ? kind.value : "")).join(""), isResumed: false };
  };
}

function rpcStream(transport: Transport): TrafficCall {
  const client = createChatClient(transport);
  return async (prompt) => {
    let text = "";
    let isResumed = false;
    try {
      for await (const { event } of client.streamChat(requestOf(prompt))) {
        if (event?.kind.case === "resumed") isResumed = true;
        if (event?.kind.case === "partDelta" && event.kind.value.delta.case === "text") {
          text += event.kind.value.delta.value;
        }
      }
    } catch (error) {
      inWords(error);
    }
    return { text, isResumed };
  };
}

function requestOf(prompt: string) {
  const parts = [{ kind: { case: "text" as const, value: prompt } }];
  return { prompt: { messages: [{ role: Role.USER, parts }] } };
}

function inWords(error: unknown): never {
  throw error instanceof ConnectError ? new Error(`rpc: ${error.message}`) : error;
}
