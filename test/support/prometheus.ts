/** One line of Prometheus' text format. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** All lines of one metric. */
export interface ParsedFamily {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly samples: readonly Sample[];
}

/** Figures as they were fetched. */
export interface Figures {
  readonly families: ReadonlyMap<string, ParsedFamily>;
  readonly samples: readonly Sample[];
  /** The sum of all lines of a name that have these labels; 0 when there are none. */
  sum(name: string, labels?: Readonly<Record<string, string>>): number;
  /** Every value that any label has. */
  labelValues(): ReadonlySet<string>;
}

const unescaped: Readonly<Record<string, string>> = { "\\\\": "\\", "\\n": "\n", '\\"': '"' };
const numbers: Readonly<Record<string, number>> = { NaN: Number.NaN, "+Inf": Infinity, "-Inf": -Infinity };

/** Reads Prometheus' text format 0.0.4. @throws Error for whatever is none */
export function parseFigures(text: string): Figures {
  if (!text.endsWith("\n")) throw new Error("the last line has no end");
  const families = new Map<string, { name: string; type: string; help: string; samples: Sample[] }>();
  let current: { name: string; type: string; help: string; samples: Sample[] } | undefined;
  for (const line of text.slice(0, -1).split("\n")) {
    const help = /^# HELP ([a-zA-Z_:][\w:]*) (.*)$/.exec(line);
    const type = /^# TYPE ([a-zA-Z_:][\w:]*) (counter|gauge|histogram)$/.exec(line);
    if (help) {
      const [, name = "", words = ""] = help;
      if (families.has(name)) throw new Error(`${name} comes twice`);
      current = { name, type: "", help: words, samples: [] };
      families.set(name, current);
    } else if (type) {
      if (!current || current.name !== type[1] || current.samples.length > 0) throw new Error(`out of place: ${line}`);
      current.type = type[2] ?? "";
    } else {
      const sample = sampleOf(line);
      const own = current?.type === "histogram" ? /^(.*)_(bucket|sum|count)$/.exec(sample.name)?.[1] : sample.name;
      if (!current || own !== current.name) throw new Error(`out of place: ${line}`);
      const key = JSON.stringify([sample.name, Object.entries(sample.labels).sort()]);
      const isDouble = current.samples.some(
        (other) => key === JSON.stringify([other.name, Object.entries(other.labels).sort()]),
      );
      if (isDouble) throw new Error(`comes twice: ${line}`);
      current.samples.push(sample);
    }
  }
  const samples = [...families.values()].flatMap((family) => family.samples);
  return {
    families,
    samples,
    sum: (name, labels = {}) =>
      samples
        .filter((sample) => sample.name === name)
        .filter((sample) => Object.entries(labels).every(([label, value]) => sample.labels[label] === value))
        .reduce((sum, { value }) => sum + value, 0),
    labelValues: () => new Set(samples.flatMap(({ labels }) => Object.values(labels))),
  };
}

function sampleOf(line: string): Sample {
  const [, name = "", , inner = "", written = ""] =
    /^([a-zA-Z_:][\w:]*)(\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})? (\S+)$/.exec(line) ?? [];
  if (!name) throw new Error(`no sample: ${JSON.stringify(line)}`);
  const labels: Record<string, string> = {};
  const pair = /([a-zA-Z_]\w*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/y;
  while (pair.lastIndex < inner.length) {
    const [whole, label = "", value = ""] = pair.exec(inner) ?? [];
    if (whole === undefined || label in labels) throw new Error(`no labels: ${JSON.stringify(line)}`);
    labels[label] = value.replace(/\\[\\n"]/g, (escaped) => unescaped[escaped] ?? escaped);
  }
  const value = numbers[written] ?? Number(written);
  if (!(written in numbers) && !Number.isFinite(value)) throw new Error(`no number: ${JSON.stringify(line)}`);
  return { name, labels, value };
}

/** Fetches a gateway's figures with an operator's key. */
export async function fetchFigures(address: string, adminKey: string): Promise<Figures> {
  const response = await fetch(`${address}/metrics`, { headers: { "x-admin-key": adminKey } });
  const text = await response.text();
  if (response.status !== 200) throw new Error(`${response.status} ${text}`);
  return parseFigures(text);
}
