import { FaultError } from "../chat/fault.ts";
import type { ByteBudget } from "../gateway/byte-budget.ts";
import type { Machine } from "../gateway/call.ts";
import type { Caller, Callers } from "../gateway/caller.ts";
import type { FailedLogins } from "../gateway/failed-logins.ts";
import type { KeyStats } from "../gateway/key-stats.ts";
import type { Cancellation } from "../runtime/cancellation.ts";
import { type Rng, randomHex } from "../runtime/rng.ts";
import { parseTraceParent, parseTraceState, requestSpanId } from "../runtime/trace-context.ts";
import { type Recording, type RequestHead, RequestRecord } from "../telemetry/request-record.ts";

/** How far the process is on its way out: draining still serves, closing serves what is on its way. */
export type Stage = "serving" | "draining" | "closing";

/** What the wires need of the house behind them. */
export interface Edge {
  readonly machine: Machine;
  readonly callers: Callers;
  readonly failedLogins: FailedLogins;
  readonly bytes: ByteBudget;
  readonly limits: EdgeLimits;
  /** Keeps a record of every request. */
  readonly recording: Recording;
  /** Whether it is open without anybody having said so: then it is for programs on its own machine. */
  readonly ownMachineOnly: boolean;
  /** Whether what is asked most may take its short way. */
  readonly lanes: boolean;
  /** Origins whose pages may call, exactly as browsers name them; `*` is all. */
  readonly corsOrigins: readonly string[];
  /** What Prometheus fetches, and whether anybody may. */
  readonly metrics: { readonly isPublic: boolean; pieces(): Iterable<string> };
  readonly rng: Rng;
  /** The product's version. */
  readonly version: string;
  /** When the configuration was loaded, in epoch seconds: what models give as their creation. */
  readonly loadedAtSeconds: number;
  /** Called off when the process stops and its grace is over. */
  readonly shutdown: Cancellation;
  stage(): Stage;
  /** Calls `listener` whenever the stage changes. @returns how to stop listening */
  onStage(listener: () => void): () => void;
  /** Why the process should be sent nothing now; undefined: it may be. */
  unready(): string | undefined;
  keyStats(): KeyStats;
  /** Told of every failure that is a bug of ours. */
  reportBug(error: unknown, requestId: string): void;
}

/** What a request may take of the wires. */
export interface EdgeLimits {
  /** A request's body, in bytes, unpacked. */
  readonly bodyBytes: number;
  /** A client that takes nothing for so long is cut off, ms. */
  readonly stalledMs: number;
  /** Silence after which a stream of events says that it is still there, ms. */
  readonly heartbeatMs: number;
}

/** The other end of a request's connection. */
export interface Peer {
  /** Whose request it is, as far as trusted proxies tell. */
  readonly address: string;
  /** A caller has shown its key: its connection may do more. */
  welcome(): void;
}

/** Who may call: whoever comes, a caller, an operator. */
export type Access = "public" | "caller" | "admin";

/** What every request has, whatever its wire. */
export interface RequestIdentity {
  readonly requestId: string;
  /** W3C trace id: the caller's, or a new one. */
  readonly traceId: string;
}

/** Who makes a request. */
export interface Visitor extends RequestIdentity {
  readonly record: RequestRecord;
  readonly caller: Caller | undefined;
  /** Whether the caller has shown its key; else it is whoever comes. */
  readonly isKnown: boolean;
  readonly isAdmin: boolean;
  /** Whether it has shown a key that is nobody's. */
  readonly isImpostor: boolean;
}

/** One header of a request. */
export type HeaderOf = (name: string) => string | undefined | null;

/** What a request's head tells beside its headers. */
export type Arrival = Omit<
  RequestHead,
  "requestId" | "traceId" | "spanId" | "parent" | "traceState" | "host" | "userAgent"
>;

