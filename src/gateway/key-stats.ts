import type { RouteObserver } from "../routing/observer.ts";
import type { EngineState } from "../routing/state.ts";
import type { ProviderEntry } from "./catalog.ts";

/** How the keys are doing, all providers together. */
export interface KeyStats {
  readonly total: number;
  readonly available: number;
  /** Keys that the provider refused, or found without quota. */
  readonly failed: number;
  /** Position of the key that was used last, from 0; as configured, all providers in a row. */
  readonly currentIndex: number;
}

/** Reads the key rings, and remembers which provider was asked last. */
export function watchKeys(
  providers: () => readonly ProviderEntry[],
  state: () => EngineState,
): RouteObserver & { stats(): KeyStats } {
  let lastProvider: string | undefined;
  return {
    attemptStarted(_trail, { provider, keyName }) {
      if (keyName) lastProvider = provider;
    },
    stats() {
      const sum = { total: 0, available: 0, failed: 0, currentIndex: 0 };
      for (const { name } of providers()) {
        const ring = state().providerNamed(name)?.ring;
        if (!ring) continue;
        if (name === lastProvider) sum.currentIndex = sum.total + Math.max(0, ring.lastIndex);
        const { total, available, failed } = ring.counts();
        sum.total += total;
        sum.available += available;
        sum.failed += failed;
      }
      return sum;
    },
  };
}
