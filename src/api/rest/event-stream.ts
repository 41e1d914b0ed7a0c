import type { OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { Clock } from "../../runtime/clock.ts";
import type { EdgeLimits } from "../edge.ts";
import { drained, isGone, sliceBytes, writePaced } from "../pace.ts";

/** An answer of events. While nothing else is said it says by comments that it is alive: what is silent, proxies cut. */
export interface EventStream {
  /** Whether the head went out before there was an answer: then an error can no longer be a status. */
  readonly begunEarly: boolean;
  /** Sends the head, unless that has been done. */
  begin(headers: OutgoingHttpHeaders): void;
  /**
   * Writes whole events at the client's pace.
   * @throws CallerGone when it has left; FaultError when it takes nothing for too long
   */
  write(events: readonly (Buffer | string)[]): Promise<void>;
  end(lastEvents: string): void;
  /** Says nothing more by itself. */
  close(): void;
}

const heartbeat = ": still at work\n\n";

/** @param earlyHeaders the head of an answer that nobody has given yet */
export function openEventStream(
  response: ServerResponse,
  clock: Clock,
  { heartbeatMs, stalledMs }: EdgeLimits,
  earlyHeaders: () => OutgoingHttpHeaders,
): EventStream {
  let begunEarly = false;
  let lastWordAt = clock.now();
  let disarm = clock.schedule(heartbeatMs, beat);

  function beat(): void {
    const silentMs = clock.now() - lastWordAt;
    if (silentMs >= heartbeatMs) {
      if (isGone(response) || response.writableEnded) return;
      if (!response.headersSent) {
        begunEarly = true;
        begin(earlyHeaders());
      }
      // Whoever does not read what was sent already needs no sign of life.
      if (!response.writableNeedDrain) response.write(heartbeat);
      lastWordAt = clock.now();
    }
    disarm = clock.schedule(Math.max(1, heartbeatMs - (clock.now() - lastWordAt)), beat);
  }

  function begin(headers: OutgoingHttpHeaders): void {
    if (response.headersSent) return;
    response.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-cache",
      // Proxies in front must not gather what is meant to flow.
      "x-accel-buffering": "no",
      ...headers,
    });
  }

  return {
    get begunEarly() {
      return begunEarly;
    },
    begin,
    async write(events) {
      let room = true;
      for (const event of events) {
        // One event may be a whole answer.
        if (typeof event !== "string" && event.length > sliceBytes) {
          await writePaced(response, event, { clock, stalledMs });
          room = true;
        } else room = response.write(event);
      }
      // What is kept back is no sign of life.
      if (events.length > 0) lastWordAt = clock.now();
      if (!room) await drained(response, { clock, stalledMs });
    },
    end: (lastEvents) => void response.end(lastEvents),
    close: () => disarm(),
  };
}
