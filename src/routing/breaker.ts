import type { Rng } from "../runtime/rng.ts";
import { equalJitter } from "./backoff.ts";
import { RollingCounts } from "./rolling-counts.ts";
import type { BreakerSettings } from "./settings.ts";
import { Trip } from "./trip.ts";

/** Whether calls are let through, kept out, or let through to see how they fare. */
export type BreakerState = "closed" | "open" | "half_open";

/** How a call ended, as far as a breaker is concerned. Neutral: it says nothing about the endpoint. */
export type CallResult = "success" | "failure" | "neutral";

/** The right to one call. It belongs to the state that the breaker was in: a late result does not touch another one. */
export interface Permit {
  readonly generation: number;
  readonly startedAt: number;
  readonly kind: "normal" | "probe" | "last_resort";
}

/** Why a call is kept out, and until when as far as that is known. */
export interface Barred {
  readonly until: number | undefined;
}

/** Each state holds its own data only. */
type Phase =
  | { readonly name: "closed" }
  | { readonly name: "open"; readonly since: number; until: number; readonly slow: boolean }
  | { readonly name: "half_open"; successes: number; probeExpiresAt: number | undefined };

/** Trips are forgotten one by one for each minute without a failure. */
const forgetTripMs = 60_000;
/** Doubling stops here: the caps have long been reached. */
const maxTrips = 10;
/** Over which the share of accepted calls is counted, for the last resort. */
const lastResortWindowMs = 10_000;
/** However bad it is, one call a second finds out whether it still is. */
const lastResortFloorMs = 1000;

const asked = 0;
const accepted = 1;

/** The generation of calls that belong to none. */
const outside = -1;

/**
 * What open means. A breaker stands in front of one endpoint in one process: what this process sees of the network need not be
 * what another sees. Calls in flight are never touched. All times are monotonic milliseconds.
 */
export class Breaker {
  #settings: BreakerSettings;
  readonly #rng: Rng;
  readonly #onChange: (state: BreakerState, until: number | undefined) => void;
  readonly #trip: Trip;
  readonly #demand = new RollingCounts(2, lastResortWindowMs, 500);
  #phase: Phase = { name: "closed" };
  #generation = 0;
  /** How often it has opened. */
  openings = 0;
  /** Recent trips: each doubles the open time. */
  #trips = 0;
  /** Since when there was no failure, in steps of a minute. */
  #cleanSince = 0;
  #lastResortAt = Number.NEGATIVE_INFINITY;
  #closedAt: number | undefined;
  /** Whether a health check of this endpoint has ever succeeded: one that never did is no condition for anything. */
  #checkWorks = false;
  /** Whether a check has succeeded since it opened. */
  #checked = false;

  constructor(
    settings: BreakerSettings,
    rng: Rng,
    onChange: (state: BreakerState, until: number | undefined) => void = () => {},
  ) {
    this.#settings = settings;
    this.#rng = rng;
    this.#onChange = onChange;
    this.#trip = new Trip(settings);
  }

  /** Goes on with other settings; what it knows and what state it is in stays. */
  adopt(settings: BreakerSettings, now: number): void {
    this.#settings = settings;
    this.#trip.adopt(settings, now);
  }

  get state(): BreakerState {
    return this.#phase.name;
  }

  /** When it closed after having been open; undefined when it never was. */
  get closedAt(): number | undefined {
    return this.#closedAt;
  }

  /** Failures and ended calls of the window, for people. */
  tally(now: number): { readonly failures: number; readonly ended: number } {
    return this.#trip.tally(now);
  }

  /**
   * Why a call would be kept out now; undefined: it would be let through. An open breaker whose time is over lets a probe through.
   * @param sole whether nothing else stands in the pool: then it never keeps out for long
   */
  barred(now: number, sole = false): Barred | undefined {
    this.#expireProbe(now);
    const phase = this.#phase;
    if (phase.name === "closed") return undefined;
    if (phase.name === "half_open") {
      return phase.probeExpiresAt === undefined ? undefined : { until: undefined };
    }
    const until = this.#openUntil(phase, sole);
    if (now < until) return { until };
    // Failing slowly is dear to callers: where a check tells for nothing, it goes first. But a check may break, too.
    const waitsForCheck = phase.slow && this.#checkWorks && !this.#checked && !sole;
    const atLatest = until + this.#settings.slowCapMs;
    return waitsForCheck && now < atLatest ? { until: atLatest } : undefined;
  }

