import type { Endpoint, Pool } from "../src/routing/endpoint.ts";
import { type AttemptRecord, createTrail } from "../src/routing/trail.ts";
import { createMetrics, type Metrics } from "../src/telemetry/metrics/metrics.ts";
import { prometheusPieces } from "../src/telemetry/metrics/prometheus-text.ts";
import type { RequestRecord } from "../src/telemetry/request-record.ts";

/**
 * What metrics alone cost a request, and what it costs to collect them.
 *
 *   node bench/metrics.ts
 */
const perRound = 500_000;
const rounds = 7;

function createScene(count: number) {
  const names = Array.from({ length: count }, (_, index) => `name-${index}`);
  const metrics = createMetrics(
    {
      models: names,
      providers: names.map((name) => ({ name, kind: "openai", host: "127.0.0.1", port: 80 })),
      endpoints: names.map((name) => ({ id: `${name}/m`, provider: name, upstreamModel: "m" })),
    },
    () => [],
  );
  const requests = names.map((name) => ({
    one: requestOf(name, ["ok"]),
    two: requestOf(name, ["rate_limited", "ok"]),
  }));
  return { metrics, requests };
}

/** A stream with its trail, over already. */
function requestOf(name: string, outcomes: readonly ("ok" | "rate_limited")[]): RequestRecord {
  const pool = { model: name, policy: "weighted", tiers: [] } as unknown as Pool<Endpoint>; // the rest is not read
  const trail = createTrail(pool, { traceId: "", spanId: "", startedAt: 0 });
  for (const outcome of outcomes) {
    const endpoint = { provider: name, id: `${name}/m`, upstreamModel: "m", tier: 1 } as Endpoint;
    const grant = { endpoint, key: undefined, permit: "normal" as const };
    const attempt = trail.attempt(grant, { startTimeMs: 0, startedAt: 1 }, undefined);
    const usage = { inputTokens: 900, outputTokens: 120, cachedInputTokens: 800 };
    const served = { firstContentMs: 420.5, usage, costMicros: 300 };
    Object.assign(attempt, { durationMs: 1700.25, outcome }, outcome === "ok" && served);
  }
  const head = { wire: "rest" };
  const record = {
    head,
    operation: "/v1/chat/completions",
    isProbe: false,
    startedAt: 0,
    endedAt: 1702,
    streams: true,
  };
  return { ...record, trail } as unknown as RequestRecord; // what metrics read of one
}

function pass({ watcher, observer }: Metrics, record: RequestRecord): void {
  watcher.began?.(record);
  const { trail } = record;
  for (const attempt of trail?.attempts ?? []) if (trail) observer.attemptEnded?.(trail, attempt as AttemptRecord);
  watcher.ended?.(record);
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/** CPU µs for each call, the middle of several rounds. */
function cost(calls: number, call: (index: number) => void): number {
  const each = Array.from({ length: rounds }, () => {
    const before = process.cpuUsage();
    for (let index = 0; index < calls; index++) call(index);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / calls;
  });
  return median(each);
}

for (const count of [2, 200, 2000]) {
  const { metrics, requests } = createScene(count);
  const at = (index: number) => requests[index % count] as { one: RequestRecord; two: RequestRecord }; // in range
  const one = cost(perRound, (index) => pass(metrics, at(index).one));
  const two = cost(perRound, (index) => pass(metrics, at(index).two));
  const fetching = Array.from({ length: rounds }, () => fetchOnce(metrics));
  const middle = (of: keyof (typeof fetching)[number]) => median(fetching.map((each) => each[of]));
  console.log(
    `${count} endpoints: ${one.toFixed(2)} µs a request of one hop, ${two.toFixed(2)} µs of two; ` +
      `fetched: ${(middle("bytes") / 1024).toFixed(0)} KiB in ${middle("ms").toFixed(1)} ms, ` +
      `at most ${middle("longestMs").toFixed(1)} ms at a stretch`,
  );
}

/** How long it takes to write all figures, and how long nothing else can be done meanwhile. */
function fetchOnce(metrics: Metrics): { readonly ms: number; readonly longestMs: number; readonly bytes: number } {
  const begun = performance.now();
  let last = begun;
  let longestMs = 0;
  let bytes = 0;
  for (const piece of prometheusPieces(metrics.collect())) {
    bytes += Buffer.byteLength(piece);
    const now = performance.now();
    longestMs = Math.max(longestMs, now - last);
    last = now;
  }
  return { ms: last - begun, longestMs, bytes };
}
