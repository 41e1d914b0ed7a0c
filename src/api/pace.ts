import { FaultError } from "../chat/fault.ts";
import { CallerGone } from "../runtime/cancellation.ts";
import type { Clock } from "../runtime/clock.ts";

/** What an answer is written to, of either version of HTTP. */
export interface Sink {
  readonly destroyed: boolean;
  readonly writableEnded: boolean;
  readonly writableFinished: boolean;
  write(bytes: Uint8Array): boolean;
  end(): unknown;
  destroy(): unknown;
  on(event: "drain" | "close", listener: () => void): unknown;
  off(event: "drain" | "close", listener: () => void): unknown;
}

/** Whether nobody takes what would be written now. An answer over HTTP/2 does not know by itself; its stream does. */
export function isGone(sink: Sink): boolean {
  const { stream } = sink as { readonly stream?: { readonly destroyed: boolean } };
  return sink.destroyed || stream?.destroyed === true;
}

/** Whether a stream of HTTP/2 is over for its client, although something of it waits to be sent. */
function isReset(sink: Sink): boolean {
  const { stream } = sink as { readonly stream?: { readonly closed: boolean } };
  return stream?.closed === true;
}

/** How a client's pace is kept. */
export interface Pace {
  readonly clock: Clock;
  /** How long a client may take nothing, ms. */
  readonly stalledMs: number;
}

/** Written at once: of more than this nobody could tell whether the client takes any of it. */
export const sliceBytes = 64 * 1024;

/**
 * Writes at the client's pace.
 * @throws CallerGone when it leaves; FaultError when it takes nothing for too long
 */
export async function writePaced(sink: Sink, bytes: Uint8Array, pace: Pace): Promise<void> {
  for (let start = 0; start < bytes.length; start += sliceBytes) {
    const slice = bytes.length <= sliceBytes ? bytes : bytes.subarray(start, start + sliceBytes);
    if (!sink.write(slice)) await drained(sink, pace);
  }
}

/** Ends an answer, and cuts a client that does not take the rest of it. */
export function endPaced(sink: Sink, pace: Pace): void {
  sink.end();
  cutUnlessTaken(sink, pace);
}

/** Cuts a client that does not take the last of an answer that has been handed over. */
export function cutUnlessTaken(sink: Sink, { clock, stalledMs }: Pace): void {
  if (sink.writableFinished || isGone(sink)) return;
  let disarm = clock.schedule(Math.min(soonMs, stalledMs), () => {
    const restMs = stalledMs - soonMs;
    if (restMs <= 0 || isReset(sink)) sink.destroy();
    else disarm = clock.schedule(restMs, () => sink.destroy());
  });
  sink.on("close", () => disarm());
}

/** HTTP/2: a client may end a stream without an error while its answer waits to be sent. Node tells nobody, and the answer waits. */
const soonMs = 1000;

/**
 * Resolves when the client has taken enough of what was written for more to be of use.
 * @throws CallerGone when it leaves; FaultError when it takes nothing for too long
 */
export function drained(sink: Sink, { clock, stalledMs }: Pace): Promise<void> {
  if (isGone(sink) || sink.writableEnded) return Promise.reject(new CallerGone());
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
