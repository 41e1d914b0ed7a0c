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

/** Makes a cancellation that its owner may call off. */
export function createCancellation(): CancellationSource {
  let cancelled = false;
  let reason: unknown;
  const listeners = new Set<(reason: unknown) => void>();
  return {
    get cancelled() {
      return cancelled;
    },
    get reason() {
      return reason;
    },
    onCancel(listener) {
      if (cancelled) {
        listener(reason);
        return () => {};
      }
      // A wrapper of its own, so that the same function may listen twice.
      const entry = (why: unknown) => listener(why);
      listeners.add(entry);
      return () => {
        listeners.delete(entry);
      };
    },
    cancel(why) {
      if (cancelled) return;
      cancelled = true;
      reason = why;
      const pending = [...listeners];
      listeners.clear();
      for (const listener of pending) listener(why);
    },
  };
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
