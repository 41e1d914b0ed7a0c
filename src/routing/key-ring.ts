import type { Rng } from "../runtime/rng.ts";
import { fullJitter } from "./backoff.ts";
import type { Key } from "./endpoint.ts";

/** Why a key is held back. */
export type HoldReason = "rate_limited" | "quota_exhausted" | "key_refused";

/** A time during which a key is not used. It ends with one request that goes first; only a success takes it away. */
interface Hold {
  /** When it began: outcomes of calls that started earlier belong to the time before. */
  since: number;
  until: number;
  /** How often in a row, for the growth of the next one. */
  times: number;
  /** When the request went that goes first. */
  trialAt: number | undefined;
}

/** How holds grow, in ms; and how much of a start the request gets that goes first after one. */
const growth = {
  rate: { baseMs: 1000, maxMs: 60_000, headStartMs: 1000 },
  quota: { baseMs: 60_000, maxMs: 3_600_000, headStartMs: 30_000 },
  refused: { baseMs: 15 * 60_000, maxMs: 24 * 3_600_000, headStartMs: 60_000 },
} as const;

/** A provider that says that a spent key may be used again sooner than this has said nothing. */
const leastQuotaRestMs = 1000;

/** Two keys limited within so long on one endpoint mean that the account is limited. */
const accountLimitMs = 1000;
/** In a crisis one pick in so many takes its turn without preference, so that keys return. */
const plainPickEvery = 8;

/** One key with what is known of it. It outlives the ring: what comes late touches a slot that nobody uses any more. */
export interface KeySlot {
  /** Undefined for a provider that wants no key: then the slot stands for the provider itself. */
  readonly key: Key | undefined;
}

/** Why no key can be used for an endpoint now. */
export interface NoKey {
  /** What most keys wait for, the mildest first: a limit ends soonest, a refusal needs somebody. */
  readonly reason: HoldReason;
  /** When the first returns. */
  readonly until: number;
  /** How many wait for what: `2 limited, 1 refused`. */
  readonly detail: string;
}

/** How the keys of a ring are doing. */
export interface KeyCounts {
  readonly total: number;
  readonly available: number;
  /** Refused, or without quota. */
  readonly failed: number;
}

/** How one key is doing at one endpoint. */
export interface KeyStanding {
  readonly name: string;
  /** Why it is held back and until when; undefined: it may be used. */
  readonly held: { readonly reason: HoldReason; readonly until: number } | undefined;
}

class Slot implements KeySlot {
  /** Changes only when the same secret gets another name. */
  key: Key | undefined;
  refused: Hold | undefined;
  quota: Hold | undefined;
  /** Limits by endpoint: a provider limits each of its models by itself. */
  readonly rates = new Map<string, Hold>();
  /** Whether it failed when it was last used, by its own fault. */
  doubtful = false;

  constructor(key: Key | undefined) {
    this.key = key;
  }
}

/**
 * A provider's keys in turn. A key that is limited, spent or refused is passed over until its time has come; then one request
 * goes first. All times are monotonic milliseconds.
 */
export class KeyRing {
  readonly #rng: Rng;
  #slots: Slot[];
  #cursor: number;
  #crisisPicks = 0;
  #lastUsed: Slot | undefined;
  /** The last limit on each endpoint. */
  readonly #limits = new Map<string, { readonly slot: Slot; readonly at: number; readonly until: number }>();

  constructor(keys: readonly Key[], rng: Rng) {
    this.#rng = rng;
    this.#slots = slotsOf(keys);
    // Several gateways must not walk in step.
    this.#cursor = Math.floor(rng.next() * this.#slots.length);
  }

