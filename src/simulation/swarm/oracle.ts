import type { UseLimits } from "../../routing/endpoint.ts";
import type { RoutingSettings } from "../../routing/settings.ts";
import type { ManualState } from "../../routing/state.ts";
import type { Verdict } from "../../routing/verdict.ts";
import { BreakerOracle, type Standing } from "./breaker-oracle.ts";
import type { Site } from "./world.ts";

/** A time during which a key rests, of which only the range may be known. */
interface Rest {
  readonly since: number;
  readonly low: number;
  readonly high: number;
  readonly times: number;
  readonly triedAt: number | undefined;
  /** Set where a draw decided whether it began anew: then nothing is claimed of it. */
  readonly vague?: boolean;
}

/** What keeps calls from an endpoint. */
export type Hurdle = "state" | "places" | "rate" | "keys" | "breaker";

type RestKind = "rate" | "quota" | "refused";

const minute = 60_000;
const growth = {
  rate: { first: 1000, longest: minute, headStartMs: 1000 },
  quota: { first: minute, longest: 60 * minute, headStartMs: 30_000 },
  refused: { first: 15 * minute, longest: 24 * 60 * minute, headStartMs: minute },
} as const;

/** Two keys limited within so long at one endpoint: the account is. */
const accountMs = 1000;
const modelOffMs = 5 * minute;
const pathOffMs = { first: minute, longest: 60 * minute };

/** The rates that a limit may have in any version of the configuration, the lowest and the highest of them. */
export interface Rates {
  readonly least: number;
  readonly most: number;
}

/**
 * What is used of a limit: calls in flight, and a bucket of tokens that time refills. While two versions of the configuration are in
 * use nobody says which of their rates refills it when: no slower than the lowest, no faster than the highest.
 */
class Use {
  inFlight = 0;
  readonly #rates: Rates;
  /** Tokens that have been taken and have not come back, at least and at most. */
  #missing = { low: 0, high: 0 };
  #at = 0;

  constructor(rates: Rates) {
    this.#rates = rates;
  }

  /** Tokens that are there for a call of one version, at least and at most. */
  tokens({ maxRps: rate }: UseLimits, now: number): { readonly low: number; readonly high: number } {
    this.#refill(now);
    if (rate === undefined) return { low: Number.POSITIVE_INFINITY, high: Number.POSITIVE_INFINITY };
    return { low: Math.max(1, rate) - this.#missing.high, high: Math.max(1, this.#rates.most) - this.#missing.low };
  }

  take(now: number): void {
    this.#refill(now);
    this.#missing.low += 1;
    this.#missing.high += 1;
    this.inFlight += 1;
  }

  /** @param unusedSince when a token was taken that was not used: it comes back, unless time has brought it back already */
  end(now: number, unusedSince: number | undefined): void {
    this.inFlight -= 1;
    if (unusedSince === undefined) return;
    this.#refill(now);
    const { least, most } = this.#rates;
    const ms = now - unusedSince;
    if (ms * least < 1000) this.#missing.low = Math.max(0, this.#missing.low - 1);
    if (ms * most < 1000) this.#missing.high = Math.max(0, this.#missing.high - 1);
  }

  #refill(now: number): void {
    const ms = now - this.#at;
    this.#at = now;
    if (ms === 0) return;
    this.#missing.low = Math.max(0, this.#missing.low - (ms * this.#rates.most) / 1000);
    this.#missing.high = Math.max(0, this.#missing.high - (ms * this.#rates.least) / 1000);
  }
}

/**
 * Which endpoints and keys may be used now, by the plainest reading of the rules, from nothing but what has happened. It looks at
 * all of a few, remembers everything, and shares no code with the engine, which must choose what it allows.
 */
export class Oracle {
  readonly #settings: RoutingSettings;
  readonly #ratesOf: (name: string) => Rates;
  readonly #keys = new Map<string, readonly string[]>();
  readonly #rests = new Map<string, Rest>();
  readonly #limited = new Map<
    string,
    { readonly key: string; readonly at: number; readonly low: number; readonly high: number }
  >();
  readonly #uses = new Map<string, Use>();
  readonly #off = new Map<
    string,
    { readonly kind: "model" | "path"; readonly since: number; until: number; readonly times: number }
  >();
  readonly #breakers = new Map<string, BreakerOracle>();
  readonly manual = new Map<string, ManualState["state"]>();
  /** Calls that have been begun and not ended. */
  inFlight = 0;

  /** @param ratesOf of an endpoint or a provider, by its name */
  constructor(settings: RoutingSettings, ratesOf: (name: string) => Rates) {
    this.#settings = settings;
    this.#ratesOf = ratesOf;
  }

