import { caseNames, openCaseName } from "./cases.ts";
import type { Leg } from "./measure.ts";
import { cpuRatio, type OpenRow, type Row } from "./summary.ts";
import type { Via } from "./via.ts";

/** What a figure may be at most, or must be at least. */
export interface Target {
  readonly bound: "most" | "least";
  readonly value: number;
}

/** A figure, with the target it is held against if it has one. */
export interface Verdict {
  readonly figure: string;
  readonly value: number;
  readonly unit: "×" | "ms" | "KiB";
  readonly target?: Target;
  readonly met?: boolean;
}

type Named = keyof typeof caseNames;

const most = (value: number): Target => ({ bound: "most", value });
const least = (value: number): Target => ({ bound: "least", value });
const rest: readonly [Named, Via] = ["unary", "gateway"];

/** Ratios of CPU time that tell how the gateway does: what, over what. */
const ratios: readonly {
  figure: string;
  of: readonly [Named, Via];
  over: readonly [Named, Via];
  target?: Target;
}[] = [
  { figure: "REST unary over the floor", of: rest, over: ["unary", "floor"], target: most(1.6) },
  { figure: "Portkey over our REST unary", of: ["unary", "portkey"], over: rest, target: least(10) },
  { figure: "REST unary over nginx", of: rest, over: ["unary", "nginx"] },
  { figure: "REST unary over Envoy", of: rest, over: ["unary", "envoy"] },
  { figure: "REST unary with 16 KB over the floor", of: ["large", "gateway"], over: ["large", "floor"] },
  {
    figure: "REST stream over the floor, per event",
    of: ["stream", "gateway"],
    over: ["stream", "floor"],
    target: most(1.6),
  },
  {
    figure: "the same, 100 open at a model's pace",
    of: ["pacedStream", "gateway"],
    over: ["pacedStream", "floor"],
    target: most(1.6),
  },
  { figure: "one failed hop over none", of: ["failover", "gateway"], over: rest, target: most(2.2) },
  { figure: "Portkey's failed hop over ours", of: ["failover", "portkey"], over: ["failover", "gateway"] },
  { figure: "gRPC unary over our REST unary", of: ["grpc", "gateway"], over: rest, target: most(1.6) },
  { figure: "gRPC stream over our REST stream, per event", of: ["grpcStream", "gateway"], over: ["stream", "gateway"] },
  { figure: "the same, 100 open", of: ["pacedGrpcStream", "gateway"], over: ["pacedStream", "gateway"] },
  // Without targets until they have a lean lane of their own.
  { figure: "gRPC-Web unary over our REST unary", of: ["grpcWeb", "gateway"], over: rest },
  { figure: "Connect JSON over our REST unary", of: ["connect", "gateway"], over: rest },
];

/** Latencies at a pace that leaves the machine idle most of the time: there they are the gateway's own, not a queue's. */
const latencies: readonly { figure: string; of: Named; added: "addedP50Ms" | "addedP99Ms"; target?: Target }[] = [
  { figure: "added p50 at 200 requests/s", of: "paced", added: "addedP50Ms", target: most(0.4) },
  { figure: "added p99 at 200 requests/s", of: "paced", added: "addedP99Ms", target: most(2) },
  { figure: "added p50 to the first token, 100 REST streams", of: "pacedStream", added: "addedP50Ms", target: most(1) },
  { figure: "the same, 100 gRPC streams", of: "pacedGrpcStream", added: "addedP50Ms" },
];

const memory = [
  { figure: "memory of an open REST stream, of 5,000", of: openCaseName("REST", 5000), target: most(32) },
  { figure: "memory of an open gRPC stream, of 5,000", of: openCaseName("gRPC", 5000), target: most(48) },
];

/** The figures that have targets, and those that stand beside them. Those that were not measured are left out. */
export function verdictsOf(legs: readonly Leg[], rows: readonly Row[], openRows: readonly OpenRow[]): Verdict[] {
  const leg = ([name, via]: readonly [Named, Via]) =>
    legs.find((each) => each.of.name === caseNames[name] && each.via === via);
  const verdicts: Verdict[] = [];
  const judge = (figure: string, value: number | undefined, unit: Verdict["unit"], target: Target | undefined) => {
    if (value === undefined) return;
    verdicts.push({ figure, value, unit, ...(target && { target, met: isMet(value, target) }) });
  };
  for (const { figure, of, over, target } of ratios) {
    const mine = leg(of);
    const its = leg(over);
    if (mine && its) judge(figure, cpuRatio(mine, its), "×", target);
  }
  for (const { figure, of, added, target } of latencies)
    judge(figure, rows.find((row) => row.case === caseNames[of] && row.via === "gateway")?.[added], "ms", target);
  for (const { figure, of, target } of memory)
    judge(figure, openRows.find((row) => row.case === of && row.via === "gateway")?.kibPerStream, "KiB", target);
  return verdicts;
}

function isMet(value: number, { bound, value: target }: Target): boolean {
  return bound === "most" ? value <= target : value >= target;
}
