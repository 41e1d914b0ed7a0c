import type { ServerResponse } from "node:http";
import { FaultError } from "../chat/fault.ts";
import { CallerGone } from "../runtime/cancellation.ts";
import type { Clock } from "../runtime/clock.ts";

/** What an answer is written to, of either version of HTTP. */
export type Sink = Pick<ServerResponse, "write" | "on" | "off" | "writableEnded" | "destroyed">;

/**
 * Resolves when the client has taken enough of what was written for more to be of use.
 * @param stalledMs how long it may take nothing
 * @throws CallerGone when it leaves; FaultError when it takes nothing for too long
 */
export function drained(sink: Sink, clock: Clock, stalledMs: number): Promise<void> {
  if (sink.destroyed || sink.writableEnded) return Promise.reject(new CallerGone());
  return new Promise((resolve, reject) => {
    const onDrain = () => finish(resolve);
    const onClose = () => finish(() => reject(new CallerGone()));
    const disarm = clock.schedule(stalledMs, () => finish(() => reject(new FaultError({ kind: "client_stalled" }))));
    function finish(act: () => void): void {
      disarm();
      sink.off("drain", onDrain);
      sink.off("close", onClose);
      act();
    }
    sink.on("drain", onDrain);
    sink.on("close", onClose);
  });
}
