import type { Caller } from "../../gateway/caller.ts";
import type { Access, Edge } from "../edge.ts";
import { chatCompletions } from "./chat.ts";
import type { Exchange } from "./exchange.ts";
import { health, readiness } from "./health.ts";
import { getModel, listModels } from "./models.ts";

/** One route. Who may use it is said of each; none is public by saying nothing. */
export type Route = { readonly method: "GET" | "POST"; readonly path: string | RegExp } & (
  | { readonly access: "public" | "admin"; readonly handle: (edge: Edge, exchange: Exchange) => Promise<void> }
  | { readonly access: "caller"; readonly handle: (edge: Edge, exchange: Exchange, caller: Caller) => Promise<void> }
);

/** The one table of REST routes. */
export const routes: readonly Route[] = [
  { method: "POST", path: "/v1/chat/completions", access: "caller", handle: chatCompletions },
  { method: "GET", path: "/v1/models", access: "caller", handle: listModels },
  { method: "GET", path: /^\/v1\/models\/.+$/s, access: "caller", handle: getModel },
  { method: "GET", path: "/health", access: "public", handle: health },
  { method: "GET", path: "/healthz", access: "public", handle: health },
  { method: "GET", path: "/readyz", access: "public", handle: readiness },
];

/** The routes on a decoded path, whatever their method. */
export function routesOn(path: string): readonly Route[] {
  return routes.filter((route) => (typeof route.path === "string" ? route.path === path : route.path.test(path)));
}

/** Who may use what is on a path as it came; undefined when nothing is. */
export function accessOn(url: string): Access | undefined {
  const path = decoded(url);
  return path === undefined ? undefined : routesOn(path)[0]?.access;
}

/** A path without its percent signs; undefined when it is no path. */
export function decoded(path: string): string | undefined {
  try {
    return decodeURIComponent(path);
  } catch {
    return undefined;
  }
}
