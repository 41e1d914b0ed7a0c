import type { BreakerState } from "../../routing/breaker.ts";
import type { RouteObserver } from "../../routing/observer.ts";
import type { AttemptRecord, SkipRecord, TokenCounts, Trail, WaitRecord } from "../../routing/trail.ts";
import type { HistogramPoint, Labels, MetricFamily, NumberPoint } from "./family.ts";
import { callSeconds, callTokens, Histogram, waitSeconds } from "./histogram.ts";
import { type EndpointName, type ScopeNames, unnamed } from "./scope.ts";
import { at, type Counter, newCounter, newCounters } from "./series.ts";

const hops = {
  name: "everhop.hops",
  help: "Calls to endpoints that are over, by the model that was asked for and by how they ended: ok, or the class of their failure.",
  unit: "{hop}",
  type: "counter",
} as const;
const duration = {
  name: "gen_ai.client.inference.duration",
  help: "From a call's start to the end of its answer, or to its failure. Without calls that another one was quicker than.",
  unit: "s",
  type: "histogram",
} as const;
const firstChunk = {
  name: "gen_ai.client.inference.time_to_first_chunk",
  help: "From a call's start to the first content of its stream.",
  unit: "s",
  type: "histogram",
} as const;
const usage = {
  input: tokens("input_tokens", "Tokens of prompts, cached ones included."),
  output: tokens("output_tokens", "Tokens of answers, those of thinking included."),
  cached: tokens("cache_read.input_tokens", "Tokens of prompts that the provider had in its cache."),
  reasoning: tokens("reasoning.output_tokens", "Tokens of answers that went into thinking."),
} as const;
const inputSizes = {
  name: "gen_ai.client.inference.operation.input_tokens",
  help: "Tokens of one prompt, as its provider counted them.",
  unit: "{token}",
  type: "histogram",
} as const;
const outputSizes = {
  name: "gen_ai.client.inference.operation.output_tokens",
  help: "Tokens of one answer, as its provider counted them.",
  unit: "{token}",
  type: "histogram",
} as const;
const cost = {
  name: "everhop.cost.dollars",
  help: "What calls cost by the configured prices, in US dollars. Endpoints without prices cost nothing here.",
  unit: "{USD}",
  type: "counter",
} as const;
const skips = {
  name: "everhop.skips",
  help: "How often an endpoint was passed over, once for each request and reason.",
  unit: "{skip}",
  type: "counter",
} as const;
const waits = {
  name: "everhop.waits",
  help: "How long requests waited, and for what.",
  unit: "s",
  type: "histogram",
} as const;
const hedges = {
  name: "everhop.hedges",
  help: "Second calls beside slow ones: won, lost, failed, or canceled with their request.",
  unit: "{hop}",
  type: "counter",
} as const;
const transitions = {
  name: "everhop.breaker.transitions",
  help: "How often a breaker has come into a state.",
  unit: "{transition}",
  type: "counter",
} as const;

function tokens(name: string, help: string) {
  return { name: `gen_ai.client.inference.usage.${name}`, help, unit: "{token}", type: "counter" } as const;
}

/** What is counted for one endpoint. */
class EndpointSeries {
  readonly name: EndpointName;
  /** By model and outcome. */
  readonly hops = new Map<string, Map<string, Counter>>();
  readonly durations = new Map<string, Histogram>();
  readonly skips = new Map<string, Counter>();
  readonly transitions = new Map<string, Counter>();
  firstChunk: Histogram | undefined;
  counted: Tokens | undefined;
  estimated: Tokens | undefined;
  sizes: { readonly input: Histogram; readonly output: Histogram } | undefined;

  constructor(name: EndpointName) {
    this.name = name;
  }

  addUsage({ inputTokens, outputTokens, cachedInputTokens, reasoningTokens, estimated }: TokenCounts): void {
    let sums: Tokens;
    if (estimated) {
      this.estimated ??= newTokens();
      sums = this.estimated;
    } else {
      this.counted ??= newTokens();
      sums = this.counted;
      this.sizes ??= { input: new Histogram(callTokens), output: new Histogram(callTokens) };
      this.sizes.input.add(inputTokens);
      this.sizes.output.add(outputTokens);
    }
    sums.input += inputTokens;
    sums.output += outputTokens;
    if (cachedInputTokens) sums.cached += cachedInputTokens;
    if (reasoningTokens) sums.reasoning += reasoningTokens;
  }
}

type Tokens = Record<keyof typeof usage, number>;

function newTokens(): Tokens {
  return { input: 0, output: 0, cached: 0, reasoning: 0 };
}

/** Counts what happens on the way of requests, as it happens. */
export class HopMetrics implements RouteObserver {
  #names: ScopeNames;
  /** By the ids of endpoints as labels have them. */
  readonly #series = new Map<string, EndpointSeries>();
  /** Millionths of a dollar, by provider and model: whole numbers, so that no sum drifts. */
  readonly #costs = new Map<string, Map<string, Counter>>();
  readonly #waits = new Map<string, Histogram>();
  readonly #hedges = { won: 0, lost: 0, failed: 0, canceled: 0 };

  constructor(names: ScopeNames) {
    this.#names = names;
  }

