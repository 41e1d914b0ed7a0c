import { drawWorld } from "./draw-world.ts";
import type { Invariant } from "./facts.ts";
import { invariants } from "./invariants.ts";
import type { Tampering } from "./machine.ts";
import { play, type Run, type Violation } from "./play.ts";
import { shrink } from "./shrink.ts";
import { sitesOf, type World } from "./world.ts";

/** What holds of runs, not within one: the same world runs the same way, and the wall clock has no say in it. */
export const determinism = "the same seed does the same again";
/** Nobody but stamps for people looks at the wall clock. */
export const wallClockIdle = "the wall clock moves nothing";

/** How a seed is judged. */
export interface JudgeOptions {
  /** Requests while things go wrong. */
  readonly requests: number;
  readonly keepLog?: boolean;
  /** Whether it is run again, to be the same; and once more without jumps of the wall clock, if there are any. */
  readonly twice?: boolean;
  readonly tampering?: Tampering;
  readonly invariants?: readonly Invariant[];
}

/** Runs a seed. */
export async function judge(seed: number, options: JudgeOptions): Promise<Run> {
  return judgeWorld(drawWorld(seed, options.requests), options);
}

async function judgeWorld(world: World, options: JudgeOptions): Promise<Run> {
  const { keepLog = false, twice = false, tampering = {}, invariants: those = invariants } = options;
  const run = await play(world, those, { keepLog, tampering });
  if (!twice) return run;
  const violations: Violation[] = [...run.violations];
  const again = await play(world, those, { tampering });
  if (again.hash !== run.hash)
    violations.push({ invariant: determinism, at: 0, what: `${run.hash}, then ${again.hash}` });
  else if (world.edits.some(({ kind }) => kind === "wall_clock")) {
    const still = { ...world, edits: world.edits.filter(({ kind }) => kind !== "wall_clock") };
    const { hash } = await play(still, those, { tampering });
    if (hash !== run.hash)
      violations.push({ invariant: wallClockIdle, at: 0, what: `${run.hash}, without jumps ${hash}` });
  }
  return { ...run, violations };
}

/** The smallest form of a failing seed that violates the same invariant, and its run with its log. */
export async function smallestForm(
  seed: number,
  invariant: string,
  options: JudgeOptions,
): Promise<{ readonly world: World; readonly run: Run }> {
  const violates = async (world: World) =>
    (await judgeWorld(world, options)).violations.some((violation) => violation.invariant === invariant);
  const world = await shrink(drawWorld(seed, options.requests), violates);
  return { world, run: await judgeWorld(world, { ...options, keepLog: true }) };
}

/** A world in words, for whoever reads of a failure. */
export function describeWorld({
  seed,
  on,
  settings,
  snapshots,
  spells,
  keyFaults,
  walls,
  edits,
  checks,
  requests,
}: World): string {
  const lines = [
    `seed ${seed}, ${requests.length} requests, with ${[...on].join(", ") || "nothing else"}`,
    `settings ${JSON.stringify(settings)}`,
    ...snapshots.flatMap((pool, version) =>
      sitesOf(pool).map(
        ({ keys, ...site }) => `version ${version} (${pool.strategy}) ${JSON.stringify(site)} ${keys.length} keys`,
      ),
    ),
    ...spells.map((spell) => `spell ${JSON.stringify(spell)}`),
    ...keyFaults.map((fault) => `key fault ${JSON.stringify(fault)}`),
    ...walls.map((wall) => `wall ${JSON.stringify(wall)}`),
    ...edits.map((edit) => `edit ${JSON.stringify(edit)}`),
    ...checks.map((check) => `check ${JSON.stringify(check)}`),
    ...requests.slice(0, 20).map((request) => `request ${JSON.stringify(request)}`),
    ...(requests.length > 20 ? [`and ${requests.length - 20} more`] : []),
  ];
  return lines.map((line) => `${line}\n`).join("");
}
