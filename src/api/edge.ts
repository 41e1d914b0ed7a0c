import type { Machine } from "../gateway/call.ts";
import type { Caller, Callers } from "../gateway/caller.ts";
import type { KeyStats } from "../gateway/key-stats.ts";
import type { Cancellation } from "../runtime/cancellation.ts";
import { type Rng, randomHex } from "../runtime/rng.ts";

/** How far the process is on its way out: draining still serves, closing refuses whatever is new. */
export type Stage = "serving" | "draining" | "closing";

/** What the wires need of the house behind them. */
export interface Edge {
  readonly machine: Machine;
  readonly callers: Callers;
  readonly rng: Rng;
  /** The product's version. */
  readonly version: string;
  /** When the configuration was loaded, in epoch seconds: what models give as their creation. */
  readonly loadedAtSeconds: number;
  /** Called off when the process stops and its grace is over. */
  readonly shutdown: Cancellation;
  stage(): Stage;
  keyStats(): KeyStats;
  /** Told of every failure that is a bug of ours. */
  reportBug(error: unknown, requestId: string): void;
}

/** What every request has, whatever its wire. */
export interface RequestIdentity {
  readonly requestId: string;
  /** W3C trace id: the caller's, or a new one. */
  readonly traceId: string;
}

/** Reads or makes a request's ids. Ids of the caller's own are kept when they are fit for a log. */
export function identityOf(header: (name: string) => string | undefined | null, rng: Rng): RequestIdentity {
  const given = header("x-request-id");
  const parent = /^[\da-f]{2}-([\da-f]{32})-[\da-f]{16}-[\da-f]{2}/.exec(header("traceparent") ?? "")?.[1];
  return {
    requestId: given && /^[\w.:-]{1,128}$/.test(given) ? given : `req_${randomHex(rng, 24)}`,
    traceId: parent && !/^0+$/.test(parent) ? parent : randomHex(rng, 32),
  };
}

/**
 * The caller behind a request: by `Authorization: Bearer` or `X-API-Key`. Two that disagree are none.
 * @returns undefined when the caller may not come in
 */
export function callerOf(header: (name: string) => string | undefined | null, callers: Callers): Caller | undefined {
  const bearer = /^bearer\s+(\S+)\s*$/i.exec(header("authorization") ?? "")?.[1];
  const apiKey = header("x-api-key") || undefined;
  if (bearer !== undefined && apiKey !== undefined && bearer !== apiKey) return undefined;
  return callers.identify(bearer ?? apiKey);
}

/** Longest timeout that a caller may set, in ms; a longer one is clamped. */
export const maxTimeoutMs = 3_600_000;
