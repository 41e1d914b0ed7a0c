import type { BreakerState, CallResult } from "../../../src/routing/breaker.ts";
import type { BreakerSettings } from "../../../src/routing/settings.ts";
import type { Chance } from "./chance.ts";

/** A call that ended while calls were let through. */
interface Ended {
  readonly at: number;
  readonly failed: boolean;
  readonly slow: boolean;
}

/** A call under way. */
export interface Call {
  readonly startedAt: number;
  /** How often the breaker had opened or closed when it began; what began in another era is not heard. */
  readonly era: number;
  readonly kind: "normal" | "probe" | "last_resort";
}

/** What may be made of the calls that count, depending on where the window's edge lies. */
interface Judgement {
  readonly opens: boolean;
  readonly slow: boolean;
}

/** The era of calls that an operator lets through. */
const noEra = -1;
const minute = 60_000;
const mostTrips = 10;
/** The share of calls that were accepted is counted over so long, in buckets of so long. */
const demand = { windowMs: 10_000, bucketMs: 500 };

/**
 * What a breaker should do, told with lists of everything that has happened.
 *
 * The real one counts in buckets, and promises to look back at most a window and at least one bucket less. What happened within
 * that last bucket may count or not; since it leaves in the order in which it came, there are as many possible windows as there
 * are things in it. Where they lead to different ends, `sharp…` says no, and a case leaves the step out.
 */
export class BreakerModel {
  now = 0;
  state: BreakerState = "closed";
  readonly changes: BreakerState[] = [];
  closedAt: number | undefined;
  calls: Call[] = [];
  era = 0;
  /** While open. */
  open = { since: 0, until: 0, slow: false, checked: false };
  readonly #settings: BreakerSettings;
  readonly #chance: Chance;
  /** Since it closed. */
  #ended: Ended[] = [];
  #trips = 0;
  /** The last failure, or when it closed. */
  #cleanSince = 0;
  /** While half open. */
  #probes = { successes: 0, expiresAt: undefined as number | undefined };
  #asked: number[] = [];
  #accepted: number[] = [];
  #lastResortAt = Number.NEGATIVE_INFINITY;
  #checkWorks = false;

  constructor(settings: BreakerSettings, chance: Chance) {
    this.#settings = settings;
    this.#chance = chance;
  }

  /** Somebody asks whether a call would be let through. A probe that is overdue is found out then, and not before. */
  barred(sole: boolean): { readonly until: number | undefined } | undefined {
    const { expiresAt } = this.#probes;
    if (this.state === "half_open" && expiresAt !== undefined && this.now > expiresAt) this.#opens(true);
    if (this.state === "closed") return undefined;
    if (this.state === "half_open") return this.#probes.expiresAt === undefined ? undefined : { until: undefined };
    const { since, until, slow, checked } = this.open;
    const ends = sole ? Math.min(until, since + this.#settings.soleCapMs) : until;
    if (this.now < ends) return { until: ends };
    const needsCheck = slow && this.#checkWorks && !checked && !sole;
    const atLatest = ends + this.#settings.slowCapMs;
    return needsCheck && this.now < atLatest ? { until: atLatest } : undefined;
  }

  /** A call begins that nothing bars. */
  begins(leaseMs: number): Call {
    this.#asked.push(this.now);
    if (this.state === "open") this.#halfOpens();
    if (this.state === "half_open") this.#probes.expiresAt = this.now + leaseMs;
    return this.#call(this.state === "half_open" ? "probe" : "normal");
  }

  /** A call begins that an operator lets through. */
  isBypassed(): Call {
    const call = { startedAt: this.now, era: noEra, kind: "normal" } as const;
    this.calls.push(call);
    return call;
  }

  /** Breakers alone keep a request out: as many get through as were accepted lately, one a second at least. */
  lastResort(): Call | undefined {
    const [admits = false] = this.#admissions();
    this.#asked.push(this.now);
    if (!admits) return undefined;
    this.#lastResortAt = this.now;
    return this.#call("last_resort");
  }

  get sharpLastResort(): boolean {
    return allSame(this.#admissions());
  }

  ends(call: Call, result: CallResult, slow: boolean): void {
    this.calls = this.calls.filter((each) => each !== call);
    if (result === "success") this.#accepted.push(this.now);
    if (call.era !== this.era) return;
    if (call.kind === "probe") this.#probes.expiresAt = undefined;
    if (result === "success") this.#succeeds();
    if (result === "failure") this.#fails(slow);
  }

  /** An answer breaks off after its call had counted as a success. */
  breaksOff(slow: boolean): void {
    if (this.state === "closed") this.#fails(slow);
  }

  /** Whether it is plain what one more failure would do; without the call whose failure it is. */
  sharpFailure(slow: boolean, call?: Call): boolean {
    if (this.state !== "closed" || (call && call.era !== this.era)) return true;
    const ended = [...this.#ended, { at: this.now, failed: true, slow }];
    return allSame(this.#judgements(ended, call).map(({ opens, slow: slowly }) => `${opens} ${slowly}`));
  }

  checkSucceeds(): void {
    this.#checkWorks = true;
    if (this.state !== "open") return;
    this.open.checked = true;
    this.open.until = Math.min(this.open.until, this.now);
  }

  resets(): void {
    this.era += 1;
    this.#trips = 0;
    if (this.state !== "closed") this.#closes();
    this.#ended = [];
    this.closedAt = undefined;
  }

  /** Failures and ended calls in the window, for each place where its edge may lie. */
  tallies(): { readonly failures: number; readonly ended: number }[] {
    return this.#edges(this.#ended.map(({ at }) => at)).map((edge) => {
      const ended = this.#ended.filter(({ at }) => at > edge);
      return { failures: ended.filter(({ failed }) => failed).length, ended: ended.length };
    });
  }

  /** When what has been set going comes to its end: an open time, the lease of a probe. */
  get due(): number | undefined {
    if (this.state === "open") return this.open.until;
    return this.state === "half_open" ? this.#probes.expiresAt : undefined;
  }

  /** Probes that are out, as far as they are still waited for. */
  get probesOut(): number {
    if (this.state !== "half_open") return 0;
    return this.calls.filter(({ era, kind }) => era === this.era && kind === "probe").length;
  }

  #call(kind: Call["kind"]): Call {
    const call = { startedAt: this.now, era: this.era, kind };
    this.calls.push(call);
    return call;
  }

  #succeeds(): void {
    if (this.state === "closed") {
      this.#ended.push({ at: this.now, failed: false, slow: false });
      return;
    }
    if (this.state === "open") this.#halfOpens();
    this.#probes.successes += 1;
    if (this.#probes.successes >= this.#settings.successesToClose) {
      this.era += 1;
      this.#closes();
    }
  }

