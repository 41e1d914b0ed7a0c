import { keysOf } from "./compose.ts";
import type { Config } from "./config.ts";

/** Takes every secret that is known out of a text: for what is logged in somebody else's words. */
export type Redact = (text: string) => string;

/** Shorter ones are no secrets, and stand in many a word. */
const leastLength = 8;

/**
 * @param config what holds the keys of providers and callers
 * @returns also how to tell it that files of keys were read again; what was a secret stays one
 */
export function createRedact(
  config: Config,
  adminKeys: readonly string[],
): { readonly redact: Redact; readonly learn: () => void } {
  const secrets = new Set([...config.auth.callers.map(({ key }) => key), ...config.auth.admin_keys, ...adminKeys]);
  let longestFirst: readonly string[] = [];
  const learn = () => {
    for (const [index, provider] of config.providers.entries()) {
      for (const { value } of keysOf(provider, index).keys) secrets.add(value);
    }
    // One may begin as another does.
    longestFirst = [...secrets].filter(({ length }) => length >= leastLength).sort((a, b) => b.length - a.length);
  };
  learn();
  return {
    learn,
    redact: (text) => longestFirst.reduce((redacted, secret) => redacted.replaceAll(secret, "[secret]"), text),
  };
}
