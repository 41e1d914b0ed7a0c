import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import type { Edge, Peer, Stage } from "../api/edge.ts";
import { createFrontDoor, type StreamArrival } from "../api/front-door.ts";
import { createAdditionMemory } from "../gateway/additions.ts";
import { createAdmission } from "../gateway/admission.ts";
import { createByteBudget } from "../gateway/byte-budget.ts";
import { anyone, type Caller, createCallers } from "../gateway/caller.ts";
import {
  type Catalog,
  createCatalog,
  type ModelEntry,
  type ProviderEntry,
  type ProviderModel,
} from "../gateway/catalog.ts";
import { type Explanation, explain } from "../gateway/explain.ts";
import { createFailedLogins } from "../gateway/failed-logins.ts";
import { type HealthCheck, startHealthChecks } from "../gateway/health-check.ts";
import { createKeyNames, type KeyNames } from "../gateway/key-names.ts";
import { watchKeys } from "../gateway/key-stats.ts";
import { createUpstream } from "../providers/upstream.ts";
import type { RouteObserver } from "../routing/observer.ts";
import { createRouter } from "../routing/router.ts";
import { type RoutingSettings, routingDefaults, routingSettings } from "../routing/settings.ts";
import type { EngineState } from "../routing/state.ts";
import { createCancellation } from "../runtime/cancellation.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Rng } from "../runtime/rng.ts";
import { Secret } from "../runtime/secret.ts";
import type { LineCounts } from "../telemetry/log/line-writer.ts";
import { prometheusPieces } from "../telemetry/metrics/prometheus-text.ts";
import type { RequestWatcher } from "../telemetry/request-record.ts";
import { bothObservers } from "./both-observers.ts";
import { bothWatchers } from "./both-watchers.ts";
import { type Config, ConfigError } from "./config.ts";
import { readKeysFile } from "./keys-file.ts";
import { watchLoopLag } from "./loop-lag.ts";
import { defaultBufferedBytes, watchHeap } from "./memory.ts";
import { createTelemetry, type Telemetry } from "./telemetry.ts";
import { version } from "./version.ts";

/** Longest wait for a first content or a unary answer, whatever a caller asks for. */
export const maxDurationMs = 10 * 60_000;
/** A model that thinks may be silent for so long before its first content. */
const reasoningFirstContentMs = 10 * 60_000;

/** The whole gateway but for its port. */
export interface Gateway {
  handle(request: IncomingMessage, response: ServerResponse, peer: Peer): void;
  /** Whether a request over HTTP/2 can be answered by its stream alone; then `handleStream` does. */
  wantsStream(headers: IncomingHttpHeaders): boolean;
  handleStream(...arrival: StreamArrival): () => void;
  enter(stage: Stage): void;
  /** From now on nothing should be sent here, whatever the stage. */
  fail(reason: string): void;
  /** Ends every call in flight. */
  cut(reason: unknown): void;
  /**
   * Goes on with another configuration: requests that come from now on are served by it, those under way end as they began. What is
   * known of endpoints and keys stays with them. Where it listens cannot change. @throws ConfigError, and then nothing has changed
   * @param adminKeys beside those of the configuration; default: as before
   */
  adopt(config: Config, adminKeys?: readonly string[]): void;
  /** Reads the files of keys again. What is known of a key stays with it. @throws ConfigError, and then nothing has changed */
  reloadKeys(): void;
  /** How a model would be routed now, for a caller by name or for anyone. @throws FaultError for an unknown model */
  explain(model: string, callerName?: string): Explanation;
  /** What has been learnt of endpoints and keys. */
  readonly state: EngineState;
  /** What may be asked for now. */
  catalog(): Catalog;
  /** What watches requests. */
  readonly telemetry: Telemetry;
  close(): Promise<void>;
}

/** What a gateway runs on. */
export interface MachineParts {
  readonly clock: Clock;
  readonly rng: Rng;
  /** What routing leaves to chance; default: `rng`. */
  readonly routingRng?: Rng | undefined;
  readonly observer: RouteObserver;
  /** Told of every request. */
  readonly watcher?: RequestWatcher;
  /** Told what an operator should know. */
  warn?(message: string): void;
  /** What has become of the log's lines; none are counted where there is no log. */
  logCounts?(): Readonly<LineCounts>;
  /** Beside those of the configuration. */
  readonly adminKeys?: readonly string[];
  reportBug(error: unknown, requestId: string): void;
}

