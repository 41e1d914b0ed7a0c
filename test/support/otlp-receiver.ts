import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { gunzipSync } from "node:zlib";
import { Server, ServerCredentials, type ServiceDefinition, status } from "@grpc/grpc-js";
import { type ReceivedMetric, type ReceivedSpan, readMetrics, readSpans } from "./otlp-messages.ts";
import { rootsOf, told } from "./span-tree.ts";

/** How exports are answered. */
export interface CollectorBehaviour {
  /** Of exports by HTTP. Default: 200; anything else refuses, and nothing is kept. */
  readonly httpStatus?: number;
  /** The header `Retry-After`. */
  readonly retryAfter?: string;
  /** Of exports by gRPC. Default: 0; anything else refuses, and nothing is kept. */
  readonly grpcStatus?: number;
  /** Milliseconds until the answer; what came is kept only then. Default: 0. */
  readonly delay?: number | "never";
}

/** What `startOtlpReceiver` takes. */
export interface OtlpReceiverOptions extends CollectorBehaviour {
  /** Default: any that is free. To come back after `close()`, those that it had. */
  readonly httpPort?: number;
  readonly grpcPort?: number;
}

/** How many exports came, whatever they were answered. */
export interface ExportCounts {
  readonly http: { readonly traces: number; readonly metrics: number };
  readonly grpc: { readonly traces: number; readonly metrics: number };
  /** Of these, how many were refused because that was the behaviour … */
  readonly refused: number;
  /** … and how many because they were no export. */
  readonly unreadable: number;
}

/** A collector of OpenTelemetry's in this process, which keeps what it has accepted. */
export interface OtlpReceiver {
  /** `http://127.0.0.1:PORT`, for OTLP/HTTP in protobuf. */
  readonly httpEndpoint: string;
  /** `http://127.0.0.1:PORT`, for OTLP/gRPC in clear. */
  readonly grpcEndpoint: string;
  readonly httpPort: number;
  readonly grpcPort: number;
  /** In the order in which they came. Live. */
  readonly spans: readonly ReceivedSpan[];
  /** Every metric of every export, in the order in which they came. Live. */
  readonly metrics: readonly ReceivedMetric[];
  readonly requests: ExportCounts;
  /** The HTTP headers or the gRPC metadata of the last export, names in small letters. */
  readonly lastHeaders: Readonly<Record<string, string>>;
  /** The metric as the newest export that had it told it. */
  metric(name: string): ReceivedMetric | undefined;
  /** From now on exports are answered so; `{}` is a good collector. */
  behave(behaviour: CollectorBehaviour): void;
  /** Lets go of all spans and metrics; the counts stay. */
  forget(): void;
  /**
   * Resolves with what the predicate gives as soon as that is neither false nor undefined. It is asked after every export.
   * @throws Error with what has come when that takes longer than `limitMs`
   */
  waitFor<T>(predicate: (receiver: OtlpReceiver) => T | false | undefined, limitMs?: number): Promise<T>;
  /**
   * Resolves with the spans of a trace as soon as they are complete.
   * @param isComplete default: there is a root, which has no parent or another program's, and every other span's parent is there
   */
  waitForTrace(traceId: string, isComplete?: (spans: readonly ReceivedSpan[]) => boolean): Promise<ReceivedSpan[]>;
  /** Cuts all connections and listens no more. */
  close(): Promise<void>;
}

type Signal = "traces" | "metrics";

const signalsByPath: Readonly<Record<string, Signal>> = { "/v1/traces": "traces", "/v1/metrics": "metrics" };
const host = "127.0.0.1";
const hasRemote = 0x100;
const isRemote = 0x200;

