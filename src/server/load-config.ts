import { existsSync, readFileSync } from "node:fs";
import { parseDocument } from "yaml";
import { type Config, ConfigError, checkConfig } from "./config.ts";
import { type Environment, environmentConfig, type MissingVariable, substitute } from "./environment.ts";
import { readKeysFile } from "./keys-file.ts";

/** A configuration and where it came from. */
export interface LoadedConfig {
  /** Undefined when nothing at all is configured. */
  readonly config: Config | undefined;
  /** For people: a path, or `the environment`. */
  readonly source: string;
  /** What a person should know about how it was read. */
  readonly notices: readonly string[];
}

/** Where to look. */
export interface ConfigPlaces {
  /** `--config`. */
  readonly path: string | undefined;
  readonly env: Environment;
  /** `--host` and `--port`, which beat the file. */
  readonly overrides: { readonly host?: string; readonly port?: number };
}

const defaultPath = "everhop.yaml";

/**
 * Finds and reads the configuration: `--config`, else `EVERHOP_CONFIG`, else `./everhop.yaml`; where that names no providers, the
 * `OPENAI_*` environment.
 * @throws ConfigError with everything that is wrong
 */
export function loadConfig({ path, env, overrides }: ConfigPlaces): LoadedConfig {
  const named = path ?? (env["EVERHOP_CONFIG"] || undefined);
  const file = named ?? (existsSync(defaultPath) ? defaultPath : undefined);
  const fromFile = file === undefined ? undefined : readYamlFile(file, env);
  const fromEnvironment = environmentConfig(env);
  const fileProviders = fromFile?.["providers"];
  const fileHasProviders = Array.isArray(fileProviders) && fileProviders.length > 0;
  const notices: string[] = [];
  if (fileHasProviders && fromEnvironment) {
    notices.push(`the OPENAI_* environment is not used: ${file} names the providers`);
  }
  if (!fromFile && !fromEnvironment) return { config: undefined, source: "nothing", notices };
  const source = [fromFile && file, !fileHasProviders && fromEnvironment && "the environment"]
    .filter(Boolean)
    .join(" and ");
  const base = fileHasProviders ? fromFile : { ...fromFile, ...fromEnvironment };
  const server = { ...(base?.["server"] as object | undefined), ...overrides };
  const config = checkConfig({ ...base, server }, source);
  // A file of keys that cannot be read is wrong now, not when the first request comes.
  const problems = config.providers.flatMap(({ keys_file: keysFile }, index) =>
    keysFile === undefined ? [] : readKeysFile(keysFile, `providers[${index}].keys_file`).problems,
  );
  if (problems.length > 0) throw new ConfigError(source, problems);
  if (config.providers.length === 0) {
    throw new ConfigError(source, [{ path: "providers", value: "none", expected: "expected at least one provider" }]);
  }
  return { config, source, notices };
}

/**
 * Reads a YAML file whose texts may name the environment.
 * @throws ConfigError
 */
export function readYamlFile(path: string, env: Environment): Record<string, unknown> {
  const problem = (expected: string) => new ConfigError(path, [{ path: "(the file)", value: "", expected }]);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const { code = "unknown error" } = error as { code?: string };
    throw problem(code === "ENOENT" ? "there is no such file" : `cannot be read (${code})`);
  }
  const document = parseDocument(text, { merge: true }); // JSON is YAML too
  if (document.errors.length > 0) {
    // The parser's own words repeat what stands there, and what stands there may be a key.
    const places = document.errors.slice(0, 3).map(({ code, linePos }) => {
      const words = code.toLowerCase().replaceAll("_", " ");
      return linePos ? `line ${linePos[0].line}, column ${linePos[0].col}: ${words}` : words;
    });
    throw problem(`is no valid YAML: ${places.join("; ")} (texts with \${NAME} in braces or lists need quotes)`);
  }
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 }) ?? {};
    JSON.stringify(value);
  } catch {
    throw problem("has aliases that lead nowhere, into themselves, or to too much");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw problem("expected a mapping at the top");
  const missing: MissingVariable[] = [];
  const substituted = substitute(value, env, missing) as Record<string, unknown>;
  if (missing.length > 0) {
    throw new ConfigError(
      path,
      missing.map(({ path: at, name }) => ({
        path: at,
        value: "",
        expected: `the environment variable ${name} is not set`,
      })),
    );
  }
  return substituted;
}
