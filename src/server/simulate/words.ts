import { durationText } from "../../simulation/time-text.ts";

/** What stands where nothing was measured. */
export const nothing = "–";

/** `1,234`. */
export function countText(count: number): string {
  return count.toLocaleString("en-US");
}

/** Three digits after the point where they tell apart what is nearly all: `99.987 %`, `100 %`. */
export function percentText(percent: number | undefined): string {
  if (percent === undefined) return nothing;
  if (percent === 100 || percent === 0) return `${percent} %`;
  // Nearly all is not all, and hardly any is not none.
  if (percent > 99) return `${Math.min(99.999, percent).toFixed(3)} %`;
  return percent >= 10 ? `${percent.toFixed(1)} %` : `${percent.toFixed(2)} %`;
}

/** `1.2 s`, or a dash. */
export function timeText(ms: number | undefined): string {
  return ms === undefined ? nothing : durationText(ms);
}

/** `$12.34`; small sums with more digits. */
export function moneyText(usd: number | undefined): string {
  if (usd === undefined) return nothing;
  const digits = usd === 0 || usd >= 0.995 ? 2 : 4;
  return `$${usd.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
}

/** A name out of a file, on one line and without what a terminal would obey. */
export function plainText(name: string): string {
  return name.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "?");
}

/** Cut in the middle, so that both its ends can be told. */
export function shortened(name: string, width: number): string {
  if (name.length <= width) return name;
  const head = Math.ceil((width - 1) / 2);
  return `${name.slice(0, head)}…${name.slice(name.length - (width - 1 - head))}`;
}
