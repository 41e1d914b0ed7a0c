import { setTimeout as sleep } from "node:timers/promises";
import { expect, onTestFinished } from "vitest";
import type { Behaviour } from "../../src/providers/simulated/behaviour.ts";
import type { SimulatedProvider } from "../../src/providers/simulated/simulated-provider.ts";
import type { MachineParts } from "../../src/server/compose.ts";
import type { RequestRecord } from "../../src/telemetry/request-record.ts";
import { poolConfig, startGateway, startProviders, type TestGateway } from "./gateway.ts";
import type { ReceivedSpan } from "./otlp-messages.ts";
import { type OtlpReceiver, type OtlpReceiverOptions, startOtlpReceiver } from "./otlp-receiver.ts";
import type { CollectorEndpoints } from "./sample-trace.ts";

/** Where traces go, in the words of the configuration. */
export interface Collector {
  readonly endpoint: string;
  readonly protocol: "http/protobuf" | "grpc";
}

/** What a gateway is started with beside its providers. */
export interface TracedSetup {
  /** Of the providers, as `poolConfig` takes it. */
  readonly providers?: Parameters<typeof poolConfig>[1];
  /** Of the model's pool. */
  readonly model?: object;
  /** Of the file, beside its providers, its model and its telemetry. */
  readonly rest?: object;
  /** Of `telemetry` beside `otlp`. */
  readonly telemetry?: object;
  /** Of `telemetry.otlp` beside where it is. */
  readonly otlp?: object;
  /** Of the machine. */
  readonly parts?: Partial<MachineParts>;
}

/** A gateway whose traces go somewhere. */
export interface TracedGateway<Name extends string> extends TestGateway {
  readonly providers: Record<Name, SimulatedProvider>;
  /** As it was started; for configurations like it. */
  readonly config: object;
  /** Its requests, in the order in which they came. Live. */
  readonly records: readonly RequestRecord[];
  /** Resolves when so many traces have been taken by the collector, since the gateway was started. */
  sent(traces: number): Promise<void>;
}

/** Starts providers, and a gateway before them which sends its traces to a collector, undefined for none. */
export async function startTraced<Name extends string>(
  collector: Collector | undefined,
  behaviours: Readonly<Record<Name, Partial<Behaviour>>>,
  { providers: changes = {}, model = {}, rest = {}, telemetry = {}, otlp = {}, parts = {} }: TracedSetup = {},
): Promise<TracedGateway<Name>> {
  const providers = await startProviders(behaviours);
  const pool = poolConfig(providers, changes);
  const config = {
    ...pool,
    models: pool.models.map((each) => ({ ...each, ...model })),
    ...rest,
    telemetry: { ...(collector && { otlp: { ...collector, metrics: false, ...otlp } }), ...telemetry },
  };
  const records: RequestRecord[] = [];
  const watcher = {
    began: (record: RequestRecord) => void records.push(record),
    // It begins anew as another one.
    abandoned: (record: RequestRecord) => void records.splice(records.indexOf(record), 1),
  };
  const started = await startGateway(config, providers, {}, { watcher, ...parts });
  const { tracing } = started.gateway.telemetry;
  return {
    ...started,
    providers,
    config,
    records,
    async sent(traces) {
      // A request ends a little after its caller has the answer.
      while (tracing.counts.sent < traces) {
        await tracing.flush();
        await sleep(2);
      }
      expect(tracing.counts.sent).toBe(traces);
    },
  };
}

/** Starts a collector, which is closed with the test. */
export async function startCollector(options?: OtlpReceiverOptions): Promise<OtlpReceiver> {
  const receiver = await startOtlpReceiver(options);
  onTestFinished(() => receiver.close());
  return receiver;
}

/** Both ways to a collector. */
export const transports = [
  { name: "OTLP/HTTP", to: overHttp },
  { name: "OTLP/gRPC", to: overGrpc },
] as const;

/** The way by HTTP. */
export function overHttp({ httpEndpoint }: CollectorEndpoints): Collector {
  return { endpoint: httpEndpoint, protocol: "http/protobuf" };
}

/** The way by gRPC. */
export function overGrpc({ grpcEndpoint }: CollectorEndpoints): Collector {
  return { endpoint: grpcEndpoint, protocol: "grpc" };
}

/** Spans that begin before their parent does, or end after it, by more than a microsecond, in which Jaeger counts. */
export function outsideTheirParents(spans: readonly ReceivedSpan[]): string[] {
  const byId = new Map(spans.map((span) => [`${span.traceId} ${span.spanId}`, span]));
  return spans.flatMap((span) => {
    const parent = byId.get(`${span.traceId} ${span.parentSpanId}`);
    if (!parent) return [];
    const isInside = span.startNanos + 1000n >= parent.startNanos && span.endNanos <= parent.endNanos + 1000n;
    return isInside ? [] : [`${span.name} in ${parent.name}`];
  });
}
