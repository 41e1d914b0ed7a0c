import { closeSync, openSync } from "node:fs";
import { inspect } from "node:util";
import type { Clock } from "../runtime/clock.ts";
import { type Gateway, keysOf } from "./compose.ts";
import { type Config, ConfigError } from "./config.ts";
import type { Listener } from "./listener/listener.ts";
import type { LoadedConfig } from "./load-config.ts";
import { readTlsFiles } from "./tls-files.ts";
import { watchFiles } from "./watch-files.ts";

/** What a reload works on. */
export interface Reloading {
  readonly clock: Clock;
  readonly gateway: Pick<Gateway, "adopt">;
  readonly listener: Pick<Listener, "renewTls">;
  /** The configuration that the process has begun with. */
  readonly started: LoadedConfig & { readonly config: Config };
  /** Reads the configuration again. @throws ConfigError */
  load(): LoadedConfig;
  /** Refuses what a start would refuse. @returns admin keys beside those of the configuration. @throws ConfigError */
  admit(config: Config, source: string): readonly string[];
  /** A configuration has been taken over. */
  adopted(config: Config, adminKeys: readonly string[]): void;
  say(line: string): void;
  /** Told why a configuration is not taken over. */
  complain(line: string): void;
}

/**
 * Reads the configuration again whenever one of its files changes, and at SIGHUP: its file, the environment's files, files of keys and
 * of TLS. One that is wrong in any way leaves everything as it is, and is told. No call in flight notices.
 * @returns how to stop
 */
export function keepReloading({ clock, gateway, listener, started, ...on }: Reloading): () => void {
  let current = started;
  let keys = keysIn(started.config);
  const reload = (why: string) => {
    let wanted: Reloading["started"] | undefined;
    const sinceMs = clock.wallTime();
    try {
      const { config, ...loaded } = on.load();
      if (!config) throw goneFrom(current, "nothing is configured any more");
      wanted = { ...loaded, config };
      refuseLesserSource(current, loaded);
      const { source } = loaded;
      const tls = readTlsFiles(config, source);
      const adminKeys = on.admit(config, source);
      const waits = waiting(started.config, config);
      gateway.adopt(config, adminKeys);
      on.adopted(config, adminKeys);
      if (tls && started.config.server.tls) listener.renewTls(tls);
      const what = [...differences(current.config, config), ...renewedKeys(keys, config)];
      keys = keysIn(config);
      const notices = loaded.notices.filter((notice) => !current.notices.includes(notice));
      current = wanted;
      watching.watch(filesOf(current), sinceMs);
      on.say(
        `${why}: ${source} was read again; ${what.length > 0 ? `changed: ${what.join(", ")}` : "it says the same"}.`,
      );
      for (const notice of notices) on.say(`Note: ${notice}.`);
      for (const path of waits) on.say(`Note: ${path} is used from the next start on.`);
    } catch (error) {
      // Nor must a bug of ours in reading end calls that have nothing to do with it.
      const [said, files] = error instanceof ConfigError ? [error.message, error.files] : [inspect(error), []];
      // What is wrong may be mended in a file that was not in use before, or that is not there yet.
      watching.watch([...filesOf(current), ...(wanted ? filesOf(wanted) : files)], sinceMs);
      on.complain(`${why}: everything stays as it was. ${said}`);
    }
  };
  const watching = watchFiles(clock, filesOf(started), (paths) => reload(paths.join(", ")));
  let stopped = false;
  const onHangup = () => {
    if (stopped) return;
    if (isTerminalGone()) process.kill(process.pid, "SIGTERM");
    else reload("SIGHUP");
  };
  process.on("SIGHUP", onHangup);
  return () => {
    watching.stop();
    // Whoever sends the signal while the process leaves does not mean to kill it, as without a listener it would.
    stopped = true;
  };
}

