/** What a figure is about. Prometheus calls them labels, OpenTelemetry attributes. */
export type Labels = Readonly<Record<string, string | number>>;

/** What all figures of one name have in common. */
export interface MetricDefinition {
  /** As OpenTelemetry writes it, with dots; for Prometheus it is derived: `prometheusName`. */
  readonly name: string;
  readonly help: string;
  /** UCUM: `s`, `By`, `{request}`. */
  readonly unit: string;
  readonly type: "counter" | "gauge" | "histogram";
}

/** One figure. */
export interface NumberPoint {
  readonly labels: Labels;
  readonly value: number;
}

/** How values are spread. */
export interface HistogramPoint {
  readonly labels: Labels;
  /** Upper ends of the buckets, inclusive, without the last, which has none. */
  readonly bounds: readonly number[];
  /** How many values fell into each bucket alone; one more than there are bounds. */
  readonly counts: Float64Array;
  readonly sum: number;
  readonly count: number;
}

/** All figures of one name, as they are when somebody collects them. No two have the same labels. */
export type MetricFamily =
  | (MetricDefinition & { readonly type: "counter" | "gauge"; readonly points: readonly NumberPoint[] })
  | (MetricDefinition & { readonly type: "histogram"; readonly points: readonly HistogramPoint[] });

/** Gives its figures when somebody collects them. */
export type MetricSource = () => readonly MetricFamily[];
