import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { StreamRecovery } from "../../../gen/ts/everhop/v1/chat_service_pb.ts";
import { ErrorInfoSchema, RetryInfoSchema } from "../../../gen/ts/google/rpc/error_details_pb.ts";
import { type CompletionEvent, type Prompt, type RouteTrail, RouteTrailSchema } from "../../chat/messages.ts";
import type { Secret } from "../../runtime/secret.ts";
import { createChatClient } from "./chat-client.ts";

/** A call of a program's own to a gateway that runs somewhere. */
export interface ChatCall {
  readonly prompt: Prompt;
  /** Empty: any. */
  readonly provider: string;
  /** Empty: none. */
  readonly task: string;
  /** Undefined: as the model is configured. */
  readonly recovery: keyof typeof recoveries | undefined;
}

/** A gateway from the other side of its port. */
export interface ChatCaller {
  /**
   * Asks, and yields what comes as it comes.
   * @param onTraceUrl told where the call can be looked at, if the gateway says so
   * @throws ChatCallError
   */
  stream(call: ChatCall, signal: AbortSignal, onTraceUrl?: (url: string) => void): AsyncIterable<CompletionEvent>;
  /** Hangs up. */
  close(): void;
}

/** How a call failed, as its caller was told. */
export class ChatCallError extends Error {
  override name = "ChatCallError";
  /** The status as gRPC names it: `UNAVAILABLE`. */
  readonly status: string;
  /** Reason of the ErrorInfo; undefined: it is no gateway that said so. */
  readonly reason: string | undefined;
  readonly requestId: string | undefined;
  readonly retryDelayMs: number | undefined;
  readonly trail: RouteTrail | undefined;
  /** What the network said, where it failed: `ECONNREFUSED`. */
  readonly networkCode: string | undefined;

  constructor(error: ConnectError) {
    super(error.rawMessage, { cause: error });
    const info = error.findDetails(ErrorInfoSchema).find(({ domain }) => domain === "everhop");
    const [retry] = error.findDetails(RetryInfoSchema);
    this.status = (Code[error.code] ?? "Unknown").replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
    this.reason = info?.reason;
    this.requestId = info?.metadata["request_id"];
    this.retryDelayMs = retry?.retryDelay && durationMs(retry.retryDelay);
    this.trail = error.findDetails(RouteTrailSchema)[0];
    this.networkCode = networkCodeOf(error.cause);
  }
}

/** What callers may want done about a stream that breaks. */
export const recoveries = {
  fail: StreamRecovery.FAIL,
  restart: StreamRecovery.RESTART,
  continue: StreamRecovery.CONTINUE,
} as const;

/**
 * Speaks to a gateway by the Connect protocol over HTTP/2: over HTTP/1.1 a refusal can get lost, for the connection is closed while
 * the question is still on its way.
 * @param url its address, with or without a path in front
 */
export function createChatCaller(url: string, key: Secret | undefined): ChatCaller {
  const withKey: Interceptor = (next) => (request) => {
    if (key) request.header.set("authorization", `Bearer ${key.reveal()}`);
    return next(request);
  };
  const sessionManager = new Http2SessionManager(url);
  const transport = createConnectTransport({
    baseUrl: url,
    httpVersion: "2",
    sessionManager,
    interceptors: [withKey],
  });
  const client = createChatClient(transport);
  return {
    async *stream({ prompt, provider, task, recovery }, signal, onTraceUrl) {
      const onHeader = (headers: Headers) => {
        const traceUrl = headers.get("x-everhop-trace-url");
        if (traceUrl) onTraceUrl?.(traceUrl);
      };
      const streamRecovery = recovery === undefined ? StreamRecovery.UNSPECIFIED : recoveries[recovery];
      try {
        const answers = client.streamChat(
          { prompt, options: { provider, task, streamRecovery } },
          { signal, onHeader },
        );
        for await (const { event } of answers) if (event) yield event;
      } catch (error) {
        throw new ChatCallError(ConnectError.from(error));
      }
    },
    close: () => sessionManager.abort(),
  };
}

function networkCodeOf(error: unknown): string | undefined {
  // Node gathers what several addresses of a host said.
  if (error instanceof AggregateError) return networkCodeOf(error.errors[0]);
  if (!(error instanceof Error)) return undefined;
  if ("code" in error && typeof error.code === "string") return error.code;
  return networkCodeOf(error.cause);
}