  /**
   * Takes the right to a call that is not barred.
   * @param leaseMs how long a probe may be out; one that does not come back in time has failed
   */
  acquire(now: number, leaseMs: number): Permit {
    this.#demand.add(now, asked);
    if (this.#phase.name === "open") this.#halfOpen();
    const phase = this.#phase;
    if (phase.name === "half_open") {
      phase.probeExpiresAt = now + leaseMs;
      return { generation: this.#generation, startedAt: now, kind: "probe" };
    }
    this.#trip.began(now);
    return { generation: this.#generation, startedAt: now, kind: "normal" };
  }

  /** The right to a call that an operator lets through whatever the breaker thinks. It hears nothing of it. */
  bypass(now: number): Permit {
    return { generation: outside, startedAt: now, kind: "normal" };
  }

  /**
   * For when breakers alone keep a request from every endpoint: lets so many through as the endpoint has lately accepted, one a
   * second at least. An endpoint that fails every other call goes on serving about half of them.
   * Formula: refused with probability max(0, (requests − 2·accepts) / (requests + 1)), "Site Reliability Engineering", chapter 21.
   */
  lastResort(now: number): Permit | undefined {
    this.#demand.add(now, asked);
    const requests = this.#demand.total(now, asked);
    const accepts = this.#demand.total(now, accepted);
    const refusal = accepts === 0 ? 1 : Math.max(0, (requests - 2 * accepts) / (requests + 1));
    const due = now - this.#lastResortAt >= lastResortFloorMs;
    if (!due && this.#rng.next() < refusal) return undefined;
    this.#lastResortAt = now;
    return { generation: this.#generation, startedAt: now, kind: "last_resort" };
  }

  /** Gives a right back with how the call ended; what belongs to an earlier state is dropped. */
  settle(permit: Permit, now: number, result: CallResult, slow = false): void {
    if (result === "success") this.#demand.add(now, accepted);
    if (permit.generation !== this.#generation) return;
    const phase = this.#phase;
    if (phase.name === "closed") this.#trip.ended(permit.startedAt, now);
    if (phase.name === "half_open" && permit.kind === "probe") phase.probeExpiresAt = undefined;
    if (result === "success") this.#succeeded(now);
    else if (result === "failure") this.#failed(now, slow);
  }

  /** An answer broke off long after its call had counted as a success: a failure of its own, if calls are let through. */
  brokeOff(now: number, slow: boolean): void {
    if (this.#phase.name === "closed") this.#failed(now, slow);
  }

  /** A free check of the endpoint succeeded: probes may begin at once. It closes nothing: answering a check is not serving. */
  checkSucceeded(now: number): void {
    this.#checkWorks = true;
    this.#checked = true;
    if (this.#phase.name === "open") this.#phase.until = Math.min(this.#phase.until, now);
  }

  /** Forgets everything, as after an operator's hand. */
  reset(now: number): void {
    this.#trips = 0;
    // What is in flight belongs to the time before.
    this.#generation += 1;
    if (this.#phase.name !== "closed") this.#close(now);
    this.#trip.reset();
    this.#closedAt = undefined;
  }

  #openUntil({ since, until }: { since: number; until: number }, sole: boolean): number {
    return sole ? Math.min(until, since + this.#settings.soleCapMs) : until;
  }

  #succeeded(now: number): void {
    if (this.#phase.name === "closed") {
      this.#trip.success(now);
      return;
    }
    if (this.#phase.name === "open") this.#halfOpen();
    const phase = this.#phase;
    if (phase.name !== "half_open") return;
    phase.successes += 1;
    if (phase.successes >= this.#settings.successesToClose) this.#close(now);
  }

  #failed(now: number, slow: boolean): void {
    const phase = this.#phase;
    switch (phase.name) {
      case "closed":
        this.#forgetTrips(now);
        this.#trip.failure(now, slow);
        if (this.#settings.enabled && this.#trip.tripped(now)) this.#open(now, this.#trip.slow(now));
        break;
      case "half_open":
        this.#open(now, slow);
        break;
      case "open":
        // A last resort that failed: it stays open, for as long as a failed probe would keep it.
        phase.until = Math.max(phase.until, now + this.#openFor(phase.slow));
        break;
      default:
    }
  }

  #open(now: number, slow: boolean): void {
    this.#trips = Math.min(this.#trips + 1, maxTrips);
    this.#generation += 1;
    this.openings += 1;
    this.#checked = false;
    const until = now + this.#openFor(slow);
    this.#phase = { name: "open", since: now, until, slow };
    this.#onChange("open", until);
  }

  #openFor(slow: boolean): number {
    const { openMs, quickCapMs, slowCapMs } = this.#settings;
    return equalJitter(this.#rng, Math.min(openMs * 2 ** (this.#trips - 1), slow ? slowCapMs : quickCapMs));
  }

  /** The generation stays: what is still out belongs to the same outage. */
  #halfOpen(): void {
    this.#phase = { name: "half_open", successes: 0, probeExpiresAt: undefined };
    this.#onChange("half_open", undefined);
  }

  #close(now: number): void {
    this.#generation += 1;
    this.#trip.reset();
    this.#phase = { name: "closed" };
    this.#closedAt = now;
    this.#cleanSince = now;
    this.#onChange("closed", undefined);
  }

  #forgetTrips(now: number): void {
    this.#trips = Math.max(0, this.#trips - Math.floor((now - this.#cleanSince) / forgetTripMs));
    this.#cleanSince = now;
  }

  #expireProbe(now: number): void {
    const phase = this.#phase;
    if (phase.name === "half_open" && phase.probeExpiresAt !== undefined && now > phase.probeExpiresAt) {
      this.#open(now, true);
    }
  }
}
