/** A place in a circular doubly linked list. The list itself is a link without a value; alone, a link points at itself. */
class Link<T> {
  previous: Link<T> = this;
  next: Link<T> = this;
  readonly value: T | undefined;

  constructor(value?: T) {
    this.value = value;
  }

  get alone(): boolean {
    return this.next === this;
  }

  /** Called on the list: makes `link` its last. */
  append(link: Link<T>): void {
    link.previous = this.previous;
    link.next = this;
    this.previous.next = link;
    this.previous = link;
  }

  unlink(): void {
    this.previous.next = this.next;
    this.next.previous = this.previous;
    this.previous = this;
    this.next = this;
  }
}

/** Who waits on behalf of one caller, in the order they came. */
interface Line<T> {
  readonly caller: string;
  readonly waiters: Link<T>;
}

/**
 * Waiters of several callers: first in, first out within one caller, and the callers in turn, so that one who queues a thousand
 * holds up nobody who queues one. Every call takes constant time.
 */
export class FairQueue<T> {
  readonly #bound: number;
  readonly #lines = new Map<string, Link<Line<T>>>();
  /** The same lines, the one whose turn it is first. Callers without waiters are not in it. */
  readonly #turns = new Link<Line<T>>();
  #size = 0;

  /** @param bound most waiters, over all callers */
  constructor(bound: number) {
    this.#bound = bound;
  }

  get size(): number {
    return this.#size;
  }

  /** @returns how to leave, harmless afterwards and when called twice; undefined when the queue is full */
  push(caller: string, item: T): (() => void) | undefined {
    if (this.#size >= this.#bound) return undefined;
    const line = this.#lines.get(caller) ?? this.#open(caller);
    const waiter = new Link(item);
    line.value?.waiters.append(waiter);
    this.#size++;
    return () => this.#leave(line, waiter);
  }

  /** Who is next; it stays. */
  peek(): T | undefined {
    return this.#turns.next.value?.waiters.next.value;
  }

  /** Who is next; it leaves, and its caller's next turn comes after everybody else's. */
  shift(): T | undefined {
    const line = this.#turns.next;
    const waiter = line.value?.waiters.next;
    if (!waiter) return undefined;
    this.#leave(line, waiter);
    this.#passOn(line);
    return waiter.value;
  }

  #open(caller: string): Link<Line<T>> {
    const line = new Link<Line<T>>({ caller, waiters: new Link<T>() });
    this.#lines.set(caller, line);
    this.#turns.append(line);
    return line;
  }

  #leave(line: Link<Line<T>>, waiter: Link<T>): void {
    if (waiter.alone) return;
    waiter.unlink();
    this.#size--;
    if (!line.value?.waiters.alone) return;
    line.unlink();
    this.#lines.delete(line.value.caller);
  }

  /** Ends the turn of a caller who still has waiters. */
  #passOn(line: Link<Line<T>>): void {
    if (line.value?.waiters.alone) return;
    line.unlink();
    this.#turns.append(line);
  }
}
