import { ShuttingDown } from "../runtime/cancellation.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Gateway } from "./compose.ts";
import type { Listener } from "./listener/listener.ts";

/** How long each step of leaving may take, in ms. */
export interface DrainLimits {
  /** Served on although already announced as leaving, so that balancers can notice. */
  readonly preStopMs: number;
  /** For calls in flight. */
  readonly graceMs: number;
}

/** After the grace is over: for the last words of broken streams. */
const lastWordsMs = 2000;

/**
 * Leaves in order: announce, stop listening, let calls in flight end, cut what is left, let go.
 * @returns when everything is closed
 */
export async function drain(
  { gateway, listener, clock }: { gateway: Gateway; listener: Listener; clock: Clock },
  { preStopMs, graceMs }: DrainLimits,
): Promise<void> {
  gateway.enter("draining");
  listener.announce();
  if (preStopMs > 0) await new Promise<void>((resolve) => clock.schedule(preStopMs, resolve));
  gateway.enter("closing");
  listener.stop();
  const closed = listener.closed();
  await within(closed, graceMs, clock);
  gateway.cut(new ShuttingDown());
  await within(closed, lastWordsMs, clock);
  listener.destroy();
  await gateway.close();
}

/** Waits for work, but no longer than `ms`. */
async function within(work: Promise<void>, ms: number, clock: Clock): Promise<void> {
  let disarm = () => {};
  await Promise.race([
    work,
    new Promise<void>((resolve) => {
      disarm = clock.schedule(ms, resolve);
    }),
  ]);
  disarm();
}
