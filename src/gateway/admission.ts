import { FaultError } from "../chat/fault.ts";
import { TokenBucket } from "../routing/token-bucket.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Caller } from "./caller.ts";

/** How much a caller may still ask, for the headers of an answer. */
export interface Allowance {
  /** Requests a minute. */
  readonly limit: number;
  /** Requests that could be made at once now. */
  readonly remaining: number;
  /** Until all of them can be made at once again, in ms. */
  readonly resetMs: number;
}

/** Holds callers to their own limits. */
export interface Admission {
  /**
   * Lets a call in.
   * @returns how to tell that it is over, harmless when called twice
   * @throws FaultError when the caller is at its limit
   */
  admit(caller: Caller): () => void;
  /** Undefined for a caller without a limit. */
  allowance(caller: Caller): Allowance | undefined;
}

/** Nobody knows when a call of the caller's own will end. */
const concurrencyRetryMs = 1000;

/** A caller's use of the gateway. */
interface Use {
  inFlight: number;
  rpm: number | undefined;
  bucket: TokenBucket | undefined;
}

/** Makes an admission; callers are known by their names, of which the configuration has a bounded number. */
export function createAdmission(clock: Clock): Admission {
  const uses = new Map<string, Use>();

  function useOf({ name, rpm }: Caller): Use {
    const use = uses.get(name) ?? { inFlight: 0, rpm: undefined, bucket: undefined };
    uses.set(name, use);
    if (use.rpm === rpm) return use;
    use.rpm = rpm;
    // A minute's requests may come at once: the limit is for a minute.
    use.bucket = rpm === undefined ? undefined : new TokenBucket(rpm / 60, rpm);
    return use;
  }

  return {
    admit(caller) {
      const { rpm, maxConcurrent } = caller;
      if (rpm === undefined && maxConcurrent === undefined) return () => {};
      const use = useOf(caller);
      const now = clock.now();
      if (maxConcurrent !== undefined && use.inFlight >= maxConcurrent) {
        throw limited(caller, "max_concurrent", maxConcurrent, concurrencyRetryMs);
      }
      if (rpm !== undefined && use.bucket && !use.bucket.take(now)) {
        throw limited(caller, "rpm", rpm, use.bucket.availableAt(now) - now);
      }
      use.inFlight += 1;
      let over = false;
      return () => {
        if (over) return;
        over = true;
        // Its limits may have changed meanwhile; a call of the old ones must not bring them back.
        use.inFlight -= 1;
      };
    },
    allowance(caller) {
      const known = uses.get(caller.name);
      const { bucket, rpm } = known?.bucket ? known : useOf(caller);
      if (!bucket || rpm === undefined) return undefined;
      const remaining = bucket.remaining(clock.now());
      return { limit: rpm, remaining, resetMs: ((rpm - remaining) * 60_000) / rpm };
    },
  };
}

function limited({ name }: Caller, limit: "rpm" | "max_concurrent", most: number, retryAfterMs: number): FaultError {
  return new FaultError({ kind: "caller_limited", caller: name, limit, most, retryAfterMs });
}
