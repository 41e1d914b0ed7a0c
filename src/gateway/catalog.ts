import { FaultError, type Violation } from "../chat/fault.ts";
import type { JsonObject } from "../providers/openai/json.ts";
import { targetParams } from "../providers/openai/params.ts";
import type { PromptContent } from "../providers/openai/prompt-content.ts";
import type { PrefillDialect, Target } from "../providers/target.ts";
import type { Key, Pool, PoolStrategy, Prices, StreamRecovery, Tier, UseLimits } from "../routing/endpoint.ts";
import { createPool, poolOfTiers } from "../routing/pool.ts";
import type { Caller } from "./caller.ts";
import { chooseModel } from "./choose-model.ts";

/** A model that a provider declares. */
export interface ProviderModel {
  readonly id: string;
  readonly contextWindow?: number | undefined;
  readonly prices?: Prices | undefined;
  /** It may think for long before it says anything. */
  readonly reasoning?: boolean | undefined;
  /** What a prompt for it may hold beside text; undefined: not known. */
  readonly input?: readonly ("image" | "audio")[] | undefined;
  /** How it is asked to go on with a text; undefined: it is not. */
  readonly prefill?: PrefillDialect | undefined;
  /** Limits of this model alone. */
  readonly use?: UseLimits | undefined;
}

/** A provider as the catalog knows it. */
export interface ProviderEntry {
  readonly name: string;
  readonly kind: string;
  readonly origin: string;
  readonly basePath: string;
  readonly keys: readonly Key[];
  readonly priority: number;
  readonly weight: number;
  readonly enabled: boolean;
  readonly connectMs: number;
  readonly firstContentMs: number;
  /** First content of models that think; at least as long as that of the others. */
  readonly reasoningFirstContentMs: number;
  readonly idleMs: number;
  readonly totalMs: number;
  /** Limits of all of its models together. */
  readonly use?: UseLimits | undefined;
  /** The models it declares; none: it forwards whatever is asked of it. */
  readonly models: readonly ProviderModel[];
  /** What it serves when it is named for a model that it has no target for. */
  readonly defaultModel: string | undefined;
  /** Whether it is told of the trace that a request belongs to. */
  readonly traceContext?: boolean;
  /** Set in requests whose callers do not say. */
  readonly defaultParams?: JsonObject | undefined;
}

/** One endpoint of a public model. */
export interface TargetEntry {
  readonly provider: string;
  readonly model: string;
  /** Overrides the provider's. */
  readonly priority: number | undefined;
  readonly weight: number | undefined;
  /** Overrides the provider's limits: the total of a unary call, first content and silence of a stream. */
  readonly timeoutMs: number | undefined;
  /** Set in requests whatever their callers say; `stream`: how the endpoint is asked. */
  readonly params?: JsonObject | undefined;
}

/** A public model and its pool. */
export interface ModelEntry {
  readonly name: string;
  readonly targets: readonly TargetEntry[];
  readonly strategy?: PoolStrategy;
  readonly onContextOverflow?: Pool<Target>["onContextOverflow"];
  readonly streamRecovery?: StreamRecovery;
}

/** Something that can be asked for. */
export interface CatalogModel {
  /** Public name, or `provider:model`. */
  readonly id: string;
  /** First tier first. */
  readonly targets: readonly Target[];
  /** Made once, so that its rotations go on from request to request. */
  readonly pool: Pool<Target>;
}

