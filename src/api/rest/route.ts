import type { Caller } from "../../gateway/caller.ts";
import type { Edge } from "../edge.ts";
import type { RouteDocs } from "./docs/route-docs.ts";
import type { Exchange } from "./exchange.ts";

/** One route. Who may use it is said of each, and what it is for; none is public or unexplained by saying nothing. */
export type Route = {
  readonly method: "GET" | "POST";
  readonly docs: RouteDocs;
} & (
  | { readonly path: string }
  // How a path is written whose end is the caller's: /v1/models/{model}
  | { readonly path: RegExp; readonly template: string }
) &
  (
    | { readonly access: "public" | "admin"; readonly handle: (edge: Edge, exchange: Exchange) => Promise<void> }
    | { readonly access: "caller"; readonly handle: (edge: Edge, exchange: Exchange, caller: Caller) => Promise<void> }
  );

/** A route's path as people read it. */
export function templateOf(route: Route): string {
  return "template" in route ? route.template : route.path;
}
