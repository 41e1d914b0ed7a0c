import type { Asked, Role } from "./facts.ts";

/** What a call that begins is to its request, by what went before it. */
export function roleOf(
  { lastEnded, calls }: Asked,
  {
    endpoint,
    key,
    waited,
    hedges,
  }: {
    readonly endpoint: string;
    readonly key: string;
    /** What for; undefined: not at all. */
    readonly waited: string | undefined;
    readonly hedges: boolean;
  },
): Role {
  // What was given up because another was quicker has not failed, and may be asked as if it had not been.
  const before = calls.filter(({ site, verdict }) => site.id === endpoint && verdict?.class !== "superseded");
  if (before.length === 0) return "first";
  const next = lastEnded?.verdict?.next;
  // At once, or as soon as there is a place.
  const goesOn = !hedges && lastEnded?.site.id === endpoint && (waited === undefined || waited === "queue");
  if (goesOn && next === "key") return "rotation";
  if (goesOn && next === "same") return "same_again";
  if (next === "key" && lastEnded?.site.id === endpoint && before.every((call) => call.key !== key)) return "doubtful";
  return "repeat";
}
