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

/** Somebody who listens. An object of its own, so that the same function may listen twice. */
interface Listener {
  readonly call: (reason: unknown) => void;
}

/** A class, since each request makes several: closures for each of them would cost more than they do. */
class Source implements CancellationSource {
  cancelled = false;
  reason: unknown;
  /** Nearly always the only one: a set costs as much as all the rest. */
  #first: Listener | undefined;
  /** Made when more than one listen at once. */
  #others: Set<Listener> | undefined;

  onCancel(listener: (reason: unknown) => void): () => void {
    if (this.cancelled) {
      listener(this.reason);
      return () => {};
    }
    const entry = { call: listener };
    if (!this.#first && !this.#others?.size) this.#first = entry;
    else {
      this.#others ??= new Set();
      this.#others.add(entry);
    }
    return () => {
      if (this.#first === entry) this.#first = undefined;
      else this.#others?.delete(entry);
    };
  }

  cancel(reason: unknown): void {
    if (this.cancelled) return;
    this.cancelled = true;
    this.reason = reason;
    const first = this.#first;
    const others = this.#others;
    this.#first = undefined;
    this.#others = undefined;
    first?.call(reason);
    for (const { call } of others ?? []) call(reason);
  }
}

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
