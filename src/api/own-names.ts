import type { IncomingMessage } from "node:http";
import type { Violation } from "../chat/fault.ts";

const ownName = /^(?:(?:[a-z0-9-]+\.)*localhost|\d+\.\d+\.\d+\.\d+|\[[\da-f:.]+\])(?::\d*)?$/i;

/**
 * What is wrong with the name under which a request asks for a gateway that is open to its own machine only. A page of anywhere may let
 * its own name lead to this machine, and its browser would then take us for the page's own server (DNS rebinding): it could spend the
 * keys behind the port and read what comes. It cannot claim to be `localhost`, or an address.
 * @returns undefined when nothing is
 */
export function foreignName({ headers }: Pick<IncomingMessage, "headers">): Violation | undefined {
  const name = headers[":authority"] ?? headers.host ?? "localhost";
  if (typeof name === "string" && ownName.test(name)) return undefined;
  const description =
    "expected localhost or an IP address: without callers the gateway is open to its own machine only (auth.callers, or auth.open: true, lets others in)";
  return { field: "host", description };
}
