import type { Bucket, EndpointReport, PhaseReport, Report } from "../../simulation/report-shape.ts";
import { clockText, durationText } from "../../simulation/time-text.ts";
import { bandRow, type Chart, chartData, chartFigure, type Series, type TimeFrame, timeAxis } from "./chart.ts";
import { type Difference, differencesOf, differenceText } from "./difference.ts";
import { answersOf, layersOf } from "./layers.ts";
import { embedded, Html, html } from "./markup.ts";
import { pageScript } from "./page-script.ts";
import { pageStyle } from "./page-style.ts";
import type { Rehearsed } from "./terminal-report.ts";
import { countText, moneyText, nothing, percentText, timeText } from "./words.ts";

/** One or two rehearsals of one scenario as a page that stands alone: nothing is fetched, and it is the same each time. */
export function htmlReport(first: Rehearsed, second?: Rehearsed): string {
  const all = second ? [first, second] : [first];
  const { scenario, models, seed, report } = first;
  const frame: TimeFrame = { durationMs: report.durationMs, bucketMs: report.timeline.bucketMs, phases: report.phases };
  const charts = second ? comparedCharts(first.report, second.report) : chartsOf(report);
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>${scenario} · Everhop</title>
<style>${new Html(pageStyle)}</style>
</head>
<body>
<main>
<header>
<h1>${scenario}</h1>
<p class="meta">${all.map(({ configuration }, index) => html`<span>${second ? tag(index) : "configuration:"} ${configuration}</span>`)}<span>model: ${models.join(", ")}</span><span>seed ${seed}</span><span>${durationText(report.durationMs)} of virtual time</span></p>
</header>
${second ? html`<h2>Side by side</h2><div class="compared">${differenceTable(differencesOf(first.report, second.report))}</div>` : cards(report)}
${all.map((each, index) => html`${second && html`<h3 class="whose">${tag(index)} ${each.configuration}</h3>`}<ul class="findings ${index === 1 && "b"}">${each.report.findings.map((finding) => html`<li>${finding}</li>`)}</ul>`)}
${phaseList(report.phases)}
<section>${charts.map((chart, index) => chartFigure(chart, frame, index))}</section>
<section>${all.map((each, index) => breakerBands(each.report, frame, second && index))}</section>
<h2>Endpoints</h2>
${endpointTable(all.map((each) => each.report))}
${faultTable(all.map((each) => each.report))}
${refusalTable(all.map((each) => each.report))}
${skipTable(all.map((each) => each.report))}
<footer>Rehearsed on a virtual clock: the routing is the one that serves traffic, the providers were not there, and nothing was billed. What a scenario does not say has not happened in it.</footer>
</main>
<div id="tip"></div>
<script type="application/json" id="data">${embedded({ ...frame, phases: undefined, charts: charts.map(chartData) })}</script>
<script>${new Html(pageScript)}</script>
</body>
</html>
`;
  return page.text;
}

function tag(index: number): Html {
  return html`<b class="tag ${index === 1 && "b"}">${index === 0 ? "A" : "B"}</b>`;
}

function cards({ headline, streams }: Report): Html {
  const { availabilityPercent, firstContent, total, costUsd } = headline;
  const availability = availabilityPercent ?? 100;
  const unserved = headline.failed + headline.broken + headline.gaveUp;
  const mood = availability >= 99.9 ? "good" : availability >= 99 ? "fair" : "bad";
  const card = (title: string, value: string, note: string, colour = "") =>
    html`<div><dt>${title}</dt><dd class="${colour}">${value}<small>${note}</small></dd></div>`;
  return html`<dl class="cards">
${card("Availability", percentText(availabilityPercent), availabilityPercent === undefined ? "nobody asked" : unserved === 0 ? "nobody went unserved" : `${countText(unserved)} not served`, mood)}
${card("Requests", countText(headline.requests), streams.requests > 0 ? `${countText(streams.requests)} of them streams` : "none of them streams")}
${card("Hops a request", headline.hopsPerRequest.toFixed(3), `${countText(headline.attempts)} attempts`)}
${card("First content", timeText(firstContent.p50Ms), `p99 ${timeText(firstContent.p99Ms)}`)}
${card("Whole answer", timeText(total.p50Ms), `p99 ${timeText(total.p99Ms)}`)}
${card("Cost", moneyText(costUsd), costNote(headline))}
</dl>`;
}

function costNote({ costUsd, possiblyBilledUsd = 0, unpriced }: Report["headline"]): string {
  if (costUsd === undefined) return "no prices known";
  if (unpriced.length > 0) return `${unpriced.length} endpoints without prices`;
  return possiblyBilledUsd >= 0.01 ? `perhaps ${moneyText(possiblyBilledUsd)} more in vain` : "of all answers";
}

function phaseList(phases: readonly PhaseReport[]): Html | undefined {
  if (phases.length === 0) return undefined;
  return html`<ol class="phases">${phases.map(
    ({ name, fromMs, toMs, does, endpoints }, index) =>
      html`<li><b>${index + 1}</b><div>${name} <span>${clockText(fromMs)} – ${clockText(toMs)}${does && html` · ${does}`}${endpoints.length > 0 && html` · ${listed(endpoints)}`}</span></div></li>`,
  )}</ol>`;
}

function listed(names: readonly string[]): string {
  return names.length > 4 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more` : names.join(", ");
}