  attemptEnded(trail: Trail, attempt: AttemptRecord): void {
    const { outcome = "ok", durationMs = 0, firstContentMs, usage: counts, costMicros } = attempt;
    const model = this.#names.model(trail.model);
    const series = this.#seriesOf(attempt.endpoint);
    at(at(series.hops, model, newCounters), outcome, newCounter).value += 1;
    // It was given up in the middle: so long it took nobody.
    if (outcome !== "superseded") at(series.durations, outcome, newDuration).add(durationMs / 1000);
    if (firstContentMs !== undefined) {
      series.firstChunk ??= newDuration();
      series.firstChunk.add(firstContentMs / 1000);
    }
    if (counts) series.addUsage(counts);
    if (costMicros) at(at(this.#costs, series.name.provider, newCounters), model, newCounter).value += costMicros;
    if (attempt.purpose === "hedge") this.#hedges[endOfHedge(attempt)] += 1;
  }

  skipped(_trail: Trail, { endpoint, reason }: SkipRecord): void {
    at(this.#seriesOf(endpoint).skips, reason, newCounter).value += 1;
  }

  waited(_trail: Trail, { reason, durationMs }: WaitRecord): void {
    at(this.#waits, reason, newWait).add(durationMs / 1000);
  }

  breakerChanged(endpoint: string, state: BreakerState): void {
    at(this.#seriesOf(endpoint).transitions, state, newCounter).value += 1;
  }

  /** Goes on with other names; what had the old ones is forgotten. */
  adopt(names: ScopeNames): void {
    this.#names = names;
    for (const [endpoint, { name, hops: byModel }] of this.#series) {
      if (isSame(name, names.endpoint(endpoint))) dropModels(byModel, names);
      else this.#series.delete(endpoint);
    }
    for (const [provider, byModel] of this.#costs) {
      if (provider === unnamed || names.providers.has(provider)) dropModels(byModel, names);
      else this.#costs.delete(provider);
    }
  }

  collect(): MetricFamily[] {
    const all = [...this.#series.values()];
    return [
      { ...hops, points: all.flatMap(hopPoints) },
      { ...duration, points: all.flatMap(durationPoints) },
      { ...firstChunk, points: all.flatMap(({ firstChunk: own, name }) => own?.point(name.genAi) ?? []) },
      ...(["input", "output", "cached", "reasoning"] as const).map((kind) => ({
        ...usage[kind],
        points: all.flatMap((series) => tokenPoints(series, kind)),
      })),
      { ...inputSizes, points: all.flatMap(({ sizes, name }) => sizes?.input.point(name.genAi) ?? []) },
      { ...outputSizes, points: all.flatMap(({ sizes, name }) => sizes?.output.point(name.genAi) ?? []) },
      { ...cost, points: costPoints(this.#costs) },
      {
        ...skips,
        points: all.flatMap(({ name: { endpoint }, skips: own }) =>
          [...own].map(([reason, { value }]) => ({ labels: { endpoint, reason }, value })),
        ),
      },
      { ...waits, points: [...this.#waits].map(([reason, histogram]) => histogram.point({ reason })) },
      {
        ...hedges,
        points: Object.entries(this.#hedges).map(([outcome, value]) => ({ labels: { outcome }, value })),
      },
      {
        ...transitions,
        points: all.flatMap(({ name: { endpoint }, transitions: own }) =>
          [...own].map(([state, { value }]) => ({ labels: { endpoint, state }, value })),
        ),
      },
    ];
  }

  #seriesOf(endpoint: string): EndpointSeries {
    const known = this.#series.get(endpoint);
    if (known) return known;
    const name = this.#names.endpoint(endpoint);
    return at(this.#series, name.endpoint, () => new EndpointSeries(name));
  }
}

function endOfHedge({ outcome, firstContentMs }: AttemptRecord): "won" | "lost" | "failed" | "canceled" {
  if (firstContentMs !== undefined) return "won";
  if (outcome === "superseded") return "lost";
  return outcome === "caller_gone" ? "canceled" : "failed";
}

function hopPoints({ name: { endpoint, provider }, hops: byModel }: EndpointSeries): NumberPoint[] {
  return [...byModel].flatMap(([model, byOutcome]) =>
    [...byOutcome].map(([outcome, { value }]) => ({ labels: { model, provider, endpoint, outcome }, value })),
  );
}

function durationPoints({ name: { genAi }, durations }: EndpointSeries): HistogramPoint[] {
  return [...durations].map(([outcome, histogram]) =>
    histogram.point(outcome === "ok" ? genAi : { ...genAi, "error.type": outcome }),
  );
}

function tokenPoints({ name: { genAi }, counted, estimated }: EndpointSeries, kind: keyof Tokens): NumberPoint[] {
  const labels: Labels = { ...genAi, "gen_ai.token.modality": "unknown" };
  return [
    ...(counted ? [{ labels, value: counted[kind] }] : []),
    ...(estimated ? [{ labels: { ...labels, "everhop.usage.estimated": "true" }, value: estimated[kind] }] : []),
  ];
}

function costPoints(costs: ReadonlyMap<string, ReadonlyMap<string, Counter>>): NumberPoint[] {
  return [...costs].flatMap(([provider, byModel]) =>
    [...byModel].map(([model, { value }]) => ({ labels: { provider, model }, value: value / 1e6 })),
  );
}

function isSame(one: EndpointName, other: EndpointName): boolean {
  return one.endpoint === other.endpoint && JSON.stringify(one.genAi) === JSON.stringify(other.genAi);
}

function dropModels(byModel: Map<string, unknown>, names: ScopeNames): void {
  for (const model of byModel.keys()) if (names.model(model) !== model) byModel.delete(model);
}

function newDuration(): Histogram {
  return new Histogram(callSeconds);
}

function newWait(): Histogram {
  return new Histogram(waitSeconds);
}
