import { type Client, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { ChatService } from "../../../gen/ts/everhop/v1/chat_service_pb.ts";
import { Role } from "../../../gen/ts/everhop/v1/prompt_pb.ts";

// What runs in a page: it asks the gateway as any page would, and hands what it has seen to whoever drives the browser.

/** What a page is to ask. */
export interface PageQuestion {
  readonly address: string;
  readonly protocol: "Connect" | "gRPC-Web";
  readonly mode: "unary" | "stream";
  readonly model: string;
  readonly text: string;
  readonly requestId: string;
  /** The span that it belongs to. */
  readonly traceparent?: string;
}

/** What a page has seen. */
export interface PageAnswer {
  readonly text: string;
  /** How many pieces the text came in. */
  readonly pieces: number;
  readonly provider: string;
  /** Headers that its script may read. */
  readonly headers: Readonly<Record<string, string>>;
  /** What went wrong, in Connect's words. */
  readonly error: string | undefined;
}

const transports: Readonly<Record<PageQuestion["protocol"], (baseUrl: string) => Transport>> = {
  Connect: (baseUrl) => createConnectTransport({ baseUrl }),
  "gRPC-Web": (baseUrl) => createGrpcWebTransport({ baseUrl }),
};

async function ask(question: PageQuestion): Promise<PageAnswer> {
  const client = createClient(ChatService, transports[question.protocol](question.address));
  const told = { pieces: [] as string[], provider: "", headers: {} as Record<string, string> };
  let error: string | undefined;
  try {
    await (question.mode === "unary" ? complete : stream)(client, question, told);
  } catch (reason) {
    const failure = ConnectError.from(reason);
    error = failure.message;
    told.headers = Object.fromEntries(failure.metadata);
  }
  const { pieces, provider, headers } = told;
  return { text: pieces.join(""), pieces: pieces.length, provider, headers, error };
}

type Told = { readonly pieces: string[]; provider: string; headers: Record<string, string> };

async function complete(client: Client<typeof ChatService>, question: PageQuestion, told: Told): Promise<void> {
  const { completion } = await client.completeChat(requestOf(question), optionsOf(question, told));
  told.provider = completion?.provider ?? "";
  for (const { kind } of completion?.candidates[0]?.message?.parts ?? []) {
    if (kind.case === "text") told.pieces.push(kind.value);
  }
}

async function stream(client: Client<typeof ChatService>, question: PageQuestion, told: Told): Promise<void> {
  for await (const { event } of client.streamChat(requestOf(question), optionsOf(question, told))) {
    if (event?.kind.case === "start") told.provider = event.kind.value.provider;
    const delta = event?.kind.case === "partDelta" ? event.kind.value.delta : undefined;
    if (delta?.case === "text") told.pieces.push(delta.value);
  }
}

function requestOf({ model, text }: PageQuestion) {
  return {
    prompt: {
      model,
      messages: [{ role: Role.USER, parts: [{ kind: { case: "text" as const, value: text } }] }],
    },
  };
}

function optionsOf({ requestId, traceparent }: PageQuestion, told: Told) {
  return {
    headers: { "x-request-id": requestId, ...(traceparent && { traceparent }) },
    onHeader(header: Headers) {
      told.headers = Object.fromEntries(header);
    },
  };
}

Object.assign(globalThis, { ask });
