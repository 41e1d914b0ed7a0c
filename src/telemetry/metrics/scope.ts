import type { Labels } from "./family.ts";

/** An endpoint of the configuration. */
export interface ScopeEndpoint {
  /** `provider/upstream model` */
  readonly id: string;
  readonly provider: string;
  readonly upstreamModel: string;
}

/** A provider of the configuration. */
export interface ScopeProvider {
  readonly name: string;
  readonly kind: string;
  readonly host: string;
  readonly port: number;
}

/** What the configuration names, and may so stand in labels. */
export interface MetricScope {
  readonly models: readonly string[];
  readonly providers: readonly ScopeProvider[];
  readonly endpoints: readonly ScopeEndpoint[];
}

/** Stands in a label for what the configuration does not name: callers may make up any number of names. */
export const unnamed = "*";

/** Most models, providers and endpoints that have figures of their own; what is beyond is counted as if it were not named. */
const mostNames = 2000;

/** An endpoint as labels tell it. */
export interface EndpointName {
  /** Its id; `PROVIDER/*` for all that callers alone have named; `*` where the provider is not known either. */
  readonly endpoint: string;
  readonly provider: string;
  /** In the words of OpenTelemetry's GenAI conventions. */
  readonly genAi: Labels;
}

/** Tells what may stand in labels. */
export class ScopeNames {
  readonly models: ReadonlySet<string>;
  readonly providers: ReadonlyMap<string, ScopeProvider>;
  readonly endpoints: ReadonlyMap<string, ScopeEndpoint>;

  constructor({ models, providers, endpoints }: MetricScope) {
    this.models = new Set(models.slice(0, mostNames));
    this.providers = new Map(providers.slice(0, mostNames).map((provider) => [provider.name, provider]));
    this.endpoints = new Map(endpoints.slice(0, mostNames).map((endpoint) => [endpoint.id, endpoint]));
  }

  model(name: string): string {
    return this.models.has(name) ? name : unnamed;
  }

  /** @param id of any endpoint, or of what was taken for one */
  endpoint(id: string): EndpointName {
    const known = this.endpoints.get(id);
    const provider = this.providers.get(known?.provider ?? id.slice(0, Math.max(0, id.indexOf("/"))));
    if (!provider) return { endpoint: unnamed, provider: unnamed, genAi: { ...chat, "gen_ai.provider.name": unnamed } };
    const { name, kind, host, port } = provider;
    return {
      endpoint: known ? id : `${name}/${unnamed}`,
      provider: name,
      genAi: {
        ...chat,
        "gen_ai.provider.name": kind,
        ...(known && { "gen_ai.request.model": known.upstreamModel }),
        "server.address": host,
        "server.port": port,
        "everhop.provider": name,
      },
    };
  }
}

const chat = { "gen_ai.operation.name": "chat" };
