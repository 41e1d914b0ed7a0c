/** The environment, as it is handed in. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Providers from `OPENAI_API_KEY[_n]` and `OPENAI_BASE_URL[_n]`, each n a provider of its own, tried in the order of n; and
 * `OPENAI_MODEL` as the default model, which all of them serve.
 * @returns a configuration as a file would say it; undefined when the environment names no provider
 */
export function environmentConfig(env: Environment): Record<string, unknown> | undefined {
  const suffixes = new Set<string>();
  for (const [name, value] of Object.entries(env)) {
    const match = /^OPENAI_(?:API_KEY|BASE_URL)(_\d+)?$/.exec(name);
    if (match && value) suffixes.add(match[1] ?? "");
  }
  if (suffixes.size === 0) return undefined;
  const providers = [...suffixes]
    .sort((a, b) => Number(a.slice(1)) - Number(b.slice(1)))
    .map((suffix, position) => {
      const key = env[`OPENAI_API_KEY${suffix}`];
      return {
        name: `openai${suffix.replace("_", "-")}`,
        kind: "openai",
        base_url: env[`OPENAI_BASE_URL${suffix}`] || "https://api.openai.com/v1",
        keys: key ? [key] : [],
        priority: position + 1,
      };
    });
  const model = env["OPENAI_MODEL"];
  if (!model) return { providers };
  // Public by name, so that a list of models is not empty; the providers go on taking any other model as well.
  const targets = providers.map(({ name }) => ({ provider: name, model }));
  return { providers, models: [{ name: model, targets }], defaults: { model } };
}

/** A reference to the environment that leads nowhere. */
export interface MissingVariable {
  readonly path: string;
  readonly name: string;
}

/** Replaces `${NAME}` and `${NAME:-default}` in every text of a configuration; lists the names that are not set. */
export function substitute(value: unknown, env: Environment, missing: MissingVariable[], path = ""): unknown {
  if (typeof value === "string") {
    return value.replace(/\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}/g, (_, name: string, fallback: string | undefined) => {
      const found = env[name] || fallback;
      if (found === undefined) missing.push({ path, name });
      return found ?? "";
    });
  }
  if (Array.isArray(value)) return value.map((each, index) => substitute(each, env, missing, `${path}[${index}]`));
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([key, each]) => [key, substitute(each, env, missing, path ? `${path}.${key}` : key)]),
    );
  }
  return value;
}
