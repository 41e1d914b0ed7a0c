import type { Endpoint } from "../routing/endpoint.ts";
import type { AttemptRecord } from "../routing/trail.ts";
import { CallerGone, type Cancellation, createCancellation, DeadlineExceeded } from "../runtime/cancellation.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Wish } from "./arrivals.ts";
import type { Behaviour } from "./behaviour.ts";
import type { RequestOutcome } from "./observations.ts";
import type { Told } from "./request.ts";

/** One request while it runs: what its caller does meanwhile, and what each of its attempts met. */
export class RequestUnderWay<E extends Endpoint> {
  readonly wish: Wish;
  readonly #clock: Clock;
  readonly #presence = createCancellation();
  readonly #timers: (() => void)[] = [];
  /** By attempt. */
  readonly #met: { readonly endpoint: E; readonly behaviour: Behaviour }[] = [];
  /** The attempt, from 1, whose content has reached the caller. */
  #told: number | undefined;
  #lostPatience = false;

  constructor(wish: Wish, clock: Clock) {
    this.wish = wish;
    this.#clock = clock;
    const { deadlineMs, patienceMs } = wish.caller;
    this.#after(deadlineMs, () => this.#presence.cancel(new DeadlineExceeded()));
    this.#after(patienceMs, () => {
      if (this.#told !== undefined) return;
      this.#lostPatience = true;
      this.#presence.cancel(new CallerGone());
    });
  }

  /** Whether the caller is still there. */
  get cancellation(): Cancellation {
    return this.#presence;
  }

  /** What the attempt met whose content has reached the caller; undefined: none has. */
  get told(): { readonly endpoint: E; readonly behaviour: Behaviour } | undefined {
    return this.#told === undefined ? undefined : this.#met[this.#told - 1];
  }

  /** An attempt, from 1, meets something. */
  meets(attempt: number, endpoint: E, behaviour: Behaviour): Behaviour {
    this.#met[attempt - 1] = { endpoint, behaviour };
    return behaviour;
  }

  /** The content of an attempt has reached the caller, who may lose interest now. */
  committed(attempt: number): void {
    const first = this.#told === undefined;
    this.#told = attempt;
    const { leavesAt } = this.wish;
    const behaviour = this.told?.behaviour;
    if (!first || leavesAt === undefined || behaviour?.kind !== "serves") return;
    const restMs = behaviour.totalMs - behaviour.firstContentMs;
    this.#after(restMs * leavesAt, () => this.#presence.cancel(new CallerGone()));
  }

  /** It has ended: nothing of it is left. */
  over(): void {
    for (const stop of this.#timers) stop();
  }

  /** How it ended, as its caller would put it. */
  outcomeOf({ outcome, error, trail }: Told<E>): RequestOutcome {
    if (outcome === "served") return "served";
    if (this.#lostPatience) return "gave_up";
    const gone = error instanceof CallerGone || (error instanceof Error && error.cause instanceof CallerGone);
    return gone && (outcome === "broken" || trail.partial) ? "left" : outcome;
  }

  /** What an attempt has cost in US dollars, and what it may have cost without bringing anything. */
  costOf(attempt: AttemptRecord): { readonly sure: number; readonly possible: number } {
    const { endpoint: { prices } = {}, behaviour } = this.#met[attempt.index - 1] ?? {};
    if (!prices) return { sure: 0, possible: 0 };
    const { promptTokens, answerTokens } = this.wish;
    const prompt = (promptTokens * prices.inputPer1k) / 1000;
    const tokens = behaviour?.kind === "serves" ? (behaviour.answerTokens ?? answerTokens) : answerTokens;
    const answer = (tokens * prices.outputPer1k) / 1000;
    if (attempt.outcome === "ok") return { sure: prompt + answer, possible: 0 };
    if (attempt.firstContentMs !== undefined && behaviour?.kind === "serves") {
      // It came as far as its time allowed.
      const { firstContentMs, totalMs } = behaviour;
      const done = ((attempt.durationMs ?? 0) - firstContentMs) / Math.max(1, totalMs - firstContentMs);
      return { sure: prompt + answer * Math.min(1, Math.max(0, done)), possible: 0 };
    }
    const sent = attempt.maybeBilled || attempt.outcome === "superseded" || attempt.outcome === "caller_gone";
    return { sure: 0, possible: sent ? prompt : 0 };
  }

  #after(ms: number | undefined, act: () => void): void {
    if (ms !== undefined) this.#timers.push(this.#clock.schedule(ms, act));
  }
}
