import type { Endpoint } from "../routing/endpoint.ts";
import type { Observations, RequestRecord } from "./observations.ts";
import type { Bucket, EndpointReport, Report, Timeline } from "./report-shape.ts";
import { type Phase, type Place, select } from "./scenario.ts";
import { clockText, durationText } from "./time-text.ts";

/** What fails so soon after a phase has ended belongs to it. */
const aftermathMs = 60_000;

/** What a person should know, in a few sentences. */
export function findingsOf<E extends Endpoint>(report: Omit<Report, "findings">, observed: Observations<E>): string[] {
  return [
    ...failureFindings(observed),
    ...silenceFindings(observed),
    ...spillFindings(report),
    ...slownessFindings(report),
    ...recoveryFindings(report),
    ...keyFindings(report),
  ];
}

/** Failures that belong to the same phases, or to none. */
interface Event {
  readonly phases: readonly Phase[];
  readonly requests: RequestRecord[];
}

function failureFindings<E extends Endpoint>(observed: Observations<E>): string[] {
  const { requests, scenario, places } = observed;
  const failed = requests.filter(
    ({ outcome }) => outcome === "failed" || outcome === "broken" || outcome === "gave_up",
  );
  const admitted = requests.filter(({ outcome }) => outcome !== "not_admitted").length;
  if (admitted === 0) return ["Nobody asked anything."];
  if (failed.length === 0) return [`All of ${count(admitted, "request")} were served.`];
  const touching = scenario.phases.map((phase) => ({
    phase,
    touched: phase.on && select(phase.on, places)?.endpoints,
  }));
  const events = new Map<string, Event>();
  for (const request of failed) {
    const phases = phasesOf(request, touching, places);
    const key = phases.map((phase) => scenario.phases.indexOf(phase)).join();
    const event = events.get(key);
    if (event) event.requests.push(request);
    else events.set(key, { phases, requests: [request] });
  }
  return [...events.values()]
    .sort((a, b) => timesOf(a).fromMs - timesOf(b).fromMs)
    .map((event) => eventText(event, observed));
}

/** The phases that a failure belongs to: those of the time that touch what it met, else those that have just ended, else more traffic. */
function phasesOf<E extends Endpoint>(
  { at, totalMs, met }: RequestRecord,
  phases: readonly { readonly phase: Phase; readonly touched: ReadonlyMap<string, unknown> | undefined }[],
  places: readonly Place<E>[],
): Phase[] {
  const own = phases.filter(({ touched }) => met.some((position) => touched?.has(places[position]?.endpoint.id ?? "")));
  const last = (list: typeof phases) =>
    list.reduce((latest, { phase: { toMs } }) => Math.max(latest, toMs), Number.NEGATIVE_INFINITY);
  const then = own.filter(({ phase: { fromMs, toMs } }) => at >= fromMs && at < toMs);
  const meanwhile = own.filter(({ phase: { fromMs, toMs } }) => at < toMs && at + totalMs >= fromMs);
  const ended = own.filter(({ phase: { toMs } }) => at >= toMs && at < toMs + aftermathMs);
  const justEnded = ended.filter(({ phase: { toMs } }) => toMs === last(ended));
  const busier = phases.filter(
    ({ phase: { on, fromMs, toMs, traffic } }) => !on && traffic > 1 && at >= fromMs && at < toMs,
  );
  const found = [then, meanwhile, justEnded, busier].find((list) => list.length > 0) ?? [];
  return found.map(({ phase }) => phase);
}

function timesOf({ requests }: Event): { fromMs: number; toMs: number } {
  return { fromMs: requests[0]?.at ?? 0, toMs: requests.at(-1)?.at ?? 0 };
}

function eventText<E extends Endpoint>(event: Event, observed: Observations<E>): string {
  const { phases, requests } = event;
  const { fromMs, toMs } = timesOf(event);
  const all = requests.length === 1 ? "" : "all ";
  const began = phases.length > 0 ? Math.max(...phases.map((phase) => phase.fromMs)) : fromMs;
  const within = toMs - began;
  const name = phases.length > 0 ? ` (${phases.map((phase) => phase.name).join(" and ")})` : "";
  const when =
    requests.length === 1
      ? `at ${clockText(fromMs, 1)}${name}`
      : phases.length > 0 && fromMs >= began && within < 60_000
        ? `${all}within ${durationText(Math.max(100, within))} after ${clockText(began)}${name}`
        : `${all}between ${clockText(fromMs)} and ${clockText(toMs)}${name}`;
  const verb = requests.every(({ outcome }) => outcome === "broken") ? "broke off after the first content" : "failed";
  return `${count(requests.length, "request")} ${verb}, ${when}: ${causeText(requests, observed)}.`;
}

