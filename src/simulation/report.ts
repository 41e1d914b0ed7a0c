import type { BreakerState } from "../routing/breaker.ts";
import type { Endpoint } from "../routing/endpoint.ts";
import { faultReports } from "./fault-report.ts";
import { findingsOf } from "./findings.ts";
import type { Observations, RequestRecord } from "./observations.ts";
import { phaseText } from "./phase-text.ts";
import type { EndpointReport, Percentiles, RefusalReport, Report, Timeline } from "./report-shape.ts";
import { select } from "./scenario.ts";

/** The numbers of a rehearsal. */
export function reportOf<E extends Endpoint>(observed: Observations<E>): Report {
  const { scenario, places, requests, breakers } = observed;
  const headline = headlineOf(observed);
  const faults = faultReports(observed);
  const streams = requests.filter(({ stream, outcome }) => stream && outcome !== "not_admitted");
  const facts = {
    headline,
    streams: {
      requests: streams.length,
      whole: streams.filter(({ outcome }) => outcome === "served").length,
      broken: streams.filter(({ outcome }) => outcome === "broken").length,
      left: streams.filter(({ outcome }) => outcome === "left").length,
      withoutContent: streams.filter(({ outcome }) => outcome === "failed" || outcome === "gave_up").length,
      recovered: streams.filter(({ recovered }) => recovered).length,
      hedges: sum(observed.tallies.map(({ hedges }) => hedges)),
      hedgesWon: requests.filter(({ hedgeWon }) => hedgeWon).length,
    },
    durationMs: scenario.durationMs,
    phases: scenario.phases.map((phase) => ({
      name: phase.name,
      fromMs: phase.fromMs,
      toMs: Math.min(phase.toMs, scenario.durationMs),
      endpoints: phase.on ? [...(select(phase.on, places)?.endpoints.keys() ?? [])] : [],
      does: phaseText(phase),
    })),
    timeline: timelineOf(observed, mostBuckets),
    endpoints: endpointReports(observed),
    faults,
    refusals: refusalReports(requests),
    skips: [...observed.skips]
      .map(([reason, byEndpoint]) => ({
        reason,
        count: sum([...byEndpoint.values()]),
        endpoints: [...byEndpoint.keys()].sort(),
      }))
      .sort((a, b) => b.count - a.count),
    breakerEvents: breakers.map(({ at, endpoint, state }) => ({ atMs: at, endpoint, state })),
  };
  return { ...facts, findings: findingsOf(facts, observed) };
}

/** Whether a caller got what it wanted, or as much of it as it wanted. */
export function isServed({ outcome }: RequestRecord): boolean {
  return outcome === "served" || outcome === "left";
}

/** Whether it counts for availability: what a caller's own limits keep out does not. */
function counts({ outcome }: RequestRecord): boolean {
  return outcome !== "not_admitted";
}

function headlineOf<E extends Endpoint>({ requests, places, tallies }: Observations<E>): Report["headline"] {
  const of = (outcome: RequestRecord["outcome"]) => requests.filter((each) => each.outcome === outcome).length;
  const counted = requests.filter(counts);
  const attempts = sum(counted.map((request) => request.attempts));
  const priced = places.some(({ endpoint }) => endpoint.prices);
  return {
    requests: requests.length,
    served: of("served"),
    failed: of("failed"),
    broken: of("broken"),
    gaveUp: of("gave_up"),
    left: of("left"),
    notAdmitted: of("not_admitted"),
    availabilityPercent: counted.length === 0 ? undefined : (100 * counted.filter(isServed).length) / counted.length,
    attempts,
    hopsPerRequest: counted.length === 0 ? 0 : attempts / counted.length,
    firstContent: percentilesOf(firstContents(requests)),
    total: percentilesOf(totals(requests)),
    costUsd: priced ? sum(tallies.map(({ costUsd }) => costUsd)) : undefined,
    possiblyBilledUsd: priced ? sum(tallies.map(({ possiblyBilledUsd }) => possiblyBilledUsd)) : undefined,
    unpriced: places.filter(({ endpoint }) => !endpoint.prices).map(({ endpoint }) => endpoint.id),
  };
}

/** Times of streams to their first content. */
function firstContents(requests: readonly RequestRecord[]): number[] {
  return requests.flatMap(({ stream, firstContentMs }) =>
    stream && firstContentMs !== undefined ? [firstContentMs] : [],
  );
}

/** Times of whole answers. */
function totals(requests: readonly RequestRecord[]): number[] {
  return requests.flatMap(({ outcome, totalMs }) => (outcome === "served" ? [totalMs] : []));
}

function percentilesOf(times: number[]): Percentiles {
  times.sort((a, b) => a - b);
  const at = (share: number) => times[Math.min(times.length - 1, Math.ceil(times.length * share) - 1)];
  return { p50Ms: at(0.5), p99Ms: at(0.99) };
}

