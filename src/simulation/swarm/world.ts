import type { Endpoint, Pool } from "../../routing/endpoint.ts";
import type { RoutingSettings } from "../../routing/settings.ts";
import type { ManualState } from "../../routing/state.ts";
import type { FailureKind } from "../failure.ts";

/** What may be on in a world. A random half is, so that some worlds are about one thing only. */
export const features = [
  "rates",
  "places",
  "small process",
  "strategies",
  "key faults",
  "key edits",
  "silence",
  "slowness",
  "breaking streams",
  "walls",
  "flapping",
  "additions",
  "contexts",
  "refusals",
  "wrong models",
  "hurry",
  "leaving",
  "connections",
  "crowds",
  "users",
  "patience",
  "affinity",
  "stated limits",
  "new snapshots",
  "manual states",
  "wall clock jumps",
  "restarts",
  "health checks",
  "hedging",
  "recovery",
] as const;

/** One of them. */
export type Feature = (typeof features)[number];

/** An endpoint as one snapshot of the configuration has it. */
export interface Site extends Endpoint {
  readonly version: number;
}

/** What goes wrong at an endpoint for a while. */
export interface Spell {
  readonly endpoint: string;
  readonly from: number;
  readonly until: number;
  /** Slow: its first content is late. Breaks: a stream is cut off or falls silent after its first content. */
  readonly kind: FailureKind | "silent" | "slow" | "breaks";
  /** Share of calls that it concerns. */
  readonly share: number;
  readonly retryAfterMs: number | undefined;
}

/** What a provider holds against one of its keys for a while. */
export interface KeyFault {
  readonly key: string;
  readonly from: number;
  readonly until: number;
  readonly kind: "bad_key" | "no_quota" | "rate_limited";
  readonly retryAfterMs: number | undefined;
}

/** A provider's own limit on one of its endpoints: whatever comes beyond it within a second is turned away. */
export interface Wall {
  readonly endpoint: string;
  readonly perSecond: number;
  readonly retryAfterMs: number | undefined;
}

/** What an operator, or the machine under the gateway, does. Times in ms from the beginning. */
export type Edit = { readonly at: number } & (
  | { readonly kind: "snapshot"; readonly version: number }
  | { readonly kind: "keys"; readonly provider: string; readonly keys: readonly string[] }
  | { readonly kind: "manual"; readonly endpoint: string; readonly state: ManualState["state"] | undefined }
  | { readonly kind: "wall_clock"; readonly jumpMs: number }
  | { readonly kind: "restart" }
  | { readonly kind: "connection_closed"; readonly connection: number }
);

/** One caller's request, all of its luck included. */
export interface RequestPlan {
  readonly name: string;
  /** When it comes, in ms from the beginning; of a user's requests only the first does, and the others come after each other. */
  readonly at: number;
  readonly user: number | undefined;
  /** How long its user thinks before it. */
  readonly thinkMs: number;
  readonly mode: "run" | "open";
  readonly deadlineMs: number;
  readonly maxAttempts: number;
  /** Its caller leaves after so long; undefined: stays. */
  readonly leavesAfterMs: number | undefined;
  /** The connection it shares with others; undefined: its own. */
  readonly connection: number | undefined;
  readonly caller: string;
  readonly queueMaxWaitMs: number | undefined;
  readonly affinityKey: string | undefined;
  readonly recovers: boolean;
  /** Of everything that chance decides on its way. */
  readonly seed: number;
}

/** Everything that a run is made of: the same world runs the same way. */
export interface World {
  readonly seed: number;
  readonly on: ReadonlySet<Feature>;
  readonly settings: RoutingSettings;
  /** Ids of the keys that each provider has in the beginning. */
  readonly keys: ReadonlyMap<string, readonly string[]>;
  /** The configuration as it is, and as it will be: position is version. */
  readonly snapshots: readonly Pool<Site>[];
  readonly spells: readonly Spell[];
  readonly keyFaults: readonly KeyFault[];
  readonly walls: readonly Wall[];
  readonly edits: readonly Edit[];
  /** Endpoints that are looked at every so often. */
  readonly checks: readonly { readonly endpoint: string; readonly everyMs: number }[];
  readonly requests: readonly RequestPlan[];
  /** For so long things go wrong. */
  readonly badMs: number;
}

/** How long it may take until a stream that broke goes on. */
export const recoveryMs = 10_000;

/** The endpoints of a snapshot. */
export function sitesOf(pool: Pool<Site>): Site[] {
  return pool.tiers.flatMap(({ members }) => members);
}
