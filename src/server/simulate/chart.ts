import { clockText } from "../../simulation/time-text.ts";
import { type Html, html } from "./markup.ts";

/** One line or one layer of a chart. */
export interface Series {
  readonly name: string;
  /** A colour of the page's palette: `a`, `b`, `0` to `8`. */
  readonly colour: string;
  readonly values: readonly (number | undefined)[];
  readonly style?: "solid" | "dashed" | undefined;
}

/** A chart over the time of a rehearsal. */
export interface Chart {
  readonly title: string;
  readonly note?: string | undefined;
  readonly kind: "lines" | "stack";
  readonly unit: "percent" | "ms" | "per_second";
  readonly series: readonly Series[];
  /** Undefined: from 0 to the most. */
  readonly range?: readonly [number, number] | undefined;
}

/** What all charts of a page share. */
export interface TimeFrame {
  readonly durationMs: number;
  readonly bucketMs: number;
  readonly phases: readonly { readonly name: string; readonly fromMs: number; readonly toMs: number }[];
}

/** The plot is drawn in a square of so many units and stretched: lines keep their width, labels stand beside it. */
const side = 1000;

/** A chart as a figure. @param id tells it apart, for the page's script */
export function chartFigure(chart: Chart, frame: TimeFrame, id: number): Html {
  const [low, high] = rangeOf(chart);
  const y = (value: number) => round(side - ((value - low) / (high - low)) * side);
  const ticks = ticksOf(low, high);
  return html`<figure class="chart">
<figcaption><h3>${chart.title}</h3>${legend(chart)}</figcaption>
${chart.note !== undefined && html`<p class="note">${chart.note}</p>`}
<div class="frame"><div class="scale">${ticks.map((tick) => html`<span style="top:${y(tick) / 10}%">${unitText(tick, chart.unit)}</span>`)}</div>
<div class="plot ${chart.unit === "percent" && "low"}" data-chart="${id}">
<svg viewBox="0 0 ${side} ${side}" preserveAspectRatio="none" aria-hidden="true">
${shades(frame)}${ticks.map((tick) => html`<line class="grid" x1="0" x2="${side}" y1="${y(tick)}" y2="${y(tick)}"/>`)}
${chart.unit === "percent" && chart.series.map((series) => loss(series, y))}${chart.kind === "stack" ? layers(chart.series, y) : chart.series.map((series) => path(series, y))}
</svg>${badges(frame)}<i class="cursor"></i></div></div>
${timeAxis(frame)}
</figure>`;
}

/** Colours and names of what a chart shows. */
function legend({ series }: Chart): Html {
  return html`<ul class="legend">${series.map(
    ({ name, colour, style }) =>
      html`<li><i class="key ${style === "dashed" && "dashed"}" style="--c:var(--c${colour})"></i>${name}</li>`,
  )}</ul>`;
}

/** The data of a chart, for whoever points at it. */
export function chartData({ title, unit, series }: Chart): unknown {
  return {
    title,
    unit,
    series: series.map(({ name, colour, values }) => ({
      name,
      colour,
      values: values.map((value) => (value === undefined ? null : Math.round(value * 1000) / 1000)),
    })),
  };
}

/** A band of coloured stretches, for states that last. */
export function bandRow(
  label: string,
  stretches: readonly { readonly fromMs: number; readonly toMs: number; readonly state: string }[],
  { durationMs }: TimeFrame,
): Html {
  const percent = (ms: number) => round((100 * Math.min(ms, durationMs)) / durationMs);
  return html`<div class="band"><span class="label" title="${label}">${label}</span><div class="track">${stretches
    .filter(({ fromMs }) => fromMs < durationMs)
    .map(
      ({ fromMs, toMs, state }) =>
        html`<i class="${state}" style="left:${percent(fromMs)}%;width:${round(percent(toMs) - percent(fromMs))}%" title="${state.replace("_", " ")} ${clockText(fromMs)} – ${clockText(toMs)}"></i>`,
    )}</div></div>`;
}

