import { hostname } from "node:os";
import type { Target } from "../providers/target.ts";
import type { Endpoint } from "../routing/endpoint.ts";
import type { RouteObserver } from "../routing/observer.ts";
import type { Clock } from "../runtime/clock.ts";
import { type Rng, randomHex } from "../runtime/rng.ts";
import { createOtlpClient, type OtlpClient } from "../telemetry/otlp.ts";
import type { Recording, RequestWatcher } from "../telemetry/request-record.ts";
import type { EndpointFacts } from "../telemetry/request-spans.ts";
import { createTracing, type Tracing } from "../telemetry/tracing.ts";
import type { Config } from "./config.ts";
import { version } from "./version.ts";

/** What watches requests, as it is configured. */
export interface Telemetry {
  readonly watcher: RequestWatcher;
  readonly observer: RouteObserver;
  readonly samples: Recording["samples"];
  readonly tracing: Tracing;
  adopt(config: Config): void;
  /** Sends what is left, for a few seconds at most. */
  close(): Promise<void>;
}

/** How long the last traces may take: the process is to end. */
const lastFlushMs = 3000;

export function createTelemetry(
  first: Config,
  { clock, rng, warn }: { readonly clock: Clock; readonly rng: Rng; warn(message: string): void },
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
        else warn(`${endpoint} does not take traces (${trouble}): they are dropped, and counted, until it does.`);
      },
    },
    keepingOf(config),
    config.otlp?.traces ? client : undefined,
  );

  async function letGo(old: OtlpClient | undefined): Promise<void> {
    const timeUp = new Promise<void>((resolve) => clock.schedule(lastFlushMs, resolve));
    await Promise.race([old?.close().catch(() => {}), timeUp]);
  }

  return {
    watcher: tracing,
    observer: {},
    samples: tracing.samples,
    tracing,
    adopt({ telemetry: next }) {
      const old = client;
      const isOther =
        JSON.stringify([next.otlp, next.resource, next.service_name]) !==
        JSON.stringify([config.otlp, config.resource, config.service_name]);
      config = next;
      if (isOther) client = clientOf(next, instanceId);
      tracing.adopt(keepingOf(next), next.otlp?.traces ? client : undefined);
      if (isOther) void letGo(old);
    },
    async close() {
      tracing.stop();
      const timeUp = new Promise<void>((resolve) => clock.schedule(lastFlushMs, resolve));
      await Promise.race([tracing.flush(), timeUp]);
      await letGo(client);
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
  return createOtlpClient({ endpoint, protocol, headers, timeoutMs }, attributes, { name: "everhop", version });
}

/** Endpoints are few, and live as long as their configuration. */
const described = new WeakMap<Endpoint, EndpointFacts>();

function describe(endpoint: Endpoint): EndpointFacts | undefined {
  const known = described.get(endpoint);
  if (known) return known;
  const { kind, origin } = endpoint as Target; // every endpoint of the gateway is one
  const url = new URL(origin);
  const port = Number(url.port) || (url.protocol === "https:" ? 443 : 80);
  const facts = { kind, host: url.hostname, port };
  described.set(endpoint, facts);
  return facts;
}
