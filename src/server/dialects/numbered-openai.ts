import { DraftWriter } from "../draft.ts";
import { attemptsOf, type Dialect, impliedBy, msText, setFrom, switchOf } from "./dialect.ts";

/** Some servers want no key, so either makes a provider. */
const provider = /^OPENAI_(?:API_KEY|BASE_URL)(_\d{1,4})?$/;

/** A path is below the base URL. */
const healthCheckAt = (text: string) => (text.startsWith("/") ? { path: text } : { url: text });

/**
 * `OPENAI_API_KEY` and `OPENAI_BASE_URL`, alone or numbered: each number is a provider of its own, with its priority, weight, limits.
 * `OPENAI_MODEL` is the default model, which all of them serve; they go on taking any other as well.
 */
export const numberedOpenai: Dialect = {
  name: "the OPENAI_* environment",
  read({ variables }) {
    const { env, originOf } = variables;
    const suffixes = new Set<string>();
    for (const [name, value] of Object.entries(env)) {
      const match = provider.exec(name);
      if (match && value) suffixes.add(match[1] ?? "");
    }
    if (suffixes.size === 0) return undefined;
    const writer = new DraftWriter();
    const numbered = [...suffixes].sort((a, b) => Number(a.slice(1)) - Number(b.slice(1)));
    const names = numbered.map((suffix) => `openai${suffix.replace("_", "-")}`);
    const notices: string[] = [];
    for (const [index, suffix] of numbered.entries()) {
      const implied = impliedBy(
        originOf(env[`OPENAI_API_KEY${suffix}`] ? `OPENAI_API_KEY${suffix}` : `OPENAI_BASE_URL${suffix}`),
      );
      const at = (field: string) => ["providers", index, field];
      const from = (name: string, field: string, read?: (text: string) => unknown) =>
        setFrom(writer, variables, `OPENAI_${name}${suffix}`, at(field), read);
      writer.set(at("name"), names[index], implied);
      writer.set(at("kind"), "openai", implied);
      writer.set(at("base_url"), "https://api.openai.com/v1", implied);
      from("BASE_URL", "base_url");
      from("API_KEY", "keys", (key) => [key]);
      // Without a word about it: in the order of the numbers.
      writer.set(at("priority"), index + 1, implied);
      from("PRIORITY", "priority");
      from("WEIGHT", "weight");
      from("MAX_RPS", "max_rps");
      from("TIMEOUT_MS", "timeout", msText);
      from("ENABLED", "enabled", switchOf);
      if (env["OPENAI_MODEL"]) from("HEALTH_CHECK", "health_check", healthCheckAt);
      else if (env[`OPENAI_HEALTH_CHECK${suffix}`]) {
        notices.push(
          `OPENAI_HEALTH_CHECK${suffix} is not used: there is no OPENAI_MODEL whose endpoints it could check`,
        );
      }
    }
    // A misspelt or forgotten number would else be a provider less, and nobody would know.
    for (const [name, value] of Object.entries(env)) {
      const [, suffix = ""] =
        /^OPENAI_(?:PRIORITY|WEIGHT|MAX_RPS|TIMEOUT_MS|ENABLED|HEALTH_CHECK)(_\d+)$/.exec(name) ?? [];
      if (suffix && value && !suffixes.has(suffix)) {
        notices.push(`${name} is not used: there is no OPENAI_API_KEY${suffix} and no OPENAI_BASE_URL${suffix}`);
      }
    }
    const model = env["OPENAI_MODEL"];
    if (model) {
      // Public by name, so that a list of models is not empty.
      const implied = { ...originOf("OPENAI_MODEL"), isImplied: true };
      writer.set(["models"], [{ name: model, targets: names.map((each) => ({ provider: each, model })) }], implied);
      writer.set(["defaults", "model"], model, originOf("OPENAI_MODEL"));
    }
    setFrom(writer, variables, "OPENAI_FALLBACK_ENABLED", ["routing", "failover"], switchOf);
    setFrom(writer, variables, "OPENAI_MAX_RETRIES", ["routing", "max_attempts"], attemptsOf);
    setFrom(writer, variables, "OPENAI_BACKOFF_MS", ["routing", "backoff", "base"], msText);
    setFrom(writer, variables, "OPENAI_CIRCUIT_BREAKER", ["routing", "breaker", "enabled"], switchOf);
    return { ...writer.draft(), source: "the environment", files: [], notices };
  },
};
