import { caseNames, type Via } from "./cases.ts";
import type { Leg, Round } from "./measure.ts";
import { median } from "./statistics.ts";

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

/** A figure with the target it is held against. */
export interface Verdict {
  readonly figure: string;
  readonly value: number;
  readonly unit: "×" | "ms";
  /** The most it may be; left out where there is none. */
  readonly target?: number;
  readonly met?: boolean;
}

/** Rows, one for each leg. */
export function rowsOf(legs: readonly Leg[]): Row[] {
  return legs.map((leg) => {
    const { of, via, rounds } = leg;
    const cpu = rounds.map(({ cpuUs }) => cpuUs).filter((cpuUs) => cpuUs !== undefined);
    const direct = via === "direct" ? undefined : counterpart(legs, leg, "direct");
    const floor = via === "gateway" ? counterpart(legs, leg, "floor") : undefined;
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

type Named = keyof typeof caseNames;

/** Ratios of CPU time that tell how the gateway does: what, over what, and the most it may be. */
const ratios: readonly { figure: string; of: Named; over: readonly [Named, Via]; target?: number }[] = [
  { figure: "REST unary over the floor", of: "unary", over: ["unary", "floor"], target: 1.6 },
  { figure: "REST unary with 16 KB over the floor", of: "large", over: ["large", "floor"] },
  { figure: "REST stream over the floor, per event", of: "stream", over: ["stream", "floor"], target: 1.6 },
  { figure: "the same, 100 open at a model's pace", of: "pacedStream", over: ["pacedStream", "floor"], target: 1.6 },
  { figure: "one failed hop over none", of: "failover", over: ["unary", "gateway"], target: 2.2 },
  { figure: "gRPC unary over our REST unary", of: "grpc", over: ["unary", "gateway"], target: 1.6 },
  { figure: "gRPC stream over our REST stream, per event", of: "grpcStream", over: ["stream", "gateway"] },
  { figure: "Connect JSON over our REST unary", of: "connect", over: ["unary", "gateway"], target: 1.5 },
];

/** Latencies at a pace that leaves the machine idle most of the time: there they are the gateway's own, not a queue's. */
const latencies: readonly { figure: string; of: Named; added: "addedP50Ms" | "addedP99Ms"; target: number }[] = [
  { figure: "added p50 at 200 requests/s", of: "paced", added: "addedP50Ms", target: 0.4 },
  { figure: "added p99 at 200 requests/s", of: "paced", added: "addedP99Ms", target: 2 },
  { figure: "added p50 to the first token, 100 streams", of: "pacedStream", added: "addedP50Ms", target: 1 },
];

/** The figures that have targets, and those that stand beside them. Those whose legs were not measured are left out. */
export function verdictsOf(legs: readonly Leg[]): Verdict[] {
  const leg = (name: Named, via: Via) => legs.find((each) => each.of.name === caseNames[name] && each.via === via);
  const verdicts: Verdict[] = [];
  const judge = (figure: string, value: number, unit: "×" | "ms", target: number | undefined) =>
    verdicts.push({ figure, value, unit, ...(target !== undefined && { target, met: value <= target }) });
  for (const { figure, of, over, target } of ratios) {
    const mine = leg(of, "gateway");
    const its = leg(...over);
    if (mine && its) judge(figure, cpuRatio(mine, its), "×", target);
  }
  const rows = rowsOf(legs);
  for (const { figure, of, added, target } of latencies) {
    const value = rows.find((row) => row.case === caseNames[of] && row.via === "gateway")?.[added];
    if (value !== undefined) judge(figure, value, "ms", target);
  }
  return verdicts;
}

function counterpart(legs: readonly Leg[], { of }: Leg, via: Via): Leg | undefined {
  const name = of.comparedWith ?? of.name;
  return legs.find((each) => each.of.name === name && each.via === via);
}

function cpuRatio(mine: Leg, its: Leg): number {
  return paired(mine, its, (a, b) => (a.cpuUs ?? Number.NaN) / (b.cpuUs ?? Number.NaN));
}

/** Compares round with round, and takes the median: what slows a whole round down leaves it alone. */
function paired(mine: Leg, its: Leg, compare: (mine: Round, its: Round) => number): number {
  return median(mine.rounds.flatMap((round, index) => (its.rounds[index] ? [compare(round, its.rounds[index])] : [])));
}
