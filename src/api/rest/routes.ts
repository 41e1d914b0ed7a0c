import type { Access, Edge } from "../edge.ts";
import { chatCompletions } from "./chat.ts";
import { chatDocs } from "./docs/chat-docs.ts";
import { healthDocs, readinessDocs } from "./docs/health-docs.ts";
import { metricsDocs } from "./docs/metrics-docs.ts";
import { modelDocs, modelListDocs } from "./docs/model-docs.ts";
import { openApiDocs, pageDocs } from "./docs/own-docs.ts";
import { createDocs } from "./docs/serve-docs.ts";
import { health, readiness } from "./health.ts";
import { metrics } from "./metrics.ts";
import { getModel, listModels } from "./models.ts";
import { accessTo, type Route } from "./route.ts";

const documentation = createDocs(() => routes);

/** The one table of REST routes. */
export const routes: readonly Route[] = [
  { method: "POST", path: "/v1/chat/completions", access: "caller", handle: chatCompletions, docs: chatDocs },
  { method: "GET", path: "/v1/models", access: "caller", handle: listModels, docs: modelListDocs },
  {
    method: "GET",
    path: /^\/v1\/models\/.+$/s,
    template: "/v1/models/{model}",
    access: "caller",
    handle: getModel,
    docs: modelDocs,
  },
  { method: "GET", path: "/health", access: "public", handle: health, docs: healthDocs("getHealth") },
  { method: "GET", path: "/healthz", access: "public", handle: health, docs: healthDocs("getHealthz") },
  { method: "GET", path: "/readyz", access: "public", handle: readiness, docs: readinessDocs },
  {
    method: "GET",
    path: "/metrics",
    access: "admin",
    isPublic: ({ metrics: { isPublic } }) => isPublic,
    handle: metrics,
    docs: metricsDocs,
  },
  { method: "GET", path: "/openapi.json", access: "public", handle: documentation.openApi, docs: openApiDocs },
  { method: "GET", path: "/docs", access: "public", handle: documentation.page, docs: pageDocs },
];

const byPath = Map.groupBy(routes, ({ path }) => path);

/** The routes on a decoded path, whatever their method. */
export function routesOn(path: string): readonly Route[] {
  return byPath.get(path) ?? routes.filter((route) => typeof route.path !== "string" && route.path.test(path));
}

/** Who may use what is on a path as it came, of a gateway or as the table has it; undefined when nothing is. */
export function accessOn(url: string, edge?: Edge): Access | undefined {
  const path = decoded(url);
  const [route] = path === undefined ? [] : routesOn(path);
  return route && edge ? accessTo(route, edge) : route?.access;
}

/** A path without its percent signs; undefined when it is no path. */
export function decoded(path: string): string | undefined {
  if (!path.includes("%")) return path;
  try {
    return decodeURIComponent(path);
  } catch {
    return undefined;
  }
}