/** Whether there was a terminal and it has been closed: then SIGHUP means what it always did, before it meant to read again. */
function isTerminalGone(): boolean {
  if (!process.stdout.isTTY) return false;
  try {
    closeSync(openSync("/dev/tty", "r"));
    return false;
  } catch {
    return true;
  }
}

function goneFrom({ source }: LoadedConfig, expected: string): ConfigError {
  return new ConfigError(source, [{ path: "(configuration)", value: "", expected }]);
}

/**
 * What is found in place of a file that has gone was not meant by whoever took it away for a moment: its callers would be anybody, its
 * traffic another account's. Only a file that names providers may take over from another program's set-up.
 */
function refuseLesserSource(before: LoadedConfig, after: Omit<LoadedConfig, "config">): void {
  if (before.file !== undefined && after.file === undefined)
    throw goneFrom(before, `${before.file} has gone: start anew if that is meant`);
  if (after.providersFrom !== before.providersFrom && after.providersFrom !== after.file) {
    const expected = `the providers would come from ${after.providersFrom}, no longer from ${before.providersFrom}: start anew if that is meant`;
    throw goneFrom(before, expected);
  }
}

/** The keys of each provider that has a file of them. */
function keysIn(config: Config): ReadonlyMap<string, readonly string[]> {
  return new Map(
    config.providers.flatMap((provider, index) =>
      provider.keys_file === undefined
        ? []
        : [[provider.name, keysOf(provider, index).keys.map(({ value }) => value)] as const],
    ),
  );
}

/** What is different in files of keys, in numbers: a rotation should be seen. */
function renewedKeys(before: ReadonlyMap<string, readonly string[]>, config: Config): string[] {
  return [...keysIn(config)].flatMap(([name, now]) => {
    const old = before.get(name) ?? [];
    const fresh = now.filter((key) => !old.includes(key)).length;
    const gone = old.filter((key) => !now.includes(key)).length;
    return fresh + gone === 0 ? [] : [`keys of ${name} (${now.length} now: ${fresh} new, ${gone} gone)`];
  });
}

function filesOf({ files, config: { server } }: Reloading["started"]): readonly string[] {
  const { tls } = server;
  return [...files, ...(tls ? [tls.cert, tls.key, ...(tls.client_ca === undefined ? [] : [tls.client_ca])] : [])];
}

/** What a running port cannot change. */
const fixed: Readonly<Record<string, (config: Config) => unknown>> = {
  "server.host": ({ server }) => server.host,
  "server.port": ({ server }) => server.port,
  "server.tls": ({ server }) => server.tls !== undefined,
  "server.trusted_proxies": ({ server }) => server.trusted_proxies,
  "server.warm_up": ({ server }) => server.warm_up,
  "server.limits.connections": ({ server }) => server.limits.connections,
};

function waiting(before: Config, after: Config): string[] {
  return Object.entries(fixed).flatMap(([path, of]) => (isSame(of(before), of(after)) ? [] : [path]));
}

/** The sections that are not as they were; providers and models by their names. */
function differences(before: Config, after: Config): string[] {
  return (Object.keys(after) as (keyof Config)[]).flatMap((section) => {
    if (section === "providers") return namedDifferences("provider", before.providers, after.providers);
    if (section === "models") return namedDifferences("model", before.models, after.models);
    return isSame(before[section], after[section]) ? [] : [section];
  });
}

function namedDifferences(
  kind: string,
  before: readonly { readonly name: string }[],
  after: readonly { readonly name: string }[],
): string[] {
  const old = new Map(before.map((each) => [each.name, each]));
  const names = new Set(after.map(({ name }) => name));
  return [
    ...after.flatMap((each) => {
      const known = old.get(each.name);
      if (!known) return [`${kind} ${each.name} added`];
      return isSame(known, each) ? [] : [`${kind} ${each.name}`];
    }),
    ...before.flatMap(({ name }) => (names.has(name) ? [] : [`${kind} ${name} gone`])),
  ];
}

function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
