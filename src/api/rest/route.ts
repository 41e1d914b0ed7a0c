import type { Caller } from "../../gateway/caller.ts";
import type { Access, Edge } from "../edge.ts";
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
    | {
        readonly access: "public" | "admin";
        /** Whether a configuration lets in whoever comes. */
        readonly isPublic?: (edge: Edge) => boolean;
        readonly handle: (edge: Edge, exchange: Exchange) => Promise<void>;
      }
    | { readonly access: "caller"; readonly handle: (edge: Edge, exchange: Exchange, caller: Caller) => Promise<void> }
  );

/** Who may use a route of a gateway as it is configured. */
export function accessTo(route: Route, edge: Edge): Access {
  return asServed(route, edge).access;
}

/** A route as a gateway serves it. */
export function asServed(route: Route, edge: Edge): Route {
  return route.access === "admin" && route.isPublic?.(edge) ? { ...route, access: "public" } : route;
}

/** A route's path as people read it. */
export function templateOf(route: Route): string {
  return "template" in route ? route.template : route.path;
}
