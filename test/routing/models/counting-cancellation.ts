import { type CancellationSource, createCancellation } from "../../../src/runtime/cancellation.ts";

/** A cancellation that tells how many listen to it: whoever is done must have stopped. */
export function countingCancellation(): CancellationSource & { readonly listeners: number } {
  const source = createCancellation();
  const listening = new Set<object>();
  return {
    get cancelled() {
      return source.cancelled;
    },
    get reason() {
      return source.reason;
    },
    get listeners() {
      return listening.size;
    },
    onCancel(listener) {
      const entry = {};
      if (!source.cancelled) listening.add(entry);
      const stop = source.onCancel((reason) => {
        listening.delete(entry);
        listener(reason);
      });
      return () => {
        listening.delete(entry);
        stop();
      };
    },
    cancel: (reason) => source.cancel(reason),
  };
}
