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
  /** Made when somebody listens. */
  #listeners: Set<Listener> | undefined;

  onCancel(listener: (reason: unknown) => void): () => void {
    if (this.cancelled) {
      listener(this.reason);
      return () => {};
    }
    const entry = { call: listener };
    this.#listeners ??= new Set();
    this.#listeners.add(entry);
    return () => {
      this.#listeners?.delete(entry);
    };
  }

  cancel(reason: unknown): void {
    if (this.cancelled) return;
    this.cancelled = true;
    this.reason = reason;
    const pending = this.#listeners;
    this.#listeners = undefined;
    for (const { call } of pending ?? []) call(reason);
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
