import type { Bucket, EndpointReport } from "../../simulation/report-shape.ts";

/** Endpoints, or tiers, that are shown as one. */
export interface Layer {
  readonly name: string;
  /** Positions of its endpoints in the report. */
  readonly members: readonly number[];
}

/** More endpoints than these are shown by their tiers: nobody can follow so many lines. */
const mostLayers = 8;

/** What answers are shown by: endpoints while they are few, else their tiers. */
export function layersOf(endpoints: readonly EndpointReport[]): Layer[] {
  if (endpoints.length <= mostLayers)
    return endpoints.map(({ endpoint }, index) => ({ name: endpoint, members: [index] }));
  const tiers = [...new Set(endpoints.map(({ tier }) => tier))].sort((a, b) => a - b);
  const layers = tiers.map((tier) => {
    const members = endpoints.flatMap((each, index) => (each.tier === tier ? [index] : []));
    return {
      name: members.length === 1 ? (endpoints[members[0] ?? 0]?.endpoint ?? "") : `tier ${tier} (${members.length})`,
      members,
    };
  });
  if (layers.length <= mostLayers) return layers;
  const rest = layers.slice(mostLayers - 1);
  return [
    ...layers.slice(0, mostLayers - 1),
    { name: `${rest.length} further tiers`, members: rest.flatMap(({ members }) => members) },
  ];
}

/** Answers of a layer in a stretch. */
export function answersOf({ members }: Layer, { answers }: Bucket): number {
  return members.reduce((sum, member) => sum + (answers[member] ?? 0), 0);
}
