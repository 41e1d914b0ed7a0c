/** Whether figures are held to their bars; else they are only printed, for machines differ and may be busy. */
export const figuresCount = process.env["EVERHOP_LEAVING"] !== undefined;

/** p50, p99 and the greatest of some times. */
export function spread(times: readonly number[]): { readonly p50: number; readonly p99: number; readonly max: number } {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { p50: at(0.5), p99: at(0.99), max: sorted.at(-1) ?? 0 };
}

/** The same in words. */
export function spreadText(times: readonly number[]): string {
  const { p50, p99, max } = spread(times);
  return `p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, max ${max.toFixed(1)} ms (${times.length} times)`;
}
