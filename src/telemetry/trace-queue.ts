import type { Clock } from "../runtime/clock.ts";
import type { KeepReason } from "./keep.ts";
import type { RequestRecord } from "./request-record.ts";

/** A request whose trace is to be sent. */
export interface KeptTrace {
  readonly record: RequestRecord;
  readonly reason: KeepReason;
}

/** What has become of traces. */
export interface TraceCounts {
  /** Kept, by why. */
  readonly kept: Record<KeepReason, number>;
  /** Taken by the collector. */
  sent: number;
  /** For want of room while the collector is slow or away. */
  dropped: number;
  /** Given up after the collector had not taken them. */
  failed: number;
}

/** Waiting at once; a record with its trail holds some 3 KB. */
export const maxTraces = 4096;
/** Contents that wait at once, where they are written down. */
const maxContentCharacters = 16 << 20;
/** Some 500 spans, which is what collectors like. */
const batchTraces = 128;
/** Of one batch: over gRPC collectors refuse what is larger than 4 MiB. */
const batchBytes = 2 << 20;
/** Whoever looks at a trace should not have to wait for it. */
const delayMs = 1000;

/**
 * Traces on their way out: requests that are over, not yet rendered. Bounded: while a collector does not take them what is beyond the
 * bound is dropped, and counted. No request ever waits for it.
 */
export class TraceQueue {
  readonly counts: TraceCounts = {
    kept: { sampled: 0, failover: 0, error: 0, slow_first_token: 0 },
    sent: 0,
    dropped: 0,
    failed: 0,
  };
  readonly #clock: Clock;
  readonly #send: (batch: readonly KeptTrace[]) => Promise<void>;
  #waiting: KeptTrace[] = [];
  #contentCharacters = 0;
  #sending: Promise<void> | undefined;
  #disarm: (() => void) | undefined;

  /** @param send renders and sends a batch; rejects when it was not taken */
  constructor(clock: Clock, send: (batch: readonly KeptTrace[]) => Promise<void>) {
    this.#clock = clock;
    this.#send = send;
  }

  get length(): number {
    return this.#waiting.length;
  }

  add(trace: KeptTrace): void {
    this.counts.kept[trace.reason] += 1;
    const characters = contentOf(trace);
    if (this.#waiting.length >= maxTraces || this.#contentCharacters + characters > maxContentCharacters) {
      this.counts.dropped += 1;
      return;
    }
    this.#contentCharacters += characters;
    this.#waiting.push(trace);
    if (this.#waiting.length >= batchTraces) this.#sendNext();
    else this.#arm();
  }

  /** Sends what waits, and resolves when it is sent or given up. */
  async flush(): Promise<void> {
    while (this.#sending || this.#waiting.length > 0) {
      this.#sendNext();
      await this.#sending;
    }
  }

  /** Sends nothing more by itself. */
  stop(): void {
    this.#disarm?.();
    this.#disarm = undefined;
  }

  /** Gives up what waits. */
  abandon(): void {
    this.stop();
    this.counts.dropped += this.#waiting.length;
    this.#waiting = [];
    this.#contentCharacters = 0;
  }

  #arm(): void {
    this.#disarm ??= this.#clock.schedule(delayMs, () => {
      // Spent: while a batch is under way nothing is sent, and its end arms anew.
      this.#disarm = undefined;
      this.#sendNext();
    });
  }

  /** One batch is under way at most: a collector that is slow is not to be hurried. */
  #sendNext(): void {
    if (this.#sending || this.#waiting.length === 0) return;
    this.#disarm?.();
    this.#disarm = undefined;
    const batch = this.#waiting.splice(0, fitting(this.#waiting));
    for (const trace of batch) this.#contentCharacters -= contentOf(trace);
    this.#sending = this.#send(batch).then(
      () => this.#over(batch.length, "sent"),
      () => this.#over(batch.length, "failed"),
    );
  }

  #over(traces: number, end: "sent" | "failed"): void {
    this.counts[end] += traces;
    this.#sending = undefined;
    const isFull = this.#waiting.length >= batchTraces || fitting(this.#waiting) < this.#waiting.length;
    if (isFull) this.#sendNext();
    else if (this.#waiting.length > 0) this.#arm();
  }
}

/** How many of those that wait go into a batch: one at least. */
function fitting(waiting: readonly KeptTrace[]): number {
  let bytes = 0;
  for (let count = 0; count < waiting.length && count < batchTraces; count++) {
    bytes += bytesOf(waiting[count] as KeptTrace); // in range: below the length
    if (bytes > batchBytes) return Math.max(1, count);
  }
  return Math.min(waiting.length, batchTraces);
}

/** How long a trace will be when it is written, as far as that can be told beforehand: rather more than less. */
function bytesOf({ record: { trail, content } }: KeptTrace): number {
  const { input = "", output = "" } = content ?? {};
  const own = 2048 + Buffer.byteLength(input) + Buffer.byteLength(output);
  if (!trail) return own;
  const candidates = trail.pool.tiers.reduce((sum, { members }) => sum + members.length, 0);
  return own + trail.attempts.length * 1536 + trail.skips.length * 512 + Math.min(candidates, 100) * 128;
}

function contentOf({ record: { content } }: KeptTrace): number {
  return (content?.input?.length ?? 0) + (content?.output?.length ?? 0);
}