/** When begins and ends. */
export function timeAxis({ durationMs }: TimeFrame): Html {
  const marks = [0, 0.25, 0.5, 0.75, 1];
  return html`<div class="time" aria-hidden="true">${marks.map((mark) => html`<span style="left:${mark * 100}%">${clockText(durationMs * mark)}</span>`)}</div>`;
}

function shades({ phases, durationMs }: TimeFrame): Html[] {
  const x = (ms: number) => round((side * Math.min(ms, durationMs)) / durationMs);
  return phases.map(
    ({ fromMs, toMs }) =>
      html`<rect class="phase" x="${x(fromMs)}" width="${round(x(toMs) - x(fromMs))}" y="0" height="${side}"/>`,
  );
}

/** The phases' numbers; their names stand in the page's list of them. */
function badges({ phases, durationMs }: TimeFrame): Html[] {
  return phases.map(
    ({ name, fromMs }, index) =>
      html`<b class="badge" style="left:${round((100 * fromMs) / durationMs)}%" title="${name}">${index + 1}</b>`,
  );
}

function path({ values, colour, style }: Series, y: (value: number) => number): Html {
  const step = side / values.length;
  let text = "";
  let drawing = false;
  for (const [index, value] of values.entries()) {
    if (value === undefined) {
      drawing = false;
      continue;
    }
    // To the very edges: a bucket is a stretch, not a point.
    if (!drawing) text += `M${round(index === 0 ? 0 : index * step)} ${y(value)}`;
    text += `L${round((index + 0.5) * step)} ${y(value)}`;
    if (index === values.length - 1 || values[index + 1] === undefined)
      text += `L${round((index + 1) * step)} ${y(value)}`;
    drawing = true;
  }
  return html`<path class="line ${style === "dashed" && "dashed"}" style="--c:var(--c${colour})" d="${text}"/>`;
}

/** What is missing to the whole. */
function loss({ values }: Series, y: (value: number) => number): Html {
  const step = side / values.length;
  const stretches = values.flatMap((value, index) =>
    value === undefined || value === 100
      ? []
      : [`M${round(index * step)} ${y(100)}H${round((index + 1) * step)}V${y(value)}H${round(index * step)}Z`],
  );
  return html`<path class="loss" d="${stretches.join("")}"/>`;
}

function layers(series: readonly Series[], y: (value: number) => number): Html[] {
  const count = series[0]?.values.length ?? 0;
  const step = side / Math.max(1, count);
  let floor: number[] = Array.from({ length: count }, () => 0);
  return series.map(({ values, colour }) => {
    const top = floor.map((value, index) => value + (values[index] ?? 0));
    const edge = (levels: readonly number[]) => [
      [0, levels[0] ?? 0],
      ...levels.map((level, index) => [(index + 0.5) * step, level]),
      [side, levels.at(-1) ?? 0],
    ];
    const points = [...edge(top), ...edge(floor).reverse()].map(([x = 0, level = 0]) => `${round(x)} ${y(level)}`);
    floor = top;
    return html`<path class="layer" style="--c:var(--c${colour})" d="M${points.join("L")}Z"/>`;
  });
}

function rangeOf({ range, series, kind }: Chart): readonly [number, number] {
  if (range) return range;
  const count = series[0]?.values.length ?? 0;
  const values =
    kind === "stack"
      ? Array.from({ length: count }, (_, index) => series.reduce((sum, each) => sum + (each.values[index] ?? 0), 0))
      : series.flatMap((each) => each.values.map((value) => value ?? 0));
  const most = values.reduce((top, value) => Math.max(top, value), 0);
  return [0, most === 0 ? 1 : most * 1.08];
}

/** A few round numbers. */
function ticksOf(low: number, high: number): number[] {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power;
  const ticks: number[] = [];
  for (let tick = Math.ceil(low / step - 1e-9) * step; tick <= high + step * 1e-6; tick += step)
    ticks.push(round(tick));
  return ticks;
}

function unitText(value: number, unit: Chart["unit"]): string {
  if (unit === "percent") return `${value}%`;
  if (unit === "per_second") return `${value}/s`;
  return value < 1000 ? `${value} ms` : `${Math.round(value / 100) / 10} s`;
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