  #fails(slow: boolean): void {
    if (this.state === "closed") this.#failsClosed(slow);
    else if (this.state === "half_open") this.#opens(slow);
    // A last resort that fails keeps it open for as long as a failed probe would.
    else this.open.until = Math.max(this.open.until, this.now + this.#openMs(this.open.slow));
  }

  /** Only a failure opens: what success, a neutral end or time make of the rate is not looked at. */
  #failsClosed(slow: boolean): void {
    const cleanMinutes = Math.floor((this.now - this.#cleanSince) / minute);
    this.#trips = Math.max(0, this.#trips - cleanMinutes);
    this.#cleanSince = this.now;
    this.#ended.push({ at: this.now, failed: true, slow });
    const [judgement] = this.#judgements(this.#ended);
    if (this.#settings.enabled && judgement?.opens) this.#opens(judgement.slow);
  }

  #judgements(ended: readonly Ended[], except?: Call): Judgement[] {
    const flying = this.calls.filter((call) => call !== except && call.era === this.era);
    const times = [...ended.map(({ at }) => at), ...flying.map(({ startedAt }) => startedAt)];
    return this.#edges(times).map((edge) => {
      const recent = ended.filter(({ at }) => at > edge);
      const inFlight = flying.filter(({ startedAt }) => startedAt > edge).length;
      return this.#judge(recent, inFlight, failuresInRow(ended));
    });
  }

  #judge(recent: readonly Ended[], inFlight: number, row: number): Judgement {
    const { consecutive, errorRate, minFailures, minCalls } = this.#settings;
    const calls = recent.length + inFlight;
    const failures = recent.filter(({ failed }) => failed).length;
    const slow = recent.filter((each) => each.failed && each.slow).length;
    const tooFew = calls < Math.max(minCalls, minFailures);
    const opens = tooFew ? row >= consecutive : failures >= minFailures && failures / calls >= errorRate;
    return { opens, slow: slow * 2 > failures };
  }

  #admissions(): boolean[] {
    const asked = [...this.#asked, this.now];
    const due = this.now - this.#lastResortAt >= 1000;
    return this.#edges([...asked, ...this.#accepted], demand).map((edge) => {
      const requests = asked.filter((at) => at > edge).length;
      const accepts = this.#accepted.filter((at) => at > edge).length;
      const refusal = accepts === 0 ? 1 : Math.max(0, (requests - 2 * accepts) / (requests + 1));
      return due || this.#chance.value >= refusal;
    });
  }

  /** Where the edge of the window may lie: what happened later than it counts. */
  #edges(
    times: readonly number[],
    { windowMs, bucketMs } = { windowMs: this.#settings.windowMs, bucketMs: this.#settings.windowMs / 100 },
  ): number[] {
    const oldest = this.now - windowMs;
    return [oldest, ...times.filter((at) => at > oldest && at < oldest + bucketMs)];
  }

  #opens(slow: boolean): void {
    this.era += 1;
    this.#trips = Math.min(mostTrips, this.#trips + 1);
    this.open = { since: this.now, until: this.now + this.#openMs(slow), slow, checked: false };
    this.#becomes("open");
  }

  /** Half of it for certain, the other half by chance. */
  #openMs(slow: boolean): number {
    const { openMs, quickCapMs, slowCapMs } = this.#settings;
    const whole = Math.min(openMs * 2 ** (this.#trips - 1), slow ? slowCapMs : quickCapMs);
    return whole / 2 + (this.#chance.value * whole) / 2;
  }

  #halfOpens(): void {
    this.#probes = { successes: 0, expiresAt: undefined };
    this.#becomes("half_open");
  }

  #closes(): void {
    this.#ended = [];
    this.closedAt = this.now;
    this.#cleanSince = this.now;
    this.#becomes("closed");
  }

  #becomes(state: BreakerState): void {
    this.state = state;
    this.changes.push(state);
  }
}

/** How many failures there were since the last success; a minute of silence between two makes the later one the first. */
function failuresInRow(ended: readonly Ended[]): number {
  let row = 0;
  let later: number | undefined;
  for (const { at, failed } of ended.toReversed()) {
    if (!failed || (later !== undefined && later - at > minute)) return row;
    row += 1;
    later = at;
  }
  return row;
}

function allSame(items: readonly unknown[]): boolean {
  return new Set(items).size <= 1;
}
