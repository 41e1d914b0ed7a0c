import { durationText } from "../../../simulation/time-text.ts";
import { printable } from "../terminal-text.ts";
import { clipped, fitted, joined, type Line, line, lineWidth } from "./line.ts";
import type { Beat } from "./pulse.ts";
import type { EndpointStanding } from "./standing.ts";

/**
 * A column with a cell for each endpoint. Its width hangs on nothing that changes from second to second: a table whose columns move
 * cannot be read.
 */
interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
  readonly width: number;
  cell(endpoint: EndpointStanding): Line;
}

const gap = line("  ");
/** Seconds that the row of bars shows, the most that fits. */
const pulseWidths = [30, 20, 15, 10] as const;

/** What endpoints are called, by id. */
export type EndpointNames = ReadonlyMap<string, string>;

/** A row for each endpoint below a row of titles. */
export function endpointTable(endpoints: readonly EndpointStanding[], names: EndpointNames, width: number): Line[] {
  const layout = chooseLayout(endpoints, names, width);
  const before = layout.reduce((sum, column) => sum + column.width + 2, 0);
  const keysWidth = width - before;
  const row = (cells: readonly Line[], keys: Line) => {
    const aligned = cells.map((cell, index) => fitted(cell, layout[index]?.width ?? 0, layout[index]?.align));
    return clipped(joined([...aligned, keys], gap), width);
  };
  return [
    row(
      layout.map(({ title }) => line(title, "dim")),
      line("keys", "dim"),
    ),
    ...endpoints.map((endpoint) =>
      row(
        layout.map((column) => column.cell(endpoint)),
        keysText(endpoint, keysWidth),
      ),
    ),
  ];
}

/** The columns before the keys: the most that fits. */
function chooseLayout(endpoints: readonly EndpointStanding[], names: EndpointNames, width: number): Column[] {
  const keysWidth = Math.max(4, ...endpoints.map(usualKeysWidth));
  const name = nameColumn(endpoints, names, Math.max(10, Math.floor(width / 4)));
  const most = Math.max(3, ...endpoints.flatMap(({ beats }) => beats.map(({ served, failed }) => served + failed)));
  let least: Column[] = [];
  for (const others of [[busy, failed, begins], [busy, failed], [busy], []]) {
    for (const seconds of pulseWidths) {
      least = [name, breaker, ...others.map((column) => column(seconds)), pulse(seconds, most)];
      const taken = least.reduce((sum, column) => sum + column.width + 2, 0);
      if (taken + keysWidth <= width) return least;
    }
  }
  return least;
}

function nameColumn(endpoints: readonly EndpointStanding[], names: EndpointNames, most: number): Column {
  const cell = ({ id, tier }: EndpointStanding) => [...line(`${tier} `, "dim"), ...line(names.get(id) ?? "", "bold")];
  return { title: "endpoint", width: Math.min(most, Math.max(8, ...endpoints.map(cell).map(lineWidth))), cell };
}

/** The shortest names that tell endpoints apart: the provider's, where it has only one. */
export function endpointNames(endpoints: readonly { id: string; provider: string }[]): EndpointNames {
  const perProvider = Map.groupBy(endpoints, ({ provider }) => provider);
  return new Map(
    endpoints.map(({ id, provider }) => [id, printable(perProvider.get(provider)?.length === 1 ? provider : id, 60)]),
  );
}

const breaker: Column = {
  title: "breaker",
  width: "half open".length,
  cell({ breaker: state, openMs }) {
    if (state === "closed") return line("closed", "green");
    if (state === "half_open") return line("half open", "yellow");
    // Its time is over: the next call is let through to see.
    return line(openMs === undefined || openMs <= 0 ? "open" : `open ${leftText(openMs)}`, "red");
  },
};

function busy(): Column {
  return {
    title: "busy",
    align: "right",
    width: 4,
    cell: ({ inFlight }) => (inFlight > 0 ? line(`${inFlight}`) : line("·", "dim")),
  };
}

function failed(seconds: number): Column {
  return {
    title: "failed",
    align: "right",
    width: 6,
    cell({ beats }) {
      const count = beats.slice(-seconds).reduce((sum, beat) => sum + beat.failed, 0);
      return count > 0 ? line(`${count}`, "red") : line("·", "dim");
    },
  };
}

/** When a stream's first content comes. */
function begins(): Column {
  return {
    title: "begins",
    align: "right",
    width: 6,
    cell: ({ firstContentMs: ms }) => (ms === undefined ? line("·", "dim") : line(durationText(ms))),
  };
}

const bars = "▁▂▃▄▅▆▇█";

/** A bar for each second; red where a call failed. */
function pulse(seconds: number, most: number): Column {
  return {
    title: `last ${seconds} s`,
    width: seconds,
    cell: ({ beats }) => beats.slice(-seconds).map((beat) => bar(beat, most)),
  };
}

function bar({ served, failed: lost }: Readonly<Beat>, most: number): Line[number] {
  const total = served + lost;
  if (total === 0) return { text: "·", style: "dim" };
  const text = bars[Math.min(bars.length - 1, Math.ceil((total / most) * bars.length) - 1)] ?? "";
  return { text, style: lost > 0 ? "red" : undefined };
}

const heldWords = { rate_limited: "429", quota_exhausted: "spent", key_refused: "refused" } as const;

/** Each key, if there is room; else how many may be used, and when the next one comes back. */
function keysText({ keys }: EndpointStanding, width: number): Line {
  const each = joined(
    keys.map(({ name, held }) => {
      const shown = printable(name, 12);
      if (!held) return [...line(`${shown} `), ...line("✓", "green")];
      return line(`${shown} ${heldWords[held.reason]} ${leftText(held.leftMs)}`, "yellow");
    }),
    gap,
  );
  if (lineWidth(each) <= width) return each;
  const held = keys.flatMap((key) => key.held ?? []).sort((a, b) => a.leftMs - b.leftMs);
  const usable = `${keys.length - held.length}/${keys.length}`;
  const next = held[0];
  if (!next) return line(`${usable} ✓`, "green");
  return line(`${usable} ${heldWords[next.reason]} ${leftText(next.leftMs)}`, "yellow");
}

/** Of keys of which one is limited. More than a few are only counted anyway. */
function usualKeysWidth({ keys }: EndpointStanding): number {
  if (keys.length === 0) return 0;
  const names = keys.slice(0, 4).reduce((sum, { name }) => sum + Math.min(12, name.length) + 4, 0);
  return names + "429 9s".length - 3;
}

/** Whole seconds, counted down to 1; beyond two minutes, minutes. */
function leftText(ms: number): string {
  const seconds = Math.max(1, Math.ceil(ms / 1000));
  return seconds < 120 ? `${seconds}s` : `${Math.round(seconds / 60)}min`;
}