/** As many parts as a page has room for. */
const mostBuckets = 240;
/** Lengths that people count in. */
const bucketLengthsMs = [
  100, 200, 250, 500, 1000, 2000, 5000, 10_000, 15_000, 20_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000,
  1_800_000, 3_600_000,
];

/** The course of time in at most so many parts. */
export function timelineOf<E extends Endpoint>(
  { scenario, requests, places }: Pick<Observations<E>, "scenario" | "requests" | "places">,
  most: number,
): Timeline {
  const { durationMs } = scenario;
  const bucketMs = bucketLengthsMs.find((length) => durationMs / length <= most) ?? durationMs / most;
  const byBucket = Array.from({ length: Math.max(1, Math.ceil(durationMs / bucketMs)) }, (): RequestRecord[] => []);
  for (const request of requests) byBucket[Math.floor(request.at / bucketMs)]?.push(request);
  const buckets = byBucket.map((own, index) => {
    const counted = own.filter(counts);
    const unserved = counted.filter((request) => !isServed(request)).length;
    const answers = places.map(() => 0);
    for (const request of own)
      if (request.by >= 0 && isServed(request)) answers[request.by] = (answers[request.by] ?? 0) + 1;
    return {
      fromMs: index * bucketMs,
      requests: own.length,
      unserved,
      availabilityPercent: counted.length === 0 ? undefined : 100 - (100 * unserved) / counted.length,
      firstContent: percentilesOf(firstContents(own)),
      total: percentilesOf(totals(own)),
      answers,
    };
  });
  return { bucketMs, buckets };
}

function endpointReports<E extends Endpoint>({
  places,
  tallies,
  requests,
  breakers,
  keys,
  endedAt,
}: Observations<E>): EndpointReport[] {
  const answersOf = places.map(() => 0);
  for (const request of requests) {
    if (request.by >= 0 && isServed(request)) answersOf[request.by] = (answersOf[request.by] ?? 0) + 1;
  }
  const answered = sum(answersOf);
  return places.map(({ endpoint, tiers }, position) => {
    const tally = tallies[position];
    const answers = answersOf[position] ?? 0;
    const failures = [...(tally?.outcomes ?? [])]
      .filter(([outcome]) => outcome !== "ok" && outcome !== "superseded" && outcome !== "caller_gone")
      .map(([outcome, count]) => ({ outcome, count }))
      .sort((a, b) => b.count - a.count);
    const own = breakers.filter((event) => event.endpoint === endpoint.id);
    const sample = keys.find(({ provider }) => provider === endpoint.provider);
    return {
      endpoint: endpoint.id,
      provider: endpoint.provider,
      tier: tiers[0] ?? 1,
      answers,
      sharePercent: answered === 0 ? 0 : (100 * answers) / answered,
      attempts: tally?.attemptTimes.length ?? 0,
      failures: sum(failures.map(({ count }) => count)),
      failuresByOutcome: failures,
      hedges: tally?.hedges ?? 0,
      recoveries: tally?.recoveries ?? 0,
      costUsd: endpoint.prices ? tally?.costUsd : undefined,
      possiblyBilledUsd: endpoint.prices ? tally?.possiblyBilledUsd : undefined,
      breaker: {
        opened: timesOpened(own),
        openMs: openTime(own, endedAt),
        atEnd: own.at(-1)?.state ?? "closed",
      },
      keys: sample && { total: sample.total, least: sample.least, atEnd: sample.atEnd },
    };
  });
}

/** How often it left being closed: an open breaker whose probe fails has not opened anew. */
function timesOpened(events: readonly { readonly state: BreakerState }[]): number {
  let closed = true;
  let times = 0;
  for (const { state } of events) {
    if (closed && state === "open") times += 1;
    closed = state === "closed";
  }
  return times;
}

/** How long it was not closed. */
function openTime(events: readonly { readonly at: number; readonly state: BreakerState }[], endedAt: number): number {
  let since: number | undefined;
  let total = 0;
  for (const { at, state } of events) {
    if (state === "open") since ??= at;
    if (state === "closed" && since !== undefined) {
      total += at - since;
      since = undefined;
    }
  }
  return since === undefined ? total : total + endedAt - since;
}

function refusalReports(requests: readonly RequestRecord[]): RefusalReport[] {
  const found = new Map<string, { -readonly [K in keyof RefusalReport]: RefusalReport[K] }>();
  for (const { at, outcome, refusal } of requests) {
    const told = refusal ?? (outcome === "gave_up" ? { httpStatus: 499, code: "caller_gave_up" } : undefined);
    if (!told) continue;
    const key = `${outcome} ${told.httpStatus} ${told.code}`;
    const known = found.get(key);
    if (known) {
      known.count += 1;
      known.lastMs = at;
    } else found.set(key, { ...told, outcome, count: 1, firstMs: at, lastMs: at });
  }
  return [...found.values()].sort((a, b) => b.count - a.count);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
