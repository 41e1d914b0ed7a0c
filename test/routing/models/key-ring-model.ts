import type { KeyCounts, NoKey } from "../../../src/routing/key-ring.ts";
import type { Chance } from "./chance.ts";

/** A time during which a key is not used, and the call that went first after it. */
interface Rest {
  since: number;
  until: number;
  times: number;
  first: Call | undefined;
}

type Reason = NoKey["reason"];

/** A key and everything that is held against it. */
export interface KeyState {
  readonly name: string | undefined;
  refused: Rest | undefined;
  quota: Rest | undefined;
  readonly rates: Map<string, Rest>;
  /** Whether its last outcome was its own fault. */
  doubtful: boolean;
}

/** A call with a key, until its outcome is told. */
export interface Call {
  readonly key: KeyState;
  readonly endpoint: string;
  readonly startedAt: number;
}

const second = 1000;
const minute = 60_000;
const hour = 60 * minute;
/** How much of a start a call has that goes first. */
const headStart = { rate: second, quota: 30 * second, refused: minute };
/** Of picks in a crisis, each of so many is in turn all the same. */
const plainEvery = 8;

/**
 * What a ring of keys should do, told with what is known of each key. Calls are told apart by when they began. A new list of keys
 * begins anew to look for limits of the whole account; whose turn it is after one is only known if that key is still in it.
 */
export class KeyRingModel {
  now = 0;
  calls: Call[] = [];
  keys: KeyState[];
  lastUsed: KeyState | undefined;
  readonly #chance: Chance;
  /** Undefined: not known. */
  #turn: number | undefined;
  #lastLimits = new Map<string, { readonly key: KeyState; readonly at: number; readonly until: number }>();
  /** How many picks there have been in a crisis; undefined: it was not always known whose turn it was. */
  #crisisPicks: number | undefined = 0;

  constructor(names: readonly string[], chance: Chance) {
    this.#chance = chance;
    this.keys = keysOf(names);
  }

  /** When a key may be used for an endpoint. */
  usableAt(key: KeyState, endpoint: string): number {
    return Math.max(
      restedAt(key.refused, headStart.refused),
      restedAt(key.quota, headStart.quota),
      restedAt(key.rates.get(endpoint), headStart.rate),
    );
  }

  usable(key: KeyState, endpoint: string): boolean {
    return this.usableAt(key, endpoint) <= this.now;
  }

  /** Who may be picked: one, as long as it is known whose turn it is. A pick in a crisis counts. */
  picks(endpoint: string, tried: ReadonlySet<KeyState>): KeyState[] {
    const turn = this.#turn ?? 0;
    const inTurn = [...this.keys.slice(turn), ...this.keys.slice(0, turn)].filter((key) => !tried.has(key));
    const usable = inTurn.filter((key) => this.usable(key, endpoint));
    if (this.#turn === undefined && usable.length > 0) {
      if (usable.length < inTurn.length) this.#crisisPicks = undefined;
      return usable;
    }
    return this.#inCrisis(inTurn, usable) ?? usable.slice(0, 1);
  }

