import { describe, expect, test } from "vitest";
import { FaultError } from "../../src/chat/fault.ts";
import type { Caller } from "../../src/gateway/caller.ts";
import { createCatalog, type ModelEntry, type ProviderEntry } from "../../src/gateway/catalog.ts";

const everyone: Caller = { name: "x", models: undefined, seesTrail: true };

type Changes = Partial<Omit<ProviderEntry, "models">> & { readonly models?: readonly string[] };

function provider(name: string, { models = [], ...changes }: Changes = {}): ProviderEntry {
  return {
    name,
    kind: "openai",
    origin: "http://127.0.0.1",
    basePath: "/v1",
    keys: [],
    priority: 1,
    weight: 100,
    enabled: true,
    connectMs: 1,
    firstContentMs: 2,
    reasoningFirstContentMs: 20,
    idleMs: 3,
    totalMs: 4,
    models: models.map((id) => ({ id })),
    defaultModel: undefined,
    ...changes,
  };
}

const model = (name: string, ...targets: [string, string, number?][]): ModelEntry => ({
  name,
  targets: targets.map(([each, upstream, priority]) => ({
    provider: each,
    model: upstream,
    priority,
    weight: undefined,
    timeoutMs: undefined,
  })),
});

function catalog(providers: ProviderEntry[], models: ModelEntry[] = [], defaultModel?: string) {
  const made = createCatalog({ providers, models, defaultModel });
  const pool = (wanted: string, pins: { provider?: string; fallbackProviders?: string[] } = {}, caller = everyone) =>
    made.pool(
      {
        model: wanted,
        provider: "",
        fallbackProviders: [],
        fieldPrefix: { routing: "options.", model: "prompt." },
        ...pins,
      },
      caller,
    );
  const tiers = (...args: Parameters<typeof pool>) =>
    pool(...args).tiers.map(({ members }) => members.map(({ id }) => id));
  const ids = (...args: Parameters<typeof pool>) => tiers(...args).flat();
  const faultOf = (...args: Parameters<typeof pool>) => {
    try {
      pool(...args);
    } catch (error) {
      if (error instanceof FaultError) return error.fault;
      throw error;
    }
    return undefined;
  };
  return { made, pool, tiers, ids, faultOf };
}

describe("a model", () => {
  test("means its pool, lower priority first, equals as they are listed; a target's priority beats its provider's", () => {
    const { ids } = catalog(
      [provider("a", { priority: 5 }), provider("b", { priority: 2 }), provider("c", { priority: 2 })],
      [model("think", ["a", "m"], ["b", "m"], ["c", "m"], ["a", "first", 0])],
    );
    expect(ids("think")).toEqual(["a/first", "b/m", "c/m", "a/m"]);
  });

  test("has its equals in one tier, and each in one of its own where they are to be tried in order", () => {
    const two = [provider("a"), provider("b"), provider("c", { priority: 2 })];
    const targets = model("think", ["a", "m"], ["b", "m"], ["c", "m"]);
    expect(catalog(two, [targets]).tiers("think")).toEqual([["a/m", "b/m"], ["c/m"]]);
    expect(catalog(two, [{ ...targets, strategy: "ordered" }]).tiers("think")).toEqual([["a/m"], ["b/m"], ["c/m"]]);
  });

  test("keeps its pool from request to request, so that its rotation goes on", () => {
    const { pool } = catalog([provider("a", { models: ["m"] })]);
    expect(pool("m")).toBe(pool("m"));
    expect(pool("a:m")).toBe(pool("a:m"));
  });

  test("is public under its own name where no models are configured, served by all that declare it", () => {
    const { ids, made } = catalog([provider("a", { models: ["m", "n"] }), provider("b", { models: ["m"] })]);
    expect(ids("m")).toEqual(["a/m", "b/m"]);
    expect(made.list(everyone).map(({ id }) => id)).toEqual(["m", "n", "a:m", "a:n", "b:m"]);
  });

  test("of one provider is asked for as provider:model; a colon that names no provider belongs to the model", () => {
    const { ids, faultOf } = catalog([provider("a", { models: ["m"] }), provider("b")], [model("r1:free", ["b", "x"])]);
    expect(ids("a:m")).toEqual(["a/m"]);
    expect(ids("r1:free")).toEqual(["b/x"]);
    expect(ids("b:any/thing:2")).toEqual(["b/any/thing:2"]);
    expect(faultOf("a:unknown")).toEqual({ kind: "unknown_model", model: "a:unknown" });
    expect(faultOf("nobody:m")).toBeUndefined(); // b forwards whatever is asked of it
  });

  test("that nobody declares goes to the only provider that forwards", () => {
    expect(catalog([provider("a", { models: ["m"] }), provider("b")]).ids("new")).toEqual(["b/new"]);
    expect(catalog([provider("a"), provider("b")]).faultOf("new")).toEqual({ kind: "unknown_model", model: "new" });
  });

  test("that is the default goes to all providers that forward", () => {
    const { ids } = catalog([provider("a", { priority: 2 }), provider("b")], [], "gpt");
    expect(ids("")).toEqual(["b/gpt", "a/gpt"]);
    expect(ids("gpt")).toEqual(["b/gpt", "a/gpt"]);
  });

  test("may be left out where there is a default, or only one to choose", () => {
    expect(catalog([provider("a", { models: ["m"] })]).ids("")).toEqual(["a/m"]);
    expect(catalog([provider("a", { models: ["m", "n"] })]).faultOf("")).toMatchObject({
      kind: "invalid_request",
      violations: [{ field: "prompt.model" }],
    });
  });

  test("that a caller may not use is not there for it", () => {
    const { made, faultOf, ids } = catalog([provider("a", { models: ["m", "n"] })]);
    const caller = { ...everyone, models: new Set(["m"]) };
    expect(made.list(caller).map(({ id }) => id)).toEqual(["m"]);
    expect(ids("m", {}, caller)).toEqual(["a/m"]);
    expect(faultOf("n", {}, caller)?.kind).toBe("unknown_model");
    expect(faultOf("n", { provider: "a" }, caller)?.kind).toBe("unknown_model");
  });
});

