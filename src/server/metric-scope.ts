import type { Catalog } from "../gateway/catalog.ts";
import { everyone } from "../gateway/pool-health.ts";
import type { MetricScope, ScopeEndpoint } from "../telemetry/metrics/scope.ts";
import { genAiProviderName } from "../telemetry/provider-names.ts";
import type { Config } from "./config.ts";

/** What a configuration names: its models, its providers, and every endpoint that follows from it. */
export function metricScope({ providers, defaults, tasks }: Config, catalog: Catalog): MetricScope {
  const listed = catalog.list(everyone);
  // A provider that declares no models is asked for these under their own names.
  const spoken = [...(defaults.model === undefined ? [] : [defaults.model]), ...Object.values(tasks)];
  const forwarded = providers
    .filter(({ models }) => models.length === 0)
    .flatMap(({ name }) => spoken.map((model) => endpointOf(name, model)));
  const ownDefaults = providers.flatMap(({ name, default_model: model }) =>
    model === undefined ? [] : [endpointOf(name, model)],
  );
  const targets = listed.flatMap((model) => model.targets);
  return {
    models: [...listed.map(({ id }) => id), ...spoken],
    providers: providers.map(({ name, kind, base_url: { origin } }) => ({
      name,
      kind: genAiProviderName(kind),
      ...addressOf(origin),
    })),
    endpoints: [
      ...targets.map(({ id, provider, upstreamModel }) => ({ id, provider, upstreamModel })),
      ...ownDefaults,
      ...forwarded,
    ],
  };
}

/** Host and port of an origin. */
export function addressOf(origin: string): { readonly host: string; readonly port: number } {
  const url = new URL(origin);
  return { host: url.hostname, port: Number(url.port) || (url.protocol === "https:" ? 443 : 80) };
}

function endpointOf(provider: string, upstreamModel: string): ScopeEndpoint {
  return { id: `${provider}/${upstreamModel}`, provider, upstreamModel };
}
