import type { BreakerState } from "./breaker.ts";
import type { AttemptRecord, SkipRecord, Trail, WaitRecord } from "./trail.ts";

/** Who watches requests being routed, as it happens. It must not throw and must not wait. */
export interface RouteObserver {
  attemptStarted?(trail: Trail, attempt: AttemptRecord): void;
  /** The first content of a stream is in hand. */
  committed?(trail: Trail, attempt: AttemptRecord): void;
  attemptEnded?(trail: Trail, attempt: AttemptRecord): void;
  skipped?(trail: Trail, skip: SkipRecord): void;
  /** A wait is over. */
  waited?(trail: Trail, wait: WaitRecord): void;
  /** A request has failed before any content, or after it when it could not go on elsewhere (`partial`): nothing more is tried. */
  failed?(trail: Trail): void;
  /** A breaker has opened, half opened or closed. @param untilTimeMs wall time until which it stays open at least */
  breakerChanged?(endpoint: string, state: BreakerState, untilTimeMs: number | undefined): void;
}