  /** When most keys had to be passed over for one that is in good standing, it goes before those that are not. */
  #inCrisis(inTurn: readonly KeyState[], usable: readonly KeyState[]): KeyState[] | undefined {
    const good = usable.find(({ doubtful }) => !doubtful);
    const [first] = usable;
    if (!good || !first) return undefined;
    const unusable = inTurn.slice(0, inTurn.indexOf(good)).filter((key) => !usable.includes(key));
    if (unusable.length * 2 <= this.keys.length) return undefined;
    if (this.#crisisPicks === undefined) return [first, good];
    this.#crisisPicks += 1;
    return [this.#crisisPicks % plainEvery === 0 ? first : good];
  }

  take(key: KeyState, endpoint: string): Call {
    const call = { key, endpoint, startedAt: this.now };
    this.#turn = (this.keys.indexOf(key) + 1) % this.keys.length;
    this.lastUsed = key;
    const rate = key.rates.get(endpoint);
    if (rate) rate.first ??= call;
    if (key.quota) key.quota.first = call;
    if (key.refused) key.refused.first = call;
    this.calls.push(call);
    return call;
  }

  blocked(endpoint: string): NoKey | undefined {
    if (this.keys.some((key) => this.usable(key, endpoint))) return undefined;
    const reasons: [Reason, string][] = [
      ["rate_limited", "limited"],
      ["quota_exhausted", "without quota"],
      ["key_refused", "refused"],
    ];
    const present = reasons
      .map(([reason, words]) => ({ reason, words, count: this.keys.filter((key) => reasonOf(key) === reason).length }))
      .filter(({ count }) => count > 0);
    return {
      reason: present[0]?.reason ?? "key_refused",
      until: Math.min(...this.keys.map((key) => this.usableAt(key, endpoint))),
      detail: present.map(({ count, words }) => `${count} ${words}`).join(", "),
    };
  }

  counts(): KeyCounts {
    const keyed = this.keys.filter(({ name }) => name !== undefined);
    const failed = keyed.filter(({ refused, quota }) => refused || quota).length;
    return { total: keyed.length, available: keyed.length - failed, failed };
  }

  ended(call: Call): void {
    this.calls = this.calls.filter((each) => each !== call);
  }

  succeeded({ key, endpoint, startedAt }: Call): void {
    if (key.refused && startedAt > key.refused.since) key.refused = undefined;
    if (key.quota && startedAt > key.quota.since) key.quota = undefined;
    const rate = key.rates.get(endpoint);
    if (rate && startedAt > rate.since) key.rates.delete(endpoint);
    key.doubtful = key.refused !== undefined || key.quota !== undefined || key.rates.has(endpoint);
  }

  /** What began before the rest did neither makes the next one longer nor this one, unless the provider states a time. */
  rateLimited({ key, endpoint, startedAt }: Call, retryAfterMs: number | undefined): void {
    const old = key.rates.get(endpoint);
    const stated = retryAfterMs === undefined ? undefined : this.now + retryAfterMs;
    if (!old || startedAt > old.since) {
      const times = old?.times ?? 0;
      const drawn = this.now + this.#chance.value * Math.min(minute, second * 2 ** times);
      key.rates.set(endpoint, { since: this.now, until: stated ?? drawn, times: times + 1, first: undefined });
    } else if (stated !== undefined && stated > old.until) this.#prolong(old, stated);
    key.doubtful = true;
    if (this.keys.includes(key)) this.#isAccountLimited(key, endpoint);
  }

  exhausted({ key, startedAt }: Call, retryAfterMs: number | undefined): void {
    const stated = retryAfterMs !== undefined && retryAfterMs >= second ? retryAfterMs : undefined;
    key.quota = this.#longer(key.quota, startedAt, stated, { baseMs: minute, maxMs: hour });
    key.doubtful = true;
  }

  refused({ key, startedAt }: Call): void {
    key.refused = this.#longer(key.refused, startedAt, undefined, { baseMs: 15 * minute, maxMs: 24 * hour });
    key.doubtful = true;
  }

  /** The call that went first has not found out: another may. */
  released({ key, endpoint, startedAt }: Call): void {
    for (const rest of [key.refused, key.quota, key.rates.get(endpoint)]) {
      if (rest?.first?.startedAt === startedAt) rest.first = undefined;
    }
  }

  /** It served, and the provider says that it was the last for so long. */
  coolsUntil({ key, endpoint }: Call, until: number): void {
    const latest = Math.max(until, key.rates.get(endpoint)?.until ?? 0);
    key.rates.set(endpoint, { since: this.now, until: latest, times: 0, first: undefined });
  }

  replaced(names: readonly string[]): void {
    const next = this.#turn === undefined ? undefined : this.keys[this.#turn];
    const known = new Map(this.keys.map((key) => [key.name, key]));
    this.keys = keysOf(names).map((key) => known.get(key.name) ?? key);
    const turn = next ? this.keys.indexOf(next) : -1;
    this.#turn = turn < 0 ? undefined : turn;
    this.#lastLimits.clear();
  }

  reset(): void {
    this.keys = this.keys.map(({ name }) => newKey(name));
    this.#lastLimits.clear();
  }

  /** The next moment at which a key may be used again; undefined: none is held back. */
  due(endpoints: readonly string[]): number | undefined {
    const times = endpoints.flatMap((endpoint) => this.keys.map((key) => this.usableAt(key, endpoint)));
    const later = times.filter((time) => time > this.now);
    return later.length > 0 ? Math.min(...later) : undefined;
  }

  /** Two keys limited within a second: all of them rest for as long as the longer of the two. */
  #isAccountLimited(key: KeyState, endpoint: string): void {
    const until = key.rates.get(endpoint)?.until ?? this.now;
    const last = this.#lastLimits.get(endpoint);
    this.#lastLimits.set(endpoint, { key, at: this.now, until });
    if (!last || last.key === key || this.now - last.at > second) return;
    const longer = Math.max(last.until, until);
    for (const { rates } of this.keys) {
      const rest = rates.get(endpoint);
      if (rest) this.#prolong(rest, Math.max(rest.until, longer));
      else rates.set(endpoint, { since: this.now, until: longer, times: 0, first: undefined });
    }
  }

  #prolong(rest: Rest, until: number): void {
    rest.since = this.now;
    rest.until = until;
    rest.first = undefined;
  }

  #longer(
    old: Rest | undefined,
    startedAt: number,
    statedMs: number | undefined,
    { baseMs, maxMs }: { readonly baseMs: number; readonly maxMs: number },
  ): Rest {
    if (old && startedAt <= old.since) return old;
    const times = old?.times ?? 0;
    const ms = statedMs ?? Math.min(maxMs, baseMs * 2 ** times);
    return { since: this.now, until: this.now + ms, times: times + 1, first: undefined };
  }
}

function restedAt(rest: Rest | undefined, headStartMs: number): number {
  if (!rest) return Number.NEGATIVE_INFINITY;
  return rest.first ? Math.max(rest.until, rest.first.startedAt + headStartMs) : rest.until;
}

function reasonOf({ refused, quota }: KeyState): Reason {
  if (refused) return "key_refused";
  return quota ? "quota_exhausted" : "rate_limited";
}

/** A provider that wants no key has one without a name. */
function keysOf(names: readonly string[]): KeyState[] {
  return names.length === 0 ? [newKey(undefined)] : names.map(newKey);
}

function newKey(name: string | undefined): KeyState {
  return { name, refused: undefined, quota: undefined, rates: new Map(), doubtful: false };
}
