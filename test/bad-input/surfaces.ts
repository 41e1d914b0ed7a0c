import { routes } from "../../src/api/rest/routes.ts";
import { services } from "../../src/api/rpc/handler.ts";

/** A request for each route of REST. */
export const routeRequests: readonly { readonly method: string; readonly path: string }[] = routes.map(
  ({ method, path }) => ({ method, path: typeof path === "string" ? path : sample(path) }),
);

/** A request for each RPC. */
export const rpcRequests: typeof routeRequests = services.flatMap(({ typeName, methods }) =>
  methods.map(({ name }) => ({ method: "POST", path: `/${typeName}/${name}` })),
);

/** A path that a route's expression takes. */
function sample({ source }: RegExp): string {
  return source
    .replace(/^\^|\$$/g, "")
    .replaceAll("\\/", "/")
    .replace(/\.\+|\[\^\/\]\+|\(.*\)/g, "think");
}
