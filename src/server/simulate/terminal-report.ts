import type { EndpointReport, Percentiles, Report, Timeline } from "../../simulation/report-shape.ts";
import { clockText, durationText } from "../../simulation/time-text.ts";
import { answersOf, layersOf } from "./layers.ts";
import { phaseLines } from "./phase-lines.ts";
import { availabilityLine, sparkline } from "./sparkline.ts";
import { textTable, wrapped } from "./text-table.ts";
import { countText, moneyText, nothing, percentText, plainText, shortened, timeText } from "./words.ts";

/** A rehearsal with what it was made of. */
export interface Rehearsed {
  readonly scenario: string;
  /** Where the configuration came from. */
  readonly configuration: string;
  readonly models: readonly string[];
  readonly seed: number;
  /** What a person should know of how the two fit together. */
  readonly notes: readonly string[];
  readonly report: Report;
  /** The timeline in at most so many parts. */
  timeline(most: number): Timeline;
}

/** Gives text a colour, or leaves it. */
export type Paint = (style: "bold" | "dim" | "red" | "green" | "yellow" | "cyan", text: string) => string;

/** Terminals are at least so wide. */
const width = 80;
const labelWidth = 14;
const noteWidth = 14;
/** Columns that a timeline has. */
export const timelineColumns = width - labelWidth - noteWidth;
/** More endpoints than these are summed up. */
const mostRows = 12;

/** The report that a person reads in a minute. */
export function terminalReport(rehearsed: Rehearsed, paint: Paint): string {
  const { report } = rehearsed;
  return [
    ...heading(rehearsed, paint),
    "",
    ...headlines(report, paint),
    "",
    ...timelineLines(rehearsed, paint),
    "",
    ...endpointLines(report, paint),
    ...faultLines(report, paint),
    ...refusalLines(report, paint),
    ...skipLines(report, paint),
    ...streamLines(report, paint),
    "",
    ...findingLines(report, paint),
  ].join("\n");
}

function heading({ scenario, configuration, models, seed, report }: Rehearsed, paint: Paint): string[] {
  const facts = [
    `configuration: ${plainText(configuration)}`,
    `model: ${models.map(plainText).join(", ")}`,
    `seed ${seed}`,
    `${durationText(report.durationMs)} of virtual time`,
  ];
  return [paint("bold", plainText(scenario)), ...wrapped(facts.join(" · "), width).map((line) => paint("dim", line))];
}

function headlines({ headline }: Report, paint: Paint): string[] {
  const { availabilityPercent, requests, hopsPerRequest, firstContent, total, costUsd } = headline;
  const availability = availabilityPercent ?? 100;
  const colour = availability >= 99.9 ? "green" : availability >= 99 ? "yellow" : "red";
  const unserved = headline.failed + headline.broken + headline.gaveUp;
  const rows: [string, string, string, string][] = [
    [
      "availability",
      percentText(availabilityPercent),
      "requests",
      `${countText(requests)}, ${countText(unserved)} not served`,
    ],
    ["first content", pair(firstContent), "hops", `${hopsPerRequest.toFixed(3)} a request`],
    ["whole answer", pair(total), "cost", costText(headline)],
  ];
  return rows.map(([label, value, other, more], index) => {
    const shown = value.padEnd(30);
    return `${paint("dim", label.padEnd(labelWidth))}${index === 0 ? paint(colour, shown) : shown}${paint("dim", other.padEnd(10))}${costUsd === undefined && other === "cost" ? paint("dim", more) : more}`;
  });
}

function pair({ p50Ms, p99Ms }: Percentiles): string {
  return `p50 ${timeText(p50Ms)}, p99 ${timeText(p99Ms)}`;
}

