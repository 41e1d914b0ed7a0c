import type { IncomingMessage, ServerResponse } from "node:http";
import type { Edge, Stage } from "../api/edge.ts";
import { createRestHandler } from "../api/rest/handler.ts";
import { createRpcHandler } from "../api/rpc/handler.ts";
import { createCallers } from "../gateway/caller.ts";
import { createCatalog, type ProviderEntry } from "../gateway/catalog.ts";
import { watchKeys } from "../gateway/key-stats.ts";
import { createUpstream } from "../providers/upstream.ts";
import type { RouteObserver } from "../routing/observer.ts";
import { createRouter } from "../routing/router.ts";
import { createCancellation } from "../runtime/cancellation.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Rng } from "../runtime/rng.ts";
import { Secret } from "../runtime/secret.ts";
import type { Config } from "./config.ts";
import { version } from "./version.ts";

/** Longest wait for a first content or a unary answer, whatever a caller asks for. */
const maxDurationMs = 10 * 60_000;

/** The whole gateway but for its port. */
export interface Gateway {
  handle(request: IncomingMessage, response: ServerResponse): void;
  enter(stage: Stage): void;
  /** Ends every call in flight. */
  cut(reason: unknown): void;
  close(): Promise<void>;
}

/** Builds the gateway from its parts; the only place that knows them all. */
export function compose(
  config: Config,
  machine: { clock: Clock; rng: Rng; observer: RouteObserver; reportBug(error: unknown, requestId: string): void },
): Gateway {
  const { clock, rng } = machine;
  const providers = config.providers.map(providerEntry);
  const models = config.models.map(({ name, targets }) => ({
    name,
    targets: targets.map(({ provider, model, priority, timeout }) => ({
      provider,
      model,
      priority,
      timeoutMs: timeout,
    })),
  }));
  const catalog = createCatalog({ providers, models, defaultModel: config.defaults.model });
  const callers = config.auth.callers.map(({ name, key, models: allowed, trail }) => ({
    caller: { name, models: allowed && new Set(allowed), seesTrail: trail },
    key: new Secret(key),
  }));
  const keys = watchKeys(providers);
  const upstream = createUpstream({ clock, userAgent: `everhop/${version}` });
  const shutdown = createCancellation();
  let stage: Stage = "serving";
  const edge: Edge = {
    machine: {
      clock,
      router: createRouter({ clock, rng, observer: both(machine.observer, keys) }),
      upstream,
      catalog: () => catalog,
      maxAttempts: config.routing.max_attempts,
      maxDurationMs,
    },
    callers: createCallers(callers, config.auth.open || callers.length === 0, rng),
    rng,
    version,
    loadedAtSeconds: Math.floor(clock.wallTime() / 1000),
    shutdown,
    stage: () => stage,
    keyStats: keys.stats,
    reportBug: machine.reportBug,
  };
  return {
    handle: createRpcHandler(edge, createRestHandler(edge)),
    enter(next) {
      stage = next;
    },
    cut: (reason) => shutdown.cancel(reason),
    close: () => upstream.close(),
  };
}

function providerEntry(provider: Config["providers"][number]): ProviderEntry {
  const { name, kind, base_url: address, priority, enabled, timeout, timeouts, models } = provider;
  return {
    name,
    kind,
    origin: address.origin,
    basePath: address.basePath,
    keys: provider.keys.map((key, index) =>
      typeof key === "string"
        ? { name: `k${index + 1}`, secret: new Secret(key) }
        : { name: key.name, secret: new Secret(key.value) },
    ),
    priority,
    enabled,
    // `timeout` is the total of a unary call and both silences of a stream; `timeouts` says each by itself.
    connectMs: timeouts.connect ?? 5000,
    firstContentMs: timeouts.first_token ?? timeout ?? 120_000,
    idleMs: timeouts.idle ?? timeout ?? 120_000,
    totalMs: timeouts.total ?? timeout ?? maxDurationMs,
    models,
    defaultModel: provider.default_model,
  };
}

function both(first: RouteObserver, second: RouteObserver): RouteObserver {
  return {
    attemptStarted(trail, attempt) {
      first.attemptStarted?.(trail, attempt);
      second.attemptStarted?.(trail, attempt);
    },
    committed(trail, attempt) {
      first.committed?.(trail, attempt);
      second.committed?.(trail, attempt);
    },
    attemptEnded(trail, attempt) {
      first.attemptEnded?.(trail, attempt);
      second.attemptEnded?.(trail, attempt);
    },
    skipped(trail, skip) {
      first.skipped?.(trail, skip);
      second.skipped?.(trail, skip);
    },
  };
}
