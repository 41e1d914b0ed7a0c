const levels = "▁▂▃▄▅▆▇█";

/** A row of bars from 0 to the most; a blank where there is nothing. */
export function sparkline(values: readonly (number | undefined)[], most: number): string {
  return values
    .map((value) => {
      if (value === undefined || (value === 0 && most === 0)) return " ";
      if (value === 0) return "·";
      return levels[Math.min(levels.length - 1, Math.floor((value / most) * levels.length))];
    })
    .join("");
}

/** Lower bounds in percent, from the full bar down: what matters of availability lies between 99 and 100. */
const availabilitySteps = [100, 99.9, 99, 95, 90, 75, 50] as const;

/** A row of bars for availability in percent, by steps: a full bar is 100 %, the next 99.9 %, then 99, 95, 90, 75, 50. */
export function availabilityLine(values: readonly (number | undefined)[]): string {
  return values
    .map((value) => {
      if (value === undefined) return " ";
      const step = availabilitySteps.findIndex((least) => value >= least);
      return levels[step < 0 ? 0 : levels.length - 1 - step];
    })
    .join("");
}
