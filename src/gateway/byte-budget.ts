import { FaultError } from "../chat/fault.ts";

/** What of the process's memory may be taken by requests and answers that are held whole. */
export interface ByteBudget {
  /** Bytes held now. */
  readonly held: number;
  /** Opens an account for one request. */
  open(): ByteAccount;
}

/** One request's part of the budget. */
export interface ByteAccount {
  /** @throws FaultError when the process has no more to give */
  take(bytes: number): void;
  /** Gives all of it back; harmless when called twice. */
  close(): void;
}

const retryAfterMs = 1000;

/**
 * @param most bytes held at once, of all requests together; as a function it may change
 * @param isShort whether the process is short of memory for whatever other reason: then nothing more is taken
 */
export function createByteBudget(most: number | (() => number), isShort: () => boolean = () => false): ByteBudget {
  let held = 0;
  const limit = typeof most === "number" ? () => most : most;
  return {
    get held() {
      return held;
    },
    open() {
      let own = 0;
      let closed = false;
      return {
        take(bytes) {
          if (closed) return;
          if (held + bytes > limit() || isShort()) throw new FaultError({ kind: "out_of_memory", retryAfterMs });
          held += bytes;
          own += bytes;
        },
        close() {
          closed = true;
          held -= own;
          own = 0;
        },
      };
    },
  };
}
