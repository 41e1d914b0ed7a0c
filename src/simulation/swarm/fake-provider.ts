import type { Clock } from "../../runtime/clock.ts";
import type { Behaviour } from "../behaviour.ts";
import type { Dice } from "../dice.ts";
import { type Failure, failure } from "../failure.ts";
import type { Call } from "./facts.ts";
import type { KeyFault, Spell, Wall, World } from "./world.ts";

/** The providers of a world, in memory: what they make of a call is decided by the weather, and by the request's own luck. */
export class FakeProviders {
  readonly #clock: Clock;
  readonly #spells: ReadonlyMap<string, readonly Spell[]>;
  readonly #keyFaults: ReadonlyMap<string, readonly KeyFault[]>;
  readonly #walls: ReadonlyMap<string, Wall>;
  /** When calls came to endpoints that have a wall, within the last second. */
  readonly #recent = new Map<string, number[]>();
  readonly #statesLimits: boolean;
  /** From then on nothing is wrong with anybody. */
  readonly #badMs: number;

  constructor(clock: Clock, { spells, keyFaults, walls, badMs, on }: World) {
    this.#clock = clock;
    this.#spells = Map.groupBy(spells, ({ endpoint }) => endpoint);
    this.#keyFaults = Map.groupBy(keyFaults, ({ key }) => key);
    this.#walls = new Map(walls.map((wall) => [wall.endpoint, wall]));
    this.#badMs = badMs;
    this.#statesLimits = on.has("stated limits");
  }

  /** What a call comes to. It may say with its answer that nothing is left of its limit. */
  respond(call: Call): Behaviour {
    const { asked, site, key } = call;
    const { dice, calm } = asked;
    const ms = dice.one([0, dice.between(1, 300)]);
    const fails = (why: Failure): Behaviour => ({ kind: "fails", failure: why, afterMs: ms });
    if (!calm && this.#clock.now() < this.#badMs) {
      const fault = this.#current(this.#keyFaults.get(key));
      if (fault) return fails(failure(fault.kind, fault.retryAfterMs));
      const wall = this.#walls.get(site.id);
      if (wall && !this.#fits(wall)) return fails(failure("rate_limited", wall.retryAfterMs));
      const spell = this.#current(this.#spells.get(site.id));
      if (spell && dice.chance(spell.share)) return underSpell(spell, dice, ms, fails);
      if (this.#statesLimits && dice.chance(0.05)) call.nothingLeftForMs = dice.between(1, 3000);
    }
    return serves(dice, ms, calm ? 100 : 3000);
  }

  /** Whether it answers a health check now. */
  answersCheck(endpoint: string): boolean {
    if (this.#clock.now() >= this.#badMs) return true;
    const kind = this.#current(this.#spells.get(endpoint))?.kind;
    return kind !== "silent" && kind !== "refused_connection" && kind !== "wrong_path" && kind !== "server_error";
  }

  #current<T extends { readonly from: number; readonly until: number }>(spells: readonly T[] = []): T | undefined {
    const now = this.#clock.now();
    return spells.find(({ from, until }) => from <= now && now < until);
  }

  #fits({ endpoint, perSecond }: Wall): boolean {
    const now = this.#clock.now();
    const recent = (this.#recent.get(endpoint) ?? []).filter((at) => at > now - 1000);
    this.#recent.set(endpoint, recent);
    if (recent.length >= perSecond) return false;
    recent.push(now);
    return true;
  }
}

function serves(dice: Dice, firstContentMs: number, longest: number): Behaviour {
  return { kind: "serves", firstContentMs, totalMs: firstContentMs + dice.between(0, longest) };
}

function underSpell(
  { kind, retryAfterMs }: Spell,
  dice: Dice,
  ms: number,
  fails: (why: Failure) => Behaviour,
): Behaviour {
  if (kind === "silent") return { kind: "silent" };
  if (kind === "slow") return serves(dice, dice.between(1000, 10_000), 3000);
  if (kind !== "breaks") return fails(failure(kind, retryAfterMs));
  const afterMs = ms + dice.between(0, 3000);
  const how = dice.one(["cut_off", "stalled"] as const);
  return { kind: "serves", firstContentMs: ms, totalMs: afterMs + 1000, breaks: { afterMs, how } };
}
