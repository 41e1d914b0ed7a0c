import type { Trail } from "../../routing/trail.ts";
import type { RequestRecord, RequestWatcher, Wire } from "../request-record.ts";
import type { MetricFamily, NumberPoint } from "./family.ts";
import { Histogram, requestSeconds } from "./histogram.ts";
import type { ScopeNames } from "./scope.ts";
import { at, type Counter, newCounter, newCounters, newCounterTable } from "./series.ts";

const requests = {
  name: "everhop.requests",
  help: "Requests that are over, by how they came, what they asked, the model that they were routed to (empty: to none) and how they ended: ok, or the kind of failure that the caller was told.",
  unit: "{request}",
  type: "counter",
} as const;
const inFlight = {
  name: "everhop.requests_in_flight",
  help: "Requests that are under way.",
  unit: "{request}",
  type: "gauge",
} as const;
const duration = {
  name: "everhop.request.duration",
  help: "From a request's arrival to the end of its answer. Without probes.",
  unit: "s",
  type: "histogram",
} as const;
const firstToken = {
  name: "everhop.first_token",
  help: "From a request's arrival to the first content of its stream, failed hops and waits included.",
  unit: "s",
  type: "histogram",
} as const;
const failovers = {
  name: "everhop.failovers",
  help: "Requests that took more than one attempt, whatever came of them.",
  unit: "{request}",
  type: "counter",
} as const;
const recoveries = {
  name: "everhop.recoveries",
  help: "Streams that broke after their first content and were to go on elsewhere: resumed, or failed when nobody went on.",
  unit: "{stream}",
  type: "counter",
} as const;

const wires: readonly Wire[] = ["rest", "grpc", "grpc_web", "connect"];

/** By operation, model, outcome. */
type OfWire = Map<string, Map<string, Map<string, Counter>>>;

/** Counts requests as their callers see them. */
export class RequestMetrics implements RequestWatcher {
  readonly #inFlight: Record<Wire, number> = { rest: 0, grpc: 0, grpc_web: 0, connect: 0 };
  readonly #requests: Record<Wire, OfWire> = {
    rest: new Map(),
    grpc: new Map(),
    grpc_web: new Map(),
    connect: new Map(),
  };
  /** By operation; of whole answers and of streams. */
  readonly #durations: Record<Wire, Map<string, { readonly whole: Histogram; readonly stream: Histogram }>> = {
    rest: new Map(),
    grpc: new Map(),
    grpc_web: new Map(),
    connect: new Map(),
  };
  readonly #firstTokens = new Map<string, Histogram>();
  readonly #failovers = new Map<string, Counter>();
  readonly #recoveries = { resumed: 0, failed: 0 };
  #names: ScopeNames;

  constructor(names: ScopeNames) {
    this.#names = names;
  }

  began({ head }: RequestRecord): void {
    this.#inFlight[head.wire] += 1;
  }

  abandoned({ head }: RequestRecord): void {
    this.#inFlight[head.wire] -= 1;
  }

  ended(record: RequestRecord): void {
    const { head, operation = "", failure, trail, startedAt, endedAt, streams } = record;
    this.#inFlight[head.wire] -= 1;
    const model = trail ? this.#names.model(trail.model) : "";
    const ofModel = at(at(this.#requests[head.wire], operation, newCounterTable), model, newCounters);
    at(ofModel, failure?.kind ?? "ok", newCounter).value += 1;
    if (record.isProbe) return;
    const durations = at(this.#durations[head.wire], operation, newDurations);
    durations[streams ? "stream" : "whole"].add((endedAt - startedAt) / 1000);
    if (trail) this.#routed(trail, model, startedAt);
  }

  #routed({ attempts }: Trail, model: string, arrivedAt: number): void {
    const first = attempts.find(({ firstContentMs }) => firstContentMs !== undefined);
    if (first?.firstContentMs !== undefined) {
      const seconds = (first.startedAt + first.firstContentMs - arrivedAt) / 1000;
      at(this.#firstTokens, model, newFirstToken).add(seconds);
    }
    if (attempts.length < 2) return;
    at(this.#failovers, model, newCounter).value += 1;
    const recovering = attempts.filter(({ purpose }) => purpose === "recovery");
    if (recovering.length === 0) return;
    this.#recoveries[recovering.some(({ firstContentMs }) => firstContentMs !== undefined) ? "resumed" : "failed"] += 1;
  }

  /** Goes on with other names; what had the old ones is forgotten. */
  adopt(names: ScopeNames): void {
    this.#names = names;
    for (const ofWire of Object.values(this.#requests)) {
      for (const ofOperation of ofWire.values()) keepOnly(ofOperation, names);
    }
    keepOnly(this.#firstTokens, names);
    keepOnly(this.#failovers, names);
  }

  collect(): MetricFamily[] {
    const ofModels = ([model, { value }]: [string, Counter]) => ({ labels: { model }, value });
    return [
      { ...requests, points: wires.flatMap((wire) => requestPoints(wire, this.#requests[wire])) },
      {
        ...inFlight,
        points: wires.map((protocol) => ({ labels: { protocol }, value: this.#inFlight[protocol] })),
      },
      {
        ...duration,
        points: wires
          .flatMap((protocol) =>
            [...this.#durations[protocol]].flatMap(([operation, { whole, stream }]) => [
              whole.point({ protocol, operation, streaming: "false" }),
              stream.point({ protocol, operation, streaming: "true" }),
            ]),
          )
          .filter(({ count }) => count > 0),
      },
      { ...firstToken, points: [...this.#firstTokens].map(([model, histogram]) => histogram.point({ model })) },
      { ...failovers, points: [...this.#failovers].map(ofModels) },
      {
        ...recoveries,
        points: Object.entries(this.#recoveries).map(([outcome, value]) => ({ labels: { outcome }, value })),
      },
    ];
  }
}

function requestPoints(protocol: Wire, ofWire: OfWire): NumberPoint[] {
  const points: NumberPoint[] = [];
  for (const [operation, ofOperation] of ofWire) {
    for (const [model, ofModel] of ofOperation) {
      for (const [outcome, { value }] of ofModel)
        points.push({ labels: { protocol, operation, model, outcome }, value });
    }
  }
  return points;
}

/** Of requests that were routed to no model, and to those that the configuration does not name, everything stays. */
function keepOnly(byModel: Map<string, unknown>, names: ScopeNames): void {
  for (const model of byModel.keys()) if (model !== "" && names.model(model) !== model) byModel.delete(model);
}

function newDurations() {
  return { whole: new Histogram(requestSeconds), stream: new Histogram(requestSeconds) };
}

function newFirstToken(): Histogram {
  return new Histogram(requestSeconds);
}
