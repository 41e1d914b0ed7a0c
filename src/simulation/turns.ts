import type { Phase } from "./scenario.ts";

/** Whether what a phase says holds at a time. */
export function isOn({ fromMs, toMs, flapping }: Phase, now: number): boolean {
  if (now < fromMs || now >= toMs) return false;
  return !flapping || (now - fromMs) % (flapping.downMs + flapping.upMs) < flapping.downMs;
}

/** When a phase begins to hold and when it ceases to. */
export function turnsOf({ fromMs, toMs, flapping }: Phase): number[] {
  if (!flapping) return [fromMs, toMs];
  const turns = [toMs];
  for (let at = fromMs; at < toMs; at += flapping.downMs + flapping.upMs) turns.push(at, at + flapping.downMs);
  return turns;
}
