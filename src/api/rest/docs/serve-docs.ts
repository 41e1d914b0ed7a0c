import { createHash } from "node:crypto";
import type { Edge } from "../../edge.ts";
import { type Exchange, idHeaders, sendPaced } from "../exchange.ts";
import { asServed, type Route } from "../route.ts";
import { openApi } from "./open-api.ts";
import { docsPage } from "./page.ts";
import { pageScript } from "./page-script.ts";
import { pageStyle } from "./page-style.ts";

/** The page runs what is in it, asks the gateway that it came from, and nothing else; nobody may put it into a frame. */
const pagePolicy = [
  "default-src 'none'",
  `style-src ${hashOf(pageStyle)}`,
  `script-src ${hashOf(pageScript)}`,
  "connect-src 'self'",
  "img-src data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const pageHeaders = {
  "content-type": "text/html; charset=utf-8",
  "content-security-policy": pagePolicy,
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
};

type Handle = (edge: Edge, exchange: Exchange) => Promise<void>;

/**
 * Serves the documentation of a table of routes, of which it is a part itself.
 * @param routes asked when the first request comes
 */
export function createDocs(routes: () => readonly Route[]): { readonly openApi: Handle; readonly page: Handle } {
  /** Written once for a gateway, until it opens or closes: nothing else of it changes while it runs. */
  const texts = new WeakMap<Edge, { readonly isOpen: boolean; readonly document: string; readonly page: string }>();
  const textsOf = (edge: Edge) => {
    const isOpen = edge.callers.open;
    const known = texts.get(edge);
    if (known?.isOpen === isOpen) return known;
    const described = { version: edge.version, isOpen };
    const served = routes().map((route) => asServed(route, edge));
    const made = {
      isOpen,
      document: JSON.stringify(openApi(served, described)),
      page: docsPage(served, described),
    };
    texts.set(edge, made);
    return made;
  };
  const send = async (edge: Edge, exchange: Exchange, text: string, headers: Readonly<Record<string, string>>) =>
    sendPaced(
      exchange.response,
      text,
      { ...idHeaders(exchange), "x-content-type-options": "nosniff", "cache-control": "no-cache", ...headers },
      { clock: edge.machine.clock, stalledMs: edge.limits.stalledMs },
    );
  return {
    openApi: (edge, exchange) => send(edge, exchange, textsOf(edge).document, {}),
    page: (edge, exchange) => send(edge, exchange, textsOf(edge).page, pageHeaders),
  };
}

function hashOf(text: string): string {
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}