function costText({ costUsd, unpriced, possiblyBilledUsd = 0 }: Report["headline"]): string {
  if (costUsd === undefined) return "no prices known";
  if (unpriced.length > 0) return `${moneyText(costUsd)} and ${unpriced.length} unpriced`;
  return possiblyBilledUsd >= 0.01
    ? `${moneyText(costUsd)}, perhaps ${moneyText(possiblyBilledUsd)} more`
    : moneyText(costUsd);
}

/** The rows of a timeline with its phases under it. */
export function timelineLines(rehearsed: Rehearsed, paint: Paint): string[] {
  const { report } = rehearsed;
  const { bucketMs, buckets } = rehearsed.timeline(timelineColumns);
  const row = (label: string, line: string, note: string) =>
    `${shortLabel(label).padEnd(labelWidth)}${line.padEnd(timelineColumns)} ${note}`.trimEnd();
  const most = (values: readonly (number | undefined)[]) => Math.max(0, ...values.map((value) => value ?? 0));
  const availability = buckets.map(({ availabilityPercent }) => availabilityPercent);
  const worst = Math.min(100, ...availability.map((value) => value ?? 100));
  const p50 = buckets.map(({ firstContent }) => firstContent.p50Ms);
  const p99 = buckets.map(({ firstContent }) => firstContent.p99Ms);
  const asked = buckets.map(({ requests }) => requests);
  const perSecond = (count: number) => `${shortRate((count * 1000) / bucketMs)}/s`;
  const layers = layersOf(report.endpoints).map((layer) => ({
    name: layer.name,
    counts: buckets.map((bucket) => answersOf(layer, bucket)),
  }));
  const mostAnswers = most(layers.flatMap(({ counts }) => counts));
  return [
    `${paint("bold", "timeline")}${paint("dim", `, each column ${durationText(bucketMs)}`)}`,
    row(
      "availability",
      availabilityLine(availability),
      `worst ${percentText(worst)}`.replace(/\.\d+/, worst > 99 ? "$&" : ""),
    ),
    row("first, p50", sparkline(p50, most(p50)), `top ${timeText(most(p50) || undefined)}`),
    row("first, p99", sparkline(p99, most(p99)), `top ${timeText(most(p99) || undefined)}`),
    row("requests", sparkline(asked, most(asked)), `top ${perSecond(most(asked))}`),
    ...layers.map(({ name, counts }) =>
      row(` ${plainText(name)}`, sparkline(counts, mostAnswers), `top ${perSecond(most(counts))}`),
    ),
    ...phaseLines(report.phases, buckets.length, bucketMs, width - labelWidth).map((line) =>
      paint("cyan", " ".repeat(labelWidth) + line),
    ),
    paint("dim", " ".repeat(labelWidth) + axis(report.durationMs, buckets.length)),
  ];
}

/** A label that fits; of a tier its number stays, and how many it has gives way. */
function shortLabel(label: string): string {
  const room = labelWidth - 2;
  return shortened(label.length > room ? label.replace(/^( tier \d+) \(\d+\)$/, "$1") : label, room);
}

function axis(durationMs: number, columns: number): string {
  const end = clockText(durationMs);
  return columns < 20 ? `to ${end}` : clockText(0).padEnd(columns - end.length) + end;
}

function shortRate(rate: number): string {
  return rate >= 10 || Number.isInteger(rate) ? String(Math.round(rate)) : rate.toFixed(1);
}

function endpointLines({ endpoints }: Report, paint: Paint): string[] {
  const shown = [...endpoints].sort((a, b) => a.tier - b.tier || b.answers - a.answers).slice(0, mostRows);
  const { head, lines } = textTable(
    width,
    [
      { title: "endpoint", flexible: true },
      { title: "tier", align: "right" },
      { title: "share", align: "right" },
      { title: "attempts", align: "right" },
      { title: "failed", align: "right" },
      { title: "cost", align: "right" },
      { title: "opened", align: "right" },
      { title: "keys left" },
    ],
    shown.map((each) => [
      plainText(each.endpoint),
      String(each.tier),
      `${each.sharePercent.toFixed(1)}%`,
      countText(each.attempts),
      countText(each.failures),
      moneyText(each.costUsd),
      each.breaker.opened === 0 ? nothing : `${each.breaker.opened} ×`,
      keysText(each),
    ]),
  );
  const more = endpoints.length > shown.length ? [paint("dim", `and ${endpoints.length - shown.length} more`)] : [];
  return [paint("dim", head), ...lines, ...more];
}

