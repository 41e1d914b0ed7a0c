const unitMs: Readonly<Record<string, number>> = {
  d: 86_400_000,
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
  us: 1e-3,
  µs: 1e-3,
  ns: 1e-6,
};

/**
 * Milliseconds of a duration in units: `1s`, `6m0s`, `120ms`, `1h2m3.5s`, as Go prints it and as most providers send it.
 * @returns undefined when it is none
 */
export function durationMs(text: string): number | undefined {
  if (!/^\s*(\d+(\.\d+)?(d|h|ms|m|s|us|µs|ns))+\s*$/.test(text)) return undefined;
  let ms = 0;
  for (const [, amount, unit = ""] of text.matchAll(/(\d+(?:\.\d+)?)([a-zµ]+)/g)) {
    ms += Number(amount) * (unitMs[unit] ?? 0);
  }
  return Number.isFinite(ms) ? ms : undefined;
}
