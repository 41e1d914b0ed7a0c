import type { Endpoint } from "../routing/endpoint.ts";
import type { Clock } from "../runtime/clock.ts";
import type { TraceParent } from "../runtime/trace-context.ts";
import { troubleOf } from "./collector-trouble.ts";
import { type Keeping, keepReason, sampledByRatio } from "./keep.ts";
import type { OtlpClient } from "./otlp.ts";
import type { RequestWatcher } from "./request-record.ts";
import { type EndpointFacts, requestSpans } from "./request-spans.ts";
import { type KeptTrace, type TraceCounts, TraceQueue } from "./trace-queue.ts";

/** Keeps the traces that are worth it and sends them. */
export interface Tracing extends RequestWatcher {
  samples(traceId: string, parent: TraceParent | undefined): boolean;
  /** Whether there is anywhere to send them. */
  traces(): boolean;
  readonly counts: TraceCounts;
  /** Traces that wait to be sent. */
  readonly waiting: number;
  /** Goes on with other settings. What waits is sent where the next of them goes; nowhere when there is no client. */
  adopt(keeping: Keeping, client: OtlpClient | undefined): void;
  /** Sends what waits. */
  flush(): Promise<void>;
  /** Sends nothing more by itself. */
  stop(): void;
  /** Gives up what waits. */
  abandon(): void;
}

/** What tracing takes of its surroundings. */
export interface TracingSetup {
  readonly clock: Clock;
  /** What spans tell of an endpoint; undefined: nothing more is known. */
  describe(endpoint: Endpoint): EndpointFacts | undefined;
  /** Told when a collector begins not to take what it is sent, and when it takes it again (undefined). */
  onTrouble(trouble: string | undefined): void;
}

/** @param client undefined: no trace is kept */
export function createTracing(setup: TracingSetup, keeping: Keeping, client: OtlpClient | undefined): Tracing {
  const { clock } = setup;
  const now = { keeping, client };
  let isTroubled = false;

  async function send(batch: readonly KeptTrace[]): Promise<void> {
    const { client: to } = now;
    if (!to) throw new Error("there is nowhere to send it");
    const wallOffsetMs = clock.wallTime() - clock.now();
    const spans = batch.flatMap(({ record, reason }) => requestSpans(record, reason, setup));
    try {
      await to.sendSpans(spans, wallOffsetMs);
      if (isTroubled) setup.onTrouble(undefined);
      isTroubled = false;
    } catch (error) {
      if (!isTroubled) setup.onTrouble(troubleOf(error));
      isTroubled = true;
      throw error;
    }
  }

  const queue = new TraceQueue(clock, send);
  return {
    samples(traceId, parent) {
      // The sender has decided for all who take part, so that a trace is whole or not at all.
      if (parent) return parent.sampled;
      return now.client !== undefined && sampledByRatio(traceId, now.keeping.sampleRatio);
    },
    traces: () => now.client !== undefined,
    ended(record) {
      if (!now.client) return;
      const reason = keepReason(record, now.keeping);
      if (reason) queue.add({ record, reason });
    },
    counts: queue.counts,
    get waiting() {
      return queue.length;
    },
    adopt(nextKeeping, nextClient) {
      now.keeping = nextKeeping;
      now.client = nextClient;
    },
    flush: () => queue.flush(),
    stop: () => queue.stop(),
    abandon: () => queue.abandon(),
  };
}