  /** Takes a new list of keys: what is known of a key stays with it, wherever it stands now; a changed secret is a new key. */
  replace(keys: readonly Key[]): void {
    const known = new Map(this.#slots.map((slot) => [slot.key?.id, slot]));
    const next = this.#slots[this.#cursor]?.key?.id;
    this.#slots = slotsOf(keys).map((slot) => {
      const old = known.get(slot.key?.id);
      if (!old) return slot;
      old.key = slot.key;
      return old;
    });
    this.#cursor = Math.max(
      0,
      this.#slots.findIndex(({ key }) => key?.id === next),
    );
    this.#limits.clear();
  }

  /**
   * The next usable key for an endpoint.
   * @param tried keys that this request has used already
   */
  pick(now: number, endpoint: string, tried?: ReadonlySet<KeySlot>): KeySlot | undefined {
    const count = this.#slots.length;
    let chosen: Slot | undefined;
    let unusable = 0;
    for (let step = 0; step < count; step++) {
      const slot = this.#slots[(this.#cursor + step) % count] as Slot; // in range: modulo
      if (tried?.has(slot)) continue;
      if (usableAt(slot, endpoint) > now) {
        unusable += 1;
        continue;
      }
      if (!slot.doubtful) {
        // Behind a doubtful one only in a crisis, and not every time: else what returned would never be used again.
        const crisis = unusable * 2 > count && ++this.#crisisPicks % plainPickEvery !== 0;
        if (!chosen || crisis) chosen = slot;
        break;
      }
      chosen ??= slot;
    }
    return chosen && this.#take(chosen, now, endpoint);
  }

  /** The same key once more, if it may still be used; else the next. */
  again(given: KeySlot, now: number, endpoint: string): KeySlot | undefined {
    const slot = given as Slot; // slots are made nowhere else
    const isOurs = this.#slots.includes(slot);
    return isOurs && usableAt(slot, endpoint) <= now ? this.#take(slot, now, endpoint) : this.pick(now, endpoint);
  }

  /** Why `pick` would give nothing now; undefined: it would give a key. */
  blocked(now: number, endpoint: string): NoKey | undefined {
    let soonest = Number.POSITIVE_INFINITY;
    const held = { rate_limited: 0, quota_exhausted: 0, key_refused: 0 };
    const count = this.#slots.length;
    for (let step = 0; step < count; step++) {
      const slot = this.#slots[(this.#cursor + step) % count] as Slot; // in range: modulo
      const until = usableAt(slot, endpoint);
      if (until <= now) return undefined;
      if (until < soonest) soonest = until;
      held[holdReason(slot)] += 1;
    }
    const reasons = ["rate_limited", "quota_exhausted", "key_refused"] as const;
    const present = reasons.filter((reason) => held[reason] > 0);
    const detail = present.map((reason) => `${held[reason]} ${heldWords[reason]}`).join(", ");
    return { reason: present[0] ?? "key_refused", until: soonest, detail };
  }

  /** Served. Whatever held the key back before this call began is over. */
  succeeded(given: KeySlot, endpoint: string, startedAt: number): void {
    const slot = given as Slot;
    if (slot.refused && startedAt > slot.refused.since) slot.refused = undefined;
    if (slot.quota && startedAt > slot.quota.since) slot.quota = undefined;
    const rate = slot.rates.size > 0 ? slot.rates.get(endpoint) : undefined;
    if (rate && startedAt > rate.since) slot.rates.delete(endpoint);
    slot.doubtful = slot.refused !== undefined || slot.quota !== undefined || slot.rates.has(endpoint);
  }

  /** Limited: until the time that the provider states, else for a growing while. A herd that is limited at once counts once. */
  rateLimited(given: KeySlot, endpoint: string, startedAt: number, now: number, retryAfterMs?: number): void {
    const slot = given as Slot;
    const { baseMs, maxMs } = growth.rate;
    const old = slot.rates.get(endpoint);
    const stated = retryAfterMs === undefined ? undefined : now + retryAfterMs;
    let hold = old;
    if (old && startedAt <= old.since) {
      if (stated !== undefined && stated > old.until) prolong(old, now, stated);
    } else {
      const until = stated ?? now + fullJitter(this.#rng, old?.times ?? 0, { baseMs, maxMs });
      hold = { since: now, until, times: (old?.times ?? 0) + 1, trialAt: undefined };
      slot.rates.set(endpoint, hold);
      bound(slot.rates, now);
    }
    slot.doubtful = true;
    this.#noticeAccountLimit(slot, endpoint, now, hold?.until ?? now);
  }

  /** Its provider says that nothing is left of its limit until then, although it still served. */
  coolUntil(given: KeySlot, endpoint: string, now: number, until: number): void {
    const slot = given as Slot;
    const old = slot.rates.get(endpoint);
    slot.rates.set(endpoint, { since: now, until: Math.max(until, old?.until ?? 0), times: 0, trialAt: undefined });
    bound(slot.rates, now);
  }

  /** Its balance or quota is spent. */
  exhausted(given: KeySlot, startedAt: number, now: number, retryAfterMs?: number): void {
    const slot = given as Slot;
    const stated = retryAfterMs !== undefined && retryAfterMs >= leastQuotaRestMs ? retryAfterMs : undefined;
    slot.quota = grown(slot.quota, growth.quota, startedAt, now, stated);
    slot.doubtful = true;
  }

  /** Refused: not used again until somebody changes or resets it, or one request has found it good. */
  refused(given: KeySlot, startedAt: number, now: number): void {
    const slot = given as Slot;
    slot.refused = grown(slot.refused, growth.refused, startedAt, now);
    slot.doubtful = true;
  }

  /** The call ended and said nothing about the key: if it was the one that went first, it has not found out, and another may. */
  released(given: KeySlot, endpoint: string, startedAt: number): void {
    const slot = given as Slot;
    for (const hold of [slot.refused, slot.quota, slot.rates.get(endpoint)]) {
      if (hold?.trialAt === startedAt) hold.trialAt = undefined;
    }
  }

  /** A key that is not refused, out of turn: for what does not count as use. */
  anyKey(): Key | undefined {
    return (this.#slots.find(({ refused }) => !refused) ?? this.#slots[0])?.key;
  }

  /** Forgets what was held against any key. @returns how many were held back as refused or spent */
  reset(): number {
    const failed = this.counts().failed;
    this.#slots = this.#slots.map(({ key }) => new Slot(key));
    this.#limits.clear();
    return failed;
  }

  counts(): KeyCounts {
    const keyed = this.#slots.filter(({ key }) => key !== undefined);
    const failed = keyed.filter(({ refused, quota }) => refused || quota).length;
    return { total: keyed.length, available: keyed.length - failed, failed };
  }

  /** How many keys are in which state: limited where one is at any endpoint now, else as `counts` has them. */
  states(now: number): Readonly<Record<"available" | HoldReason, number>> {
    const states = { available: 0, rate_limited: 0, quota_exhausted: 0, key_refused: 0 };
    for (const slot of this.#slots) {
      if (!slot.key) continue;
      const isLimited = [...slot.rates.values()].some(({ until }) => until > now);
      states[slot.refused || slot.quota || isLimited ? holdReason(slot) : "available"] += 1;
    }
    return states;
  }

  /** Each key by itself, for people who watch. */
  standing(now: number, endpoint: string): readonly KeyStanding[] {
    return this.#slots.flatMap((slot) => {
      if (!slot.key) return [];
      const until = usableAt(slot, endpoint);
      return [{ name: slot.key.name, held: until > now ? { reason: holdReason(slot), until } : undefined }];
    });
  }

  /** Position of the key that was used last, from 0; −1 before any was. */
  get lastIndex(): number {
    return this.#lastUsed ? this.#slots.indexOf(this.#lastUsed) : -1;
  }

  #take(slot: Slot, now: number, endpoint: string): Slot {
    this.#cursor = (this.#slots.indexOf(slot) + 1) % this.#slots.length;
    this.#lastUsed = slot;
    const rate = slot.rates.size > 0 ? slot.rates.get(endpoint) : undefined;
    // A limit is over a second after the first has gone; a refused or spent key is tried by one at a time until one was served.
    if (rate) rate.trialAt ??= now;
    if (slot.refused) slot.refused.trialAt = now;
    if (slot.quota) slot.quota.trialAt = now;
    return slot;
  }

  /** When the account is limited, all of its keys rest for as long as the longer of the two. */
  #noticeAccountLimit(slot: Slot, endpoint: string, now: number, until: number): void {
    // The late limit of a key that was taken away, or reset, says nothing about those that are there.
    if (!this.#slots.includes(slot)) return;
    const last = this.#limits.get(endpoint);
    this.#limits.set(endpoint, { slot, at: now, until });
    bound(this.#limits, now);
    if (!last || last.slot === slot || now - last.at > accountLimitMs) return;
    const longer = Math.max(last.until, until);
    for (const { rates } of this.#slots) {
      const hold = rates.get(endpoint);
      if (hold) prolong(hold, now, Math.max(hold.until, longer));
      else rates.set(endpoint, { since: now, until: longer, times: 0, trialAt: undefined });
      bound(rates, now);
    }
  }
}

