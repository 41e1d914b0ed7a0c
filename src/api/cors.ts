import type { IncomingMessage, ServerResponse } from "node:http";
import { cors as connectCors } from "@connectrpc/connect";
import type { Access } from "./edge.ts";

/** What a page's script may read of an answer beside what browsers show anyway. */
const exposedHeaders = [
  ...new Set([
    ...connectCors.exposedHeaders,
    "Grpc-Status-Details-Bin",
    "Retry-After",
    "retry-after-ms",
    "x-should-retry",
    "x-request-id",
    "x-everhop-provider",
    "x-everhop-attempts",
    "x-everhop-trail",
    "x-everhop-trace-id",
    "x-everhop-trace-url",
    "x-everhop-cache",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "grpc-retry-pushback-ms",
  ]),
].join(", ");

/** How long a browser may remember what a preflight said: two hours, which is as long as any of them does. */
const maxAgeSeconds = "7200";

/** Names of headers as a preflight lists them. */
const headerList = /^[\w!#$%&'*+.^`|~, -]{1,2000}$/;

/**
 * Lets pages of other origins call, as far as they are configured, and never what is an operator's: nothing here goes by cookies,
 * so what a page can do it does with a key of its own.
 * @returns whether the request was a preflight and is answered
 */
export function createCors(
  origins: readonly string[],
): (request: IncomingMessage, response: ServerResponse, access: Access | undefined) => boolean {
  const allowed = new Set(origins);
  return ({ method, headers }, response, access) => {
    const { origin } = headers;
    if (allowed.size === 0 || origin === undefined) return false;
    // A cache in between must not give one origin what was another's.
    response.setHeader("vary", "Origin");
    const isAllowed = (allowed.has("*") || allowed.has(origin)) && access !== undefined && access !== "admin";
    if (!isAllowed) return false;
    response.setHeader("access-control-allow-origin", allowed.has("*") ? "*" : origin);
    const asked = headers["access-control-request-method"];
    if (method !== "OPTIONS" || asked === undefined) {
      response.setHeader("access-control-expose-headers", exposedHeaders);
      return false;
    }
    const wanted = headers["access-control-request-headers"];
    response.writeHead(204, {
      "access-control-allow-methods": "GET, POST",
      ...(typeof wanted === "string" && headerList.test(wanted) && { "access-control-allow-headers": wanted }),
      "access-control-max-age": maxAgeSeconds,
    });
    response.end();
    return true;
  };
}