/** A configuration with all that is derived from it. */
interface Snapshot {
  readonly config: Config;
  readonly catalog: Catalog;
  readonly providers: readonly ProviderEntry[];
}

/** Builds the gateway from its parts; the only place that knows them all. */
export function compose(first: Config, machine: MachineParts): Gateway {
  const { clock, rng } = machine;
  const keyNames = createKeyNames(rng);
  let now: Snapshot = { config: first, ...buildCatalog(first, keyNames) };
  const keys = watchKeys(
    () => now.providers,
    () => router.state,
  );
  const telemetry = createTelemetry(first, now.catalog, {
    clock,
    rng,
    warn: machine.warn ?? (() => {}),
    router: () => router,
    loopLag: () => loopLag,
    logCounts: machine.logCounts ?? (() => ({ lines: 0, dropped: 0, errors: 0 })),
  });
  const recording = {
    clock,
    watcher: machine.watcher ? bothWatchers(telemetry.watcher, machine.watcher) : telemetry.watcher,
    samples: telemetry.samples,
    traces: telemetry.traces,
  };
  const router = createRouter({
    clock,
    rng: machine.routingRng ?? rng,
    settings: engineSettings(first.routing),
    observer: bothObservers(bothObservers(machine.observer, keys), telemetry.observer),
  });
  // So that statistics know keys which nobody has used yet.
  for (const { name, keys: own } of now.providers) router.state.adoptKeys(name, own);
  const upstream = createUpstream({ clock, userAgent: `everhop/${version}` });
  const startChecks = ({ config, catalog }: Snapshot) =>
    startHealthChecks({ clock, rng, upstream, state: router.state }, healthChecks(config, catalog));
  let checks = startChecks(now);
  const loopLag = watchLoopLag(clock);
  let failure: string | undefined;
  let stage: Stage = "serving";
  const stageListeners = new Set<() => void>();
  // Asked once: the answer takes as long as a whole request does.
  const bufferedByDefault = defaultBufferedBytes();
  /** What outlives every configuration. */
  const lasting = {
    failedLogins: createFailedLogins(clock),
    bytes: createByteBudget(() => now.config.server.limits.buffered ?? bufferedByDefault, watchHeap(clock)),
    rng,
    version,
    shutdown: createCancellation(),
    stage: () => stage,
    onStage(listener: () => void) {
      // An object of its own, so that the same function may listen twice.
      const own = () => listener();
      stageListeners.add(own);
      return () => stageListeners.delete(own);
    },
    unready: () => failure ?? (stage === "serving" ? loopLag.unready() : "the gateway is leaving"),
    keyStats: keys.stats,
    reportBug: machine.reportBug,
  };
  const lastingMachine = {
    clock,
    router,
    upstream,
    catalog: () => now.catalog,
    admission: createAdmission(clock),
    additions: createAdditionMemory(clock),
    maxDurationMs,
  };

  function edgeOf(
    { server: { limits, cors, lanes }, auth, routing, telemetry: told, metrics }: Config,
    adminKeys: readonly string[],
  ): Edge {
    return {
      ...lasting,
      machine: {
        ...lastingMachine,
        streamLimits: { durationMs: limits.stream_total, bytes: limits.stream_size },
        affinity: routing.affinity,
      },
      callers: createCallers(
        {
          callers: auth.callers.map((caller) => ({ caller: callerEntry(caller), key: new Secret(caller.key) })),
          adminKeys: [...auth.admin_keys, ...adminKeys].map((key) => new Secret(key)),
          open: auth.open || auth.callers.length === 0,
          anyone: { ...anyone, rpm: auth.anyone.rpm, maxConcurrent: auth.anyone.max_concurrent },
        },
        rng,
      ),
      recording: { ...recording, content: told.content, traceUrl: traceUrlOf(told.jaeger_ui) },
      limits: { bodyBytes: limits.body, stalledMs: limits.stalled, heartbeatMs: limits.heartbeat },
      ownMachineOnly: auth.callers.length === 0 && !auth.open,
      lanes,
      corsOrigins: cors.origins,
      metrics: { isPublic: metrics.public, pieces: () => prometheusPieces(telemetry.metrics.collect()) },
      loadedAtSeconds: Math.floor(clock.wallTime() / 1000),
    };
  }

  let edge = edgeOf(first, machine.adminKeys ?? []);
  // Requests keep the door that they came in by, and with it the limits and callers of their time.
  let door = createFrontDoor(edge);

  function adopt(config: Config, adminKeys: readonly string[] = machine.adminKeys ?? []): void {
    const problems = config.providers.flatMap((provider, index) => keysOf(provider, index).problems);
    if (problems.length > 0) throw new ConfigError("the files of keys", problems);
    const next: Snapshot = { config, ...buildCatalog(config, keyNames) };
    const nextEdge = edgeOf(config, adminKeys);
    const nextDoor = createFrontDoor(nextEdge);
    // Whoever has gone may come back as somebody else.
    const [before, after] = [addressesOf(now), addressesOf(next)];
    for (const name of new Set([...before.keys(), ...after.keys()])) {
      if (before.get(name) !== after.get(name)) router.state.forgetProvider(name);
    }
    for (const { name, keys: own } of next.providers) router.state.adoptKeys(name, own);
    router.adopt(engineSettings(config.routing));
    checks.stop();
    now = next;
    edge = nextEdge;
    door = nextDoor;
    checks = startChecks(next);
    upstream.keepOnly(next.providers);
    telemetry.adopt(config, next.catalog);
  }

  return {
    handle: (request, response, peer) => door.handle(request, response, peer),
    wantsStream: (headers) => door.wantsStream(headers),
    handleStream: (...arrival) => door.handleStream(...arrival),
    fail(reason) {
      failure = reason;
    },
    enter(next) {
      stage = next;
      for (const listener of stageListeners) listener();
    },
    cut: (reason) => lasting.shutdown.cancel(reason),
    adopt,
    reloadKeys: () => adopt(now.config),
    explain(model, callerName) {
      const named = now.config.auth.callers.find(({ name }) => name === callerName);
      return explain(edge.machine, model, named ? callerEntry(named) : anyone);
    },
    state: router.state,
    catalog: () => now.catalog,
    telemetry,
    async close() {
      checks.stop();
      loopLag.stop();
      await upstream.close();
      await telemetry.close();
    },
  };
}

