/** Header fields as they came, names in lower case. */
export type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

/** One value of a header field; the first when it came several times. */
export function header(headers: Headers, name: string): string | undefined {
  const value = headers[name];
  return typeof value === "string" ? value : value?.[0];
}

/** A provider that asks for more than a day is not to be believed. */
const absurdMs = 24 * 60 * 60 * 1000;

/**
 * How long an answer asks to be left alone: `retry-after-ms`, else `retry-after` in decimal seconds, else as an HTTP date, which
 * is taken relative to the answer's own `date` so that the clocks need not agree.
 * @returns milliseconds; undefined when nothing sensible was said
 */
export function retryAfterMs(headers: Headers): number | undefined {
  const inMs = sensible(decimal(header(headers, "retry-after-ms")));
  if (inMs !== undefined) return inMs;
  const text = header(headers, "retry-after");
  if (text === undefined) return undefined;
  const seconds = decimal(text);
  if (seconds !== undefined) return sensible(seconds * 1000);
  // Date.parse takes much for a date that is none, numbers below zero among it.
  const until = /^\s*(mon|tue|wed|thu|fri|sat|sun)/i.test(text) ? Date.parse(text) : Number.NaN;
  const sent = Date.parse(header(headers, "date") ?? "");
  return sensible(until - sent);
}

/** Whether an answer says that trying again may help: `x-should-retry`. Undefined when it says nothing of it. */
export function shouldRetry(headers: Headers): boolean | undefined {
  const text = header(headers, "x-should-retry")?.trim().toLowerCase();
  if (text === "true") return true;
  return text === "false" ? false : undefined;
}

function decimal(text: string | undefined): number | undefined {
  return text !== undefined && /^\s*\d+(\.\d+)?\s*$/.test(text) ? Number(text) : undefined;
}

/** A wait that can be believed: from 0 to a day. */
export function sensible(ms: number | undefined): number | undefined {
  return ms !== undefined && ms >= 0 && ms <= absurdMs ? ms : undefined;
}