/** Starts a collector on ports of its own. Whoever has started it closes it. */
export async function startOtlpReceiver(options: OtlpReceiverOptions = {}): Promise<OtlpReceiver> {
  let behaviour: CollectorBehaviour = options;
  const spans: ReceivedSpan[] = [];
  const metrics: ReceivedMetric[] = [];
  const requests = { http: { traces: 0, metrics: 0 }, grpc: { traces: 0, metrics: 0 }, refused: 0, unreadable: 0 };
  let lastHeaders: Readonly<Record<string, string>> = {};
  const watchers = new Set<() => void>();
  const timers = new Set<NodeJS.Timeout>();

  const tellWatchers = () => {
    for (const look of watchers) look();
  };

  /** Takes an export in, and answers when it is time. */
  const take = (
    transport: "http" | "grpc",
    signal: Signal,
    headers: Readonly<Record<string, string>>,
    readBody: () => Buffer,
    answer: (verdict: "accepted" | "refused" | "unreadable", by: CollectorBehaviour) => void,
  ) => {
    requests[transport][signal]++;
    lastHeaders = headers;
    const by = behaviour;
    const refused = transport === "http" ? (by.httpStatus ?? 200) !== 200 : (by.grpcStatus ?? 0) !== 0;
    const settle = () => {
      let verdict: "accepted" | "refused" | "unreadable" = refused ? "refused" : "accepted";
      try {
        if (!refused && signal === "traces") spans.push(...readSpans(readBody()));
        if (!refused && signal === "metrics") metrics.push(...readMetrics(readBody()));
      } catch {
        verdict = "unreadable";
      }
      if (verdict !== "accepted") requests[verdict]++;
      answer(verdict, by);
      tellWatchers();
    };
    tellWatchers();
    if (by.delay === "never") return;
    if (!by.delay) return settle();
    const timer = setTimeout(() => {
      timers.delete(timer);
      settle();
    }, by.delay);
    timers.add(timer);
  };

  const http = createServer((request, response) => {
    const refuse = (code: number) => {
      requests.unreadable++;
      request.resume();
      response.writeHead(code).end();
    };
    const signal = signalsByPath[request.url ?? ""];
    if (!signal) return refuse(404);
    if (request.method !== "POST") return refuse(405);
    if (request.headers["content-type"] !== "application/x-protobuf") return refuse(415);
    const unpack = unpackers[request.headers["content-encoding"] ?? "identity"];
    if (!unpack) return refuse(415);
    buffer(request).then(
      (body) =>
        take(
          "http",
          signal,
          headersOf(request),
          () => unpack(body),
          (verdict, by) => {
            const code = verdict === "unreadable" ? 400 : (by.httpStatus ?? 200);
            response.writeHead(code, {
              "content-type": "application/x-protobuf",
              ...(by.retryAfter === undefined ? {} : { "retry-after": by.retryAfter }),
            });
            // Nothing is the message that says nothing, so all was accepted.
            response.end();
          },
        ),
      () => undefined, // the exporter has left in the middle
    );
  });

  const grpc = new Server({ "grpc.max_receive_message_length": -1 });
  for (const [signal, service] of Object.entries(grpcServices) as [Signal, string][]) {
    grpc.addService(exportOf(service), {
      Export: (call: ServerCall, callback: (error: object | null, answer?: Buffer) => void) => {
        const headers = Object.fromEntries(Object.entries(call.metadata.getMap()).map(([k, v]) => [k, String(v)]));
        take(
          "grpc",
          signal,
          headers,
          () => call.request,
          (verdict, by) => {
            if (verdict === "accepted") return callback(null, Buffer.alloc(0));
            const code = verdict === "unreadable" ? status.INVALID_ARGUMENT : by.grpcStatus;
            callback({ code, details: `the export is ${verdict}` });
          },
        );
      },
    });
  }

  const httpPort = await new Promise<number>((resolve, reject) => {
    http.once("error", reject);
    http.listen(options.httpPort ?? 0, host, () => resolve((http.address() as AddressInfo).port)); // it listens on a port
  });
  const grpcPort = await new Promise<number>((resolve, reject) => {
    grpc.bindAsync(`${host}:${options.grpcPort ?? 0}`, ServerCredentials.createInsecure(), (error, port) =>
      error ? reject(error) : resolve(port),
    );
  });

  const receiver: OtlpReceiver = {
    httpEndpoint: `http://${host}:${httpPort}`,
    grpcEndpoint: `http://${host}:${grpcPort}`,
    httpPort,
    grpcPort,
    spans,
    metrics,
    requests,
    get lastHeaders() {
      return lastHeaders;
    },
    metric: (name) => metrics.findLast((each) => each.name === name),
    behave: (next) => {
      behaviour = next;
    },
    forget: () => {
      spans.length = 0;
      metrics.length = 0;
    },
    waitFor: (predicate, limitMs = 20_000) =>
      new Promise((resolve, reject) => {
        const finish = () => {
          clearTimeout(timer);
          watchers.delete(look);
        };
        const timer = setTimeout(() => {
          finish();
          reject(new Error(`it has not come in ${limitMs} ms; what came: ${JSON.stringify(requests)}\n${told(spans)}`));
        }, limitMs);
        const look = () => {
          try {
            const found = predicate(receiver);
            if (found === false || found === undefined) return;
            finish();
            resolve(found);
          } catch (error) {
            finish();
            reject(error);
          }
        };
        watchers.add(look);
        look();
      }),
    waitForTrace: (traceId, isComplete = hangsTogether) =>
      receiver.waitFor(() => {
        const ofTrace = spans.filter((span) => span.traceId === traceId);
        return isComplete(ofTrace) && ofTrace;
      }),
    close: async () => {
      for (const timer of timers) clearTimeout(timer);
      timers.clear();
      grpc.forceShutdown();
      const closed = new Promise((resolve) => http.close(resolve));
      http.closeAllConnections();
      await closed;
    },
  };
  return receiver;
}

const unpackers: Readonly<Record<string, (body: Buffer) => Buffer>> = { identity: (body) => body, gzip: gunzipSync };

function headersOf({ headers }: IncomingMessage): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}

const grpcServices: Readonly<Record<Signal, string>> = {
  traces: "opentelemetry.proto.collector.trace.v1.TraceService",
  metrics: "opentelemetry.proto.collector.metrics.v1.MetricsService",
};

interface ServerCall {
  readonly request: Buffer;
  readonly metadata: { getMap(): Readonly<Record<string, unknown>> };
}

/** A service with the one method `Export`, whose messages stay bytes. */
function exportOf(service: string): ServiceDefinition {
  const asItIs = (bytes: Buffer) => bytes;
  return {
    Export: {
      path: `/${service}/Export`,
      requestStream: false,
      responseStream: false,
      requestSerialize: asItIs,
      requestDeserialize: asItIs,
      responseSerialize: asItIs,
      responseDeserialize: asItIs,
    },
  };
}

function hangsTogether(spans: readonly ReceivedSpan[]): boolean {
  const roots = rootsOf(spans);
  const [root] = roots;
  if (!root || roots.length > 1) return false;
  return root.parentSpanId === "" || (root.flags & (hasRemote | isRemote)) === (hasRemote | isRemote);
}
