/** When a breaker opens, and for how long. Milliseconds. */
export interface BreakerSettings {
  /** Off: it counts and never opens. */
  readonly enabled: boolean;
  /** So many failures in a row open it, as long as there are too few calls for a rate. */
  readonly consecutive: number;
  /** Share of failures among all calls of the window, those in flight included, that opens it. */
  readonly errorRate: number;
  /** Fewer failures than this never make a rate. */
  readonly minFailures: number;
  /** Fewer calls than this never make a rate. */
  readonly minCalls: number;
  readonly windowMs: number;
  /** Open time after the first trip; it doubles with each further one. */
  readonly openMs: number;
  /** Longest open time when failures came quickly: a probe that fails at once harms nobody. */
  readonly quickCapMs: number;
  /** Longest open time when failures were timeouts: a probe costs a caller its wait. */
  readonly slowCapMs: number;
  /** Longest open time of the only endpoint of a pool. */
  readonly soleCapMs: number;
  /** Successful probes in a row that close it. */
  readonly successesToClose: number;
}

/** When a second attempt is made beside a slow one. */
export interface HedgeSettings {
  readonly enabled: boolean;
  /** Which share of an endpoint's recent first contents came sooner than an attempt that is hedged: 0.95. */
  readonly quantile: number;
  /** Hedges at most, as a share of all streams. */
  readonly share: number;
}

/** Everything about routing that an operator may set. Milliseconds. */
export interface RoutingSettings {
  /** Off: an endpoint that fails is not followed by another. */
  readonly failover: boolean;
  /** Most attempts of one request; rotations of keys are counted apart. */
  readonly maxAttempts: number;
  /** How long a rate-limited endpoint is waited for although a worse tier is free. */
  readonly patienceMs: number;
  /** How long a limit or a Retry-After is waited for when nothing else is left. */
  readonly lastPatienceMs: number;
  readonly backoff: { readonly baseMs: number; readonly maxMs: number };
  /** Further keys that one request may try: after limits for each endpoint, after refusals in all. */
  readonly keyRotations: { readonly rate: number; readonly auth: number };
  readonly breaker: BreakerSettings;
  /** Repeats of an endpoint, as a share of its requests, above the reserve of three a second. */
  readonly retryBudget: number;
  readonly queue: { readonly maxWaitMs: number; readonly bound: number };
  /** Most calls in flight: for an endpoint that has no limit of its own, and for the process. */
  readonly inFlight: { readonly endpoint: number; readonly process: number };
  /** A second attempt beside a slow one, for streams before their first content. */
  readonly hedge: HedgeSettings;
  /** What keeps requests with one prompt prefix at one endpoint, so that its prompt cache hits. */
  readonly affinity: "none" | "prompt_cache_key" | "caller" | "prefix";
}

/** Why each is what it is: `docs/routing.md`. */
export const routingDefaults: RoutingSettings = {
  failover: true,
  maxAttempts: 4,
  patienceMs: 0,
  lastPatienceMs: 10_000,
  backoff: { baseMs: 250, maxMs: 8000 },
  keyRotations: { rate: 3, auth: 64 },
  breaker: {
    enabled: true,
    consecutive: 5,
    errorRate: 0.5,
    minFailures: 5,
    minCalls: 10,
    windowMs: 10_000,
    openMs: 5000,
    quickCapMs: 10_000,
    slowCapMs: 60_000,
    soleCapMs: 5000,
    successesToClose: 2,
  },
  retryBudget: 0.2,
  queue: { maxWaitMs: 1000, bound: 1000 },
  inFlight: { endpoint: 256, process: 10_000 },
  hedge: { enabled: false, quantile: 0.95, share: 0.05 },
  affinity: "none",
};

/** Most attempts of one request, whatever is set. */
export const hardMaxAttempts = 10;
/** Least time that must be left to start an attempt after the first: less could only waste a provider's work. */
export const minAttemptMs = 250;

/** Fills in what is left out. */
export function routingSettings(
  given: Partial<Omit<RoutingSettings, "breaker">> & { readonly breaker?: Partial<BreakerSettings> } = {},
): RoutingSettings {
  return { ...routingDefaults, ...given, breaker: { ...routingDefaults.breaker, ...given.breaker } };
}
