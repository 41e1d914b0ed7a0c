import { FaultError, type Violation } from "../chat/fault.ts";
import type { Target } from "../providers/target.ts";
import type { Key, Pool } from "../routing/endpoint.ts";
import type { Caller } from "./caller.ts";

/** A provider as the catalog knows it. */
export interface ProviderEntry {
  readonly name: string;
  readonly kind: string;
  readonly origin: string;
  readonly basePath: string;
  readonly keys: readonly Key[];
  readonly priority: number;
  readonly enabled: boolean;
  readonly connectMs: number;
  readonly firstContentMs: number;
  readonly idleMs: number;
  readonly totalMs: number;
  /** The models it declares; none: it forwards whatever is asked of it. */
  readonly models: readonly string[];
  /** What it serves when it is named for a model that it has no target for. */
  readonly defaultModel: string | undefined;
}

/** One endpoint of a public model. */
export interface TargetEntry {
  readonly provider: string;
  readonly model: string;
  /** Overrides the provider's. */
  readonly priority: number | undefined;
  /** Overrides the provider's limits: the total of a unary call, first content and silence of a stream. */
  readonly timeoutMs: number | undefined;
}

/** A public model and its pool. */
export interface ModelEntry {
  readonly name: string;
  readonly targets: readonly TargetEntry[];
}

/** Something that can be asked for. */
export interface CatalogModel {
  /** Public name, or `provider:model`. */
  readonly id: string;
  /** First tier first. */
  readonly targets: readonly Target[];
}

/** What a call says about where it wants to go. */
export interface Destination {
  /** Empty: the default model. */
  readonly model: string;
  /** An instance name, else a kind. Empty: any. */
  readonly provider: string;
  readonly fallbackProviders: readonly string[];
  /** What the surface puts before `provider`, `fallback_providers` and `model` when it names a field: `options.`, `prompt.`. */
  readonly fieldPrefix: { readonly routing: string; readonly model: string };
}

/** An immutable snapshot of providers and models. A request keeps the one that it began with. */
export interface Catalog {
  /** The candidates for a call, best first. @throws FaultError for an unknown model or provider */
  pool(destination: Destination, caller: Caller): Pool<Target>;
  /** What the caller may ask for: public models first, then `provider:model`. */
  list(caller: Caller): readonly CatalogModel[];
  /** One of them, by id. */
  find(id: string, caller: Caller): CatalogModel | undefined;
}

/** Builds the snapshot with all that is derived from it. */
export function createCatalog(content: {
  providers: readonly ProviderEntry[];
  models: readonly ModelEntry[];
  defaultModel: string | undefined;
}): Catalog {
  const providers = new Map(content.providers.map((provider) => [provider.name, provider]));
  const published = content.models.length > 0 ? content.models : modelsOf(content.providers);
  const publicModels = new Map<string, CatalogModel>();
  for (const { name, targets } of published) {
    publicModels.set(name, { id: name, targets: byPriority(targets.flatMap((entry) => targetOf(providers, entry))) });
  }
  const directModels = new Map<string, CatalogModel>();
  for (const provider of content.providers) {
    for (const model of provider.models) {
      const id = `${provider.name}:${model}`;
      if (!publicModels.has(id)) directModels.set(id, { id, targets: [makeTarget(provider, model)] });
    }
  }
  const forwarding = content.providers.filter((provider) => provider.models.length === 0);
  const soleModel = publicModels.size === 1 ? [...publicModels.keys()][0] : undefined;
  const defaultModel = content.defaultModel ?? soleModel;

  function find(id: string, caller: Caller): CatalogModel | undefined {
    if (caller.models && !caller.models.has(id)) return undefined;
    return publicModels.get(id) ?? directModels.get(id) ?? forwarded(id);
  }

  /** Models that are not declared anywhere, but that a provider without a list would take. */
  function forwarded(id: string): CatalogModel | undefined {
    const colon = id.indexOf(":");
    const named = colon > 0 ? providers.get(id.slice(0, colon)) : undefined;
    if (named) {
      const model = id.slice(colon + 1);
      return named.models.length === 0 && model ? { id, targets: [makeTarget(named, model)] } : undefined;
    }
    const takers = id === defaultModel || forwarding.length === 1 ? forwarding : [];
    return takers.length > 0 ? { id, targets: byPriority(takers.map((taker) => makeTarget(taker, id))) } : undefined;
  }

  function named(name: string, field: string): readonly ProviderEntry[] {
    const instance = providers.get(name);
    if (instance) return [instance];
    const ofKind = content.providers.filter((provider) => provider.kind === name);
    if (ofKind.length > 0) return ofKind;
    throw invalid({
      field,
      description: `expected the name or kind of a provider, got ${JSON.stringify(name.slice(0, 60))}`,
    });
  }

  return {
    find,
    list: (caller) =>
      [...publicModels.values(), ...directModels.values()].filter(({ id }) => !caller.models || caller.models.has(id)),
    pool({ model, provider, fallbackProviders, fieldPrefix }, caller) {
      const id = model || defaultModel;
      if (!id) {
        const description = "expected a model's name: this gateway has no default model";
        throw invalid({ field: `${fieldPrefix.model}model`, description });
      }
      const pinned = provider ? named(provider, `${fieldPrefix.routing}provider`) : [];
      const fallbacks = fallbackProviders.flatMap((name, index) =>
        named(name, `${fieldPrefix.routing}fallback_providers[${index}]`),
      );
      const found = find(id, caller) ?? (provider ? servedBy([...pinned, ...fallbacks], id, caller) : undefined);
      if (!found) throw new FaultError({ kind: "unknown_model", model: id });
      if (pinned.length + fallbacks.length === 0) {
        const policy = publicModels.has(id) ? "ordered" : "direct";
        return { model: id, policy, candidates: found.targets, ruledOut: [] };
      }
      const own = provider ? [] : found.targets;
      const ruledOut: { endpoint: string; reason: "model_not_served" }[] = [];
      const chosen = [...pinned, ...fallbacks].flatMap((entry) => {
        const targets = found.targets.filter((target) => target.provider === entry.name);
        if (targets.length > 0) return targets;
        if (entry.defaultModel && mayUse(caller, entry.name, entry.defaultModel))
          return [makeTarget(entry, entry.defaultModel)];
        ruledOut.push({ endpoint: `${entry.name}/${id}`, reason: "model_not_served" });
        return [];
      });
      return { model: id, policy: "pinned", candidates: distinct([...own, ...chosen]), ruledOut };
    },
  };
}