/** Opens the record of a request. Ids of the caller's own are kept when they are fit for a log. */
export function openRecord({ rng, recording }: Edge, header: HeaderOf, arrival: Arrival): RequestRecord {
  const keys = keysIn(header);
  const given = header("x-request-id");
  const isFit = given && /^[\w.:-]{1,128}$/.test(given) && !keys.some((key) => given.includes(key));
  const traceState = parseTraceState(header("traceparent") ? header("tracestate") : undefined);
  const parent = parseTraceParent(header("traceparent"));
  return new RequestRecord(recording, {
    requestId: isFit ? given : `req_${randomHex(rng, 24)}`,
    traceId: parent?.traceId ?? randomHex(rng, 32),
    spanId: requestSpanId(rng),
    parent,
    // Without a parent it is nobody's.
    traceState: !parent || (traceState && keys.some((key) => traceState.includes(key))) ? undefined : traceState,
    wire: arrival.wire,
    method: arrival.method,
    path: withoutKeys(arrival.path, keys) ?? "",
    httpVersion: arrival.httpVersion,
    isEncrypted: arrival.isEncrypted,
    clientAddress: arrival.clientAddress,
    host: header("host") ?? header(":authority") ?? undefined,
    userAgent: withoutKeys(header("user-agent"), keys),
  });
}

function withoutKeys(words: string | undefined | null, keys: readonly string[]): string | undefined {
  return keys.reduce((left, key) => left?.replaceAll(key, "[key]"), words ?? undefined);
}

/** Shorter ones are no secrets, and stand in many a word. */
const leastSecret = 8;

/** What a request shows as its keys, and perhaps repeats where it does not belong. */
function keysIn(header: HeaderOf): string[] {
  const keys: string[] = [];
  for (const name of ["authorization", "x-api-key", "x-admin-key"]) {
    const text = header(name);
    const key = text?.slice(text.lastIndexOf(" ") + 1);
    if (key && key.length >= leastSecret) keys.push(key);
  }
  return keys;
}

/**
 * Who is behind a request: a caller by `Authorization: Bearer` or `X-API-Key`, an operator by `Authorization: Bearer` or
 * `X-Admin-Key`. Two keys that disagree are none, and what is no bearer agrees with nothing.
 */
export function visitorOf(header: HeaderOf, { callers }: Edge, record: RequestRecord): Visitor {
  const authorization = header("authorization");
  const apiKey = header("x-api-key") || undefined;
  const adminKey = header("x-admin-key") || undefined;
  const bearer = authorization ? (/^bearer +([\x21-\x7e]+) *$/i.exec(authorization)?.[1] ?? null) : undefined;
  const disagree = apiKey !== undefined && bearer !== undefined && bearer !== apiKey;
  const known = disagree ? undefined : callers.identify(bearer ?? apiKey);
  const isAdmin = callers.isAdmin(adminKey ?? bearer ?? undefined);
  const isImpostor = Boolean(authorization || apiKey || adminKey) && !known && !isAdmin;
  const caller = known ?? (callers.open && !disagree ? callers.anyone : undefined);
  const { requestId, traceId } = record;
  record.caller = caller?.name;
  return { requestId, traceId, record, caller, isKnown: known !== undefined, isAdmin, isImpostor };
}

/**
 * Lets a visitor in or not. What is refused says nothing of why.
 * @throws FaultError
 */
export function admit({ failedLogins }: Edge, access: Access, visitor: Visitor, peer: Peer): void {
  const { caller, isKnown, isAdmin, isImpostor } = visitor;
  if (caller || isAdmin) peer.welcome();
  if (access === "public" || (access === "admin" ? isAdmin : caller)) return;
  const wanted = access === "admin" && { admin: true };
  if (isKnown || isAdmin) throw new FaultError({ kind: "forbidden", ...wanted });
  const retryAfterMs = isImpostor ? failedLogins.note(peer.address) : 0;
  throw new FaultError(
    retryAfterMs > 0 ? { kind: "too_many_failures", retryAfterMs } : { kind: "unauthorized", ...wanted },
  );
}

/** Longest timeout that a caller may set, in ms; a longer one is clamped. */
export const maxTimeoutMs = 3_600_000;
