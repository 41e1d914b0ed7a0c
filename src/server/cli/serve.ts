import { isIP } from "node:net";
import { resolve } from "node:path";
import { createCancellation } from "../../runtime/cancellation.ts";
import { type Clock, systemClock } from "../../runtime/clock.ts";
import { type Rng, seededRng, systemRng } from "../../runtime/rng.ts";
import { ownAdminKey } from "../admin-key.ts";
import { bothObservers } from "../both-observers.ts";
import { compose, type Gateway } from "../compose.ts";
import { type Config, ConfigError, type ConfigProblem } from "../config.ts";
import { readVariables } from "../environment.ts";
import { listenerLimits } from "../listener/limits.ts";
import { createListener } from "../listener/listener.ts";
import { type LoadedConfig, loadConfig } from "../load-config.ts";
import { createServerLog, debugNotices, type ServerLog } from "../log.ts";
import { defaultConnections } from "../memory.ts";
import { refuseOpenToTheWorld } from "../open-to-the-world.ts";
import { otelDraft } from "../otel-environment.ts";
import { keepReloading } from "../reload.ts";
import { createRedact } from "../secrets.ts";
import { drain } from "../shutdown.ts";
import { readTlsFiles } from "../tls-files.ts";
import { version } from "../version.ts";
import { warmUp } from "../warm-up.ts";
import { demoBanner, demoHint } from "./demo/banner.ts";
import { startTraffic } from "./demo/traffic.ts";
import { startDemo } from "./demo.ts";
import { createLiveView, type LiveView, suitsLive } from "./live-view.ts";

/** Flags of `serve`. */
export interface ServeFlags {
  readonly config?: string;
  readonly groups?: string;
  readonly host?: string;
  readonly port?: number;
  /** Calls a second in the demo; undefined: none. */
  readonly traffic?: number | undefined;
  /** A view of what happens in place of lines; undefined: as suits. */
  readonly live?: boolean | undefined;
}

/**
 * Serves until a signal says otherwise: SIGTERM drains, SIGINT drains without waiting for balancers, a second one ends at once.
 * @throws ConfigError
 */
export async function serve({ config: path, groups, traffic, live, ...overrides }: ServeFlags): Promise<void> {
  const load = () => loadConfig({ path, groups, env: process.env, overrides });
  const loaded = load();
  const { config } = loaded;
  if (config) {
    if (traffic !== undefined) {
      const expected = "expected no configuration: only the demo has callers of its own";
      throw new ConfigError(loaded.source, [{ path: "--traffic", value: String(traffic), expected }]);
    }
    await serveConfig({ ...loaded, config }, { load, live });
    return;
  }
  await serveDemo({ traffic, live, ...overrides }, { isAsked: false, notices: loaded.notices });
}

/**
 * Serves the demo, whatever is configured.
 * @throws ConfigError
 */
export async function serveDemo(
  { traffic, live, ...server }: Omit<ServeFlags, "config" | "groups">,
  { isAsked, notices }: { readonly isAsked: boolean; readonly notices: readonly string[] } = {
    isAsked: true,
    notices: [],
  },
): Promise<void> {
  refuseOpenToTheWorld({ open: false, callers: [] }, server.host ?? "127.0.0.1", "the demo");
  const { telemetry = {} } = otelDraft(readVariables(process.env, ".")).value;
  const demo = await startDemo({ clock: systemClock, rng: systemRng }, server, telemetry as object); // a section is one
  try {
    const started = { config: demo.config, source: "the demo", origins: new Map(), notices, files: [] };
    await serveConfig(started, {
      banner: (address) => demoBanner(address, { trafficPerSecond: traffic, isAsked }),
      traffic,
      live: live ?? suitsLive(process.stdout, process.env),
      // Chance that sends the first request to the provider that fails: whoever asks once has seen a hop.
      routingRng: seededRng(demoSeed),
    });
  } finally {
    await demo.close();
  }
}

const demoSeed = 2;

type Started = LoadedConfig & { readonly config: Config };
type Learn = ReturnType<typeof createRedact>["learn"];

