import type { BreakerState, CallResult, Permit } from "../../routing/breaker.ts";
import type { BreakerSettings } from "../../routing/settings.ts";

/** Whether something can be had now, as far as the plainest reading of the rules can tell: chance may have had a say. */
export type Standing = "free" | "out" | "unsure";

/** A result of the closed state. */
interface Ended {
  readonly at: number;
  readonly failed: boolean;
  readonly slow: boolean;
}

const minute = 60_000;
const mostTrips = 10;
/** How exact a time is that has been a wall time. */
const stampMs = 0.01;

/**
 * What a breaker must do, told by lists: every result with its time, and every call that is out. It knows no draw, only in which
 * range one lies. It follows what its breaker is asked and told, and says in which state that must be afterwards.
 */
export class BreakerOracle {
  readonly #settings: BreakerSettings;
  state: BreakerState = "closed";
  /** When it closed after it had been open. */
  closedAt: number | undefined;
  /** Calls of the state that the breaker is in; what is missing here is of an earlier one. */
  readonly current = new Map<Permit, { readonly expiresAt: number }>();
  #ended: Ended[] = [];
  #run = 0;
  #runAt = Number.NEGATIVE_INFINITY;
  #trips = 0;
  #cleanSince = 0;
  #slow = false;
  #openedAt = 0;
  /** Until when it stays open, at least and at most. */
  #until = { low: 0, high: 0 };
  #successes = 0;
  #probe: Permit | undefined;
  #checkWorks = false;
  #checked = false;

  constructor(settings: BreakerSettings) {
    this.#settings = settings;
  }

  /** Whether its breaker keeps calls out now. @param sole whether nothing else stands in the pool */
  barred(now: number, sole: boolean): Standing {
    if (this.state === "closed") return "free";
    // A probe that does not come back has failed: then it opens again.
    if (this.state === "half_open") return this.#probe ? "out" : "free";
    const cap = sole ? this.#openedAt + this.#settings.soleCapMs : Number.POSITIVE_INFINITY;
    const low = Math.min(this.#until.low, cap);
    const high = Math.min(this.#until.high, cap);
    if (now < low) return "out";
    const waits = this.#slow && this.#checkWorks && !this.#checked && !sole;
    if (!waits) return now >= high ? "free" : "unsure";
    if (now < low + this.#settings.slowCapMs) return "out";
    return now >= high + this.#settings.slowCapMs ? "free" : "unsure";
  }

  /** How many probes are out and not overdue. */
  probesOut(now: number): number {
    let count = 0;
    for (const [permit, { expiresAt }] of this.current) {
      if (permit.kind === "probe" && now <= expiresAt) count += 1;
    }
    return count;
  }

  /** Whether the probe that is out should have been back: then it may open at any time. */
  overdue(now: number): boolean {
    const probe = this.#probe && this.current.get(this.#probe);
    return this.state === "half_open" && probe !== undefined && now > probe.expiresAt;
  }

  acquired(permit: Permit, expiresAt: number): void {
    if (this.state === "open") this.#halfOpen();
    this.current.set(permit, { expiresAt });
    if (this.state === "half_open") this.#probe = permit;
  }

  lastResort(permit: Permit): void {
    this.current.set(permit, { expiresAt: Number.POSITIVE_INFINITY });
  }

  /** The breaker says that it has opened: until when is its own draw. @returns whether that lies in the range it should */
  openedUntil(now: number, until: number): boolean {
    // Nobody was asked: what opened it is that its probe is overdue.
    if (this.overdue(now)) this.#open(now, true);
    const { low, high } = this.#until;
    // It is told as wall time, which is too large a number for more than this.
    this.#until = { low: until - stampMs, high: until + stampMs };
    return until >= low - stampMs && until <= high + stampMs;
  }

  settled(permit: Permit, now: number, result: CallResult, slow: boolean): void {
    if (!this.current.delete(permit)) return;
    if (permit === this.#probe) this.#probe = undefined;
    if (result === "success") this.#succeeded(now);
    else if (result === "failure") this.#failed(now, slow);
  }

  brokeOff(now: number, slow: boolean): void {
    if (this.state === "closed") this.#failed(now, slow);
  }

  checkSucceeded(now: number): void {
    this.#checkWorks = true;
    this.#checked = true;
    if (this.state === "open")
      this.#until = { low: Math.min(this.#until.low, now), high: Math.min(this.#until.high, now) };
  }

  #succeeded(now: number): void {
    if (this.state === "closed") {
      this.#ended.push({ at: now, failed: false, slow: false });
      this.#run = 0;
      return;
    }
    if (this.state === "open") this.#halfOpen();
    this.#successes += 1;
    if (this.#successes < this.#settings.successesToClose) return;
    this.state = "closed";
    this.current.clear();
    this.#probe = undefined;
    this.#ended = [];
    this.#run = 0;
    this.closedAt = now;
    this.#cleanSince = now;
  }

  #failed(now: number, slow: boolean): void {
    if (this.state === "half_open") {
      this.#open(now, slow);
      return;
    }
    if (this.state === "open") {
      const { low, high } = this.#range(now, this.#slow);
      this.#until = { low: Math.max(this.#until.low, low), high: Math.max(this.#until.high, high) };
      return;
    }
    this.#trips = Math.max(0, this.#trips - Math.floor((now - this.#cleanSince) / minute));
    this.#cleanSince = now;
    if (now - this.#runAt > minute) this.#run = 0;
    this.#run += 1;
    this.#runAt = now;
    this.#ended.push({ at: now, failed: true, slow });
    const seen = this.#ended.filter(({ at }) => this.#isRecent(at, now));
    this.#ended = seen;
    const failures = seen.filter(({ failed }) => failed).length;
    const calls =
      seen.length + [...this.current.keys()].filter(({ startedAt }) => this.#isRecent(startedAt, now)).length;
    const { enabled, consecutive, errorRate, minFailures, minCalls } = this.#settings;
    const few = calls < Math.max(minCalls, minFailures);
    const trips = few ? this.#run >= consecutive : failures >= minFailures && failures / calls >= errorRate;
    if (enabled && trips) this.#open(now, seen.filter((each) => each.slow).length * 2 > failures);
  }

  #open(now: number, slow: boolean): void {
    this.#trips = Math.min(this.#trips + 1, mostTrips);
    this.state = "open";
    this.current.clear();
    this.#probe = undefined;
    this.#checked = false;
    this.#slow = slow;
    this.#openedAt = now;
    this.#until = this.#range(now, slow);
  }

  #halfOpen(): void {
    this.state = "half_open";
    this.#successes = 0;
    this.#probe = undefined;
  }

  #range(now: number, slow: boolean): { low: number; high: number } {
    const { openMs, quickCapMs, slowCapMs } = this.#settings;
    const ms = Math.min(openMs * 2 ** (this.#trips - 1), slow ? slowCapMs : quickCapMs);
    return { low: now + ms / 2, high: now + ms };
  }

  /** The window goes by hundredths: what lies in the last hundred of them counts. */
  #isRecent(at: number, now: number): boolean {
    const step = this.#settings.windowMs / 100;
    return Math.floor(at / step) > Math.floor(now / step) - 100;
  }
}