/** What a call says about where it wants to go. */
export interface Destination {
  /** Empty: the default model. */
  readonly model: string;
  /** An instance name, else a kind. Empty: any. */
  readonly provider: string;
  readonly fallbackProviders: readonly string[];
  /** Chooses the model. Empty or missing: the model is named, or follows from what the prompt holds. */
  readonly task?: string | undefined;
  /** What the prompt holds; only asked for where that decides. Missing: text. */
  content?(): PromptContent;
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
  /** Default: none. */
  tasks?: ReadonlyMap<string, string>;
  /** Default: no prompt is long. */
  longPromptTokens?: number;
}): Catalog {
  const providers = new Map(content.providers.map((provider) => [provider.name, provider]));
  const published = content.models.length > 0 ? content.models : modelsOf(content.providers);
  const publicModels = new Map<string, CatalogModel>();
  for (const { name, targets, strategy, onContextOverflow, streamRecovery } of published) {
    const endpoints = targets.flatMap((entry) => targetOf(providers, entry));
    const settings = {
      ...(strategy && { strategy }),
      ...(onContextOverflow && { onContextOverflow }),
      ...(streamRecovery && { streamRecovery }),
    };
    publicModels.set(name, modelOf(createPool({ model: name, endpoints, ...settings })));
  }
  const directModels = new Map<string, CatalogModel>();
  for (const provider of content.providers) {
    for (const { id: model } of provider.models) {
      const id = `${provider.name}:${model}`;
      if (!publicModels.has(id)) directModels.set(id, directModel(id, [makeTarget(provider, model)]));
    }
  }
  /** Pools of models and lists that only callers name: a rotation that began anew with each request would be none. */
  const forwardedModels = new Map<string, CatalogModel>();
  /** By what a caller may use: a pin gets nobody more than that. */
  const pinnedPools = new WeakMap<object, Map<string, Pool<Target>>>();
  const forwarding = content.providers.filter((provider) => provider.enabled && provider.models.length === 0);
  const soleModel = publicModels.size === 1 ? [...publicModels.keys()][0] : undefined;
  const defaultModel = content.defaultModel ?? soleModel;
  const { tasks = new Map<string, string>(), longPromptTokens = Number.POSITIVE_INFINITY } = content;
  const choice = { tasks, longPromptTokens, defaultModel };

  function find(id: string, caller: Caller): CatalogModel | undefined {
    if (caller.models && !caller.models.has(id)) return undefined;
    return publicModels.get(id) ?? directModels.get(id) ?? remembered(forwardedModels, id, () => forwarded(id));
  }

  /** Models that are not declared anywhere, but that a provider without a list would take. */
  function forwarded(id: string): CatalogModel | undefined {
    const colon = id.indexOf(":");
    const named = colon > 0 ? providers.get(id.slice(0, colon)) : undefined;
    if (named) {
      const model = id.slice(colon + 1);
      return named.models.length === 0 && model ? directModel(id, [makeTarget(named, model)]) : undefined;
    }
    const takers = id === defaultModel || forwarding.length === 1 ? forwarding : [];
    if (takers.length === 0) return undefined;
    return modelOf(createPool({ model: id, endpoints: takers.map((taker) => makeTarget(taker, id, true)) }));
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
    pool(destination, caller) {
      const { provider, fallbackProviders, fieldPrefix } = destination;
      const id = chooseModel(destination, choice, `${fieldPrefix.routing}task`, (name) => find(name, caller)?.targets);
      if (!id) {
        const description = "expected a model's name: this gateway has no default model";
        throw invalid({ field: `${fieldPrefix.model}model`, description });
      }
      const pinned = provider ? named(provider, `${fieldPrefix.routing}provider`) : [];
      const fallbacks = fallbackProviders.map((name, index) =>
        named(name, `${fieldPrefix.routing}fallback_providers[${index}]`),
      );
      const found = find(id, caller) ?? (provider ? servedBy([...pinned, ...fallbacks.flat()], id, caller) : undefined);
      if (!found) throw new FaultError({ kind: "unknown_model", model: id });
      if (pinned.length + fallbacks.length === 0) return found.pool;
      const allowed = caller.models ?? everything;
      const pools = pinnedPools.get(allowed) ?? new Map<string, Pool<Target>>();
      pinnedPools.set(allowed, pools);
      const key = JSON.stringify([id, provider, fallbackProviders]);
      return remembered(pools, key, () => pinnedPool(id, found, { pinned, fallbacks }, caller));
    },
  };
}

/** Stands for callers who may use every model. */
const everything = {};

/** As many are remembered; callers may name any number. */
const maxRemembered = 1000;

/** What is remembered under a key, or is made and remembered now; the oldest are forgotten. */
function remembered<T>(memory: Map<string, T>, key: string, make: () => T): T;
function remembered<T>(memory: Map<string, T>, key: string, make: () => T | undefined): T | undefined;
function remembered<T>(memory: Map<string, T>, key: string, make: () => T | undefined): T | undefined {
  const known = memory.get(key);
  if (known !== undefined) return known;
  const made = make();
  if (made === undefined) return undefined;
  const [oldest] = memory.keys();
  if (memory.size >= maxRemembered && oldest !== undefined) memory.delete(oldest);
  memory.set(key, made);
  return made;
}

/** The pool of a caller's own list; fallbacks without a first choice come after the model's own targets. */
function pinnedPool(
  id: string,
  found: CatalogModel,
  { pinned, fallbacks }: { pinned: readonly ProviderEntry[]; fallbacks: readonly (readonly ProviderEntry[])[] },
  caller: Caller,
): Pool<Target> {
  const { tiers, ruledOut } = namedTiers(id, found, [pinned, ...fallbacks], caller);
  const own = pinned.length > 0 ? [] : found.pool.tiers;
  return poolOfTiers({
    model: id,
    policy: "pinned",
    strategy: pinned.length > 0 ? "weighted" : found.pool.strategy,
    tiers: distinct([...own, ...tiers]),
    onContextOverflow: found.pool.onContextOverflow,
    streamRecovery: found.pool.streamRecovery,
    ruledOut,
  });
}

