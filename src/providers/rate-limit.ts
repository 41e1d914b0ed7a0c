import { durationMs } from "./duration.ts";
import { type Headers, header } from "./retry-after.ts";

/** Nobody is left alone for longer than five minutes on the word of a counter: it may be a day's, and be raised meanwhile. */
const longestMs = 5 * 60_000;

/** What is counted: OpenAI counts requests and tokens, others have one counter. */
const counters = ["-requests", "-tokens", ""].map((counter) => ({
  remaining: `x-ratelimit-remaining${counter}`,
  reset: `x-ratelimit-reset${counter}`,
}));

/** From here on a number of seconds is a moment, not a wait: 1973, or three years. */
const leastEpochSeconds = 1e8;
/** And from here on it counts milliseconds: 1973 again, or the year 5138. */
const leastEpochMs = 1e11;

/**
 * How long until a provider takes requests again, if its answer says that none or no token remains: `x-ratelimit-remaining-*` of 0
 * with its `x-ratelimit-reset-*`, which is a duration, seconds, or a moment; a moment is taken relative to the answer's own `date`
 * so that the clocks need not agree.
 * @returns milliseconds from 0 to five minutes, by the counter that takes longest; undefined when nothing is exhausted, or nothing
 * sensible is said of when it is not
 */
export function remainingReset(headers: Headers): number | undefined {
  let longest: number | undefined;
  for (const names of counters) {
    // A counter below zero is no counter: some say -1 where there is no limit.
    const remaining = header(headers, names.remaining);
    if (remaining === undefined || !/^\s*0+(\.0*)?\s*$/.test(remaining)) continue;
    const sentAt = Date.parse(header(headers, "date") ?? "");
    const ms = resetMs(header(headers, names.reset) ?? "", sentAt);
    if (ms !== undefined) longest = Math.max(longest ?? 0, Math.min(ms, longestMs));
  }
  return longest;
}

/** A reset in any of its forms, as milliseconds from when the answer was sent. */
function resetMs(text: string, sentAt: number): number | undefined {
  if (/^\s*\d+(\.\d+)?\s*$/.test(text)) {
    const value = Number(text);
    if (value < leastEpochSeconds) return value * 1000;
    return untilMs(value < leastEpochMs ? value * 1000 : value, sentAt);
  }
  if (/^\s*\d{4}-\d\d-\d\dT/.test(text)) return untilMs(Date.parse(text), sentAt);
  return durationMs(text);
}

function untilMs(moment: number, sentAt: number): number | undefined {
  const ms = moment - sentAt;
  return Number.isFinite(ms) ? Math.max(ms, 0) : undefined;
}
