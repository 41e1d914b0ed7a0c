import type { BreakerState } from "../../routing/breaker.ts";
import type { Router } from "../../routing/router.ts";
import type { EndpointState } from "../../routing/state.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { MetricFamily } from "./family.ts";
import type { ScopeNames } from "./scope.ts";

const breakers = {
  name: "everhop.breaker.state",
  help: "Breaker of an endpoint: 0 closed, 1 half open, 2 open. Of PROVIDER/* the worst.",
  unit: "1",
  type: "gauge",
} as const;
const inFlight = {
  name: "everhop.endpoint_in_flight",
  help: "Calls to an endpoint that are under way.",
  unit: "{hop}",
  type: "gauge",
} as const;
const retryBudgets = {
  name: "everhop.retry_budget_left",
  help: "How often an endpoint may be asked again now by requests that it has failed already. Of PROVIDER/* the least.",
  unit: "{hop}",
  type: "gauge",
} as const;
const hedgeBudget = {
  name: "everhop.hedge_budget_left",
  help: "How many second calls beside slow ones may be made now; 0 as well while they pause.",
  unit: "{hop}",
  type: "gauge",
} as const;
const keys = {
  name: "everhop.keys",
  help: "Keys of a provider by state: available, rate_limited (at one of its endpoints at least), quota_exhausted, key_refused.",
  unit: "{key}",
  type: "gauge",
} as const;
const queues = {
  name: "everhop.queue_length",
  help: "Requests for a model that wait in line for a limit of ours.",
  unit: "{request}",
  type: "gauge",
} as const;

/** So that an alert is one comparison: whatever is more than 0 is not as it should be, however it changes in between. */
const breakerNumbers: Readonly<Record<BreakerState, number>> = { closed: 0, half_open: 1, open: 2 };

interface EndpointGauges {
  breaker: number;
  inFlight: number;
  /** Undefined: nobody has asked it yet. */
  retriesLeft: number | undefined;
}

/** What routing knows now: of endpoints, keys and lines. Changes nothing. */
export function routingGauges(router: Router, names: ScopeNames, clock: Clock): MetricFamily[] {
  const now = clock.now();
  const endpoints = endpointGauges(router.state.endpoints(), names, now);
  const lengths = new Map([...names.models].map((model) => [model, 0]));
  for (const [name, length] of router.queueLengths()) {
    const model = names.model(name);
    lengths.set(model, (lengths.get(model) ?? 0) + length);
  }
  return [
    { ...breakers, points: endpoints.map(([endpoint, { breaker }]) => ({ labels: { endpoint }, value: breaker })) },
    { ...inFlight, points: endpoints.map(([endpoint, own]) => ({ labels: { endpoint }, value: own.inFlight })) },
    {
      ...retryBudgets,
      points: endpoints.flatMap(([endpoint, { retriesLeft: value }]) =>
        value === undefined ? [] : [{ labels: { endpoint }, value }],
      ),
    },
    { ...hedgeBudget, points: [{ labels: {}, value: router.hedgesLeft() }] },
    {
      ...keys,
      points: [...names.providers.keys()].flatMap((provider) => {
        const ring = router.state.providerNamed(provider)?.ring;
        // Whoever wants no key is not short of one.
        if (!ring || ring.counts().total === 0) return [];
        return Object.entries(ring.states(now)).map(([state, value]) => ({ labels: { provider, state }, value }));
      }),
    },
    { ...queues, points: [...lengths].map(([model, value]) => ({ labels: { model }, value })) },
  ];
}

/** Every endpoint of the configuration, and together those that callers alone have named. */
function endpointGauges(
  known: Iterable<readonly [string, EndpointState]>,
  names: ScopeNames,
  now: number,
): readonly (readonly [string, EndpointGauges])[] {
  const gauges = new Map<string, EndpointGauges>();
  for (const id of names.endpoints.keys()) gauges.set(id, { breaker: 0, inFlight: 0, retriesLeft: undefined });
  for (const [id, { breaker, usage, retries }] of known) {
    const { endpoint } = names.endpoint(id);
    const other = gauges.get(endpoint);
    gauges.set(endpoint, {
      breaker: Math.max(other?.breaker ?? 0, breakerNumbers[breaker.state]),
      inFlight: (other?.inFlight ?? 0) + usage.inFlight,
      retriesLeft: Math.min(other?.retriesLeft ?? Number.POSITIVE_INFINITY, retries.left(now)),
    });
  }
  return [...gauges];
}
