import type { Access } from "../../edge.ts";

/** How keys are shown, by the names that the document uses. */
export const securitySchemes = {
  callerBearer: { type: "http", scheme: "bearer", description: "A caller's key: `Authorization: Bearer KEY`." },
  callerKey: { type: "apiKey", in: "header", name: "X-API-Key", description: "A caller's key: `X-API-Key: KEY`." },
  adminBearer: { type: "http", scheme: "bearer", description: "An operator's key: `Authorization: Bearer KEY`." },
  adminKey: {
    type: "apiKey",
    in: "header",
    name: "X-Admin-Key",
    description: "An operator's key: `X-Admin-Key: KEY`.",
  },
} as const;

/** What a route asks for, as OpenAPI says it: one of these is enough. Where the gateway is open a caller needs none. */
export function securityOf(access: Access, isOpen: boolean): readonly object[] {
  if (access === "public") return [];
  if (access === "admin") return [{ adminBearer: [] }, { adminKey: [] }];
  return [...(isOpen ? [{}] : []), { callerBearer: [] }, { callerKey: [] }];
}

/** Who may use a route, in a sentence. */
export function accessText(access: Access, isOpen: boolean): string {
  if (access === "public") return "Needs no key.";
  if (access === "admin") return "Needs an operator's key.";
  return isOpen ? "Needs no key: this gateway is open." : "Needs a caller's key.";
}
