import { fork } from "node:child_process";
import type { TrafficResult } from "./traffic-process.ts";

/** How callers have fared. */
export interface TrafficTally {
  readonly served: number;
  /** Of those: answers that broke off and were gone on with. */
  readonly resumed: number;
  readonly failed: number;
}

/** Callers of the demo, in a process of their own: what they cost is not the gateway's. */
export interface Traffic {
  readonly tally: TrafficTally;
  /** No further call is made; resolves when those under way have ended. */
  stop(): Promise<void>;
}

/**
 * Starts callers that ask the gateway as others do, and check what they get.
 * @param onFailure told whose call was not served, and why
 */
export function startTraffic(
  address: string,
  perSecond: number,
  onFailure: (caller: string, reason: string) => void,
): Traffic {
  const tally = { served: 0, resumed: 0, failed: 0 };
  const child = fork(new URL("./traffic-process.ts", import.meta.url), [address, String(perSecond)], {
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    // Whatever watches this process is not to watch that one.
    execArgv: [],
  });
  // Through our own stream, which may have something to keep in order.
  child.stderr?.on("data", (chunk: Buffer) => process.stderr.write(chunk));
  child.on("message", (message) => {
    const { caller, failure, isResumed } = message as TrafficResult; // nothing else is sent
    if (failure !== undefined) {
      tally.failed += 1;
      onFailure(caller, failure);
      return;
    }
    tally.served += 1;
    if (isResumed) tally.resumed += 1;
  });
  const gone = new Promise<void>((resolve) => {
    child.on("exit", () => resolve());
    child.on("error", () => resolve());
  });
  return {
    tally,
    stop() {
      if (child.connected) child.send("stop");
      return gone;
    },
  };
}
