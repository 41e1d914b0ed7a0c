import type { Caller } from "../gateway/caller.ts";
import type { AttemptRecord, Trail } from "../routing/trail.ts";
import type { RequestRecord } from "../telemetry/request-record.ts";
import type { Edge } from "./edge.ts";

const maxLength = 1024;

/**
 * A trail on one line: `fast/gpt-4o#k1 429 210ms, steady/gpt-4o#k2 200 812ms`. For a stream the figure is its time to the first
 * content. Cut to 1 KiB.
 */
export function compactTrail({ attempts }: Trail): string {
  if (attempts.length === 1) return compactHop(attempts[0] as AttemptRecord).slice(0, maxLength); // there is one
  const hops = attempts.map(compactHop);
  let line = hops.join(", ");
  if (line.length > maxLength) {
    const fitting: string[] = [];
    for (const hop of hops) {
      if (fitting.join(", ").length + hop.length > maxLength - 20) break;
      fitting.push(hop);
    }
    line = [...fitting, `+${hops.length - fitting.length} more`].join(", ");
  }
  return line;
}

function compactHop({ endpoint, keyName, httpStatus, outcome, firstContentMs, durationMs }: AttemptRecord): string {
  // A status says how the provider answered; where it answered well and the attempt failed all the same, its class says more.
  const result = httpStatus === undefined || (httpStatus < 300 && outcome && outcome !== "ok") ? outcome : httpStatus;
  const ms = Math.round(firstContentMs ?? durationMs ?? 0);
  // Endpoint names come from configuration and may hold anything; a header may not.
  const name = `${endpoint}${keyName && `#${keyName}`}`.replace(/[^\x21-\x7e]|,/g, "_");
  return `${name} ${result ?? "open"} ${ms}ms`;
}

/** Headers that tell a caller the way of its request; none of the trail when it is configured to see none. */
export function routeHeaders(trail: Trail | undefined, seesTrail: boolean): Record<string, string> {
  if (!trail || !seesTrail) return none;
  const headers: Record<string, string> = { "x-everhop-attempts": String(trail.attempts.length) };
  const served = trail.attempts.find(({ outcome }) => outcome === undefined || outcome === "ok");
  if (served) headers["x-everhop-provider"] = served.provider.replace(/[^\x21-\x7e]/g, "_");
  if (trail.attempts.length > 0) headers["x-everhop-trail"] = compactTrail(trail);
  return headers;
}

/** Where the request can be looked at, for a caller that may see its way. */
export function traceHeaders(record: RequestRecord, seesTrail: boolean): Record<string, string> {
  const url = seesTrail ? record.traceUrl : undefined;
  return url === undefined ? none : { "x-everhop-trace-url": url };
}

const none = {};

/** How much the caller may still ask, in the names that OpenAI's clients know; none for a caller without a limit. */
export function allowanceHeaders({ machine }: Edge, caller: Caller): Record<string, string> {
  const allowance = caller.rpm === undefined ? undefined : machine.admission.allowance(caller);
  if (!allowance) return none;
  return {
    "x-ratelimit-limit-requests": String(allowance.limit),
    "x-ratelimit-remaining-requests": String(allowance.remaining),
    "x-ratelimit-reset-requests": `${Math.ceil(allowance.resetMs)}ms`,
  };
}
