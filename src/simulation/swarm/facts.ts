import type { BreakerState, CallResult, Permit } from "../../routing/breaker.ts";
import type { Pool } from "../../routing/endpoint.ts";
import type { Lease } from "../../routing/lease.ts";
import type { Router } from "../../routing/router.ts";
import type { EndpointState, ManualState } from "../../routing/state.ts";
import type { SkipRecord, Trail, WaitReason } from "../../routing/trail.ts";
import type { Verdict } from "../../routing/verdict.ts";
import type { CancellationSource } from "../../runtime/cancellation.ts";
import type { Dice } from "../dice.ts";
import type { Told } from "../request.ts";
import type { Hurdle, Oracle } from "./oracle.ts";
import type { RequestPlan, Site, World } from "./world.ts";

/** What a call is to its request. Doubtful: it may be a rotation or a repeat, and is allowed as either. */
export type Role = "first" | "rotation" | "same_again" | "repeat" | "doubtful";

/** Why an endpoint should not have been chosen. */
export interface Objection {
  readonly of: Hurdle;
  readonly why: string;
}

/** One upstream call, as its provider sees it. */
export interface Call {
  readonly asked: Asked;
  /** From 1. */
  readonly index: number;
  readonly site: Site;
  /** Id of its key; empty when there is none. */
  readonly key: string;
  readonly startedAt: number;
  readonly role: Role;
  readonly purpose: "hedge" | "recovery" | undefined;
  readonly waited: { readonly ms: number; readonly reason: WaitReason } | undefined;
  /** The request's call that had ended last when this one began. */
  readonly previous: Call | undefined;
  /** The delay of the engine's timer that fired in this very moment, in ms; undefined: none did. */
  readonly timerMs: number | undefined;
  /** How many calls of the request were under way beside it when it began. */
  readonly beside: number;
  /** What the oracle has against the choice; undefined: nothing. */
  readonly objection: Objection | undefined;
  /** Whether its key should have rested when it was chosen. */
  readonly restingKey: boolean;
  /** Endpoints of better tiers that could surely have been asked when it was chosen. */
  readonly betterFree: readonly string[];
  /** The provider has said that nothing is left of its limit for so long. */
  nothingLeftForMs: number | undefined;
  committedAt: number | undefined;
  endedAt: number | undefined;
  /** How it failed, and what that means; undefined: it was served, or is under way. */
  error: unknown;
  verdict: Verdict | undefined;
}

/** One request with everything that has happened to it. */
export interface Asked {
  readonly plan: RequestPlan;
  readonly machine: Machine;
  readonly pool: Pool<Site>;
  /** Whether nothing goes wrong any more. */
  readonly calm: boolean;
  readonly arrivedAt: number;
  readonly deadline: number;
  /** Most calls that count. */
  readonly cap: number;
  readonly leaving: CancellationSource;
  readonly dice: Dice;
  readonly calls: Call[];
  readonly skips: SkipRecord[];
  /** Calls under way. */
  readonly live: Set<Call>;
  lastEnded: Call | undefined;
  /** Calls that count against the cap. */
  counted: number;
  /** The first one whose content reached the caller. */
  committed: Call | undefined;
  /** Set when a committed stream has broken. */
  brokeAt: number | undefined;
  /** The prompt has been too long somewhere. */
  tooLong: boolean;
  /** The last error that the engine has asked the meaning of. */
  lastError: unknown;
  /** Endpoints that could surely have been asked whenever the engine had to decide. */
  standby: Set<string>;
  /** Who listens to its cancellation. */
  listeners: number;
  /** How often the engine has said that it failed. */
  failures: number;
  told: Told<Site> | undefined;
  /** Set when it ended otherwise than the engine promises. */
  crash: unknown;
}

