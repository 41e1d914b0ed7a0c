import type { IncomingHttpHeaders } from "node:http";
import { BlockList, isIP } from "node:net";

/** Tells whose request it is behind proxies that are trusted to say so. */
export type ClientAddress = (remoteAddress: string, headers: IncomingHttpHeaders) => string;

/**
 * @param trusted addresses and CIDR ranges of proxies; what anybody else says of itself in headers counts for nothing
 */
export function createClientAddress(trusted: readonly string[]): ClientAddress {
  if (trusted.length === 0) return plain;
  const proxies = new BlockList();
  for (const range of trusted) {
    const [address = "", bits] = range.split("/");
    const family = isIP(address) === 6 ? "ipv6" : "ipv4";
    if (bits === undefined) proxies.addAddress(address, family);
    else proxies.addSubnet(address, Number(bits), family);
  }
  const isProxy = (address: string) => proxies.check(address, isIP(address) === 6 ? "ipv6" : "ipv4");
  return (remoteAddress, headers) => {
    const nearest = plain(remoteAddress);
    if (!isProxy(nearest)) return nearest;
    const forwarded = headers["x-forwarded-for"];
    // Most proxies add to the one and hand the other through as it came.
    if (forwarded === undefined) {
      const real = headers["x-real-ip"];
      return typeof real === "string" && isIP(real) ? plain(real) : nearest;
    }
    // From the right: each proxy has added whom it saw, and the first that is none of ours is the client.
    for (const hop of String(forwarded).split(",").reverse()) {
      const address = plain(hop.trim());
      if (!isIP(address)) return nearest;
      if (!isProxy(address)) return address;
    }
    return nearest;
  };
}

/** An IPv4 address inside of IPv6 as the IPv4 address that it is. */
function plain(address: string): string {
  return address.startsWith("::ffff:") && isIP(address.slice(7)) === 4 ? address.slice(7) : address;
}
