import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Config, ConfigError, type ConfigProblem, checkConfig } from "./config.ts";
import { type Dialect, type Place, switchOf } from "./dialects/dialect.ts";
import { keysFileProxy } from "./dialects/keys-file-proxy.ts";
import { llamaQwen } from "./dialects/llama-qwen.ts";
import { holdsGroups, readModelGroups } from "./dialects/model-groups.ts";
import { numberedOpenai } from "./dialects/numbered-openai.ts";
import { type Draft, DraftWriter, merged, type Origins, originOf } from "./draft.ts";
import { type Environment, readVariables, type Variables } from "./environment.ts";
import { readKeysFile } from "./keys-file.ts";
import { leftovers, strangers } from "./leftovers.ts";
import { otelDraft } from "./otel-environment.ts";
import { readYamlFile } from "./yaml-file.ts";

/** A configuration and where it came from. */
export interface LoadedConfig {
  /** Undefined when nothing at all is configured. */
  readonly config: Config | undefined;
  /** For people: a path, or `the environment`. */
  readonly source: string;
  /** The file of its own, if there is one. */
  readonly file?: string | undefined;
  /** What names the providers: that file, or the set-up of another program. */
  readonly providersFrom?: string | undefined;
  /** Where each value stands. */
  readonly origins: Origins;
  /** What a person should know about how it was read. */
  readonly notices: readonly string[];
  /** Files and folders that it was read from, or would be if they were there. */
  readonly files: readonly string[];
}

/** Where to look. */
export interface ConfigPlaces {
  /** `--config`. */
  readonly path?: string | undefined;
  /** `--groups`: a folder of model groups. */
  readonly groups?: string | undefined;
  readonly env: Environment;
  /** `--host` and `--port`, which beat everything. */
  readonly overrides: { readonly host?: string; readonly port?: number };
  /** Leaves the set-ups of other programs alone. */
  readonly ownFileOnly?: boolean;
  /** Where `everhop.yaml`, `.env`, `config` and `data` lie; default: the folder that the program is started in. */
  readonly folder?: string;
}

const defaultPath = "everhop.yaml";

/** Set-ups of other programs, in the order in which they are looked for: the first that is there counts. */
const dialects: readonly Dialect[] = [
  llamaQwen,
  numberedOpenai,
  {
    name: "the model groups in config/",
    read({ variables, folder }) {
      const path = folder === "." ? "config" : join(folder, "config");
      return holdsGroups(path) ? readModelGroups(path, variables) : undefined;
    },
  },
  keysFileProxy,
];

/**
 * Finds and reads the configuration: `--config`, else `EVERHOP_CONFIG`, else `./everhop.yaml`; and where that names no providers, what
 * `--groups`, the environment and the files of other programs say. Variables may stand in `.env.local` and `.env`.
 * @throws ConfigError with everything that is wrong, and the files that were read
 */
export function loadConfig(places: ConfigPlaces): LoadedConfig {
  const files = new Set<string>();
  try {
    return { ...read(places, files), files: [...files] };
  } catch (error) {
    if (error instanceof ConfigError) error.files = [...files, ...error.files];
    throw error;
  }
}

