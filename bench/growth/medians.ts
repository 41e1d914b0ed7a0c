import { median } from "../statistics.ts";

/** Measures each in turn, several times over, so that a busy moment does not hit one alone. @returns the median of each */
export async function medians(measures: readonly (() => Promise<number>)[], rounds: number): Promise<number[]> {
  const values = measures.map(() => [] as number[]);
  for (let round = 0; round < rounds; round++) {
    for (const [index, measure] of measures.entries()) values[index]?.push(await measure());
  }
  return values.map((all) => median(all));
}
