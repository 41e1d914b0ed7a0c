import type { BreakerState } from "../../../routing/breaker.ts";
import type { RouteObserver } from "../../../routing/observer.ts";
import type { Trail } from "../../../routing/trail.ts";
import type { Clock } from "../../../runtime/clock.ts";
import { type Beat, Pulse } from "./pulse.ts";

/** A request as it is seen from outside. Live, until it has ended. */
export interface LiveRequest {
  readonly kind: "request";
  readonly trail: Trail;
  /** Wall time. */
  readonly startedAtMs: number;
  endedAtMs?: number;
  /** Broken: it failed after content had been sent. Left: its caller went away. */
  ending?: "served" | "failed" | "broken" | "left";
}

/** A breaker that opened, half opened or closed. */
export interface LiveEvent {
  readonly kind: "breaker";
  readonly atMs: number;
  readonly endpoint: string;
  readonly state: BreakerState;
  /** Wall time until which it stays open at least. */
  readonly untilMs: number | undefined;
}

/** How requests have ended. */
export interface LiveCounts {
  requests: number;
  served: number;
  /** Of those served: streams that broke off and were gone on with. */
  resumed: number;
  failed: number;
  left: number;
  underWay: number;
}

/** An endpoint as requests have met it. */
export interface SeenEndpoint {
  readonly provider: string;
  readonly tier: number;
  readonly pulse: Pulse;
}

/** Watches requests, and remembers the last of them. */
export interface Feed {
  readonly observer: RouteObserver;
  readonly counts: Readonly<LiveCounts>;
  /** What happened last, in the order in which it began. */
  readonly items: readonly (LiveRequest | LiveEvent)[];
  /** By id. */
  readonly endpoints: ReadonlyMap<string, SeenEndpoint>;
  /** Requests that ended within the last seconds, second by second. */
  beats(seconds: number): readonly Readonly<Beat>[];
}

/** No terminal shows more. */
const mostItems = 300;
/** Callers may name any model where a provider takes any. */
const mostEndpoints = 200;

/** What a live view remembers of requests. It costs each event some lookups: whatever is shown is made when it is shown. */
export function createFeed(clock: Clock): Feed {
  const items: (LiveRequest | LiveEvent)[] = [];
  const requests = new WeakMap<Trail, LiveRequest>();
  const endpoints = new Map<string, SeenEndpoint>();
  const counts: LiveCounts = { requests: 0, served: 0, resumed: 0, failed: 0, left: 0, underWay: 0 };
  const ended = new Pulse();

  function remember(item: LiveRequest | LiveEvent): void {
    items.push(item);
    if (items.length > mostItems) items.shift();
  }

  function requestOf(trail: Trail): LiveRequest {
    let request = requests.get(trail);
    if (!request) {
      request = { kind: "request", trail, startedAtMs: clock.wallTime() };
      requests.set(trail, request);
      counts.requests += 1;
      counts.underWay += 1;
      remember(request);
    }
    return request;
  }

  function end(trail: Trail, ending: NonNullable<LiveRequest["ending"]>): void {
    const request = requestOf(trail);
    if (request.ending) return;
    request.ending = ending;
    request.endedAtMs = clock.wallTime();
    counts.underWay -= 1;
    counts[ending === "broken" ? "failed" : ending] += 1;
    if (ending === "served" && isResumed(trail)) counts.resumed += 1;
    if (ending !== "left") ended.add(clock.now(), ending === "served" ? "served" : "failed");
  }

  function endpointOf(id: string, provider: string, tier: number): SeenEndpoint | undefined {
    let endpoint = endpoints.get(id);
    if (!endpoint && endpoints.size < mostEndpoints) {
      endpoint = { provider, tier, pulse: new Pulse() };
      endpoints.set(id, endpoint);
    }
    return endpoint;
  }

  return {
    counts,
    items,
    endpoints,
    beats: (seconds) => ended.beats(clock.now(), seconds),
    observer: {
      attemptStarted: (trail) => void requestOf(trail),
      skipped: (trail) => void requestOf(trail),
      attemptEnded(trail, { endpoint, provider, tier, outcome }) {
        const isGone = outcome === "caller_gone";
        if (outcome !== "superseded" && !isGone) {
          endpointOf(endpoint, provider, tier)?.pulse.add(clock.now(), outcome === "ok" ? "served" : "failed");
        }
        if (outcome === "ok") end(trail, "served");
        else if (isGone) end(trail, "left");
      },
      failed: (trail) => end(trail, trail.partial ? "broken" : "failed"),
      breakerChanged(endpoint, state, untilMs) {
        remember({ kind: "breaker", atMs: clock.wallTime(), endpoint, state, untilMs });
      },
    },
  };
}

/** Whether another endpoint has gone on with an answer. */
export function isResumed({ attempts }: Trail): boolean {
  return attempts.some(({ purpose, outcome }) => purpose === "recovery" && outcome === "ok");
}
