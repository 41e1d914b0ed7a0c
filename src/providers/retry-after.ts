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
  const until = Date.parse(text);
  const sent = Date.parse(header(headers, "date") ?? "");
  return sensible(until - sent);
}

function decimal(text: string | undefined): number | undefined {
  return text !== undefined && /^\s*-?\d+(\.\d+)?\s*$/.test(text) ? Number(text) : undefined;
}

function sensible(ms: number | undefined): number | undefined {
  return ms !== undefined && ms >= 0 && ms <= absurdMs ? ms : undefined;
}
