import type { TrafficTally } from "../demo/traffic.ts";
import { printable } from "../terminal-text.ts";
import { type EndpointNames, endpointNames, endpointTable } from "./endpoint-table.ts";
import type { LiveCounts, LiveEvent, LiveRequest } from "./feed.ts";
import { clipped, joined, type Line, line, lineWidth, spread } from "./line.ts";
import type { Beat } from "./pulse.ts";
import { eventLine, requestLine } from "./request-line.ts";
import type { EndpointStanding } from "./standing.ts";

/** Everything that a frame shows. */
export interface LiveState {
  readonly address: string;
  readonly uptimeMs: number;
  readonly counts: Readonly<LiveCounts>;
  /** Requests that ended in the last seconds, the running one last. */
  readonly beats: readonly Readonly<Beat>[];
  readonly endpoints: readonly EndpointStanding[];
  /** What happened last, the oldest first. */
  readonly items: readonly (LiveRequest | LiveEvent)[];
  /** Of callers of our own. */
  readonly callers: TrafficTally | undefined;
  /** What to do, in one line. */
  readonly footer: string;
}

/** Requests keep so many lines, however many endpoints there are. */
const leastFeed = 3;

/** A screen of lines, none wider and not more of them than there is room for. Nothing is lost above: what is newest is at the bottom. */
export function liveFrame(state: LiveState, width: number, height: number, wallMs: number): Line[] {
  const names = endpointNames(state.endpoints);
  const roomy = height >= state.endpoints.length + leastFeed + 7;
  const blank: Line[] = roomy ? [[]] : [];
  const head = heading(state, width);
  const footer = roomy ? [[], clipped(line(state.footer, "dim"), width)] : [];
  const above = [...head, ...blank, ...endpointRows(state, names, width, height - head.length - leastFeed), ...blank];
  const room = Math.max(0, height - above.length - footer.length);
  return [...above, ...feedLines(state, names, width, room, wallMs), ...footer].slice(0, Math.max(0, height));
}

function heading({ address, uptimeMs, counts, beats, callers }: LiveState, width: number): Line[] {
  const up = line(`up ${uptimeText(uptimeMs)}`, "dim");
  const lost = (failed: number, word: string) => line(`${failed} ${word}`, failed > 0 ? "red" : "dim");
  const figures: Line[] = [
    line(counted(counts.requests, "request")),
    line(`${rate(beats)}/s`),
    line(`${counts.served} served`, counts.served > 0 ? "green" : "dim"),
    lost(counts.failed, "failed"),
    ...(counts.resumed > 0 ? [line(`${counts.resumed} went on ↻`, "green")] : []),
    ...(counts.left > 0 ? [line(`${counts.left} left`, "dim")] : []),
    ...(counts.underWay > 0 ? [line(`${counts.underWay} under way`, "cyan")] : []),
  ];
  const told = callers && [
    ...line("callers say ", "dim"),
    ...line(`${callers.served} whole`, callers.served > 0 ? "green" : "dim"),
    ...line(", ", "dim"),
    ...lost(callers.failed, "not"),
  ];
  const between = line("  ");
  const fitting = figures.map((_, index) => joined(figures.slice(0, figures.length - index), between));
  const left = fitting.find((each) => lineWidth(each) <= width) ?? figures[0] ?? [];
  const hasRoom = told !== undefined && lineWidth(left) + lineWidth(told) + 2 <= width;
  return [
    spread([...line("Everhop", "bold"), ...line(`  ${address}`)], up, width),
    hasRoom ? spread(left, told, width) : clipped(left, width),
  ];
}

function endpointRows({ endpoints }: LiveState, names: EndpointNames, width: number, room: number): Line[] {
  // The titles, and a line that tells what is missing.
  const most = Math.max(1, room - 1);
  if (endpoints.length <= most) return endpointTable(endpoints, names, width);
  const shown = Math.max(1, most - 1);
  const rest = clipped(line(`and ${counted(endpoints.length - shown, "more endpoint")}`, "dim"), width);
  return [...endpointTable(mostTelling(endpoints, shown), names, width), rest];
}

/** Those that something is going on at, in their own order. */
function mostTelling(endpoints: readonly EndpointStanding[], most: number): EndpointStanding[] {
  const calls = ({ beats }: EndpointStanding) => beats.reduce((sum, { served, failed }) => sum + served + failed, 0);
  const ranked = endpoints.toSorted((a, b) => rank(b) - rank(a));
  const chosen = new Set(ranked.slice(0, most));
  return endpoints.filter((endpoint) => chosen.has(endpoint));

  function rank(endpoint: EndpointStanding): number {
    return (endpoint.breaker === "closed" ? 0 : 1_000_000) + endpoint.inFlight + calls(endpoint);
  }
}

function feedLines(state: LiveState, names: EndpointNames, width: number, room: number, wallMs: number): Line[] {
  if (state.items.length === 0) {
    const told = clipped(line("No request has come yet.", "dim"), width);
    return fill(room > 0 ? [told] : [], room);
  }
  const nameOf = (id: string) => names.get(id) ?? printable(id, 60);
  const shown = room > 0 ? state.items.slice(-room) : [];
  const lines = shown.map((item) =>
    item.kind === "request" ? requestLine(item, nameOf, width, wallMs) : eventLine(item, nameOf, width),
  );
  return fill(lines, room);
}

/** The height stays the same, so that nothing jumps. */
function fill(lines: readonly Line[], height: number): Line[] {
  return [...lines, ...Array.from({ length: Math.max(0, height - lines.length) }, () => [])];
}

/** Seconds that a rate is taken over. */
const rateSeconds = 10;

function rate(beats: readonly Readonly<Beat>[]): string {
  // The running second is not over.
  const whole = beats.slice(-rateSeconds - 1, -1);
  const ended = whole.reduce((sum, { served, failed }) => sum + served + failed, 0);
  return whole.length === 0 ? "0" : (ended / whole.length).toFixed(1);
}

function counted(count: number, noun: string): string {
  return `${count.toLocaleString("en-US")} ${noun}${count === 1 ? "" : "s"}`;
}

/** `1:05`, `1:00:05`. */
function uptimeText(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const two = (value: number) => String(value).padStart(2, "0");
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? `${minutes}:${two(seconds % 60)}`
    : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(seconds % 60)}`;
}
