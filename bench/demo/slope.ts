/** A value at a time. */
export interface Sample {
  readonly atMs: number;
  readonly value: number;
}

/** How fast values grow, per hour: the slope of the line of least squares. 0 of fewer than two. */
export function slopePerHour(samples: readonly Sample[]): number {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const atMs = mean(samples.map((sample) => sample.atMs));
  const value = mean(samples.map((sample) => sample.value));
  const covariance = samples.reduce((sum, each) => sum + (each.atMs - atMs) * (each.value - value), 0);
  const variance = samples.reduce((sum, each) => sum + (each.atMs - atMs) ** 2, 0);
  return variance > 0 ? (covariance / variance) * 3_600_000 : 0;
}
