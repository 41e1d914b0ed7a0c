import type { Endpoint } from "../routing/endpoint.ts";
import {
  type Capacity,
  type Phase,
  type Place,
  type ProfileEntry,
  type RateLimit,
  type Spread,
  select,
} from "./scenario.ts";

/** How an endpoint serves in fair weather, and the phases that touch it. */
export interface Standing {
  readonly firstContentMs: Spread;
  readonly tokensPerSecond: number;
  /** Undefined: as the caller's prompts have it. */
  readonly answerTokens: Spread | undefined;
  readonly capacity: Capacity | undefined;
  /** `scope` tells limits apart: each counts by itself. */
  readonly rateLimit: { readonly limit: RateLimit; readonly scope: string } | undefined;
  /** In their order, each with the keys that it touches; undefined: all. */
  readonly phases: readonly {
    readonly phase: Phase;
    readonly keys: ReadonlySet<string> | undefined;
    readonly scope: string;
  }[];
}

/** What serves when nothing is said: a model of middling size at a provider of middling speed. */
export const usual = {
  firstContentMs: { median: 400, p99: 1500 },
  tokensPerSecond: 80,
  answerTokens: undefined,
  capacity: undefined,
  rateLimit: undefined,
} as const;

/** The standing of every endpoint, by its id. */
export function standingsOf<E extends Endpoint>(
  profiles: readonly ProfileEntry[],
  phases: readonly Phase[],
  places: readonly Place<E>[],
): ReadonlyMap<string, Standing> {
  const profiled = profiles.map((profile, index) => ({
    profile,
    scope: `profile ${index}`,
    selected: select(profile.on, places),
  }));
  const phased = phases.map((phase, index) => ({
    phase,
    scope: `phase ${index}`,
    selected: phase.on && select(phase.on, places),
  }));
  const standingOf = (id: string): Standing => {
    let standing: Omit<Standing, "phases"> = usual;
    for (const { profile, scope, selected } of profiled) {
      if (!selected?.endpoints.has(id)) continue;
      const { firstContentMs, tokensPerSecond, answerTokens, capacity, rateLimit } = profile;
      standing = {
        firstContentMs: firstContentMs ?? standing.firstContentMs,
        tokensPerSecond: tokensPerSecond ?? standing.tokensPerSecond,
        answerTokens: answerTokens ?? standing.answerTokens,
        capacity: capacity ?? standing.capacity,
        rateLimit: rateLimit ? { limit: rateLimit, scope } : standing.rateLimit,
      };
    }
    const touching = phased.flatMap(({ phase, scope, selected }) =>
      selected?.endpoints.has(id) ? [{ phase, keys: selected.endpoints.get(id), scope }] : [],
    );
    return { ...standing, phases: touching };
  };
  return new Map(places.map(({ endpoint }) => [endpoint.id, standingOf(endpoint.id)]));
}
