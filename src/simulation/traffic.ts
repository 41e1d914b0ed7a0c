import type { CallerProfile, Phase, Scenario } from "./scenario.ts";
import { usual } from "./standing.ts";
import { isOn, turnsOf } from "./turns.ts";

/** How much more than usual callers ask at a time, and until when that holds. */
export type Traffic = (now: number) => { readonly times: number; readonly until: number };

/** The traffic that phases make together. */
export function trafficOf(phases: readonly Phase[]): Traffic {
  const busy = phases.filter(({ traffic }) => traffic !== 1);
  const turns = busy.flatMap(turnsOf).sort((a, b) => a - b);
  return (now) => ({
    times: busy.reduce((product, phase) => (isOn(phase, now) ? product * phase.traffic : product), 1),
    until: turns.find((turn) => turn > now) ?? Number.POSITIVE_INFINITY,
  });
}

/** About how many requests a scenario will bring, told before it is played: users wait for a typical answer in fair weather. */
export function expectedRequests({ callers, phases, profiles, durationMs }: Omit<Scenario, "name">): number {
  const traffic = trafficOf(phases);
  let busyMs = 0;
  for (let at = 0; at < durationMs; ) {
    const { times, until } = traffic(at);
    const to = Math.min(until, durationMs);
    busyMs += times * (to - at);
    at = to;
  }
  return callers.reduce((sum, caller) => {
    const { pattern } = caller;
    if (pattern.kind === "closed") {
      return sum + (pattern.users * durationMs) / Math.max(1, pattern.thinkMs + typicalAnswerMs(caller, profiles));
    }
    const inBursts = pattern.bursts.reduce((all, { atMs, requests }) => (atMs < durationMs ? all + requests : all), 0);
    return sum + inBursts + (pattern.perSecond * busyMs) / 1000;
  }, 0);
}

/** How long half of a caller's answers take at the quickest of the providers. */
function typicalAnswerMs({ answerTokens }: CallerProfile, profiles: Scenario["profiles"]): number {
  const everywhere = profiles.filter(({ on }) => on.some(({ position }) => position === "all"));
  /** The values that a provider may have: those that are said, and the usual one unless all have another. */
  const among = <T>(read: (profile: Scenario["profiles"][number]) => T | undefined, otherwise: T): T[] => {
    const said = profiles.map(read).filter((value) => value !== undefined);
    return everywhere.some((profile) => read(profile) !== undefined) ? said : [...said, otherwise];
  };
  const firstContentMs = among((each) => each.firstContentMs?.median, usual.firstContentMs.median);
  const tokensPerSecond = among((each) => each.tokensPerSecond, usual.tokensPerSecond);
  const tokens = among((each) => each.answerTokens?.median, answerTokens.median);
  return Math.min(...firstContentMs) + (1000 * Math.min(...tokens)) / Math.max(...tokensPerSecond);
}
