import type { Caller } from "../../gateway/caller.ts";
import type { Edge } from "../edge.ts";
import { chatCompletions } from "./chat.ts";
import type { Exchange } from "./exchange.ts";
import { health } from "./health.ts";
import { getModel, listModels } from "./models.ts";

/** One route. Every route needs a caller unless it is marked public. */
export type Route = { readonly method: "GET" | "POST"; readonly path: string | RegExp } & (
  | { readonly access: "public"; readonly handle: (edge: Edge, exchange: Exchange) => Promise<void> }
  | { readonly access: "caller"; readonly handle: (edge: Edge, exchange: Exchange, caller: Caller) => Promise<void> }
);

/** The one table of REST routes. */
export const routes: readonly Route[] = [
  { method: "POST", path: "/v1/chat/completions", access: "caller", handle: chatCompletions },
  { method: "GET", path: "/v1/models", access: "caller", handle: listModels },
  { method: "GET", path: /^\/v1\/models\/.+$/, access: "caller", handle: getModel },
  { method: "GET", path: "/health", access: "public", handle: health },
  { method: "GET", path: "/healthz", access: "public", handle: health },
];

/** The routes on a path, whatever their method. */
export function routesOn(path: string): readonly Route[] {
  return routes.filter((route) => (typeof route.path === "string" ? route.path === path : route.path.test(path)));
}
