/** The value below which the share `q` of an ascending list lies; NaN of an empty one. */
export function quantile(ascending: readonly number[], q: number): number {
  return ascending[Math.min(ascending.length - 1, Math.floor(ascending.length * q))] ?? Number.NaN;
}

/** The middle of a list in any order; the mean of the two middle ones when their number is even. NaN of an empty one. */
export function median(values: readonly number[]): number {
  const ascending = values.toSorted((a, b) => a - b);
  const half = ascending.length / 2;
  return Number.isInteger(half)
    ? ((ascending[half - 1] ?? Number.NaN) + (ascending[half] ?? Number.NaN)) / 2
    : (ascending[Math.floor(half)] ?? Number.NaN);
}
