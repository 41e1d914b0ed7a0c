import { keysOf } from "./compose.ts";
import type { Config } from "./config.ts";

/** Takes every secret that is known out of a text: for what is logged in somebody else's words. */
export type Redact = (text: string) => string;

/** Shorter ones are no secrets, and stand in many a word. */
const leastLength = 8;

/**
 * A redaction that learns.
 * @returns also how to tell it of a configuration, or of one whose files of keys have changed; what was a secret stays one
 */
export function createRedact(): { readonly redact: Redact; learn(config: Config, adminKeys: readonly string[]): void } {
  const secrets = new Set<string>();
  let longestFirst: readonly string[] = [];
  return {
    learn(config, adminKeys) {
      for (const { key } of config.auth.callers) secrets.add(key);
      for (const key of [...config.auth.admin_keys, ...adminKeys]) secrets.add(key);
      for (const value of Object.values(config.telemetry.otlp?.headers ?? {})) secrets.add(value);
      for (const [index, provider] of config.providers.entries()) {
        for (const { value } of keysOf(provider, index).keys) secrets.add(value);
      }
      // One may begin as another does.
      longestFirst = [...secrets].filter(({ length }) => length >= leastLength).sort((a, b) => b.length - a.length);
    },
    redact: (text) => longestFirst.reduce((redacted, secret) => redacted.replaceAll(secret, "[secret]"), text),
  };
}
