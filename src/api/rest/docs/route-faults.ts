import type { Fault } from "../../../chat/fault.ts";
import type { Route } from "../route.ts";
import { type DocumentedFault, documentedFault } from "./documented-faults.ts";

/** How whoever shows no key, or not the right one, is refused. */
const refusals: readonly Fault["kind"][] = ["unauthorized", "forbidden", "too_many_failures"];

/** How a route can fail, by HTTP status. */
export function faultsOf({ access, docs }: Route): ReadonlyMap<number, readonly DocumentedFault[]> {
  const kinds = [...docs.faults, ...(access === "public" ? [] : refusals)];
  const faults = kinds.map(documentedFault).sort((a, b) => a.http - b.http);
  return Map.groupBy(faults, ({ http }) => http);
}
