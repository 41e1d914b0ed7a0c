import { keysOf } from "./compose.ts";
import type { Config } from "./config.ts";

/** Takes every secret that is known out of a text: for what is logged in somebody else's words. */
export type Redact = (text: string) => string;

/** Shorter ones are no secrets, and stand in many a word. */
const leastLength = 8;

/** @param config what holds the keys of providers and callers */
export function createRedact(config: Config, adminKeys: readonly string[]): Redact {
  const secrets = [
    ...config.auth.callers.map(({ key }) => key),
    ...config.auth.admin_keys,
    ...adminKeys,
    ...config.providers.flatMap((provider, index) => keysOf(provider, index).keys.map(({ value }) => value)),
  ].filter((secret) => secret.length >= leastLength);
  // The longest first: one may begin as another does.
  const longestFirst = [...new Set(secrets)].sort((a, b) => b.length - a.length);
  return (text) => longestFirst.reduce((redacted, secret) => redacted.replaceAll(secret, "[secret]"), text);
}