interface Serving {
  readonly banner?: (address: string) => string;
  /** Calls a second by callers of our own; undefined: none. */
  readonly traffic?: number | undefined;
  /** A view of what happens in place of lines, where there is a terminal. */
  readonly live?: boolean | undefined;
  /** What routing leaves to chance; undefined: the machine's own. */
  readonly routingRng?: Rng;
  /** Reads the configuration again; undefined: it is for good. */
  readonly load?: () => LoadedConfig;
}

async function serveConfig(started: Started, serving: Serving): Promise<void> {
  const { config, source } = started;
  refuseOpenToTheWorld(config.auth, config.server.host, source);
  // Whoever read our lines may stop reading; that must not end the process.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  const { redact, learn } = createRedact();
  const live = serving.live && process.stdout.isTTY ? createLiveView(systemClock) : undefined;
  const log = createServerLog(config, source, {
    ...{ clock: systemClock, env: process.env, redact },
    isDemo: serving.banner !== undefined,
    isLive: live !== undefined,
  });
  try {
    await serveWith(started, serving, { log, learn, live });
  } finally {
    await log.close();
  }
  // Neither whoever does not read our lines nor a collector that does not answer must keep us from ending.
  process.exit(process.exitCode ?? 0);
}

async function serveWith(
  started: Started,
  { banner, load, traffic: callsPerSecond, routingRng }: Serving,
  { log, learn, live }: { readonly log: ServerLog; readonly learn: Learn; readonly live: LiveView | undefined },
): Promise<void> {
  const { config, source } = started;
  const say = (line: string) => log.say(line);
  const clock = systemClock;
  const tls = readTlsFiles(config, source);
  // The demo has nothing to operate.
  let ownKey = config.auth.admin_keys.length === 0 && !banner ? ownAdminKey(systemRng) : undefined;
  const adminKeys = ownKey ? [ownKey.key] : [];
  learn(config, adminKeys);
  const { reportBug } = log;
  const gateway = compose(config, {
    ...{ clock, rng: systemRng, routingRng, adminKeys, reportBug },
    observer: live ? bothObservers(live.observer, log.observer) : log.observer,
    watcher: log.watcher,
    warn: log.warn,
    logCounts: () => log.counts,
  });
  let current = config;
  const { host, port: wanted, limits, trusted_proxies: trustedProxies } = config.server;
  const listener = createListener(gateway, {
    clock,
    rng: systemRng,
    limits: { connections: limits.connections ?? defaultConnections(listenerLimits.connections) },
    tls,
    trustedProxies,
    reportBug,
  });
  // Before the port is open: whoever sees it open may change a file, or send a signal.
  const stopReloading = load
    ? keepReloading({
        ...{ clock, gateway, listener, started, load },
        say: (line) => log.say(line, "config"),
        admit: (next, from) => {
          log.prepare(next, from);
          for (const at of [host, next.server.host]) refuseOpenToTheWorld(next.auth, at, from);
          if (next.auth.admin_keys.length > 0) return [];
          if (!ownKey) {
            ownKey = ownAdminKey(systemRng);
            learn(next, [ownKey.key]);
            log.note(ownKey.notice);
          }
          return [ownKey.key];
        },
        adopted(next, keys) {
          current = next;
          learn(next, keys);
          log.adopt(next);
        },
        complain: (line) => log.complain(line, "config"),
      })
    : () => {};
  const leaving = firstSignal(clock, (signal) => say(`${signal}: leaving; calls in flight may end.`));
  const broken = firstCrash(gateway, log);
  const letGo = () => {
    stopReloading();
    listener.destroy();
    return gateway.close();
  };
  // Before the port is open, so that whoever waits for it, balancer or person, is served by code that has run before. Not for the
  // demo, whose providers take their time.
  if (config.server.warm_up && !banner) {
    const isLeaving = createCancellation();
    void leaving.then((signal) => isLeaving.cancel(signal));
    const { failure } = await warmUp({ clock, rng: systemRng }, { cancellation: isLeaving });
    if (isLeaving.cancelled) {
      await letGo();
      say("Stopped.");
      return;
    }
    if (failure !== undefined) log.note(`the first requests will be slow, for the warm-up has failed: ${failure}`);
  }
  const port = await listener.listen(host, wanted).catch(async (error: NodeJS.ErrnoException) => {
    await letGo();
    throw new ConfigError(source, [listenProblem(error, host, wanted)]);
  });
  const address = `${tls ? "https" : "http"}://${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
  const wires = "gRPC, gRPC-Web, Connect and OpenAI's REST API";
  log.say(`Everhop ${version} listens on ${address} for ${wires}.`, "server", { version, address });
  const notices = [...started.notices, ...(ownKey ? [ownKey.notice] : []), ...debugNotices(process.env)];
  for (const notice of notices) log.note(notice);
  if (config.auth.callers.length === 0) {
    say("No callers are configured: whoever reaches the port is served, with any key or none.");
  }
  const providers = config.providers.filter(({ enabled }) => enabled).map(({ name }) => name);
  const served = banner ? `\n${banner(address)}` : `${source}: ${providers.join(", ") || "no provider is enabled"}.`;
  say(served);
  for (const line of whereToLook(config)) say(line);

  const traffic =
    callsPerSecond === undefined
      ? undefined
      : startTraffic(address, callsPerSecond, (caller, why) => say(`${caller} was not served: ${why}`));
  live?.show({ gateway, address, callers: traffic?.tally, banner: `${served}\n`, footer: banner && demoHint(address) });
  const reason = await Promise.race([leaving, broken]);
  await traffic?.stop();
  const preStopMs = reason === "SIGINT" ? 0 : current.drain.pre_stop;
  await drain({ gateway, listener, clock }, { preStopMs, graceMs: current.drain.grace });
  stopReloading();
  live?.stop();
  if (traffic) {
    const { served, resumed, failed } = traffic.tally;
    say(`Callers: ${served} served (${resumed} of them gone on with after a break), ${failed} not served.`);
  }
  say("Stopped.");
  if (reason === "crash") process.exitCode = 1;
}

/** Where what the gateway tells of itself goes, beside what it prints. */
function whereToLook({ telemetry: { otlp, sample_ratio: ratio, jaeger_ui: jaegerUi }, log }: Config): string[] {
  const part = ratio === 1 ? "all of them" : `${Math.round(ratio * 10_000) / 100} % of the quiet ones`;
  const read = jaegerUi === undefined ? "" : `; read them at ${jaegerUi}`;
  return [
    ...(otlp?.traces ? [`Traces go to ${otlp.endpoint} by OTLP (${otlp.protocol}), ${part}${read}.`] : []),
    ...(log.file === undefined ? [] : [`The log is written to ${resolve(log.file)} as well.`]),
  ];
}

/**
 * Resolves when something has gone wrong that nobody foresaw: whatever state that has left behind, calls in flight are let end, and
 * nothing new should come. What happens after it is told as well, and waits for the same end.
 */
function firstCrash(gateway: Gateway, log: ServerLog): Promise<"crash"> {
  return new Promise((resolve) => {
    const onCrash = (error: unknown) => {
      log.reportCrash(error);
      gateway.fail("something in the gateway has broken");
      resolve("crash");
    };
    process.on("uncaughtException", onCrash);
    process.on("unhandledRejection", onCrash);
  });
}

/** A second SIGINT counts only after so long: Ctrl-C in `npm start` comes twice, from the terminal and from npm. */
const echoMs = 500;

/** Resolves with the first signal to leave; a second one ends the process at once. */
function firstSignal(clock: Clock, heard: (signal: NodeJS.Signals) => void): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let firstAt: number | undefined;
    const onSignal = (signal: NodeJS.Signals) => {
      if (firstAt === undefined) {
        firstAt = clock.now();
        heard(signal);
        resolve(signal);
      } else if (signal !== "SIGINT" || clock.now() - firstAt > echoMs) {
        process.exit(1);
      }
    };
    process.on("SIGTERM", onSignal);
    process.on("SIGINT", onSignal);
  });
}

function listenProblem({ code }: NodeJS.ErrnoException, host: string, port: number): ConfigProblem {
  const atPort = (expected: string) => ({ path: "server.port", value: String(port), expected });
  if (code === "EADDRINUSE")
    return atPort("expected a free port: another program listens there (--port N takes another)");
  if (code === "EACCES") return atPort("expected a port that this user may open");
  if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND" || code === "EAI_AGAIN") {
    return {
      path: "server.host",
      value: JSON.stringify(host),
      expected: "expected an address of this machine, without brackets",
    };
  }
  return atPort(`cannot listen (${code ?? "unknown error"})`);
}
