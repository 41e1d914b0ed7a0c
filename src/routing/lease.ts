import type { Cancellation } from "../runtime/cancellation.ts";
import type { Endpoint, Key } from "./endpoint.ts";
import type { AttemptFacts } from "./trail.ts";

/** How an attempt ended. */
export type Outcome = { readonly ok: true } | { readonly ok: false; readonly error: unknown };

/** The right to one upstream call. For streams it outlives the router's promise, until its owner settles it. */
export interface Lease<E extends Endpoint = Endpoint> {
  readonly endpoint: E;
  /** Undefined when the provider wants none. */
  readonly key: Key | undefined;
  /** Position among the request's attempts, from 1. */
  readonly attempt: number;
  /** Of this attempt: its time limit, the request's deadline, the caller. Live until settled; what the attempt holds closes itself on it. */
  readonly cancellation: Cancellation;
  /** Monotonic milliseconds; binds until commit. */
  readonly deadline: number;
  /** Tells the trail what only the payload's side knows. */
  note(facts: Partial<AttemptFacts>): void;
  /** The provider has said that nothing is left of its limit for so long. It counts when the attempt succeeds. */
  noteLimit(resetMs: number): void;
  /** Content has come: whoever waits in vain at the same endpoint meanwhile waits because of load. */
  progressed(): void;
  /**
   * Ends the attempt. The router settles every attempt that fails and every unary one; only the winner of `open` is settled by
   * its owner.
   * @throws Error when called twice: that would count one call as two
   */
  settle(outcome: Outcome): void;
}

/** Why an attempt was called off: it took longer than its endpoint may. */
export class AttemptTimeout extends Error {
  override name = "AttemptTimeout";
  readonly phase: "first_content" | "total";
  /**
   * Whether the endpoint is to blame. It is not when it had less time than it may take, when our own loop was late, or when it
   * meanwhile served others: then it is busy, not dead.
   */
  readonly blameless: boolean;

  constructor(phase: "first_content" | "total", blameless = false) {
    super(`no ${phase === "total" ? "answer" : "first content"} in time`);
    this.phase = phase;
    this.blameless = blameless;
  }
}

/** Why an attempt was called off: another one of the same request brought its first content sooner. */
export class Superseded extends Error {
  override name = "Superseded";

  constructor() {
    super("another attempt was quicker");
  }
}
