import { createTrafficCall } from "./traffic-call.ts";
import { type TrafficCaller, trafficCallers, trafficPrompts } from "./traffic-callers.ts";

/** What the process tells of each call. */
export interface TrafficResult {
  readonly caller: string;
  /** Undefined: served, and whole. */
  readonly failure?: string;
  /** Whether another endpoint went on with the answer. */
  readonly isResumed: boolean;
}

/** More calls than these under way would tell of something else than a demo. */
const mostUnderWay = 200;

/** Calls under way have so long to end. */
const graceMs = 5000;

/** Calls until its parent says "stop" or is gone, then lets the calls under way end. */
function callOn(address: string, perSecond: number): void {
  const callers = trafficCallers.map((caller) => ({ caller, call: createTrafficCall(address, caller) }));
  let count = 0;
  let underWay = 0;
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;

  async function callOnce({ name }: TrafficCaller, call: ReturnType<typeof createTrafficCall>): Promise<void> {
    // The number makes each question one of its own: an answer to another would not pass for its.
    const prompt = `${trafficPrompts[count % trafficPrompts.length]} (${count})`;
    underWay += 1;
    try {
      const { text, isResumed } = await call(prompt);
      // What the simulated providers say to anything.
      const isWhole = text === `You said: ${prompt}`;
      tell({ caller: name, isResumed, ...(!isWhole && { failure: `not the whole answer: ${JSON.stringify(text)}` }) });
    } catch (error) {
      tell({ caller: name, isResumed: false, failure: wordsOf(error) });
    }
    underWay -= 1;
    if (stopped && underWay === 0) process.exit(0);
  }

  function next(): void {
    const chosen = callers[count % callers.length];
    if (chosen && underWay < mostUnderWay) void callOnce(chosen.caller, chosen.call);
    count += 1;
    // Callers are not a metronome.
    timer = setTimeout(next, (1000 / perSecond) * (0.5 + Math.random()));
  }

  function stop(): void {
    stopped = true;
    clearTimeout(timer);
    if (underWay === 0) process.exit(0);
    setTimeout(() => process.exit(0), graceMs);
  }

  process.on("message", stop);
  process.on("disconnect", () => process.exit(0));
  // Ctrl-C reaches the whole group; the calls under way are to end as the gateway's do.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => {});
  next();
}

function tell(result: TrafficResult): void {
  if (process.connected) process.send?.(result);
}

function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}

const [address = "", perSecond = ""] = process.argv.slice(2);
callOn(address, Number(perSecond));
