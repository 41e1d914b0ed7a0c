import type { Leg, Round } from "./measure.ts";
import type { OpenLeg } from "./open-streams.ts";
import { median } from "./statistics.ts";
import type { Via } from "./via.ts";

/** One leg, medians over its rounds. Figures that a leg does not have are left out. */
export interface Row {
  readonly case: string;
  readonly via: Via;
  readonly unit: string;
  readonly cpuUs?: number;
  /** Largest less smallest CPU time of the rounds, as a share of the median: how noisy the machine was. */
  readonly cpuSpread?: number;
  /** CPU time over that of the floor in the same round. */
  readonly timesFloor?: number;
  readonly callsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Over direct calls of the same round. */
  readonly addedP50Ms?: number;
  readonly addedP99Ms?: number;
}

/** One leg of streams that stay open, medians over its rounds. */
export interface OpenRow {
  readonly case: string;
  readonly via: Via;
  readonly idleMib: number;
  readonly kibPerStream: number;
  readonly cpuUsPerStream: number;
}

/** Rows, one for each leg. */
export function rowsOf(legs: readonly Leg[]): Row[] {
  return legs.map((leg) => {
    const { of, via, rounds } = leg;
    const cpu = rounds.map(({ cpuUs }) => cpuUs).filter((cpuUs) => cpuUs !== undefined);
    const direct = via === "direct" ? undefined : counterpart(legs, leg, "direct");
    const floor = via === "direct" || via === "floor" ? undefined : counterpart(legs, leg, "floor");
    const cpuUs = median(cpu);
    return {
      case: of.name,
      via,
      unit: of.unit,
      ...(cpu.length > 0 && { cpuUs, cpuSpread: (Math.max(...cpu) - Math.min(...cpu)) / cpuUs }),
      ...(floor && { timesFloor: cpuRatio(leg, floor) }),
      callsPerSecond: median(rounds.map((round) => round.callsPerSecond)),
      p50Ms: median(rounds.map((round) => round.p50Ms)),
      p99Ms: median(rounds.map((round) => round.p99Ms)),
      ...(direct && {
        addedP50Ms: paired(leg, direct, (mine, its) => mine.p50Ms - its.p50Ms),
        addedP99Ms: paired(leg, direct, (mine, its) => mine.p99Ms - its.p99Ms),
      }),
    };
  });
}

/** The same of streams that stay open. */
export function openRowsOf(legs: readonly OpenLeg[]): OpenRow[] {
  return legs.map(({ of, via, rounds }) => ({
    case: of.name,
    via,
    idleMib: median(rounds.map(({ idleBytes }) => idleBytes)) / 2 ** 20,
    kibPerStream: median(rounds.map(({ bytesPerStream }) => bytesPerStream)) / 1024,
    cpuUsPerStream: median(rounds.map(({ cpuUsPerStream }) => cpuUsPerStream)),
  }));
}

/** CPU time of one leg over that of another, round by round. */
export function cpuRatio(mine: Leg, its: Leg): number {
  return paired(mine, its, (a, b) => (a.cpuUs ?? Number.NaN) / (b.cpuUs ?? Number.NaN));
}

function counterpart(legs: readonly Leg[], { of }: Leg, via: Via): Leg | undefined {
  const name = of.comparedWith ?? of.name;
  return legs.find((each) => each.of.name === name && each.via === via);
}

/** Compares round with round, and takes the median: what slows a whole round down leaves it alone. */
function paired(mine: Leg, its: Leg, compare: (mine: Round, its: Round) => number): number {
  return median(mine.rounds.flatMap((round, index) => (its.rounds[index] ? [compare(round, its.rounds[index])] : [])));
}
