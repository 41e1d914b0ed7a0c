import type { IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http";
import type { DescMessage, Message } from "@bufbuild/protobuf";
import type { ConnectError } from "@connectrpc/connect";
import type { ByteAccount } from "../../gateway/byte-budget.ts";
import type { Cancellation } from "../../runtime/cancellation.ts";
import type { RequestRecord } from "../../telemetry/request-record.ts";
import type { Peer } from "../edge.ts";

/** A call on the gRPC lane, as its method sees it. */
export interface LaneCall {
  readonly headers: IncomingHttpHeaders;
  readonly peer: Peer;
  /** Whether the connection is encrypted. */
  readonly isEncrypted: boolean;
  /** Set by the method, when it begins. */
  record: RequestRecord | undefined;
  /** What it may hold of the process's memory. */
  readonly account: ByteAccount;
  /** Called off when the caller leaves, its deadline passes, or the process stops. */
  readonly cancellation: Cancellation;
  /** What is left until the caller's deadline, ms; undefined: it has none. */
  timeoutMs(): number | undefined;
  /** Headers of the answer, until its first message is sent. */
  readonly responseHeaders: OutgoingHttpHeaders;
  /** Trailers of the answer but for the status. */
  readonly responseTrailers: OutgoingHttpHeaders;
}

/** What a method that streams has opened. */
export interface LaneStream {
  /** What comes next, a read's worth at a time. */
  next(): Promise<{ readonly items: readonly Message[]; readonly last: boolean }>;
  /** Gives the rest up, if there is any. */
  close(reason: () => unknown): void;
}

/** What answers one call that was let in. */
export interface LaneHandler<Answer> {
  handle(request: Message): Promise<Answer>;
  /** Whatever the handler, or the stream that it has opened, has thrown, as a status. */
  statusOf(error: unknown): ConnectError;
}

/**
 * A method with one request, and one answer or a stream of them, apart from any framework. `begin` runs before the request is read,
 * and lets the call in, or throws a ConnectError.
 */
export type LaneMethod = {
  /** `/package.Service/Method` */
  readonly path: string;
  readonly input: DescMessage;
  readonly output: DescMessage;
} & (
  | { readonly kind: "unary"; begin(call: LaneCall): LaneHandler<Message> }
  | { readonly kind: "server_streaming"; begin(call: LaneCall): LaneHandler<LaneStream> }
);
