import { type Route, templateOf } from "../route.ts";
import { jsonText } from "./json-text.ts";
import type { ExampleDocs } from "./route-docs.ts";

/** Stands for the gateway's address until the page knows it. */
export const exampleOrigin = "http://127.0.0.1:8000";

/** A request as a command to paste. @param isOpen whether callers need no key */
export function curl(
  route: Route,
  { path = templateOf(route), headers = {}, body }: ExampleDocs,
  isOpen: boolean,
): string {
  const key = { caller: isOpen ? undefined : "EVERHOP_API_KEY", admin: "EVERHOP_ADMIN_KEY", public: undefined };
  const name = key[route.access];
  const parts = [
    `curl ${body?.["stream"] === true ? "--no-buffer " : ""}${exampleOrigin}${path}`,
    ...(name ? [`-H "Authorization: Bearer $${name}"`] : []),
    ...(body ? ['-H "Content-Type: application/json"'] : []),
    ...Object.entries(headers).map(([header, value]) => `-H "${header}: ${value}"`),
    ...(body ? [`-d '${jsonText(body).replaceAll("'", "'\\''")}'`] : []),
  ];
  return parts.join(" \\\n  ");
}
