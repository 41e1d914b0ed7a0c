import type { RouteObserver } from "../routing/observer.ts";
import type { ProviderEntry } from "./catalog.ts";

/** How the keys are doing, all providers together. */
export interface KeyStats {
  readonly total: number;
  readonly available: number;
  /** Keys that the provider refused, or found without quota, when they were last used. */
  readonly failed: number;
  /** Position of the key that was used last, from 0; as configured, all providers in a row. */
  readonly currentIndex: number;
}

/** Watches attempts and remembers how each key fared last. */
export function watchKeys(providers: readonly ProviderEntry[]): RouteObserver & { stats(): KeyStats } {
  const order = providers.flatMap(({ name, keys }) => keys.map((key) => `${name}#${key.name}`));
  const failed = new Set<string>();
  let currentIndex = 0;
  return {
    attemptEnded(_trail, { provider, keyName, outcome }) {
      const key = `${provider}#${keyName}`;
      const position = order.indexOf(key);
      if (position < 0) return;
      currentIndex = position;
      if (outcome === "key_refused" || outcome === "quota_exhausted") failed.add(key);
      else if (outcome === "ok") failed.delete(key);
    },
    stats: () => ({
      total: order.length,
      available: order.length - failed.size,
      failed: failed.size,
      currentIndex,
    }),
  };
}
