/** Somebody who waits on behalf of a caller. */
export interface Waiter {
  readonly caller: string;
}

/**
 * Everybody who waits, as they came, and the callers in the order of their turns: one who is served goes behind the others, and
 * one who has nobody waiting any more has no turn.
 */
export class QueueModel<W extends Waiter = Waiter> {
  waiting: W[] = [];
  #turns: string[] = [];
  readonly #bound: number;

  constructor(bound: number) {
    this.#bound = bound;
  }

  /** @returns whether there is room for it */
  comes(waiter: W): boolean {
    if (this.waiting.length >= this.#bound) return false;
    this.waiting.push(waiter);
    if (!this.#turns.includes(waiter.caller)) this.#turns.push(waiter.caller);
    return true;
  }

  leaves(waiter: W): void {
    this.waiting = this.waiting.filter((each) => each !== waiter);
    this.#turns = this.#turns.filter((caller) => this.waiting.some((each) => each.caller === caller));
  }

  /** Whose turn it is: the first of the caller whose turn it is. */
  next(): W | undefined {
    return this.waiting.find(({ caller }) => caller === this.#turns[0]);
  }

  isServed(waiter: W): void {
    this.#turns = [...this.#turns.filter((caller) => caller !== waiter.caller), waiter.caller];
    this.leaves(waiter);
  }
}
