import type { TreeReport } from "./tree.ts";

/** How calls to a program have to look, beside what they say. */
export interface Dress {
  /** What stands before the usual path. */
  readonly pathPrefix?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Where calls go, and how. */
export interface Door {
  /** Such as `http://127.0.0.1:40123`. */
  readonly origin: string;
  readonly dress?: Dress;
  /** The same for calls whose first hop is to fail. */
  readonly failoverDress?: Dress;
}

/** A running program that is measured, or that measuring needs. */
export interface Tested extends Door {
  readonly pid: number;
  /**
   * CPU time since its start, user and system, in microseconds, of it and its descendants.
   * @throws (rejects) when it has ended
   */
  cpuUs(): Promise<number>;
  /** It and its descendants, as the kernel sees them. @throws when it has ended */
  tree(): TreeReport;
  /** Asks it to end, and ends it when it does not. */
  stop(): Promise<void>;
  /** Ends it at once, for when there is no time to wait. */
  kill(): void;
}