/** Where a provider takes any model, callers may make up any number of endpoints. */
const maxEndpoints = 1000;

/** Keeps a map by endpoints small: what is over goes first, then what is oldest. */
function bound(map: Map<string, { readonly until: number }>, now: number): void {
  if (map.size <= maxEndpoints) return;
  for (const [endpoint, { until }] of map) if (until <= now) map.delete(endpoint);
  for (const endpoint of map.keys()) {
    if (map.size <= maxEndpoints) return;
    map.delete(endpoint);
  }
}

const heldWords: Readonly<Record<HoldReason, string>> = {
  rate_limited: "limited",
  quota_exhausted: "without quota",
  key_refused: "refused",
};

function slotsOf(keys: readonly Key[]): Slot[] {
  return keys.length === 0 ? [new Slot(undefined)] : keys.map((key) => new Slot(key));
}

/** A hold begins anew: what is under way began before it, one that went first as well. */
function prolong(hold: Hold, now: number, until: number): void {
  hold.since = now;
  hold.until = until;
  hold.trialAt = undefined;
}

function holdReason({ refused, quota }: Slot): HoldReason {
  return refused ? "key_refused" : quota ? "quota_exhausted" : "rate_limited";
}

/** From when on a key may be used for an endpoint; the past when it may be used now. */
function usableAt({ refused, quota, rates }: Slot, endpoint: string): number {
  const rate = rates.size > 0 ? rates.get(endpoint) : undefined;
  return Math.max(heldUntil(refused, growth.refused), heldUntil(quota, growth.quota), heldUntil(rate, growth.rate));
}

function heldUntil(hold: Hold | undefined, { headStartMs }: { readonly headStartMs: number }): number {
  if (!hold) return Number.NEGATIVE_INFINITY;
  return hold.trialAt === undefined ? hold.until : Math.max(hold.until, hold.trialAt + headStartMs);
}

function grown(
  old: Hold | undefined,
  { baseMs, maxMs }: { readonly baseMs: number; readonly maxMs: number },
  startedAt: number,
  now: number,
  statedMs?: number,
): Hold {
  if (old && startedAt <= old.since) return old;
  const times = old?.times ?? 0;
  const until = now + (statedMs ?? Math.min(maxMs, baseMs * 2 ** times));
  return { since: now, until, times: times + 1, trialAt: undefined };
}