/** Whether a caller may be served by a provider's own model: it must not get by a pin what it may not ask for. */
function mayUse({ models }: Caller, provider: string, model: string): boolean {
  return !models || models.has(model) || models.has(`${provider}:${model}`);
}

/** A model that has no public name, but that a provider named by the call has under it. */
function servedBy(named: readonly ProviderEntry[], model: string, caller: Caller): CatalogModel | undefined {
  if (caller.models && !caller.models.has(model)) return undefined;
  const serving = named.filter(({ models }) => models.length === 0 || models.includes(model));
  return serving.length > 0 ? { id: model, targets: serving.map((entry) => makeTarget(entry, model)) } : undefined;
}

/** Without public models every provider's model is public under its own name, served by all that declare it. */
function modelsOf(providers: readonly ProviderEntry[]): ModelEntry[] {
  const names = [...new Set(providers.flatMap(({ models }) => models))];
  return names.map((name) => ({
    name,
    targets: providers
      .filter(({ models }) => models.includes(name))
      .map((provider) => ({ provider: provider.name, model: name, priority: undefined, timeoutMs: undefined })),
  }));
}

function targetOf(providers: ReadonlyMap<string, ProviderEntry>, entry: TargetEntry): Target[] {
  const provider = providers.get(entry.provider);
  if (!provider) return [];
  const { timeoutMs, priority = provider.priority } = entry;
  return [
    makeTarget(
      timeoutMs === undefined
        ? { ...provider, priority }
        : { ...provider, priority, totalMs: timeoutMs, firstContentMs: timeoutMs, idleMs: timeoutMs },
      entry.model,
    ),
  ];
}

function makeTarget(provider: ProviderEntry, model: string): Target {
  const { name, kind, origin, basePath, keys, priority, enabled, connectMs, idleMs, firstContentMs, totalMs } =
    provider;
  const limits = { firstContentMs, totalMs };
  const id = `${name}/${model}`;
  return {
    id,
    provider: name,
    upstreamModel: model,
    tier: priority,
    enabled,
    keys,
    limits,
    kind,
    origin,
    basePath,
    connectMs,
    idleMs,
  };
}

/** Lower priority number first; equals as they were listed. */
function byPriority(targets: readonly Target[]): Target[] {
  return [...targets].sort((a, b) => a.tier - b.tier);
}

function distinct(targets: readonly Target[]): Target[] {
  return [...new Map(targets.map((target) => [target.id, target])).values()];
}

function invalid(violation: Violation): FaultError {
  return new FaultError({ kind: "invalid_request", violations: [violation] });
}