function keysText({ keys }: EndpointReport): string {
  if (!keys) return "none needed";
  return keys.least === keys.atEnd ? `${keys.least} of ${keys.total}` : `${keys.least}…${keys.atEnd} of ${keys.total}`;
}

function faultLines({ faults }: Report, paint: Paint): string[] {
  if (faults.length === 0) return [];
  const { head, lines } = textTable(
    width,
    [
      { title: "lost and found", flexible: true },
      { title: "endpoint", flexible: true },
      { title: "opened", align: "right" },
      { title: "calls in it", align: "right" },
      { title: "probed", align: "right" },
      { title: "served", align: "right" },
      { title: "full share", align: "right" },
    ],
    faults
      .slice(0, mostRows)
      .map((fault) => [
        plainText(fault.phase),
        plainText(fault.endpoint),
        after(fault.openedAfterMs),
        countText(fault.attempts),
        after(fault.firstAttemptMs),
        after(fault.firstSuccessMs),
        after(fault.fullShareMs),
      ]),
  );
  const more = faults.length > mostRows ? [paint("dim", `and ${faults.length - mostRows} more`)] : [];
  return ["", paint("dim", head), ...lines, ...more];
}

function after(ms: number | undefined): string {
  return ms === undefined ? nothing : `+${durationText(ms)}`;
}

function refusalLines({ refusals }: Report, paint: Paint): string[] {
  if (refusals.length === 0) return [];
  const ways: Readonly<Record<string, string>> = {
    failed: "refused",
    broken: "broke off",
    gave_up: "caller gave up",
    not_admitted: "caller's limit",
  };
  const { head, lines } = textTable(
    width,
    [
      { title: "callers saw" },
      { title: "" },
      { title: "" },
      { title: "count", align: "right" },
      { title: "first" },
      { title: "last" },
    ],
    refusals.map(({ httpStatus, code, outcome, count, firstMs, lastMs }) => [
      String(httpStatus),
      code,
      ways[outcome] ?? outcome,
      countText(count),
      clockText(firstMs),
      clockText(lastMs),
    ]),
  );
  return ["", paint("dim", head), ...lines.map((line) => paint("red", line))];
}

function skipLines({ skips }: Report, paint: Paint): string[] {
  if (skips.length === 0) return [];
  const words = skips.map(({ reason, count }) => `${reason} ${countText(count)}`).join(", ");
  return ["", ...wrapped(`${paint("dim", "passed over:")} ${words}`, width, "  ")];
}

function streamLines({ streams }: Report, paint: Paint): string[] {
  if (streams.requests === 0) return [];
  const { requests, whole, broken, left, withoutContent, recovered, hedges, hedgesWon } = streams;
  const words = [
    `${countText(requests)}, ${countText(whole)} whole`,
    left > 0 && `${countText(left)} left by their callers`,
    withoutContent > 0 && `${countText(withoutContent)} without content`,
    `${countText(broken)} broke off`,
    recovered > 0 && `${countText(recovered)} went on elsewhere`,
    hedges > 0 && `${countText(hedges)} hedged, ${countText(hedgesWon)} of them in time`,
  ];
  return wrapped(`${paint("dim", "streams:")} ${words.filter(Boolean).join(", ")}`, width, "  ");
}

function findingLines({ findings }: Report, paint: Paint): string[] {
  return [paint("bold", "findings"), ...findings.flatMap((finding) => wrapped(`- ${plainText(finding)}`, width, "  "))];
}
