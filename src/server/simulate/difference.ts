import type { Report } from "../../simulation/report-shape.ts";
import { countText, moneyText, nothing, percentText, timeText } from "./words.ts";

/** One number of two rehearsals. */
export interface Difference {
  readonly name: string;
  readonly label: string;
  readonly first: number | undefined;
  readonly second: number | undefined;
  /** Second less first. */
  readonly difference: number | undefined;
  /** Whether the second is better; undefined: neither, or nobody can say. */
  readonly better: boolean | undefined;
  text(value: number | undefined): string;
}

/** What two configurations make of one scenario, number by number. */
export function differencesOf(first: Report, second: Report): Difference[] {
  const rows: readonly (readonly [
    string,
    string,
    (report: Report) => number | undefined,
    (value: number | undefined) => string,
    -1 | 0 | 1,
  ])[] = [
    ["availability_percent", "availability", ({ headline }) => headline.availabilityPercent, percentText, 1],
    ["unserved", "not served", ({ headline }) => headline.failed + headline.broken + headline.gaveUp, counted, -1],
    ["broken_streams", "streams broken off", ({ streams }) => streams.broken, counted, -1],
    [
      "hops_per_request",
      "hops a request",
      ({ headline }) => headline.hopsPerRequest,
      (value) => value?.toFixed(3) ?? nothing,
      -1,
    ],
    ["first_content_p50_ms", "first content, p50", ({ headline }) => headline.firstContent.p50Ms, timeText, -1],
    ["first_content_p99_ms", "first content, p99", ({ headline }) => headline.firstContent.p99Ms, timeText, -1],
    ["total_p50_ms", "whole answer, p50", ({ headline }) => headline.total.p50Ms, timeText, -1],
    ["total_p99_ms", "whole answer, p99", ({ headline }) => headline.total.p99Ms, timeText, -1],
    ["cost_usd", "cost", ({ headline }) => headline.costUsd, moneyText, -1],
    [
      "breakers_opened",
      "breakers opened",
      ({ endpoints }) => endpoints.reduce((sum, { breaker }) => sum + breaker.opened, 0),
      counted,
      0,
    ],
  ];
  return rows.map(([name, label, read, text, wanted]) => {
    const a = read(first);
    const b = read(second);
    const difference = a === undefined || b === undefined ? undefined : b - a;
    const alike = difference === undefined || isNothing(sizeText(name, difference, text));
    const better = alike || wanted === 0 ? undefined : difference * wanted > 0;
    return { name, label, first: a, second: b, difference, better, text };
  });
}

/** A difference with its sign; of percentages in points. What is so small that it would be told as nothing is none. */
export function differenceText({ name, difference, text }: Difference): string {
  if (difference === undefined) return nothing;
  const words = sizeText(name, difference, text);
  return isNothing(words) ? "=" : `${difference < 0 ? "−" : "+"}${words}`;
}

function sizeText(name: string, difference: number, text: Difference["text"]): string {
  const size = Math.abs(difference);
  return name.endsWith("_percent") ? `${size.toFixed(size < 1 ? 3 : 1)} points` : text(size);
}

/** Whether a figure has no digit but zeros. */
function isNothing(words: string): boolean {
  return !/[1-9]/.test(words);
}

function counted(value: number | undefined): string {
  return value === undefined ? nothing : countText(value);
}