describe("a pin", () => {
  const { ids, tiers, pool, faultOf } = catalog(
    [
      provider("a", { kind: "vllm" }),
      provider("b", { kind: "vllm" }),
      provider("c", { defaultModel: "small" }),
      provider("d", { models: ["own"] }),
    ],
    [model("think", ["a", "m"], ["b", "m"])],
  );

  test("names a provider, and nothing else is tried", () => {
    expect(ids("think", { provider: "b" })).toEqual(["b/m"]);
    expect(pool("think", { provider: "b" }).policy).toBe("pinned");
  });

  test("names a kind, and all of that kind are tried", () => {
    expect(tiers("think", { provider: "vllm" })).toEqual([["a/m", "b/m"]]);
  });

  test("reaches a target that has no share of its own, and one of weight 0 is not asked otherwise", () => {
    const resting = catalog(
      [provider("a"), provider("b", { weight: 0, models: ["m"] })],
      [model("think", ["a", "m"], ["b", "m"])],
    );
    const weights = (...args: Parameters<typeof resting.pool>) =>
      resting.pool(...args).tiers.flatMap(({ members }) => members.map(({ weight }) => weight));
    expect(weights("think")).toEqual([100, 0]);
    expect(weights("think", { provider: "b" })).toEqual([1]);
    expect(weights("b:m")).toEqual([1]);
  });

  test("with fallbacks is the whole order; without, the fallbacks follow the pool", () => {
    expect(tiers("think", { provider: "b", fallbackProviders: ["c", "a"] })).toEqual([["b/m"], ["c/small"], ["a/m"]]);
    expect(tiers("think", { fallbackProviders: ["c", "b"] })).toEqual([["a/m", "b/m"], ["c/small"]]);
  });

  test("to a provider that serves neither the model nor a default is told as a skip", () => {
    const pinned = pool("think", { provider: "d" });
    expect(pinned.size).toBe(0);
    expect(pinned.ruledOut).toEqual([{ endpoint: "d/think", reason: "model_not_served" }]);
  });

  test("does not get a caller a model that it may not use", () => {
    const caller = { ...everyone, models: new Set(["think"]) };
    expect(ids("think", { provider: "c" }, caller)).toEqual([]);
    expect(ids("think", { provider: "c" }, { ...caller, models: new Set(["think", "c:small"]) })).toEqual(["c/small"]);
  });

  test("may ask a provider for a model of its own that has no public name", () => {
    expect(ids("own", { provider: "d" })).toEqual(["d/own"]);
  });

  test("to a name that nobody bears is an error that names the field", () => {
    expect(faultOf("think", { provider: "zz" })).toMatchObject({ violations: [{ field: "options.provider" }] });
    expect(faultOf("think", { fallbackProviders: ["a", "zz"] })).toMatchObject({
      violations: [{ field: "options.fallback_providers[1]" }],
    });
  });
});
