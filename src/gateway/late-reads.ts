import { FaultError } from "../chat/fault.ts";
import type { UpstreamBody } from "../providers/upstream.ts";
import type { Clock } from "../runtime/clock.ts";

/** How long usage and late deltas may come after the last finish reason. */
const afterFinishMs = 1000;

/** Reads what may still follow a whole answer. Neither silence nor a cut makes it less whole, and pings do not prolong it. */
export class LateReads {
  readonly #body: UpstreamBody;
  readonly #clock: Clock;
  #finishedAt: number | undefined;

  constructor(body: UpstreamBody, clock: Clock) {
    this.#body = body;
    this.#clock = clock;
  }

  /** Content has come after all: the finish reason was said too early, and the wait begins anew. */
  prolong(): void {
    this.#finishedAt = undefined;
  }

  /** @throws the cancellation's reason when it was called off */
  async read(): Promise<Buffer | "end" | "silence"> {
    const now = this.#clock.now();
    this.#finishedAt ??= now;
    const leftMs = this.#finishedAt + afterFinishMs - now;
    if (leftMs <= 0) return "silence";
    try {
      return await this.#body.read(leftMs);
    } catch (error) {
      if (error instanceof FaultError) return "end";
      throw error;
    }
  }
}