/** What the providers that a call names serve, in the order in which it names them; equals of one name share as they are configured. */
function namedTiers(
  id: string,
  found: CatalogModel,
  names: readonly (readonly ProviderEntry[])[],
  caller: Caller,
): { tiers: Tier<Target>[]; ruledOut: { endpoint: string; reason: "model_not_served" }[] } {
  const ruledOut: { endpoint: string; reason: "model_not_served" }[] = [];
  const tiers = names.flatMap((entries) => {
    const endpoints = entries.flatMap((entry) => {
      const targets = found.targets.filter((target) => target.provider === entry.name);
      if (targets.length > 0) return targets.map((target) => (target.weight > 0 ? target : { ...target, weight: 1 }));
      if (entry.defaultModel && mayUse(caller, entry.name, entry.defaultModel))
        return [makeTarget(entry, entry.defaultModel, true)];
      ruledOut.push({ endpoint: `${entry.name}/${id}`, reason: "model_not_served" });
      return [];
    });
    return createPool({ model: id, endpoints }).tiers;
  });
  return { tiers, ruledOut };
}

function modelOf(pool: Pool<Target>): CatalogModel {
  return { id: pool.model, targets: pool.tiers.flatMap(({ members }) => members), pool };
}

/** A model that is asked for by a provider's name for it: whatever its weight, it is named. */
function directModel(id: string, targets: readonly Target[]): CatalogModel {
  const endpoints = targets.map((target) => (target.weight > 0 ? target : { ...target, weight: 1 }));
  return modelOf(createPool({ model: id, endpoints, policy: "direct" }));
}

/** Whether a caller may be served by a provider's own model: it must not get by a pin what it may not ask for. */
function mayUse({ models }: Caller, provider: string, model: string): boolean {
  return !models || models.has(model) || models.has(`${provider}:${model}`);
}

/** A model that has no public name, but that a provider named by the call has under it. */
function servedBy(named: readonly ProviderEntry[], model: string, caller: Caller): CatalogModel | undefined {
  if (caller.models && !caller.models.has(model)) return undefined;
  const serving = named.filter((entry) => entry.models.length === 0 || declares(entry, model));
  if (serving.length === 0) return undefined;
  return directModel(
    model,
    serving.map((entry) => makeTarget(entry, model)),
  );
}

function declares({ models }: ProviderEntry, model: string): boolean {
  return models.some(({ id }) => id === model);
}

/** Without public models every provider's model is public under its own name, served by all that declare it. */
function modelsOf(providers: readonly ProviderEntry[]): ModelEntry[] {
  const names = [...new Set(providers.flatMap(({ models }) => models.map(({ id }) => id)))];
  return names.map((name) => ({
    name,
    targets: providers
      .filter((provider) => declares(provider, name))
      .map((provider) => ({
        provider: provider.name,
        model: name,
        priority: undefined,
        weight: undefined,
        timeoutMs: undefined,
      })),
  }));
}

function targetOf(providers: ReadonlyMap<string, ProviderEntry>, entry: TargetEntry): Target[] {
  const provider = providers.get(entry.provider);
  if (!provider) return [];
  const { timeoutMs, priority = provider.priority, weight = provider.weight } = entry;
  const limits =
    timeoutMs === undefined
      ? {}
      : {
          totalMs: timeoutMs,
          firstContentMs: timeoutMs,
          reasoningFirstContentMs: timeoutMs,
          idleMs: timeoutMs,
        };
  return [makeTarget({ ...provider, ...limits, priority, weight }, entry.model, false, entry.params)];
}

/** @param named whether a call asks for it by name: then a weight of 0 does not keep it out */
function makeTarget(provider: ProviderEntry, model: string, named = false, overrides?: JsonObject): Target {
  const { name, kind, origin, basePath, keys, priority, weight, enabled, connectMs, idleMs, totalMs } = provider;
  const {
    contextWindow,
    prices,
    reasoning,
    prefill = "none",
    input,
    use,
  } = provider.models.find(({ id }) => id === model) ?? {};
  const params = targetParams({ origin }, overrides, provider.defaultParams);
  const streamFirstMs = reasoning ? provider.reasoningFirstContentMs : provider.firstContentMs;
  return {
    id: `${name}/${model}`,
    provider: name,
    upstreamModel: model,
    tier: priority,
    weight: named ? Math.max(1, weight) : weight,
    enabled,
    keys,
    // Who does not stream says nothing until it has said everything.
    limits: { firstContentMs: params?.stream === false ? totalMs : streamFirstMs, totalMs },
    use,
    providerUse: provider.use,
    contextWindow,
    prices,
    kind,
    origin,
    basePath,
    connectMs,
    idleMs,
    prefill,
    input,
    traceContext: provider.traceContext,
    params,
  };
}

/** Without the endpoints that stand in an earlier tier already, and without tiers that are then empty. */
function distinct(tiers: readonly Tier<Target>[]): Tier<Target>[] {
  const seen = new Set<string>();
  return tiers.flatMap((tier) => {
    const members = tier.members.filter(({ id }) => !seen.has(id));
    for (const { id } of members) seen.add(id);
    if (members.length === 0) return [];
    return [members.length === tier.members.length ? tier : { ...tier, members }];
  });
}

function invalid(violation: Violation): FaultError {
  return new FaultError({ kind: "invalid_request", violations: [violation] });
}
