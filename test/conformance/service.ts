import { setTimeout as delay } from "node:timers/promises";
import { create, type DescMessage, type Message } from "@bufbuild/protobuf";
import { type Any, anyPack } from "@bufbuild/protobuf/wkt";
import { ConnectError, type ConnectRouter, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import {
  conformanceService,
  type ErrorShape,
  type HeaderShape,
  messageType,
  type RequestShape,
  registry,
  type StreamDefinition,
  type UnaryDefinition,
} from "./schema.ts";

/** The fields of a message whose type is known only while running. */
type Fields = Record<string, unknown>;

/** Their `Any` hold messages of the judge's own, also as JSON. */
const jsonOptions = { registry };
const service = conformanceService();
const requestInfoType = messageType("ConformancePayload.RequestInfo");

/** Its methods with one request. */
export const oneRequest = {
  unary: (request: Message, context: HandlerContext) => unary("UnaryResponse", request, context),
  idempotentUnary: (request: Message, context: HandlerContext) => unary("IdempotentUnaryResponse", request, context),
  serverStream,
};

/** The service by which the judge looks at a server: every answer is as the request wants it. `Unimplemented` is left out on purpose. */
export function conformanceRoutes(router: ConnectRouter): void {
  const implementation = { ...oneRequest, clientStream, bidiStream };
  // Of a service that is known only while running, types cannot tell which method streams what.
  router.service(service, implementation as unknown as Partial<ServiceImpl<typeof service>>, {
    jsonOptions,
  });
}

function unary(output: string, request: Message, context: HandlerContext): Promise<Message> {
  const { responseDefinition } = request as RequestShape<UnaryDefinition>; // by the judge's schema
  return answer(output, responseDefinition, [request], context);
}

async function clientStream(requests: AsyncIterable<Message>, context: HandlerContext): Promise<Message> {
  const all: RequestShape<UnaryDefinition>[] = [];
  for await (const request of requests) all.push(request as RequestShape<UnaryDefinition>); // by the judge's schema
  return answer("ClientStreamResponse", all[0]?.responseDefinition, all, context);
}

/** Answers with one message. */
async function answer(
  output: string,
  definition: UnaryDefinition | undefined,
  requests: readonly Message[],
  context: HandlerContext,
): Promise<Message> {
  const requestInfo = describe(context, requests);
  if (!definition) return payload(messageType(output), { requestInfo });
  tell(definition, context);
  await pause(definition.responseDelayMs, context);
  const { response } = definition;
  if (response.case === "error") throw failure(response.value, requestInfo);
  return payload(messageType(output), { requestInfo, ...(response.case && { data: response.value }) });
}

async function* serverStream(request: Message, context: HandlerContext): AsyncGenerator<Message> {
  const { responseDefinition: definition } = request as RequestShape<StreamDefinition>; // by the judge's schema
  if (!definition) return;
  tell(definition, context);
  let requestInfo: Message | undefined = describe(context, [request]);
  for (const data of definition.responseData) {
    await pause(definition.responseDelayMs, context);
    yield payload(messageType("ServerStreamResponse"), { data, requestInfo });
    requestInfo = undefined;
  }
  if (definition.error) throw failure(definition.error, requestInfo);
}

/** Full duplex: an answer to each request, then whatever is left. Half duplex: everything after the last request. */
async function* bidiStream(requests: AsyncIterable<Message>, context: HandlerContext): AsyncGenerator<Message> {
  const output = messageType("BidiStreamResponse");
  let definition: StreamDefinition | undefined;
  let fullDuplex = false;
  let first = true;
  let unanswered: Message[] = [];
  let answered = 0;
  for await (const message of requests) {
    const request = message as RequestShape<StreamDefinition>; // by the judge's schema
    if (first) {
      definition = request.responseDefinition;
      fullDuplex = request.fullDuplex ?? false;
      if (definition) tell(definition, context);
      first = false;
    }
    unanswered.push(request);
    if (!fullDuplex) continue;
    const data = definition?.responseData[answered];
    if (data === undefined) break;
    await pause(definition?.responseDelayMs ?? 0, context);
    const requestInfo = answered === 0 ? describe(context, unanswered) : create(requestInfoType, packed(unanswered));
    yield payload(output, { data, requestInfo });
    answered += 1;
    unanswered = [];
  }
  for (const data of definition?.responseData.slice(answered) ?? []) {
    await pause(definition?.responseDelayMs ?? 0, context);
    yield payload(output, { data, requestInfo: answered === 0 ? describe(context, unanswered) : undefined });
    answered += 1;
  }
  if (definition?.error) {
    throw failure(definition.error, answered === 0 ? describe(context, unanswered) : undefined);
  }
}

function payload(output: DescMessage, init: { data?: Uint8Array; requestInfo?: Message | undefined }): Message {
  return create(output, { payload: create(messageType("ConformancePayload"), init as Fields) } as Fields);
}

/** What the server saw of a call. */
function describe(context: HandlerContext, requests: readonly Message[]): Message {
  const timeoutMs = context.timeoutMs();
  const query = new URL(context.url, "http://localhost").searchParams;
  const isGet = context.requestMethod === "GET";
  return create(requestInfoType, {
    requestHeaders: [...context.requestHeader].map(([name, value]) => ({ name, value: [value] })),
    ...(timeoutMs !== undefined && { timeoutMs: BigInt(Math.round(timeoutMs)) }),
    ...packed(requests),
    ...(isGet && {
      connectGetInfo: { queryParams: [...query.keys()].map((name) => ({ name, value: query.getAll(name) })) },
    }),
  } as Fields);
}

function packed(requests: readonly Message[]): { requests: Any[] } {
  return { requests: requests.map((request) => anyPack(messageType(request.$typeName.replace(/.*\./, "")), request)) };
}

function tell(
  definition: { responseHeaders: readonly HeaderShape[]; responseTrailers: readonly HeaderShape[] },
  context: HandlerContext,
): void {
  const append = (headers: Headers, all: readonly HeaderShape[]) => {
    for (const { name, value } of all) for (const each of value) headers.append(name, each);
  };
  append(context.responseHeader, definition.responseHeaders);
  append(context.responseTrailer, definition.responseTrailers);
}

/** @throws why the call was called off meanwhile */
async function pause(milliseconds: number, { signal }: HandlerContext): Promise<void> {
  if (milliseconds === 0) return;
  await delay(milliseconds, undefined, { signal }).catch(() => signal.throwIfAborted());
}

/** @param requestInfo goes with the error when no message could bring it */
function failure({ code, message, details }: ErrorShape, requestInfo: Message | undefined): ConnectError {
  const error = new ConnectError(message ?? "", code);
  error.details = details.map(({ typeUrl, value }) => ({ type: typeUrl.replace(/.*\//, ""), value }));
  if (requestInfo) error.details.push({ desc: requestInfoType, value: requestInfo as Message & Fields });
  return error;
}
