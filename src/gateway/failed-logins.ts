import { TokenBucket } from "../routing/token-bucket.ts";
import type { Clock } from "../runtime/clock.ts";

/** Counts wrong keys by the address that they come from. */
export interface FailedLogins {
  /** Notes one. @returns how long to wait before the next, in ms; 0 while there have been few */
  note(address: string): number;
}

/** Wrong keys that one address may try at once, and from then on a second. */
const burst = 60;
const perSecond = 1;
/** Addresses remembered; the one that failed longest ago is forgotten first. */
const mostAddresses = 10_000;

/** Right keys are never held up: many honest callers may share the address of one that is not. */
export function createFailedLogins(clock: Clock): FailedLogins {
  const buckets = new Map<string, TokenBucket>();
  return {
    note(address) {
      const place = placeOf(address);
      const bucket = buckets.get(place) ?? new TokenBucket(perSecond, burst);
      buckets.delete(place);
      buckets.set(place, bucket);
      if (buckets.size > mostAddresses) buckets.delete(buckets.keys().next().value ?? place);
      const now = clock.now();
      return bucket.take(now) ? 0 : bucket.availableAt(now) - now;
    },
  };
}

/** One customer has all of an IPv6 /64. */
function placeOf(address: string): string {
  if (!address.includes(":")) return address;
  const [front = "", back = ""] = address.split("::");
  const groups = front.split(":").filter(Boolean);
  const behind = back.split(":").filter(Boolean);
  // `::` stands for as many zeros as are missing.
  const zeros = address.includes("::") ? Array<string>(Math.max(0, 8 - groups.length - behind.length)).fill("0") : [];
  const leading = [...groups, ...zeros, ...behind].slice(0, 4);
  return leading.map((group) => Number.parseInt(group, 16).toString(16)).join(":");
}
