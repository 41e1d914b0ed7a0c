import type { HistogramPoint, Labels, MetricDefinition, MetricFamily } from "./family.ts";

/** Media type of what Prometheus fetches. */
export const prometheusMediaType = "text/plain; version=0.0.4; charset=utf-8";

const unitSuffixes: Readonly<Record<string, string>> = { s: "_seconds", By: "_bytes" };

/** A metric's name as Prometheus has it, and as a collector makes it of what it is sent over OTLP. */
export function prometheusName({ name, unit, type }: Pick<MetricDefinition, "name" | "unit" | "type">): string {
  return `${underscored(name)}${unitSuffixes[unit] ?? ""}${type === "counter" ? "_total" : ""}`;
}

/** Characters of one piece, about: writing it takes a few milliseconds at most. */
const pieceCharacters = 1 << 18;

/** Figures in the text format of Prometheus, version 0.0.4. */
export function prometheusText(families: readonly MetricFamily[]): string {
  return [...prometheusPieces(families)].join("");
}

/** The same in pieces, so that whoever has a thousand endpoints can do other things in between. */
export function* prometheusPieces(families: readonly MetricFamily[]): Generator<string> {
  let text = "";
  for (const family of families) {
    const name = prometheusName(family);
    text += `# HELP ${name} ${escaped(family.help)}\n# TYPE ${name} ${family.type}\n`;
    for (const point of family.points) {
      text += "counts" in point ? histogramText(name, point) : sample(name, labelsText(point.labels), point.value);
      if (text.length < pieceCharacters) continue;
      yield text;
      text = "";
    }
  }
  yield text;
}

function histogramText(name: string, { labels, bounds, counts, sum, count }: HistogramPoint): string {
  const own = labelsText(labels);
  const bucket = `${name}_bucket{${own}${own === "" ? "" : ","}le="`;
  let text = "";
  let below = 0;
  for (let index = 0; index < bounds.length; index++) {
    below += counts[index] as number; // there is one more of them than of bounds
    text += `${bucket}${bounds[index]}"} ${below}\n`;
  }
  return `${text}${bucket}+Inf"} ${count}\n${sample(`${name}_sum`, own, sum)}${sample(`${name}_count`, own, count)}`;
}

function sample(name: string, labels: string, value: number): string {
  return labels === "" ? `${name} ${numberText(value)}\n` : `${name}{${labels}} ${numberText(value)}\n`;
}

function labelsText(labels: Labels): string {
  let text = "";
  for (const name in labels) {
    text += `${text === "" ? "" : ","}${underscored(name)}="${quoted(String(labels[name]))}"`;
  }
  return text;
}

function numberText(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf";
}

function underscored(name: string): string {
  return name.replaceAll(".", "_");
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function quoted(text: string): string {
  return /["\\\n]/.test(text) ? escaped(text).replaceAll('"', '\\"') : text;
}