/** @param files where the names of those that are read are added, before they are */
function read(
  { path, groups, env, overrides, ownFileOnly = false, folder = "." }: ConfigPlaces,
  files: Set<string>,
): Omit<LoadedConfig, "files"> {
  const variables = readVariables(env, folder);
  const place = { variables, folder };
  for (const each of variables.files) files.add(each);
  const byDefault = folder === "." ? defaultPath : join(folder, defaultPath);
  const named = path ?? (variables.env["EVERHOP_CONFIG"] || undefined);
  const file = named ?? (existsSync(byDefault) ? byDefault : undefined);
  files.add(file ?? byDefault);
  const fromFile = file === undefined ? undefined : readYamlFile(file, variables);
  const namesProviders = isFilled(fromFile?.value["providers"]);
  if (namesProviders && groups !== undefined) {
    const expected = `expected either the providers of ${file} or --groups`;
    throw new ConfigError(file ?? "", [{ path: "providers", value: "", expected }]);
  }
  // What is passed over is not held against anybody: it need not even be right.
  const there = ownFileOnly ? [] : dialects.filter((dialect) => isThere(dialect, place));
  const [first, ...others] = namesProviders || groups !== undefined ? [undefined, ...there] : there;
  const said = groups === undefined ? first?.read(place) : readModelGroups(groups, variables);
  for (const each of said?.files ?? []) files.add(each);
  const used = namesProviders ? file : said?.source;
  const notices = [
    ...variables.notices,
    ...(said?.notices ?? []),
    ...others.flatMap((other) => (other ? [`${other.name} is not used: ${used} names the providers`] : [])),
  ];
  if (!namesProviders && !ownFileOnly) notices.push(...strangers(variables));
  if (!fromFile && !said && !ownFileOnly) {
    const problems = leftovers(variables, folder);
    // Whoever has got that far does not want to be answered by a demo.
    if (problems.length > 0)
      throw new ConfigError("what looks like a set-up (`everhop demo` starts the demo)", problems);
  }
  if (!fromFile && !said) return { config: undefined, source: "nothing", origins: new Map(), notices };
  const source = [fromFile && file, said?.source].filter(Boolean).join(" and ");
  const written = [said, fromFile].filter((each) => each !== undefined).reduce<Draft>(merged, nothing);
  const draft = [flags(overrides), own(variables, written), written, otelDraft(variables)].reduce<Draft>(
    merged,
    nothing,
  );
  const config = checkConfig(draft.value, source, draft);
  // A file of keys that cannot be read is wrong now, not when the first request comes.
  for (const { keys_file: keysFile } of config.providers) if (keysFile !== undefined) files.add(keysFile);
  const problems: ConfigProblem[] = config.providers.flatMap(({ keys_file: keysFile }, index) =>
    keysFile === undefined
      ? []
      : readKeysFile(keysFile, `providers[${index}].keys_file`).problems.map((problem) => ({
          at: originOf(draft.origins, problem.path)?.at,
          ...problem,
        })),
  );
  if (problems.length > 0) throw new ConfigError(source, problems);
  if (config.providers.length === 0) {
    throw new ConfigError(source, [{ path: "providers", value: "none", expected: "expected at least one provider" }]);
  }
  const providersFrom = namesProviders ? file : groups === undefined ? first?.name : groups;
  return { config, source, file, providersFrom, origins: draft.origins, notices };
}

const nothing: Draft = { value: {}, origins: new Map(), problems: [] };

function isThere(dialect: Dialect, place: Place): boolean {
  try {
    return dialect.read(place) !== undefined;
  } catch (error) {
    // It is there, and wrong.
    if (error instanceof ConfigError) return true;
    throw error;
  }
}

function flags({ host, port }: ConfigPlaces["overrides"]): Draft {
  const writer = new DraftWriter();
  writer.set(["server", "host"], host, { text: "--host", at: "--host" });
  writer.set(["server", "port"], port, { text: "--port", at: "--port" });
  return writer.draft();
}

const levels: Readonly<Record<string, string>> = {
  true: "debug",
  false: "error",
  debug: "debug",
  info: "info",
  warn: "warn",
  error: "error",
};

/** What Everhop itself reads of the environment. Other programs have a LOG_LEVEL, too: a word that is none of ours is for them. */
function own({ env, originOf: origin }: Variables, { value }: Draft): Draft {
  const writer = new DraftWriter();
  if (env["EVERHOP_OPEN"]) writer.set(["auth", "open"], switchOf(env["EVERHOP_OPEN"]), origin("EVERHOP_OPEN"));
  const level = levels[env["LOG_LEVEL"]?.toLowerCase() ?? ""];
  // Its own file knows better than a variable that may be meant for another.
  const isSaid = typeof value["log"] === "object" && value["log"] !== null && "level" in value["log"];
  if (level && !isSaid) writer.set(["log", "level"], level, origin("LOG_LEVEL"));
  return writer.draft();
}

function isFilled(list: unknown): boolean {
  return Array.isArray(list) && list.length > 0;
}