/** Why requests failed: the two commonest causes, and how many had others. */
function causeText<E extends Endpoint>(requests: readonly RequestRecord[], observed: Observations<E>): string {
  const causes = commonest(requests.map((request) => causeOf(request, observed)));
  if (causes.length === 1) return causes[0]?.[0] ?? "";
  const told = causes.slice(0, 2).map(([cause, times]) => `${count(times)} because ${cause}`);
  const others = causes.slice(2).reduce((sum, [, times]) => sum + times, 0);
  return `${told.join(", ")}${others > 0 ? `, and ${count(others, "other")}` : ""}`;
}

function commonest(values: readonly string[]): [string, number][] {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]);
}

/** Whether the time that a caller had set itself was over, rather than the gateway's own. */
function wasHurried<E extends Endpoint>(
  { outcome, refusal, caller }: RequestRecord,
  { scenario, maxDurationMs }: Observations<E>,
): boolean {
  if (outcome === "gave_up") return true;
  const deadlineMs = scenario.callers.find(({ name }) => name === caller)?.deadlineMs;
  return refusal?.httpStatus === 504 && deadlineMs !== undefined && deadlineMs <= maxDurationMs;
}

function causeOf<E extends Endpoint>(request: RequestRecord, observed: Observations<E>): string {
  const { outcome, attempts, skips, refusal } = request;
  if (outcome === "broken") return "what has reached a caller cannot be taken back";
  if (outcome === "gave_up") return "the callers' patience was over first";
  if (refusal?.httpStatus === 504) {
    return wasHurried(request, observed)
      ? "the callers' deadlines passed first"
      : `the gateway's own limit of a call, ${durationText(observed.maxDurationMs)}, passed first`;
  }
  if (refusal?.httpStatus === 429) return "every endpoint was out of rate, quota or room (429)";
  if (refusal?.httpStatus === 400) return "the request itself was refused";
  if (attempts === 0) {
    const breakers = skips.length > 0 && skips.every((reason) => reason === "breaker_open");
    return breakers ? "every breaker was open (503 at once)" : "no endpoint was left to try (503 at once)";
  }
  if (skips.includes("attempt_cap")) return "as many attempts had failed as may be made";
  if (skips.includes("breaker_open")) return "what was tried failed, and the other breakers were open";
  return "no other endpoint was left";
}

/** An endpoint that is silent is found out only by calls that wait for its limit: where no caller does, nobody learns. */
function silenceFindings<E extends Endpoint>(observed: Observations<E>): string[] {
  const { requests, scenario, places, breakers, tallies } = observed;
  const hurried = requests.filter((request) => wasHurried(request, observed));
  for (const { name, on, fails, fromMs, toMs } of scenario.phases) {
    if (!on || !fails.includes("hang")) continue;
    const touched = select(on, places)?.endpoints;
    const positions = places.flatMap(({ endpoint }, position) => (touched?.has(endpoint.id) ? [position] : []));
    const caught = hurried.filter(
      ({ at, met }) => at >= fromMs && at < toMs && met.some((position) => positions.includes(position)),
    );
    if (caught.length === 0) continue;
    const streams = caught.some(({ stream }) => stream);
    const limitMs = Math.min(
      ...positions.map((position) => places[position]?.endpoint.limits[streams ? "firstContentMs" : "totalMs"] ?? 0),
    );
    // The last calls of the phase would be found out so long after it.
    const opened = breakers.some(
      ({ at, state, endpoint }) => state === "open" && touched?.has(endpoint) && at >= fromMs && at < toMs + limitMs,
    );
    const waited = positions.some((position) => tallies[position]?.timeouts.some((at) => at >= fromMs && at < toMs));
    if (opened || waited) continue;
    const what = streams ? "a first content" : "a whole answer";
    return [
      `No breaker opened for "${name}": no call waited as long as its limit, ${durationText(limitMs)} for ${what}. Set the providers' timeouts below the callers' patience.`,
    ];
  }
  return [];
}

