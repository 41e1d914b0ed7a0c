/** What a client may take of the port. Times in ms. */
export interface ListenerLimits {
  /** Connections at once; one more closes the one that has been idle for longest, and is refused when none is. */
  readonly connections: number;
  /** Until a connection has said what it speaks. */
  readonly firstBytesMs: number;
  /** Until TLS is agreed on. */
  readonly tlsHandshakeMs: number;
  /** Until a request's head is there; of HTTP/2, until the first one is. */
  readonly headersMs: number;
  /** Until a request is whole. */
  readonly requestMs: number;
  /** How long an HTTP/1.1 connection waits for its next request: longer than balancers keep theirs, or they use a closed one. */
  readonly keepAliveMs: number;
  /** How long an HTTP/2 connection may have no stream open. */
  readonly idleMs: number;
  /** Age at which a connection is asked to go, give or take a tenth: so that balancers spread clients anew. */
  readonly ageMs: number;
  /** All headers of a request together. */
  readonly headerBytes: number;
  /** Headers of a request. */
  readonly headerCount: number;
  /** Requests on one HTTP/1.1 connection. */
  readonly requestsPerConnection: number;
  /** Streams open at once on an HTTP/2 connection of which nobody knows whose it is. */
  readonly strangersStreams: number;
  /** Streams open at once on an HTTP/2 connection on which a caller has shown its key. */
  readonly callersStreams: number;
  /** Streams a second that a client may open and take back before they are a second old, if they are the most of all it opens. */
  readonly resetsPerSecond: number;
}

/** Each with its reason beside its meaning above; sized for a process with some thousands of file descriptors. */
export const listenerLimits: ListenerLimits = {
  connections: 16_384,
  firstBytesMs: 10_000,
  tlsHandshakeMs: 5000,
  headersMs: 10_000,
  requestMs: 60_000,
  keepAliveMs: 65_000,
  idleMs: 300_000,
  ageMs: 30 * 60_000,
  headerBytes: 16 * 1024,
  headerCount: 100,
  requestsPerConnection: 1000,
  strangersStreams: 100,
  callersStreams: 1000,
  resetsPerSecond: 100,
};