function chartsOf(report: Report): Chart[] {
  const { buckets } = report.timeline;
  return [
    {
      title: "Availability",
      kind: "lines",
      unit: "percent",
      range: availabilityRange([report]),
      series: [
        { name: "requests served", colour: "1", values: buckets.map(({ availabilityPercent }) => availabilityPercent) },
      ],
    },
    answerChart(report, "Answers"),
    {
      title: "Time to the first content",
      kind: "lines",
      unit: "ms",
      series: [
        { name: "p99", colour: "2", values: buckets.map(({ firstContent }) => firstContent.p99Ms) },
        { name: "p50", colour: "0", values: buckets.map(({ firstContent }) => firstContent.p50Ms) },
      ],
    },
    {
      title: "Time to the whole answer",
      kind: "lines",
      unit: "ms",
      series: [
        { name: "p99", colour: "2", values: buckets.map(({ total }) => total.p99Ms) },
        { name: "p50", colour: "0", values: buckets.map(({ total }) => total.p50Ms) },
      ],
    },
  ];
}

function comparedCharts(first: Report, second: Report): Chart[] {
  const both = (read: (bucket: Bucket) => number | undefined, word: string, style?: "dashed"): Series[] => [
    { name: `A${word}`, colour: "a", values: first.timeline.buckets.map(read), style },
    { name: `B${word}`, colour: "b", values: second.timeline.buckets.map(read), style },
  ];
  return [
    {
      title: "Availability",
      kind: "lines",
      unit: "percent",
      range: availabilityRange([first, second]),
      series: both(({ availabilityPercent }) => availabilityPercent, ""),
    },
    answerChart(first, "A: answers"),
    answerChart(second, "B: answers"),
    {
      title: "Time to the first content",
      kind: "lines",
      unit: "ms",
      series: [
        ...both(({ firstContent }) => firstContent.p99Ms, ", p99"),
        ...both(({ firstContent }) => firstContent.p50Ms, ", p50", "dashed"),
      ],
    },
    {
      title: "Time to the whole answer",
      kind: "lines",
      unit: "ms",
      series: [...both(({ total }) => total.p99Ms, ", p99"), ...both(({ total }) => total.p50Ms, ", p50", "dashed")],
    },
  ];
}

/** From a little below the worst to 100; one point at least, so that a thousandth does not look like an outage. */
function availabilityRange(reports: readonly Report[]): readonly [number, number] {
  const worst = reports
    .flatMap(({ timeline }) => timeline.buckets)
    .reduce((least, { availabilityPercent }) => Math.min(least, availabilityPercent ?? 100), 100);
  return [Math.max(0, Math.floor(Math.min(99, worst - (100 - worst) * 0.1))), 100];
}

