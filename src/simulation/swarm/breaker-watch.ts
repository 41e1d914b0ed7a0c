import type { Breaker, CallResult, Permit } from "../../routing/breaker.ts";
import type { BreakerOracle } from "./breaker-oracle.ts";
import type { Settlement } from "./facts.ts";

/** What is told of one breaker. */
export interface BreakerListener {
  /** A permit is about to be given that the breaker must have a reason for. */
  beforePermit(): void;
  /** It has been given. @param bypasses whether whatever the breaker thinks */
  permitted(permit: Permit, bypasses: boolean): void;
  /** Given to somebody whom the breaker hears of, before that counts. */
  taken(permit: Permit, now: number): void;
  /** Hears what other breakers change while a result is learnt. @returns which did */
  during(act: () => void): readonly string[];
  settled(what: Omit<Settlement, "machine" | "endpoint" | "keysOut">): void;
}

/** Stands around a breaker: what it gives and is told is told on, and its oracle follows. */
export function watchBreaker(breaker: Breaker, oracle: BreakerOracle, listener: BreakerListener): void {
  const acquire = breaker.acquire.bind(breaker);
  breaker.acquire = (now, leaseMs) => {
    listener.beforePermit();
    const permit = acquire(now, leaseMs);
    listener.taken(permit, now);
    oracle.acquired(permit, now + leaseMs);
    listener.permitted(permit, false);
    return permit;
  };
  const lastResort = breaker.lastResort.bind(breaker);
  breaker.lastResort = (now) => {
    const permit = lastResort(now);
    if (!permit) return undefined;
    listener.taken(permit, now);
    oracle.lastResort(permit);
    listener.permitted(permit, true);
    return permit;
  };
  const bypass = breaker.bypass.bind(breaker);
  breaker.bypass = (now) => {
    const permit = bypass(now);
    listener.permitted(permit, true);
    return permit;
  };

  const returned = new WeakSet<Permit>();
  /** @param learn what the oracle makes of it @param act what the breaker does */
  function report(
    now: number,
    what: { readonly permit: Permit | undefined; readonly result: CallResult; readonly slow: boolean },
    learn: () => void,
    act: () => void,
  ): void {
    const { permit } = what;
    const current = permit !== undefined && oracle.current.has(permit);
    const again = permit !== undefined && returned.has(permit);
    if (permit) returned.add(permit);
    const before = { state: breaker.state, ...breaker.tally(now) };
    learn();
    const others = listener.during(act);
    const after = { state: breaker.state, ...breaker.tally(now) };
    listener.settled({ ...what, current, again, before, after, others, expected: oracle.state });
  }
  const settle = breaker.settle.bind(breaker);
  breaker.settle = (permit, now, result, slow = false) => {
    report(
      now,
      { permit, result, slow },
      () => oracle.settled(permit, now, result, slow),
      () => settle(permit, now, result, slow),
    );
  };
  const brokeOff = breaker.brokeOff.bind(breaker);
  breaker.brokeOff = (now, slow) => {
    report(
      now,
      { permit: undefined, result: "failure", slow },
      () => oracle.brokeOff(now, slow),
      () => brokeOff(now, slow),
    );
  };
}