  breaker(endpoint: string): BreakerOracle {
    return got(this.#breakers, endpoint, () => new BreakerOracle(this.#settings.breaker));
  }

  use(name: string): Use {
    return got(this.#uses, name, () => new Use(this.#ratesOf(name)));
  }

  keysOf(provider: string): readonly string[] {
    const keys = this.#keys.get(provider) ?? [];
    return keys.length > 0 ? keys : [""];
  }

  /** Whether an endpoint can be used, its breaker aside; if not, what is in the way, and in words. */
  standing(site: Site, now: number): { readonly is: Standing; readonly of?: Hurdle; readonly why?: string } {
    const { id, provider, use = {}, providerUse = {} } = site;
    const out = (of: Hurdle, why: string) => ({ is: "out", of, why }) as const;
    if (!site.enabled) return out("state", "it is switched off");
    const manual = this.manual.get(id);
    if (manual && manual !== "forced_closed") return out("state", `it is ${manual} by hand`);
    const off = this.#off.get(id);
    if (off && now < off.until) return out("state", `its ${off.kind} is off until ${off.until}`);
    const here = this.use(id);
    const there = this.use(provider);
    const { endpoint: usual, process } = this.#settings.inFlight;
    const most = use.maxConcurrent ?? providerUse.maxConcurrent ?? usual;
    if (this.inFlight >= process) return out("places", "the process is full");
    if (here.inFlight >= most) return out("places", "all of its places are taken");
    if (there.inFlight >= (providerUse.maxConcurrent ?? Number.POSITIVE_INFINITY)) {
      return out("places", "all places of its provider are taken");
    }
    const [own, ofAll] = [here.tokens(use, now), there.tokens(providerUse, now)];
    if (Math.min(own.high, ofAll.high) < 1 - 1e-3) return out("rate", "its rate is used up");
    const keys = this.keysOf(provider).map((key) => this.key(key, site, now));
    if (keys.every((is) => is === "out")) return out("keys", "all of its keys rest");
    return { is: Math.min(own.low, ofAll.low) >= 1 && keys.includes("free") ? "free" : "unsure" };
  }

  barred(endpoint: string, now: number, sole: boolean): Standing {
    return this.manual.get(endpoint) === "forced_closed" ? "free" : this.breaker(endpoint).barred(now, sole);
  }

  /** Whether a key may be used at an endpoint. */
  key(key: string, { id, provider }: Pick<Site, "id" | "provider">, now: number): Standing {
    let is: Standing = "free";
    for (const kind of ["rate", "quota", "refused"] as const) {
      const rest = this.#rests.get(nameOf(kind, key, id, provider));
      if (!rest) continue;
      if (rest.vague) {
        is = "unsure";
        continue;
      }
      const behind = rest.triedAt === undefined ? 0 : rest.triedAt + growth[kind].headStartMs;
      if (now < Math.max(rest.low, behind)) return "out";
      if (now < Math.max(rest.high, behind)) is = "unsure";
    }
    return is;
  }

  /** Whether nothing is held against any key at an endpoint, not even something that is over. */
  keysAreFine({ id, provider }: Site): boolean {
    return this.keysOf(provider).every(
      (key) =>
        !this.#rests.has(nameOf("rate", key, id, provider)) &&
        !this.#rests.has(nameOf("quota", key, id, provider)) &&
        !this.#rests.has(nameOf("refused", key, id, provider)),
    );
  }

  /** When the last of what rests by the rules may be used at the latest: keys, models, paths. */
  restsUntil(): number {
    return Math.max(
      0,
      ...[...this.#rests.values()].map(({ high }) => high),
      ...[...this.#off.values()].map(({ until }) => until),
    );
  }

  /** Takes new keys: what is known of one stays with it. */
  replaceKeys(provider: string, keys: readonly string[]): void {
    const before = this.keysOf(provider);
    // The same ones anew change nothing.
    if (before.length === keys.length && before.every((key, index) => key === keys[index])) return;
    const gone = before.filter((key) => !keys.includes(key));
    for (const name of [...this.#rests.keys()])
      if (gone.some((key) => name.endsWith(`#${key}`))) this.#rests.delete(name);
    this.#keys.set(provider, keys);
    for (const endpoint of [...this.#limited.keys()])
      if (endpoint.startsWith(`${provider}/`)) this.#limited.delete(endpoint);
  }

  /** A call is about to begin. */
  taken({ id, provider }: Site, key: string, now: number): void {
    this.inFlight += 1;
    this.use(id).take(now);
    this.use(provider).take(now);
    for (const kind of ["rate", "quota", "refused"] as const) {
      const name = nameOf(kind, key, id, provider);
      const rest = this.#rests.get(name);
      // After a limit the first counts, else the last.
      if (rest) this.#rests.set(name, { ...rest, triedAt: kind === "rate" ? (rest.triedAt ?? now) : now });
    }
  }

  /** A call has ended, or was not begun after all. */
  over({ id, provider }: Site, now: number, unusedSince: number | undefined): void {
    this.inFlight -= 1;
    this.use(id).end(now, unusedSince);
    this.use(provider).end(now, unusedSince);
  }

  served(
    { id, provider }: Site,
    key: string,
    startedAt: number,
    now: number,
    nothingLeftForMs: number | undefined,
  ): void {
    const off = this.#off.get(id);
    if (off && startedAt > off.since) this.#off.delete(id);
    for (const kind of ["rate", "quota", "refused"] as const) {
      const name = nameOf(kind, key, id, provider);
      if (startedAt > (this.#rests.get(name)?.since ?? Number.POSITIVE_INFINITY)) this.#rests.delete(name);
    }
    if (nothingLeftForMs === undefined || !this.keysOf(provider).includes(key)) return;
    const name = nameOf("rate", key, id, provider);
    const { low = 0, high = 0 } = this.#rests.get(name) ?? {};
    const until = now + nothingLeftForMs;
    this.#rests.set(name, {
      since: now,
      low: Math.max(low, until),
      high: Math.max(high, until),
      times: 0,
      triedAt: undefined,
    });
  }

  /** A call has failed before any content. @param blameless a timeout that is nobody's fault */
  failed(site: Site, key: string, startedAt: number, now: number, verdict: Verdict): void {
    const { id, provider } = site;
    if (verdict.class === "misconfigured") {
      const old = this.#off.get(id);
      const times = old?.kind === "path" ? old.times : 0;
      const until = now + Math.min(pathOffMs.first * 2 ** times, pathOffMs.longest);
      this.#off.set(id, { kind: "path", since: now, until, times: times + 1 });
    }
    if (verdict.blame === "model") this.#off.set(id, { kind: "model", since: now, until: now + modelOffMs, times: 1 });
    const stated = verdict.retryAfterMs;
    if (verdict.class === "rate_limited") this.#limit(site, key, startedAt, now, stated);
    else if (verdict.class === "quota_exhausted") {
      this.#rest(
        nameOf("quota", key, id, provider),
        "quota",
        key,
        provider,
        startedAt,
        now,
        stated !== undefined && stated >= 1000 ? stated : undefined,
      );
    } else if (verdict.class === "key_refused") {
      this.#rest(nameOf("refused", key, id, provider), "refused", key, provider, startedAt, now, undefined);
    } else this.released(site, key, startedAt);
  }

  /** A call said nothing of its key: the one that went first has not found out. */
  released({ id, provider }: Site, key: string, startedAt: number): void {
    for (const kind of ["rate", "quota", "refused"] as const) {
      const name = nameOf(kind, key, id, provider);
      const rest = this.#rests.get(name);
      if (rest?.triedAt === startedAt) this.#rests.set(name, { ...rest, triedAt: undefined });
    }
  }

  checkSucceeded(endpoint: string, now: number): void {
    const off = this.#off.get(endpoint);
    if (off?.kind === "path") off.until = now;
    this.breaker(endpoint).checkSucceeded(now);
  }

  #limit(site: Site, key: string, startedAt: number, now: number, stated: number | undefined): void {
    const { id, provider } = site;
    // Late news of a key that was taken away concern nobody.
    if (!this.keysOf(provider).includes(key)) return;
    const name = nameOf("rate", key, id, provider);
    this.#rest(name, "rate", key, provider, startedAt, now, stated);
    const own = this.#rests.get(name) ?? { low: now, high: now + growth.rate.longest };
    const last = this.#limited.get(id);
    this.#limited.set(id, { key, at: now, low: own.low, high: own.high });
    if (!last || last.key === key || now - last.at > accountMs) return;
    const low = Math.max(last.low, own.low);
    const high = Math.max(last.high, own.high);
    for (const each of this.keysOf(provider)) {
      const of = nameOf("rate", each, id, provider);
      const old = this.#rests.get(of);
      this.#rests.set(of, {
        since: now,
        low: Math.max(old?.low ?? 0, low),
        high: Math.max(old?.high ?? 0, high),
        times: old?.times ?? 0,
        triedAt: undefined,
      });
    }
  }

  #rest(
    name: string,
    kind: RestKind,
    key: string,
    provider: string,
    startedAt: number,
    now: number,
    stated: number | undefined,
  ): void {
    if (!this.keysOf(provider).includes(key)) return;
    const old = this.#rests.get(name);
    if (old && startedAt <= old.since) {
      // Those that were under way count once; only a time that the provider states may make it longer.
      if (kind !== "rate" || stated === undefined || now + stated <= old.high) {
        if (kind === "rate" && stated !== undefined && now + stated > old.low) {
          this.#rests.set(name, { ...old, since: now, vague: true });
        }
        return;
      }
      this.#rests.set(name, {
        since: now,
        low: now + stated,
        high: now + stated,
        times: old.times,
        triedAt: undefined,
      });
      return;
    }
    const times = old?.times ?? 0;
    const ms = stated ?? Math.min(growth[kind].longest, growth[kind].first * 2 ** times);
    const low = stated === undefined && kind === "rate" ? now : now + ms;
    this.#rests.set(name, { since: now, low, high: now + ms, times: times + 1, triedAt: undefined });
  }
}

/** Limits are by key and endpoint, all else by key. */
function nameOf(kind: RestKind, key: string, endpoint: string, provider: string): string {
  return `${kind} ${kind === "rate" ? endpoint : provider}#${key}`;
}

function got<T>(map: Map<string, T>, name: string, make: () => T): T {
  let value = map.get(name);
  if (value === undefined) {
    value = make();
    map.set(name, value);
  }
  return value;
}