function answerChart({ timeline, endpoints }: Report, title: string): Chart {
  const perSecond = (count: number) => (count * 1000) / timeline.bucketMs;
  const series: Series[] = layersOf(endpoints).map((layer, index) => ({
    name: layer.name,
    colour: String(index),
    values: timeline.buckets.map((bucket) => perSecond(answersOf(layer, bucket))),
  }));
  const unserved = timeline.buckets.map((bucket) => perSecond(bucket.unserved));
  if (unserved.some((value) => value > 0)) series.push({ name: "not served", colour: "error", values: unserved });
  return { title, kind: "stack", unit: "per_second", series };
}

/** The colour of each endpoint: that of its layer. */
function coloursOf(endpoints: readonly EndpointReport[]): Map<number, string> {
  const layers = layersOf(endpoints);
  return new Map(layers.flatMap(({ members }, index) => members.map((member) => [member, String(index)] as const)));
}

/** More rows than these tell nobody anything. */
const mostBands = 24;

function breakerBands(report: Report, frame: TimeFrame, which: number | undefined): Html {
  const opened = report.endpoints.filter(({ breaker }) => breaker.opened > 0);
  const shown = opened.slice(0, mostBands);
  const title = `${which === undefined ? "" : which === 0 ? "A: " : "B: "}${which === undefined ? "Breakers" : "breakers"}`;
  if (opened.length === 0)
    return html`<figure class="chart"><figcaption><h3>${title}</h3></figcaption><p class="note">None opened.</p></figure>`;
  return html`<figure class="chart"><figcaption><h3>${title}</h3><ul class="legend"><li><i class="key" style="--c:var(--good-band)"></i>closed</li><li><i class="key" style="--c:var(--fair-band)"></i>half open</li><li><i class="key" style="--c:var(--bad-band)"></i>open</li></ul></figcaption>
<div class="bands">${shown.map(({ endpoint }) => bandRow(endpoint, stretchesOf(report, endpoint), frame))}</div>
${timeAxis(frame)}
${opened.length > shown.length && html`<p class="note">and ${opened.length - shown.length} more</p>`}</figure>`;
}

/** When a breaker was open and half open. */
function stretchesOf({ breakerEvents, durationMs }: Report, endpoint: string) {
  const events = breakerEvents.filter((event) => event.endpoint === endpoint);
  return events.flatMap(({ atMs, state }, index) =>
    state === "closed"
      ? []
      : [{ fromMs: atMs, toMs: Math.min(events[index + 1]?.atMs ?? durationMs, durationMs), state }],
  );
}

interface HtmlColumn {
  readonly title: string;
  readonly number?: boolean;
}

/** A page is to be read: what is more stands in the document for programs. */
const mostRows = 100;

function table(columns: readonly HtmlColumn[], rows: readonly (readonly (string | Html)[])[]): Html {
  const kind = (index: number) => (columns[index]?.number ? "n" : "");
  return html`<div class="scroll"><table><thead><tr>${columns.map(({ title }, index) => html`<th class="${kind(index)}">${title}</th>`)}</tr></thead>
<tbody>${rows.slice(0, mostRows).map((row) => html`<tr>${row.map((cell, index) => html`<td class="${kind(index)}">${cell}</td>`)}</tr>`)}</tbody></table></div>${rows.length > mostRows && html`<p class="note">and ${countText(rows.length - mostRows)} more</p>`}`;
}

function differenceTable(differences: readonly Difference[]): Html {
  return table(
    [{ title: "" }, { title: "A", number: true }, { title: "B", number: true }, { title: "difference", number: true }],
    differences.map((difference) => {
      const { label, first, second, better, text } = difference;
      const colour = better === undefined ? "" : better ? "good" : "bad";
      return [label, text(first), text(second), html`<span class="${colour}">${differenceText(difference)}</span>`];
    }),
  );
}

/** The first cell of a row where two configurations stand in one table. */
function which(reports: readonly Report[], report: Report): Html[] {
  return reports.length > 1 ? [tag(reports.indexOf(report))] : [];
}

