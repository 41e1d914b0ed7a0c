import type { Clock } from "../../runtime/clock.ts";
import { takesNone, troubleOf } from "../collector-trouble.ts";
import type { OtlpClient } from "../otlp.ts";
import type { MetricFamily } from "./family.ts";
import { otlpMetrics } from "./otlp-metrics.ts";
import type { DeliveryCounts } from "./own-metrics.ts";

/** What a sender takes of its surroundings. */
export interface SenderSetup {
  readonly clock: Clock;
  /** What writes the figures: the product with its version. */
  readonly scope: { readonly name: string; readonly version: string };
  collect(): readonly MetricFamily[];
  /** Told when a collector begins not to take what it is sent, and when it takes it again (undefined). */
  onTrouble(trouble: string | undefined): void;
  /** Told that a collector takes no metrics at all: then it is sent none any more. */
  onRefusal(): void;
}

/** Sends all figures to a collector again and again, one time after the other; what it does not take is told anew the next time. */
export class MetricSender {
  readonly counts: DeliveryCounts = { sent: 0, failed: 0 };
  readonly #setup: SenderSetup;
  readonly #sinceMs: number;
  #client: OtlpClient | undefined;
  #intervalMs = 0;
  #disarm: (() => void) | undefined;
  #sending: Promise<void> | undefined;
  #isTroubled = false;

  constructor(setup: SenderSetup) {
    this.#setup = setup;
    this.#sinceMs = setup.clock.wallTime();
  }

  /** Goes on elsewhere, or at another pace; nowhere when there is no client. */
  adopt(client: OtlpClient | undefined, intervalMs: number): void {
    if (client === this.#client && intervalMs === this.#intervalMs) return;
    this.stop();
    this.#client = client;
    this.#intervalMs = intervalMs;
    this.#arm();
  }

  /** Sends what there is now, and resolves when it is sent or given up. */
  async flush(): Promise<void> {
    await this.#sending;
    await this.#send();
  }

  /** Sends nothing more by itself. */
  stop(): void {
    this.#disarm?.();
    this.#disarm = undefined;
  }

  #arm(): void {
    if (!this.#client) return;
    this.#disarm = this.#setup.clock.schedule(this.#intervalMs, () => {
      this.#arm();
      // A collector that is slow is not to be hurried.
      if (!this.#sending) void this.#send();
    });
  }

  async #send(): Promise<void> {
    const client = this.#client;
    if (!client) return;
    const { clock, scope, collect } = this.#setup;
    const deliver = async () => {
      const span = { sinceMs: this.#sinceMs, nowMs: clock.wallTime() };
      await client.sendMetrics(otlpMetrics(collect(), scope, span));
    };
    this.#sending = deliver().then(
      () => this.#over(undefined),
      (error: unknown) => (takesNone(error) ? this.#refused() : this.#over(troubleOf(error))),
    );
    await this.#sending;
  }

  #refused(): void {
    this.#sending = undefined;
    this.stop();
    this.#client = undefined;
    this.#setup.onRefusal();
  }

  #over(trouble: string | undefined): void {
    this.#sending = undefined;
    this.counts[trouble === undefined ? "sent" : "failed"] += 1;
    const isTroubled = trouble !== undefined;
    if (isTroubled !== this.#isTroubled) this.#setup.onTrouble(trouble);
    this.#isTroubled = isTroubled;
  }
}