/** Jaeger's page of a trace. */
function traceUrlOf(jaegerUi: string | undefined): ((traceId: string) => string) | undefined {
  const base = jaegerUi?.replace(/\/+$/, "");
  return base === undefined ? undefined : (traceId) => `${base}/trace/${traceId}`;
}

function addressesOf({ providers }: Snapshot): Map<string, string> {
  return new Map(providers.map(({ name, origin, basePath }) => [name, origin + basePath]));
}

/** The snapshot of a configuration. */
export function buildCatalog(config: Config, keyNames: KeyNames): { catalog: Catalog; providers: ProviderEntry[] } {
  const providers = config.providers.map((provider, index) => ({
    ...providerEntry(provider, keyNames.name(provider.name, keysOf(provider, index).keys)),
    defaultParams: config.defaults.params,
  }));
  const models: ModelEntry[] = config.models.map((model) => ({
    name: model.name,
    strategy: model.strategy,
    onContextOverflow: model.on_context_overflow,
    streamRecovery: model.stream_recovery,
    targets: model.targets.map(({ provider, model: upstreamModel, priority, weight, timeout, params }) => ({
      provider,
      model: upstreamModel,
      priority,
      weight,
      timeoutMs: timeout,
      params,
    })),
  }));
  const catalog = createCatalog({
    providers,
    models,
    defaultModel: config.defaults.model,
    tasks: new Map(Object.entries(config.tasks)),
    longPromptTokens: config.routing.long_prompt,
  });
  return { catalog, providers };
}