/** One process: a router with everything that it knows, until the next restart and its last request. */
export interface Machine {
  /** From 1. */
  readonly number: number;
  readonly router: Router;
  readonly oracle: Oracle;
  readonly world: World;
  /** Requests that have not ended. */
  live: number;
  /** Calls that its engine has not said to be over, all together and by endpoint and provider. */
  under: number;
  readonly underAt: Map<string, number>;
  /** Timers that are pending. */
  readonly timers: () => number;
  /** One version of every endpoint, by id. */
  readonly sites: ReadonlyMap<string, Site>;
  /** A call that begins, as its provider sees it. */
  begin(asked: Asked, lease: Lease<Site>): Call;
  /** What the engine knows of an endpoint, whichever version of it is meant. Looking at it changes nothing. */
  known(endpoint: string): EndpointState;
  /** Endpoints of a pool that can surely be asked now. */
  freeIn(pool: Pool<Site>): Set<string>;
  /** How many keys of a provider are refused or spent, by the engine. */
  keysOut(provider: string): number;
  /** A free check of an endpoint has succeeded. */
  checkSucceeded(endpoint: string): void;
  replaceKeys(provider: string, keys: readonly string[]): void;
  setManual(endpoint: string, state: ManualState["state"] | undefined): void;
}

/** What a breaker was told, and what that did to it. */
export interface Settlement {
  readonly machine: Machine;
  readonly endpoint: string;
  /** Undefined: an answer that broke off after its call had counted as a success. */
  readonly permit: Permit | undefined;
  readonly result: CallResult;
  readonly slow: boolean;
  /** Whether the permit belonged to the state that the breaker was in. */
  readonly current: boolean;
  /** Whether it had been given back before. */
  readonly again: boolean;
  readonly before: { readonly state: BreakerState; readonly failures: number; readonly ended: number };
  readonly after: { readonly state: BreakerState; readonly failures: number; readonly ended: number };
  /** The state that it must be in now. */
  readonly expected: BreakerState;
  /** Breakers of other endpoints that have changed meanwhile. */
  readonly others: readonly string[];
  /** How many keys of its provider were refused or spent before. */
  readonly keysOut: number;
}

/** What came of the calm after the storm. */
export interface Convergence {
  readonly machine: Machine;
  /** How long it took until all was well, in ms; undefined: it never was. */
  readonly tookMs: number | undefined;
  /** When the last breaker closed, the traffic was back at the best tier, and the last key served, in ms since the calm began. */
  readonly breakersMs: number | undefined;
  readonly homeMs: number | undefined;
  readonly keysMs: number | undefined;
  /** Who has not come back, in words. */
  readonly missing: readonly string[];
  /** Time between two requests of the calm, in ms, and how many endpoints shared them. */
  readonly paceMs: number;
  readonly endpoints: number;
}

/** Whoever wants to hear what happens. Everything is told as it happens, and must be judged at once. */
export interface Watcher {
  arrived?(asked: Asked): void;
  /** A request has come, and the engine has done all that it does at once. */
  placed?(asked: Asked): void;
  /** Before the call is counted anywhere. */
  started?(call: Call): void;
  /** @param settlement what its breaker was told */
  committed?(call: Call, settlement: Settlement | undefined): void;
  /** @param settlement what its breaker was told just now */
  ended?(call: Call, settlement: Settlement | undefined): void;
  skipped?(asked: Asked, skip: SkipRecord): void;
  /** The engine says that a request has failed. */
  failed?(asked: Asked, trail: Trail): void;
  /** A breaker has given a right to one call, before it counts. */
  permitTaken?(machine: Machine, endpoint: string, permit: Permit, now: number): void;
  permitSettled?(settlement: Settlement): void;
  /** A breaker has changed. @param inRange whether it stays open for as long as it should */
  moved?(machine: Machine, endpoint: string, from: BreakerState, to: BreakerState, inRange: boolean): void;
  /** Something has reached the caller. @param by the call that it came from @param lease the attempt whose it should be */
  delivered?(asked: Asked, by: Call | undefined, lease: number): void;
  /** An operator has changed something of a process. */
  edited?(machine: Machine): void;
  /** A request has ended. */
  told?(asked: Asked): void;
  /** Some time has passed, and nothing is half done. */
  passed?(machine: Machine, now: number): void;
  /** All requests have ended. */
  rested?(machines: readonly Machine[], asked: readonly Asked[], when: string): void;
  converged?(convergence: Convergence): void;
}

/** Something that must always hold. */
export interface Invariant {
  readonly name: string;
  /** @param violated to be told, in words, when it does not hold @param now virtual ms */
  watch(violated: (what: string) => void, now: () => number, world: World): Watcher;
}
