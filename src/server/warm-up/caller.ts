/** Somebody who asks a gateway the same question again and again, on one connection. */
export interface Caller {
  /** Asks, and reads the answer to its end. @throws Error when it is none */
  ask(): Promise<void>;
  /** Hangs up, also on a question under way. */
  close(): void;
}

/** What is asked. */
export const question = "Hello, is anybody there?";