/** A provider's keys from the configuration and from its file. */
export function keysOf({ keys, keys_file: path }: Config["providers"][number], index: number) {
  const own = keys.map((key) => (typeof key === "string" ? { name: undefined, value: key } : key));
  if (path === undefined) return { keys: own, problems: [] };
  const file = readKeysFile(path, `providers[${index}].keys_file`);
  return { keys: [...own, ...file.keys.map((value) => ({ name: undefined, value }))], problems: file.problems };
}

/** A caller as the gateway knows it. */
export function callerEntry(caller: Config["auth"]["callers"][number]): Caller {
  const { name, models, trail, rpm, max_concurrent: maxConcurrent, queue } = caller;
  return {
    name,
    models: models && new Set(models),
    seesTrail: trail,
    rpm,
    maxConcurrent,
    queueMaxWaitMs: queue?.max_wait,
  };
}

function providerEntry(provider: Config["providers"][number], keys: ProviderEntry["keys"]): ProviderEntry {
  const { name, kind, base_url: address, priority, weight, enabled, timeout, timeouts, models } = provider;
  // `timeout` is the total of a unary call and both silences of a stream; `timeouts` says each by itself.
  const firstContentMs = timeouts.first_token ?? timeout;
  return {
    name,
    kind,
    origin: address.origin,
    basePath: address.basePath,
    keys,
    priority,
    weight,
    enabled,
    connectMs: timeouts.connect ?? 5000,
    firstContentMs: firstContentMs ?? 120_000,
    reasoningFirstContentMs: firstContentMs ?? reasoningFirstContentMs,
    idleMs: timeouts.idle ?? timeout ?? 120_000,
    totalMs: timeouts.total ?? timeout ?? maxDurationMs,
    use: { maxRps: provider.max_rps, maxConcurrent: provider.max_concurrent },
    models: models.map(providerModel),
    defaultModel: provider.default_model,
    traceContext: provider.trace_context,
  };
}

function providerModel(model: Config["providers"][number]["models"][number]): ProviderModel {
  const {
    id,
    context_window: contextWindow,
    prices,
    reasoning,
    prefill,
    input,
    max_rps: maxRps,
    max_concurrent: maxConcurrent,
  } = model;
  return {
    id,
    contextWindow,
    prices: prices && { inputPer1k: prices.input_per_1k, outputPer1k: prices.output_per_1k },
    reasoning,
    prefill,
    input,
    use: { maxRps, maxConcurrent },
  };
}

/** The checks of providers that have endpoints. */
export function healthChecks(config: Config, catalog: Catalog): HealthCheck[] {
  const everyone: Caller = { name: "health check", models: undefined, seesTrail: true };
  const targets = catalog.list(everyone).flatMap((model) => model.targets);
  return config.providers.flatMap(({ name, enabled, health_check: check }) => {
    const own = targets.filter(({ provider }) => provider === name);
    if (!check || !enabled || own.length === 0) return [];
    const { kind, path = "/models", url, model, interval: intervalMs, timeout: timeoutMs } = check;
    return [{ provider: name, targets: own, kind, path, url, model, intervalMs, timeoutMs }];
  });
}

/** What a configuration says of routing. */
export function engineSettings(routing: Config["routing"]): RoutingSettings {
  const { breaker } = routing;
  return routingSettings({
    failover: routing.failover,
    maxAttempts: routing.max_attempts,
    patienceMs: routing.patience,
    lastPatienceMs: routing.last_patience,
    backoff: { baseMs: routing.backoff.base, maxMs: routing.backoff.max },
    keyRotations: routing.key_rotations,
    breaker: {
      enabled: breaker.enabled,
      consecutive: breaker.consecutive,
      errorRate: breaker.error_rate,
      minFailures: breaker.min_failures,
      minCalls: breaker.min_calls,
      windowMs: breaker.window,
      openMs: breaker.open,
      quickCapMs: breaker.quick_cap,
      slowCapMs: breaker.slow_cap,
      soleCapMs: breaker.sole_cap,
      successesToClose: breaker.successes_to_close,
    },
    retryBudget: routing.retry_budget,
    queue: { maxWaitMs: routing.queue.max_wait, bound: routing.queue.bound },
    inFlight: routing.in_flight,
    hedge: { ...routingDefaults.hedge, enabled: routing.hedge },
    affinity: routing.affinity,
  });
}