/** How much more of the answers came from worse tiers. */
function spillFindings({ timeline, phases, endpoints }: Omit<Report, "findings">): string[] {
  const share = (buckets: readonly Bucket[]) => {
    let worse = 0;
    let all = 0;
    for (const { answers } of buckets) {
      for (const [index, answered] of answers.entries()) {
        all += answered;
        if ((endpoints[index]?.tier ?? 1) > 1) worse += answered;
      }
    }
    return all === 0 ? undefined : (100 * worse) / all;
  };
  const usual = share(calmBuckets(timeline, phases));
  return phases.flatMap(({ name, fromMs, toMs }) => {
    const then = share(timeline.buckets.filter((bucket) => bucket.fromMs >= fromMs && bucket.fromMs < toMs));
    if (usual === undefined || then === undefined || then - usual < 5) return [];
    return [
      `While "${name}" lasted, ${then.toFixed(0)} % of the answers came from below the first tier, else ${usual.toFixed(0)} %.`,
    ];
  });
}

/** The stretches in which nothing is, or lately was, out of the ordinary. */
function calmBuckets({ buckets, bucketMs }: Timeline, phases: Report["phases"]): readonly Bucket[] {
  return buckets.filter(
    ({ fromMs }) => !phases.some((phase) => fromMs + bucketMs > phase.fromMs && fromMs < phase.toMs + aftermathMs),
  );
}

function slownessFindings({ timeline, phases, headline }: Omit<Report, "findings">): string[] {
  const inside = (fromMs: number, toMs: number) =>
    timeline.buckets.filter((bucket) => bucket.fromMs >= fromMs && bucket.fromMs < toMs);
  const calm = calmBuckets(timeline, phases);
  const usual = middle(calm.map(({ firstContent }) => firstContent.p99Ms));
  if (usual === undefined || headline.firstContent.p99Ms === undefined) return [];
  const worst = phases
    .map((phase) => ({
      phase,
      p99: middle(inside(phase.fromMs, phase.toMs).map(({ firstContent }) => firstContent.p99Ms)),
    }))
    .filter((each): each is typeof each & { p99: number } => each.p99 !== undefined && each.p99 > usual * 1.5)
    .sort((a, b) => b.p99 - a.p99)[0];
  if (!worst) return [];
  const { phase, p99 } = worst;
  return [
    `While "${phase.name}" lasted, the slowest hundredth of streams waited ${durationText(p99)} for the first content, else ${durationText(usual)}.`,
  ];
}

function recoveryFindings({ faults, endpoints }: Omit<Report, "findings">): string[] {
  const mattering = faults
    .filter(({ openedAfterMs }) => openedAfterMs !== undefined)
    .sort((a, b) => b.attempts - a.attempts);
  const [first] = mattering;
  if (first?.openedAfterMs === undefined) return [];
  const { phase, endpoint, openedAfterMs, firstSuccessMs, fullShareMs } = first;
  const opened = endpoints.find((each) => each.endpoint === endpoint)?.breaker.opened ?? 1;
  const back =
    firstSuccessMs === undefined
      ? "and it served nothing after it"
      : `it served again ${durationText(firstSuccessMs)} after the end${fullShareMs === undefined ? "" : `, its full share after ${durationText(fullShareMs)}`}`;
  const more = mattering.length > 1 ? ` (and ${mattering.length - 1} more: see the table)` : "";
  const times = opened > 1 ? `, ${opened} times in all` : "";
  return [
    `${phase}: ${endpoint}'s breaker opened ${durationText(openedAfterMs)} after the beginning${times}; ${back}${more}.`,
  ];
}

function keyFindings({ endpoints }: Omit<Report, "findings">): string[] {
  const losses = new Map<string, NonNullable<EndpointReport["keys"]>>();
  for (const { provider, keys } of endpoints) if (keys && keys.least < keys.total) losses.set(provider, keys);
  if (losses.size > 2) {
    const sum = (read: (keys: { total: number; least: number; atEnd: number }) => number) =>
      [...losses.values()].reduce((all, keys) => all + read(keys), 0);
    const [total, least, atEnd] = [sum((keys) => keys.total), sum((keys) => keys.least), sum((keys) => keys.atEnd)];
    const end = atEnd === total ? "all are back" : `${atEnd} at the end`;
    return [`${losses.size} providers had ${least} of their ${total} keys left at each one's worst moment; ${end}.`];
  }
  return [...losses].map(([provider, { total, least, atEnd }]) => {
    const end = atEnd === total ? "all are back" : `${atEnd} at the end`;
    return `${provider} had ${least} of ${total} keys left at the worst moment; ${end}.`;
  });
}

function middle(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined).sort((a, b) => a - b);
  return known[Math.floor(known.length / 2)];
}

function count(number: number, word?: string): string {
  const digits = number.toLocaleString("en-US");
  return word === undefined ? digits : `${digits} ${word}${number === 1 ? "" : "s"}`;
}
