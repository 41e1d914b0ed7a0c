import { styleText } from "node:util";
import { type Config, ConfigError } from "../config.ts";
import { configSchema } from "../config-schema.ts";
import { configLines, shown } from "../effective-config.ts";
import { type LoadedConfig, loadConfig } from "../load-config.ts";
import { refuseOpenToTheWorld } from "../open-to-the-world.ts";
import { readTlsFiles } from "../tls-files.ts";

/** Flags of `check`. */
export interface CheckFlags {
  readonly groups?: string;
  readonly json?: boolean;
  readonly schema?: boolean;
}

/**
 * Says what a gateway started here would be configured with, each value with where it comes from, secrets masked; or all that is
 * wrong. Asks no provider.
 * @param file default: where `serve` would look
 * @throws ConfigError
 */
export function checkConfiguration(
  file: string | undefined,
  { groups, json = false, schema = false }: CheckFlags,
): void {
  if (schema) {
    console.log(JSON.stringify(configSchema(), undefined, 2));
    return;
  }
  try {
    const loaded = loadConfig({ path: file, groups, env: process.env, overrides: {} });
    const { config, source } = loaded;
    if (!config) {
      const expected = "nothing is configured: expected an everhop.yaml, a FILE, or keys in the environment";
      throw new ConfigError("What stands here", [{ path: "(configuration)", value: "", expected }]);
    }
    readTlsFiles(config, source);
    refuseOpenToTheWorld(config.auth, config.server.host, source);
    console.log(json ? JSON.stringify(asJson(loaded, config), undefined, 2) : asText(loaded, config));
  } catch (error) {
    if (!json || !(error instanceof ConfigError)) throw error;
    const problems = error.problems.map(({ path, at, value, expected }) => ({ path, at, value, expected }));
    console.log(JSON.stringify({ ok: false, problems }, undefined, 2));
    process.exitCode = 2;
  }
}

function asJson({ source, notices, origins }: LoadedConfig, config: Config) {
  return {
    ok: true,
    source,
    notices,
    config: shown(config),
    origins: Object.fromEntries([...origins].map(([path, { text }]) => [path, text])),
  };
}

/** Values reach this far before their origins stand in a column of their own. */
const mostWidth = 56;

function asText({ source, notices, origins }: LoadedConfig, config: Config): string {
  const lines = configLines(config, origins);
  const width = Math.min(mostWidth, Math.max(...lines.map(({ text }) => text.length)));
  const body = lines.map(({ text, origin }) => {
    if (origin === undefined) return text;
    const line = `${text.padEnd(width)}  # ${origin}`;
    return origin === "default" ? styleText("dim", line) : `${text.padEnd(width)}  ${styleText("dim", `# ${origin}`)}`;
  });
  const count = (number: number, what: string) => `${number} ${what}${number === 1 ? "" : "s"}`;
  const enabled = config.providers.filter((provider) => provider.enabled).length;
  const off = config.providers.length - enabled;
  const parts = [
    `${count(enabled, "provider")}${off > 0 ? ` (and ${off} switched off)` : ""}`,
    config.models.length > 0 ? count(config.models.length, "model") : "every model of theirs",
    config.auth.callers.length > 0 ? count(config.auth.callers.length, "caller") : "open to whoever reaches the port",
  ];
  return [
    `# ${source} can be used: ${parts.join(", ")}.`,
    ...notices.map((notice) => `# Note: ${notice}.`),
    "",
    ...body,
  ].join("\n");
}
