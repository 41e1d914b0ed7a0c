/** Whom calls are made to: the upstream itself, the bare proxy before it, the gateway before it, or another program in its place. */
export type Via = "direct" | "floor" | "gateway" | Peer;

/** Other people's programs, each set up as a plain proxy to the same upstream. */
export type Peer = "nginx" | "envoy" | "portkey";