function endpointTable(reports: readonly Report[]): Html {
  const rows = reports.flatMap((report) => {
    const colours = coloursOf(report.endpoints);
    return report.endpoints.map((each, index) => [
      ...which(reports, report),
      html`<i class="key" style="--c:var(--c${colours.get(index)})"></i>${each.endpoint}`,
      String(each.tier),
      `${each.sharePercent.toFixed(1)} %`,
      countText(each.answers),
      countText(each.attempts),
      html`${countText(each.failures)}${each.failures > 0 && html` <small>${failureText(each)}</small>`}`,
      moneyText(each.costUsd),
      each.breaker.opened === 0
        ? nothing
        : html`${each.breaker.opened} × <small>${durationText(each.breaker.openMs)}</small>`,
      each.keys ? html`${each.keys.least} <small>of ${each.keys.total}</small>` : "none needed",
      ...(reports.some(({ streams }) => streams.hedges > 0) ? [countText(each.hedges)] : []),
    ]);
  });
  return table(
    [
      ...(reports.length > 1 ? [{ title: "" }] : []),
      { title: "Endpoint" },
      { title: "Tier", number: true },
      { title: "Share", number: true },
      { title: "Answers", number: true },
      { title: "Attempts", number: true },
      { title: "Failed", number: true },
      { title: "Cost", number: true },
      { title: "Breaker opened", number: true },
      { title: "Keys at worst", number: true },
      ...(reports.some(({ streams }) => streams.hedges > 0) ? [{ title: "Hedges", number: true }] : []),
    ],
    rows,
  );
}

/** What it failed of, the commonest way only. */
function failureText({ failuresByOutcome }: EndpointReport): string {
  const [first] = failuresByOutcome;
  return failuresByOutcome.length > 1 ? `mostly ${first?.outcome}` : (first?.outcome ?? "");
}

function faultTable(reports: readonly Report[]): Html | undefined {
  const after = (ms: number | undefined) => (ms === undefined ? nothing : `+${durationText(ms)}`);
  const rows = reports.flatMap((report) =>
    report.faults.map((fault) => [
      ...which(reports, report),
      fault.phase,
      fault.endpoint,
      after(fault.openedAfterMs),
      countText(fault.attempts),
      after(fault.firstAttemptMs),
      after(fault.firstSuccessMs),
      after(fault.fullShareMs),
    ]),
  );
  if (rows.length === 0) return undefined;
  const columns = [
    ...(reports.length > 1 ? [{ title: "" }] : []),
    { title: "Phase" },
    { title: "Endpoint" },
    { title: "Breaker opened", number: true },
    { title: "Calls in it", number: true },
    { title: "Next call", number: true },
    { title: "Next success", number: true },
    { title: "Full share", number: true },
  ];
  return html`<h2>Lost and found</h2>${table(columns, rows)}`;
}

function refusalTable(reports: readonly Report[]): Html | undefined {
  const ways: Readonly<Record<string, string>> = {
    failed: "refused",
    broken: "broke off",
    gave_up: "the caller gave up",
    not_admitted: "the caller's own limit",
  };
  const rows = reports.flatMap((report) =>
    report.refusals.map(({ httpStatus, code, outcome, count, firstMs, lastMs }) => [
      ...which(reports, report),
      html`<span class="bad">${httpStatus}</span> ${code}`,
      ways[outcome] ?? outcome,
      countText(count),
      clockText(firstMs),
      clockText(lastMs),
    ]),
  );
  if (rows.length === 0) return undefined;
  const columns = [
    ...(reports.length > 1 ? [{ title: "" }] : []),
    { title: "Callers saw" },
    { title: "How" },
    { title: "Count", number: true },
    { title: "First", number: true },
    { title: "Last", number: true },
  ];
  return html`<h2>Not served</h2>${table(columns, rows)}`;
}

function skipTable(reports: readonly Report[]): Html | undefined {
  const rows = reports.flatMap((report) =>
    report.skips.map(({ reason, count, endpoints }) => [
      ...which(reports, report),
      reason,
      countText(count),
      listed(endpoints),
    ]),
  );
  if (rows.length === 0) return undefined;
  const columns = [
    ...(reports.length > 1 ? [{ title: "" }] : []),
    { title: "Reason" },
    { title: "Count", number: true },
    { title: "Endpoints" },
  ];
  return html`<h2>Passed over</h2>${table(columns, rows)}`;
}
