import { envoy } from "./envoy.ts";
import { nginx } from "./nginx.ts";
import type { PeerProgram } from "./peer.ts";
import { portkey } from "./portkey.ts";

/** All that there may be, in the order in which they are told. */
export const peers: readonly PeerProgram[] = [nginx, envoy, portkey];
