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
  const limit = typeof most === "number" ? () => most : most;
  const pool: BytePool = {
    held: 0,
    check(bytes) {
      if (pool.held + bytes > limit() || isShort()) throw new FaultError({ kind: "out_of_memory", retryAfterMs });
    },
  };
  return {
    get held() {
      return pool.held;
    },
    open: () => new Account(pool),
  };
}

/** What all accounts draw from. */
interface BytePool {
  held: number;
  /** @throws FaultError when there are not so many bytes more */
  check(bytes: number): void;
}

class Account implements ByteAccount {
  readonly #pool: BytePool;
  #own = 0;
  #closed = false;

  constructor(pool: BytePool) {
    this.#pool = pool;
  }

  take(bytes: number): void {
    if (this.#closed) return;
    this.#pool.check(bytes);
    this.#pool.held += bytes;
    this.#own += bytes;
  }

  /** An arrow, for it is handed on as a listener. */
  readonly close = (): void => {
    this.#closed = true;
    this.#pool.held -= this.#own;
    this.#own = 0;
  };
}
