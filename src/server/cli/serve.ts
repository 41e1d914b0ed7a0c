import { isIP } from "node:net";
import { inspect } from "node:util";
import { type Clock, systemClock } from "../../runtime/clock.ts";
import { systemRng } from "../../runtime/rng.ts";
import { ownAdminKey } from "../admin-key.ts";
import { compose, type Gateway } from "../compose.ts";
import { type Config, ConfigError, type ConfigProblem } from "../config.ts";
import { listenerLimits } from "../listener/limits.ts";
import { createListener, type Listener } from "../listener/listener.ts";
import { loadConfig } from "../load-config.ts";
import { defaultConnections } from "../memory.ts";
import { createRedact, type Redact } from "../secrets.ts";
import { drain } from "../shutdown.ts";
import { readTlsFiles } from "../tls-files.ts";
import { version } from "../version.ts";
import { demoBanner, startDemo } from "./demo.ts";
import { createHopLog } from "./hop-log.ts";

/** Flags of `serve`. */
export interface ServeFlags {
  readonly config?: string;
  readonly host?: string;
  readonly port?: number;
}

/**
 * Serves until a signal says otherwise: SIGTERM drains, SIGINT drains without waiting for balancers, a second one ends at once.
 * @throws ConfigError
 */
export async function serve({ config: path, ...overrides }: ServeFlags): Promise<void> {
  const { config, source, notices } = loadConfig({ path, env: process.env, overrides });
  if (config) {
    await serveConfig(config, source, notices);
    return;
  }
  refuseOpenToTheWorld(overrides.host ?? "127.0.0.1", "the demo");
  const demo = await startDemo({ clock: systemClock, rng: systemRng }, overrides);
  try {
    await serveConfig(demo.config, "the demo", [], demoBanner);
  } finally {
    await demo.close();
  }
}

async function serveConfig(
  config: Config,
  source: string,
  notices: readonly string[],
  banner?: (address: string) => string,
): Promise<void> {
  if (config.auth.callers.length === 0 && !config.auth.open) refuseOpenToTheWorld(config.server.host, source);
  // Whoever read our lines may stop reading; that must not end the process.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  const say = (line: string) => console.log(line);
  const clock = systemClock;
  const tls = readTlsFiles(config, source);
  const ownKey = config.auth.admin_keys.length === 0 ? ownAdminKey(systemRng) : undefined;
  const adminKeys = ownKey ? [ownKey.key] : [];
  const { redact, learn } = createRedact(config, adminKeys);
  const reportBug = (error: unknown, requestId = "") => console.error(redact(`bug ${requestId} ${inspect(error)}`));
  const gateway = compose(config, {
    clock,
    rng: systemRng,
    observer: createHopLog(say, config.log.level, () => clock.wallTime()),
    adminKeys,
    reportBug,
  });
  const { host, port: wanted, limits, trusted_proxies: trustedProxies } = config.server;
  const listener = createListener(gateway.handle, {
    clock,
    rng: systemRng,
    limits: { connections: limits.connections ?? defaultConnections(listenerLimits.connections) },
    tls,
    trustedProxies,
    reportBug,
  });
  // Before the port is open: whoever sees it open may send a signal.
  const leaving = firstSignal(clock, (signal) => say(`${signal}: leaving; calls in flight may end.`));
  const broken = firstCrash(gateway, redact);
  const port = await listener.listen(host, wanted).catch(async (error: NodeJS.ErrnoException) => {
    listener.destroy();
    await gateway.close();
    throw new ConfigError(source, [listenProblem(error, host, wanted)]);
  });
  const address = `${tls ? "https" : "http"}://${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
  say(`Everhop ${version} listens on ${address} for gRPC, gRPC-Web, Connect and OpenAI's REST API.`);
  for (const notice of ownKey ? [...notices, ownKey.notice] : notices) say(`Note: ${notice}.`);
  if (config.auth.callers.length === 0) {
    say("No callers are configured: whoever reaches the port is served, with any key or none.");
  }
  const providers = config.providers.filter(({ enabled }) => enabled).map(({ name }) => name);
  say(banner ? `\n${banner(address)}` : `${source}: ${providers.join(", ") || "no provider is enabled"}.`);

  const stopReloading = reloadOnHangup({ gateway, listener, config, source, learn, say });
  const reason = await Promise.race([leaving, broken]);
  const preStopMs = reason === "SIGINT" ? 0 : config.drain.pre_stop;
  await drain({ gateway, listener, clock }, { preStopMs, graceMs: config.drain.grace });
  stopReloading();
  say("Stopped.");
  if (reason === "crash") process.exitCode = 1;
}

/**
 * Resolves when something has gone wrong that nobody foresaw: whatever state that has left behind, calls in flight are let end, and
 * nothing new should come. What happens after it is told as well, and waits for the same end.
 */
function firstCrash(gateway: Gateway, redact: Redact): Promise<"crash"> {
  return new Promise((resolve) => {
    const onCrash = (error: unknown) => {
      console.error(redact(`crash: ${inspect(error)}\nThe gateway leaves; calls in flight may end.`));
      gateway.fail("something in the gateway has broken");
      resolve("crash");
    };
    process.on("uncaughtException", onCrash);
    process.on("unhandledRejection", onCrash);
  });
}

/**
 * SIGHUP reads the files of keys and of TLS again; one that cannot be read leaves everything as it is. Without such files it means
 * what it always does: the terminal is gone.
 * @returns how to stop listening
 */
function reloadOnHangup({
  gateway,
  listener,
  config,
  source,
  learn,
  say,
}: {
  readonly gateway: Gateway;
  readonly listener: Listener;
  readonly config: Config;
  readonly source: string;
  /** Told that there may be other secrets now. */
  readonly learn: () => void;
  readonly say: (line: string) => void;
}): () => void {
  const { tls } = config.server;
  const keyFiles = config.providers.flatMap(({ keys_file: path }) => path ?? []);
  const files = [...keyFiles, ...(tls ? [tls.cert, tls.key] : [])];
  if (files.length === 0) return () => {};
  const onHangup = () => {
    try {
      const renewed = readTlsFiles(config, source);
      gateway.reloadKeys();
      learn();
      if (renewed) listener.renewTls(renewed);
      say(`SIGHUP: ${files.join(", ")} were read again.`);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      console.error(`SIGHUP: everything stays as it was. ${error.message}`);
    }
  };
  process.on("SIGHUP", onHangup);
  return () => void process.off("SIGHUP", onHangup);
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

/** Without callers whoever reaches the port spends the keys behind it: on loopback fine, elsewhere only when it is meant. */
function refuseOpenToTheWorld(host: string, source: string): void {
  if (/^(localhost|127(\.\d+){3}|::1)$/.test(host)) return;
  const expected = `server.host ${host} is not loopback: expected auth.callers, or auth.open: true to serve everybody`;
  throw new ConfigError(source, [{ path: "auth", value: "", expected }]);
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
