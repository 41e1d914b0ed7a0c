import type { Invariant } from "../../src/simulation/swarm/facts.ts";

/** Counts what happens in the swarm's worlds: an invariant says nothing as long as what it is about does not happen. */
export function createSightings(): { readonly counts: ReadonlyMap<string, number>; readonly watch: Invariant } {
  const counts = new Map<string, number>();
  const see = (what: string) => void counts.set(what, (counts.get(what) ?? 0) + 1);
  const watch: Invariant = {
    name: "nothing is claimed",
    watch: (_, now) => ({
      started({ role, purpose, waited, site, asked }) {
        see(`attempt: ${role}`);
        if (purpose) see(`attempt: ${purpose}`);
        if (waited && waited.ms > 0) see(`wait: ${waited.reason}`);
        if (asked.pool.tiers.findIndex(({ members }) => members.includes(site)) > 0) see("attempt: at a worse tier");
        if (site.version > 0) see("attempt: in a later snapshot");
        if (asked.machine.number > 1) see("attempt: after a restart");
      },
      ended: ({ verdict, committedAt }) =>
        see(`end: ${verdict?.class ?? "ok"}${committedAt !== undefined && verdict ? " after content" : ""}`),
      skipped: (_, { reason }) => see(`skip: ${reason}`),
      moved: (_, __, from, to) => see(`breaker: ${from} to ${to}`),
      permitTaken: (_, __, { kind }) => see(`permit: ${kind}`),
      permitSettled({ permit, current, result }) {
        if (permit && !current) see(`permit: a late ${result}`);
      },
      edited: () => see("edit"),
      told({ told, leaving, deadline }) {
        see(`request: ${told?.outcome}`);
        if (leaving.cancelled) see("request: left");
        if (now() >= deadline) see("request: out of time");
      },
    }),
  };
  return { counts, watch };
}
