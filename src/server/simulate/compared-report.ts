import type { Bucket, EndpointReport } from "../../simulation/report-shape.ts";
import { clockText, durationText } from "../../simulation/time-text.ts";
import { differencesOf, differenceText } from "./difference.ts";
import { rehearsalJson } from "./json-report.ts";
import { phaseLines } from "./phase-lines.ts";
import { availabilityLine, sparkline } from "./sparkline.ts";
import { type Paint, type Rehearsed, timelineColumns } from "./terminal-report.ts";
import { textTable, wrapped } from "./text-table.ts";
import { countText, nothing, percentText, plainText, timeText } from "./words.ts";

const width = 80;
const labelWidth = 14;

/** Two configurations in one scenario, side by side, for people. */
export function comparedReport(first: Rehearsed, second: Rehearsed, paint: Paint): string {
  const { scenario, models, seed, report } = first;
  const facts = `model: ${models.map(plainText).join(", ")} · seed ${seed} · ${durationText(report.durationMs)} of virtual time`;
  const differences = differencesOf(first.report, second.report);
  const { head, lines } = textTable(
    width,
    [
      { title: "" },
      { title: "A", align: "right" },
      { title: "B", align: "right" },
      { title: "difference", align: "right" },
    ],
    differences.map((each) => [each.label, each.text(each.first), each.text(each.second), differenceText(each)]),
  );
  return [
    paint("bold", plainText(scenario)),
    ...wrapped(facts, width).map((line) => paint("dim", line)),
    `A  ${plainText(first.configuration)}`,
    `B  ${plainText(second.configuration)}`,
    "",
    paint("dim", head),
    ...lines.map((line, index) => {
      const better = differences[index]?.better;
      return better === undefined ? line : paint(better ? "green" : "red", line);
    }),
    "",
    ...timelines(first, second, paint),
    "",
    ...endpoints(first, second, paint),
    "",
    ...[first, second].flatMap(({ report: each }, index) => [
      paint("bold", `findings of ${index === 0 ? "A" : "B"}`),
      ...each.findings.flatMap((finding) => wrapped(`- ${plainText(finding)}`, width, "  ")),
    ]),
  ].join("\n");
}

function timelines(first: Rehearsed, second: Rehearsed, paint: Paint): string[] {
  const a = first.timeline(timelineColumns);
  const both = [a, second.timeline(timelineColumns)];
  const rows = (
    label: string,
    read: (bucket: Bucket) => number | undefined,
    draw: (values: readonly (number | undefined)[], most: number) => string,
    note: (values: readonly number[]) => string,
  ) => {
    const values = both.map(({ buckets }) => buckets.map(read));
    const most = Math.max(0, ...values.flat().map((value) => value ?? 0));
    return values.map((each, index) => {
      const known = each.filter((value) => value !== undefined);
      const name = `${index === 0 ? label.padEnd(labelWidth - 2) : " ".repeat(labelWidth - 2)}${index === 0 ? "A" : "B"} `;
      return `${name}${draw(each, most).padEnd(timelineColumns)} ${note(known)}`.trimEnd();
    });
  };
  const worst = (values: readonly number[]) => `worst ${percentText(Math.min(100, ...values)).replace(/\.\d+ /, " ")}`;
  const top = (values: readonly number[]) => `top ${timeText(values.length === 0 ? undefined : Math.max(...values))}`;
  const end = clockText(first.report.durationMs);
  const columns = a.buckets.length;
  return [
    `${paint("bold", "timeline")}${paint("dim", `, each column ${durationText(a.bucketMs)}`)}`,
    ...rows("available", ({ availabilityPercent }) => availabilityPercent, availabilityLine, worst),
    ...rows("first, p50", ({ firstContent }) => firstContent.p50Ms, sparkline, top),
    ...rows("first, p99", ({ firstContent }) => firstContent.p99Ms, sparkline, top),
    ...phaseLines(first.report.phases, columns, a.bucketMs, width - labelWidth).map((line) =>
      paint("cyan", " ".repeat(labelWidth) + line),
    ),
    paint(
      "dim",
      " ".repeat(labelWidth) + (columns < 20 ? `to ${end}` : clockText(0).padEnd(columns - end.length) + end),
    ),
  ];
}

function endpoints(first: Rehearsed, second: Rehearsed, paint: Paint): string[] {
  const reports = [first, second].map(({ report }) => new Map(report.endpoints.map((each) => [each.endpoint, each])));
  const names = [...new Set(reports.flatMap((each) => [...each.keys()]))].slice(0, 24);
  const pair = (name: string, read: (each: EndpointReport) => string) =>
    reports.map((report) => {
      const found = report.get(name);
      return found ? read(found) : nothing;
    });
  const { head, lines } = textTable(
    width,
    [
      { title: "endpoint", flexible: true },
      { title: "share A", align: "right" },
      { title: "B", align: "right" },
      { title: "attempts A", align: "right" },
      { title: "B", align: "right" },
      { title: "failed A", align: "right" },
      { title: "B", align: "right" },
    ],
    names.map((name) => [
      plainText(name),
      ...pair(name, ({ sharePercent }) => `${sharePercent.toFixed(1)}%`),
      ...pair(name, ({ attempts }) => countText(attempts)),
      ...pair(name, ({ failures }) => countText(failures)),
    ]),
  );
  return [paint("dim", head), ...lines];
}

/** Two configurations in one scenario, for programs. */
export function comparedJson(first: Rehearsed, second: Rehearsed): Record<string, unknown> {
  const rounded = (value: number | undefined) => (value === undefined ? null : Math.round(value * 1e6) / 1e6);
  return {
    version: 1,
    scenario: first.scenario,
    seed: first.seed,
    differences: differencesOf(first.report, second.report).map(({ name, first: a, second: b, difference }) => ({
      name,
      first: rounded(a),
      second: rounded(b),
      difference: rounded(difference),
    })),
    rehearsals: [rehearsalJson(first), rehearsalJson(second)],
  };
}
