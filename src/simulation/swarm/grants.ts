import type { Permit } from "../../routing/breaker.ts";
import type { Pool } from "../../routing/endpoint.ts";
import type { Objection } from "./facts.ts";
import type { Oracle } from "./oracle.ts";
import { poolOf } from "./pools.ts";
import { type Site, sitesOf } from "./world.ts";

/** What was taken for a call that has not begun yet, and what the oracle thinks of the choice. */
export interface Grant {
  readonly site: Site;
  readonly key: string;
  readonly permit: Permit | undefined;
  readonly objection: Objection | undefined;
  readonly restingKey: boolean;
  /** Endpoints of better tiers that could surely have been asked. */
  readonly betterFree: readonly string[];
}

/** What a call's choice is held to. */
export type Choice = Pick<Grant, "objection" | "restingKey" | "betterFree">;

/** An endpoint that has come back takes only a part of its share for so long. */
const rampMs = 10_000;

/** The choices of an engine, judged in the moment in which they are made: what a call takes is taken before anybody hears of the call. */
export class Grants {
  readonly #oracle: Oracle;
  readonly #now: () => number;
  readonly #open: Grant[] = [];
  #permit: Permit | undefined;
  /** Whether the breaker of the last permit kept calls out before it gave it: from a sole endpoint of a pool, and from any other. */
  #barred = { sole: false, other: false };

  constructor(oracle: Oracle, now: () => number) {
    this.#oracle = oracle;
    this.#now = now;
  }

  /** A permit is about to be given for whatever is taken next. */
  beforePermit(endpoint: string): void {
    const breaker = this.#oracle.breaker(endpoint);
    const now = this.#now();
    this.#barred = { sole: breaker.barred(now, true) === "out", other: breaker.barred(now, false) === "out" };
  }

  /** @param bypasses whether it is given whatever the breaker thinks */
  permitted(permit: Permit, bypasses: boolean): void {
    if (bypasses) this.#barred = { sole: false, other: false };
    this.#permit = permit;
  }

  /** A place, a token and a key are taken. */
  taken(site: Site, key: string): void {
    const pool = poolOf(site);
    const now = this.#now();
    this.#open.push({
      ...{ site, key, permit: this.#permit },
      objection: this.#objectionTo(site, pool, now),
      restingKey: this.#oracle.key(key, site, now) === "out",
      betterFree: this.#betterThan(site, pool, now),
    });
    this.#permit = undefined;
    this.#oracle.taken(site, key, now);
  }

  /** A call begins. Which of several that were taken at once is its own is not known: what holds for all of them holds for it. */
  claim(site: Site, key: string): Choice {
    const own = this.#open.filter((grant) => grant.site === site);
    const grant = own.find((each) => each.key === key) ?? own[0];
    if (!grant) return { objection: undefined, restingKey: false, betterFree: [] };
    this.#open.splice(this.#open.indexOf(grant), 1);
    return {
      objection: own.every(({ objection }) => objection !== undefined) ? grant.objection : undefined,
      restingKey: grant.restingKey,
      betterFree: grant.betterFree.filter((id) => own.every(({ betterFree }) => betterFree.includes(id))),
    };
  }

  /** A permit comes back. @returns what was taken with it, if no call came of that: nobody wanted it any more */
  unused(permit: Permit): Grant | undefined {
    const position = this.#open.findIndex((grant) => grant.permit === permit);
    return position < 0 ? undefined : this.#open.splice(position, 1)[0];
  }

  /** Endpoints of a pool that can surely be asked now. */
  freeIn(pool: Pool<Site>): Set<string> {
    return new Set(sitesOf(pool).flatMap((site) => (site.weight > 0 && this.isFree(site, pool) ? [site.id] : [])));
  }

  isFree(site: Site, pool: Pool<Site>): boolean {
    const now = this.#now();
    if (this.#oracle.standing(site, now).is !== "free") return false;
    return this.#oracle.barred(site.id, now, pool.size === 1) === "free";
  }

  #objectionTo(site: Site, pool: Pool<Site>, now: number): Objection | undefined {
    const { of, why = "" } = this.#oracle.standing(site, now);
    if (of) return { of, why };
    const barred = this.#permit?.kind !== "last_resort" && this.#barred[pool.size === 1 ? "sole" : "other"];
    return barred ? { of: "breaker", why: "its breaker keeps calls out" } : undefined;
  }

  #betterThan(site: Site, pool: Pool<Site>, now: number): string[] {
    const free: string[] = [];
    for (const { members } of pool.tiers) {
      if (members.includes(site)) return free;
      for (const member of members) {
        const { closedAt = Number.NEGATIVE_INFINITY } = this.#oracle.breaker(member.id);
        if (member.weight > 0 && now - closedAt >= rampMs && this.isFree(member, pool)) free.push(member.id);
      }
    }
    return free;
  }
}
