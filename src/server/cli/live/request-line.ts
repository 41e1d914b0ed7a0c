import type { AttemptRecord, SkipRecord } from "../../../routing/trail.ts";
import { durationText } from "../../../simulation/time-text.ts";
import { printable } from "../terminal-text.ts";
import { isResumed, type LiveEvent, type LiveRequest } from "./feed.ts";
import { joined, type Line, line, lineWidth, type Span, spread } from "./line.ts";

/** How endpoints are called in a line. */
export type NameOf = (endpoint: string) => string;

/** One request with its hops as far as they have come: `✓ 12:03:44  flaky#k1 429 → steady#k2 200    812 ms`. */
export function requestLine(request: LiveRequest, nameOf: NameOf, width: number, wallMs: number): Line {
  const { startedAtMs, endedAtMs, trail } = request;
  const head = [...markOf(request), ...line(` ${clockTime(startedAtMs)}  `, "dim")];
  const time =
    endedAtMs === undefined ? runningText(wallMs - startedAtMs) : line(durationText(endedAtMs - startedAtMs), "dim");
  const room = width - lineWidth(head) - lineWidth(time) - 2;
  return spread([...head, ...fittingHops(trail, nameOf, room)], time, width);
}

/** A breaker that changed: `● 12:03:44  flaky breaker opens for 2.9 s`. */
export function eventLine({ atMs, endpoint, state, untilMs }: LiveEvent, nameOf: NameOf, width: number): Line {
  const words = {
    open: ["breaker opens", "red"],
    half_open: ["breaker lets one call through", "yellow"],
    closed: ["breaker closes", "green"],
  } as const;
  const [text, style] = words[state];
  const until = untilMs === undefined ? "" : ` for ${durationText(Math.max(0, untilMs - atMs))}`;
  const told = [...line("●", style), ...line(` ${clockTime(atMs)}  `, "dim"), ...line(`${nameOf(endpoint)} `)];
  return spread([...told, ...line(`${text}${until}`, style)], [], width);
}

function markOf({ ending, trail }: LiveRequest): Line {
  switch (ending) {
    case "served":
      return isResumed(trail) ? line("↻", "green") : line("✓", "green");
    case "failed":
    case "broken":
      return line("✗", "red");
    case "left":
      return line("–", "dim");
    default:
      return line("▸", "cyan");
  }
}

/** The most of a way that fits: without what was passed over, without names of keys, at last without its beginning. */
function fittingHops(trail: LiveRequest["trail"], nameOf: NameOf, room: number): Line {
  for (const detail of [
    { skips: true, keys: true },
    { skips: false, keys: true },
    { skips: false, keys: false },
  ]) {
    const hops = hopsOf(trail, nameOf, detail);
    const whole = joined(hops);
    if (lineWidth(whole) <= room) return whole;
    if (detail.keys) continue;
    for (let from = 1; from < hops.length; from++) {
      const rest = joined([line("…", "dim"), ...hops.slice(from)]);
      if (lineWidth(rest) <= room) return rest;
    }
    return joined(hops.slice(-1));
  }
  return [];
}

function hopsOf(
  { attempts, skips }: LiveRequest["trail"],
  nameOf: NameOf,
  detail: { readonly skips: boolean; readonly keys: boolean },
): Line[] {
  const steps = [
    ...attempts.map((attempt) => ({ at: attempt.index, hop: attemptSpans(attempt, nameOf, detail.keys), attempt })),
    ...(detail.skips ? skips : []).flatMap((skip) => {
      const hop = skipSpans(skip, nameOf);
      return hop.length > 0 ? [{ at: skip.beforeAttempt - 0.5, hop, attempt: undefined }] : [];
    }),
  ].sort((a, b) => a.at - b.at);
  if (steps.length === 0) return [line("waits", "cyan")];
  let begun = false;
  return steps.map(({ hop, attempt }, index) => {
    const before: Line =
      attempt?.purpose === "recovery"
        ? line(" ↻ ", "cyan")
        : attempt?.purpose === "hedge"
          ? line(" + ", "cyan")
          : line(index === 0 ? "" : begun && attempt ? " → " : " ", "dim");
    begun ||= attempt !== undefined;
    return [...before, ...hop];
  });
}

function attemptSpans(attempt: AttemptRecord, nameOf: NameOf, withKey: boolean): Line {
  const key: Span[] = withKey && attempt.keyName ? [{ text: `#${printable(attempt.keyName, 12)}`, style: "dim" }] : [];
  return [{ text: nameOf(attempt.endpoint) }, ...key, { text: " " }, ...resultSpans(attempt)];
}

function resultSpans({ outcome, httpStatus, firstContentMs }: AttemptRecord): Line {
  if (outcome === undefined) return line(firstContentMs === undefined ? "…" : "streams", "cyan");
  if (outcome === "ok") return line(`${httpStatus ?? "ok"}`, "green");
  if (outcome === "superseded") return line("slower", "dim");
  if (outcome === "caller_gone") return line("caller left", "dim");
  if (outcome === "not_sent") return line("not sent", "dim");
  if (firstContentMs !== undefined) return line("broke off", "red");
  if (httpStatus === undefined) return line("no answer", "red");
  return line(httpStatus < 400 ? `${httpStatus} broken` : `${httpStatus}`, "red");
}

/** What is short enough to stand in a line; that an endpoint takes only a part of its share is not worth one. */
const skipWords: Readonly<Partial<Record<SkipRecord["reason"], string>>> = {
  breaker_open: "open",
  rate_limited: "limited",
  concurrency: "full",
  overflow: "full",
  quota_exhausted: "spent",
  no_key: "no key",
  model_off: "off",
  unhealthy: "off",
  forced_open: "open",
  draining: "draining",
};

function skipSpans({ endpoint, reason }: SkipRecord, nameOf: NameOf): Line {
  const word = skipWords[reason];
  return word ? line(`(${nameOf(endpoint)} ${word})`, "dim") : [];
}

function runningText(ms: number): Line {
  return line(`${(Math.max(0, ms) / 1000).toFixed(1)} s`, "cyan");
}

function clockTime(wallMs: number): string {
  return new Date(wallMs).toISOString().slice(11, 19);
}
