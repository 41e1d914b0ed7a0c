import { hash32 } from "../routing/strategy/hash32.ts";
import type { Clock } from "../runtime/clock.ts";
import { seededRng } from "../runtime/rng.ts";
import { createDice, type Dice } from "./dice.ts";
import type { CallerProfile } from "./scenario.ts";
import { tokensOf } from "./weather.ts";

/** What one caller wants once. */
export interface Wish {
  readonly caller: CallerProfile;
  /** Tells requests apart, whatever becomes of others. */
  readonly name: string;
  readonly mode: "run" | "open";
  readonly promptTokens: number;
  readonly answerTokens: number;
  /** Which of its prompts' beginnings. */
  readonly prefix: number;
  /** Whether one model answers it alike each time. */
  readonly repeatable: boolean;
  /** Where in a stream it loses interest, 0 to 1; undefined: it does not. */
  readonly leavesAt: number | undefined;
}

/** Nobody asks again sooner after an answer: else time would stand still where every answer is a refusal at once. */
const leastPauseMs = 10;

/** Lets callers ask until a time. What they ask and when depends on the seed alone, but for closed loops: they wait for answers. */
export function startArrivals(
  clock: Clock,
  callers: readonly CallerProfile[],
  {
    seed,
    untilMs,
    traffic,
    send,
  }: {
    readonly seed: number;
    readonly untilMs: number;
    traffic(now: number): { readonly times: number; readonly until: number };
    /** Resolves when the request has ended. */
    send(wish: Wish): Promise<void>;
  },
): void {
  for (const caller of callers) {
    const { name, pattern } = caller;
    if (pattern.kind === "closed") {
      for (let user = 1; user <= pattern.users; user++) {
        const line = `${name}/${user}`;
        const dice = createDice(seededRng(hash32(`${seed} ${line}`)));
        // Not all at once in the beginning: they are at different points of their work.
        const ask = (count: number) => {
          if (clock.now() >= untilMs) return;
          void send(wishOf(caller, dice, `${line}/${count}`)).then(() =>
            clock.schedule(Math.max(leastPauseMs, dice.gap(pattern.thinkMs)), () => ask(count + 1)),
          );
        };
        clock.schedule(dice.between(0, pattern.thinkMs), () => ask(1));
      }
      continue;
    }
    const dice = createDice(seededRng(hash32(`${seed} ${name}`)));
    let count = 0;
    const ask = () => void send(wishOf(caller, dice, `${name}/${++count}`));
    for (const [index, { atMs, requests, overMs }] of pattern.bursts.entries()) {
      const burstDice = createDice(seededRng(hash32(`${seed} ${name} burst ${index}`)));
      for (let request = 1; request <= requests; request++) {
        const wish = wishOf(caller, burstDice, `${name}/burst ${index}/${request}`);
        const at = atMs + burstDice.between(0, overMs);
        if (at < untilMs) clock.schedule(at - clock.now(), () => void send(wish));
      }
    }
    if (pattern.perSecond === 0) continue;
    const times = createDice(seededRng(hash32(`${seed} ${name} times`)));
    const come = () => {
      const at = nextArrival(clock.now(), pattern.perSecond, traffic, times);
      if (at >= untilMs) return;
      clock.schedule(at - clock.now(), () => {
        ask();
        come();
      });
    };
    come();
  }
}

/**
 * When the next request of a Poisson process comes whose rate changes by steps. Formula: the rate's integral up to it is
 * exponential with mean 1.
 * @returns infinity when no more come
 */
function nextArrival(
  now: number,
  perSecond: number,
  traffic: (now: number) => { readonly times: number; readonly until: number },
  dice: Dice,
): number {
  let at = now;
  for (let left = dice.gap(1); ; ) {
    const { times, until } = traffic(at);
    const perMs = (perSecond * times) / 1000;
    if (perMs * (until - at) >= left) return at + left / perMs;
    if (until === Number.POSITIVE_INFINITY) return until;
    left -= perMs * (until - at);
    at = until;
  }
}

function wishOf(caller: CallerProfile, dice: Dice, name: string): Wish {
  return {
    caller,
    name,
    mode: dice.chance(caller.streaming) ? "open" : "run",
    promptTokens: tokensOf(dice, caller.promptTokens),
    answerTokens: tokensOf(dice, caller.answerTokens),
    prefix: dice.from(1, caller.prefixes),
    repeatable: dice.chance(caller.repeatable),
    leavesAt: dice.chance(caller.leaves) ? dice.between(0, 1) : undefined,
  };
}
