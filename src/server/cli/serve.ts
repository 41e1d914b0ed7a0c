import { isIP } from "node:net";
import { systemClock } from "../../runtime/clock.ts";
import { systemRng } from "../../runtime/rng.ts";
import { compose } from "../compose.ts";
import { type Config, ConfigError } from "../config.ts";
import { createListener } from "../listener.ts";
import { loadConfig } from "../load-config.ts";
import { drain } from "../shutdown.ts";
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
  const say = (line: string) => console.log(line);
  const clock = systemClock;
  const rng = systemRng;
  const loaded = loadConfig({ path, env: process.env, overrides });
  const demo = loaded.config ? undefined : await startDemo({ clock, rng }, overrides);
  const config = loaded.config ?? demo?.config;
  if (!config) throw new Error("neither a configuration nor a demo");
  refuseOpenToTheWorld(config, loaded.source);

  const gateway = compose(config, {
    clock,
    rng,
    observer: createHopLog(say, config.log.level),
    reportBug: (error, requestId) => console.error(`bug ${requestId}`, error),
  });
  const listener = createListener(gateway.handle, clock);
  // Before the port is open: whoever sees it open may send a signal.
  const leaving = new Promise<{ preStopMs: number }>((resolve) => {
    let signals = 0;
    const onSignal = (signal: NodeJS.Signals) => {
      signals += 1;
      if (signals > 1) process.exit(1);
      say(`${signal}: no new connections; calls in flight may end.`);
      resolve({ preStopMs: signal === "SIGINT" ? 0 : config.drain.pre_stop });
    };
    process.on("SIGTERM", onSignal);
    process.on("SIGINT", onSignal);
  });
  const port = await listener
    .listen(config.server.host, config.server.port)
    .catch(async (error: NodeJS.ErrnoException) => {
      await Promise.all([gateway.close(), demo?.close()]);
      throw new ConfigError(loaded.config ? loaded.source : "the address", [
        { path: "server.port", value: `${config.server.host}:${config.server.port}`, expected: listenProblem(error) },
      ]);
    });
  const host = isIP(config.server.host) === 6 ? `[${config.server.host}]` : config.server.host;
  const address = `http://${host}:${port}`;
  say(`Everhop ${version} listens on ${address} for gRPC, gRPC-Web, Connect and OpenAI's REST API.`);
  for (const notice of loaded.notices) say(`Note: ${notice}.`);
  if (config.auth.callers.length === 0)
    say("No callers are configured: whoever reaches the port is served, with any key or none.");
  if (demo) say(`\n${demoBanner(address)}`);
  else say(`${loaded.source}: ${config.providers.length} providers, ${config.models.length} models.`);

  const { preStopMs } = await leaving;
  await drain({ gateway, listener, clock }, { preStopMs, graceMs: config.drain.grace });
  await demo?.close();
  say("Stopped.");
}

/** Without callers whoever reaches the port spends the keys behind it: on loopback fine, elsewhere only when it is meant. */
function refuseOpenToTheWorld({ auth, server }: Config, source: string): void {
  const loopback = /^(localhost|127(\.\d+){3}|::1)$/.test(server.host);
  if (auth.callers.length > 0 || auth.open || loopback) return;
  throw new ConfigError(loaded(source), [
    {
      path: "auth",
      value: "",
      expected: `server.host ${server.host} is not loopback: expected auth.callers, or auth.open: true to serve everybody`,
    },
  ]);
}

function loaded(source: string): string {
  return source === "nothing" ? "the demo" : source;
}

function listenProblem({ code }: NodeJS.ErrnoException): string {
  if (code === "EADDRINUSE") return "expected a free port: another program listens there (--port N takes another)";
  if (code === "EACCES") return "expected a port that this user may open";
  if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND") return "expected an address of this machine";
  return `cannot listen (${code ?? "unknown error"})`;
}
