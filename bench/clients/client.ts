/** A way of making calls that checks every answer. */
export interface Client {
  /**
   * Begins a call.
   * @param ended told once: how long the answer took (a stream: until its first bytes of content) in milliseconds, or what was
   * wrong with it
   * @param begun told once, when the first bytes of content are there
   */
  call(ended: (result: number | Error) => void, begun?: () => void): void;
  /** Closes its connections. */
  close(): Promise<void>;
}
