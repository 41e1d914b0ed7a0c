import { hostname } from "node:os";
import type { Catalog } from "../gateway/catalog.ts";
import type { Target } from "../providers/target.ts";
import type { Endpoint } from "../routing/endpoint.ts";
import type { RouteObserver } from "../routing/observer.ts";
import type { Router } from "../routing/router.ts";
import type { Clock } from "../runtime/clock.ts";
import { type Rng, randomHex } from "../runtime/rng.ts";
import type { LineCounts } from "../telemetry/log/line-writer.ts";
import { MetricSender } from "../telemetry/metrics/metric-sender.ts";
import { createMetrics, type Metrics } from "../telemetry/metrics/metrics.ts";
import { ownMetrics } from "../telemetry/metrics/own-metrics.ts";
import { processMetrics } from "../telemetry/metrics/process-metrics.ts";
import { routingGauges } from "../telemetry/metrics/routing-gauges.ts";
import { createOtlpClient, type OtlpClient } from "../telemetry/otlp.ts";
import { genAiProviderName } from "../telemetry/provider-names.ts";
import type { Recording, RequestWatcher } from "../telemetry/request-record.ts";
import type { EndpointFacts } from "../telemetry/request-spans.ts";
import { maxTraces } from "../telemetry/trace-queue.ts";
import { createTracing, type Tracing } from "../telemetry/tracing.ts";
import { bothWatchers } from "./both-watchers.ts";
import type { Config } from "./config.ts";
import type { LoopLag } from "./loop-lag.ts";
import { addressOf, metricScope } from "./metric-scope.ts";
import { processFigures } from "./process-figures.ts";
import { version } from "./version.ts";

/** What watches requests, as it is configured. */
export interface Telemetry {
  readonly watcher: RequestWatcher;
  readonly observer: RouteObserver;
  readonly samples: Recording["samples"];
  readonly traces: Recording["traces"];
  readonly tracing: Tracing;
  readonly metrics: Metrics;
  adopt(config: Config, catalog: Catalog): void;
  /** Sends what is left, for a few seconds at most. */
  close(): Promise<void>;
}

/** How long the last traces may take: the process is to end. */
const lastFlushMs = 3000;

/** What telemetry is made on. */
export interface TelemetryParts {
  readonly clock: Clock;
  readonly rng: Rng;
  warn(message: string): void;
  /** Asked when somebody collects metrics, which nobody does before all of it is there. */
  readonly router: () => Router;
  readonly loopLag: () => LoopLag;
  /** What has become of the log's lines. */
  readonly logCounts: () => Readonly<LineCounts>;
}

export function createTelemetry(
  first: Config,
  catalog: Catalog,
  { clock, rng, warn, router, loopLag, logCounts }: TelemetryParts,
): Telemetry {
  const instanceId = randomHex(rng, 32);
  let config = first.telemetry;
  let client = clientOf(config, instanceId);
  const tracing = createTracing(
    {
      clock,
      describe,
      onTrouble(trouble) {
        const { endpoint } = config.otlp ?? {};
        if (trouble === undefined) warn(`${endpoint} takes traces again.`);
        else
          warn(
            `${endpoint} does not take traces (${trouble}): until it does the next ${maxTraces} wait, and the others are lost.`,
          );
      },
    },
    keepingOf(config),
    config.otlp?.traces ? client : undefined,
  );
  const metrics = createMetrics(metricScope(first, catalog), (names) => [
    ...routingGauges(router(), names, clock),
    ...processMetrics(processFigures(loopLag())),
    ...ownMetrics({
      ...{ version, traces: tracing.counts, tracesWaiting: tracing.waiting },
      ...{ deliveries: sender.counts, log: logCounts() },
    }),
  ]);
  const sender = new MetricSender({
    clock,
    scope,
    collect: metrics.collect,
    // Jaeger takes none, and nothing is wrong about that.
    onRefusal() {},
    onTrouble(trouble) {
      const { endpoint } = config.otlp ?? {};
      if (trouble === undefined) warn(`${endpoint} takes metrics again.`);
      else
        warn(`${endpoint} does not take metrics (${trouble}); where it is not to, say telemetry.otlp.metrics: false.`);
    },
  });
  const sendMetrics = () => sender.adopt(config.otlp?.metrics ? client : undefined, config.otlp?.metrics_interval ?? 0);
  sendMetrics();

  /** Waits for the last deliveries, but not for a collector that does not answer. */
  function briefly(work: Promise<unknown>): Promise<void> {
    return new Promise((resolve) => {
      const disarm = clock.schedule(lastFlushMs, resolve);
      const over = () => {
        disarm();
        resolve();
      };
      work.then(over, over);
    });
  }

  return {
    watcher: bothWatchers(metrics.watcher, tracing),
    observer: metrics.observer,
    samples: tracing.samples,
    traces: tracing.traces,
    tracing,
    metrics,
    adopt(nextConfig, nextCatalog) {
      const { telemetry: next } = nextConfig;
      metrics.adopt(metricScope(nextConfig, nextCatalog));
      const old = client;
      const isOther =
        JSON.stringify([next.otlp, next.resource, next.service_name]) !==
        JSON.stringify([config.otlp, config.resource, config.service_name]);
      config = next;
      if (isOther) client = clientOf(next, instanceId);
      tracing.adopt(keepingOf(next), next.otlp?.traces ? client : undefined);
      sendMetrics();
      if (isOther) void old?.close().catch(() => {});
    },
    async close() {
      tracing.stop();
      sender.stop();
      await briefly(Promise.all([tracing.flush(), sender.flush()]).then(() => client?.close()));
      tracing.abandon();
    },
  };
}

function keepingOf(config: Config["telemetry"]) {
  return {
    sampleRatio: config.sample_ratio,
    keepFailovers: config.keep_failovers,
    slowFirstTokenMs: config.slow_first_token,
  };
}

function clientOf(
  { otlp, service_name: name, resource }: Config["telemetry"],
  instanceId: string,
): OtlpClient | undefined {
  if (!otlp) return undefined;
  const { endpoint, protocol, headers, timeout: timeoutMs } = otlp;
  const attributes = {
    "service.name": name,
    "service.version": version,
    "service.instance.id": instanceId,
    "host.name": hostname(),
    ...resource,
  };
  return createOtlpClient({ endpoint, protocol, headers, timeoutMs }, attributes, scope);
}

/** What spans and metrics say has written them. */
const scope = { name: "everhop", version };

/** Endpoints are few, and live as long as their configuration. */
const described = new WeakMap<Endpoint, EndpointFacts>();

function describe(endpoint: Endpoint): EndpointFacts | undefined {
  const known = described.get(endpoint);
  if (known) return known;
  const { kind, origin } = endpoint as Target; // every endpoint of the gateway is one
  const facts = { kind: genAiProviderName(kind), ...addressOf(origin) };
  described.set(endpoint, facts);
  return facts;
}
