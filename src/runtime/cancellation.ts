/**
 * Whether somebody still wants the result. A plain flag with listeners: an `AbortSignal` costs several times as much on the
 * hot path, and is adapted at the edges.
 */
export interface Cancellation {
  /** Whether it has been called off. */
  readonly cancelled: boolean;
  /** Why; undefined while it has not. */
  readonly reason: unknown;
  /**
   * Calls `listener` once with the reason: when called off, or at once if it has been already.
   * @returns how to stop listening; harmless afterwards and when called twice
   */
  onCancel(listener: (reason: unknown) => void): () => void;
}

/** A cancellation and the right to call it off. */
export interface CancellationSource extends Cancellation {
  /** Calls it off; only the first call counts. */
  cancel(reason: unknown): void;
}

/** Somebody who listens, in a ring that its source is part of. An object of its own, so that the same function may listen twice. */
class Listener {
  readonly call: (reason: unknown) => void;
  before: Listener = this;
  after: Listener = this;

  constructor(call: (reason: unknown) => void) {
    this.call = call;
  }

  /** Leaves the ring, and holds on to nobody in it: what is old and dead would keep alive what is young and dead. */
  leave(): void {
    this.before.after = this.after;
    this.after.before = this.before;
    this.before = this;
    this.after = this;
  }
}

/**
 * A class, since each request makes several: closures for each of them would cost more than they do. Its listeners are a ring and not
 * a set, because every request listens to the one source that lives as long as the process, and the tables of a set that grows and
 * shrinks all the time outlive what they hold.
 */
class Source implements CancellationSource {
  cancelled = false;
  reason: unknown;
  /** The ring's beginning, which is nobody; made when somebody listens. */
  #ring: Listener | undefined;

  onCancel(listener: (reason: unknown) => void): () => void {
    if (this.cancelled) {
      listener(this.reason);
      return nothing;
    }
    this.#ring ??= new Listener(nothing);
    const entry = new Listener(listener);
    const last = this.#ring.before;
    entry.before = last;
    entry.after = this.#ring;
    last.after = entry;
    this.#ring.before = entry;
    return () => entry.leave();
  }

  cancel(reason: unknown): void {
    if (this.cancelled) return;
    this.cancelled = true;
    this.reason = reason;
    const ring = this.#ring;
    this.#ring = undefined;
    const listeners: Listener[] = [];
    for (let each = ring?.after; each && each !== ring; each = each.after) listeners.push(each);
    for (const each of listeners) each.leave();
    for (const { call } of listeners) call(reason);
  }
}

function nothing(): void {}

/** Makes a cancellation that its owner may call off. */
export function createCancellation(): CancellationSource {
  return new Source();
}

/** A cancellation that is called off with its parent, or by its owner alone. `unlink` lets go of the parent. */
export function linkedCancellation(parent: Cancellation): { source: CancellationSource; unlink: () => void } {
  const source = createCancellation();
  return { source, unlink: parent.onCancel((reason) => source.cancel(reason)) };
}

/** Why work was called off when whoever asked for it has left. */
export class CallerGone extends Error {
  override name = "CallerGone";

  constructor() {
    super("the caller is gone");
  }
}

/** Why work was called off when its deadline passed. */
export class DeadlineExceeded extends Error {
  override name = "DeadlineExceeded";

  constructor() {
    super("the deadline passed");
  }
}

/** Why work was called off when the process is stopping and its grace is over. */
export class ShuttingDown extends Error {
  override name = "ShuttingDown";

  constructor() {
    super("the gateway is shutting down");
  }
}
