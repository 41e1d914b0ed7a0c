import type { Watcher } from "./facts.ts";

/** One watcher that tells all of them, each only what it wants to hear. */
export function spread(watchers: readonly Watcher[]): Required<Watcher> {
  const who = <Name extends keyof Watcher>(name: Name) => watchers.filter((each) => each[name] !== undefined);
  const [arrived, placed, started, committed, ended] = [
    who("arrived"),
    who("placed"),
    who("started"),
    who("committed"),
    who("ended"),
  ];
  const [skipped, failed, taken, settled, moved] = [
    who("skipped"),
    who("failed"),
    who("permitTaken"),
    who("permitSettled"),
    who("moved"),
  ];
  const [edited, delivered, told, passed, rested, converged] = [
    who("edited"),
    who("delivered"),
    who("told"),
    who("passed"),
    who("rested"),
    who("converged"),
  ];
  return {
    arrived(asked) {
      for (const each of arrived) each.arrived?.(asked);
    },
    placed(asked) {
      for (const each of placed) each.placed?.(asked);
    },
    started(call) {
      for (const each of started) each.started?.(call);
    },
    committed(call, settlement) {
      for (const each of committed) each.committed?.(call, settlement);
    },
    ended(call, settlement) {
      for (const each of ended) each.ended?.(call, settlement);
    },
    skipped(asked, skip) {
      for (const each of skipped) each.skipped?.(asked, skip);
    },
    failed(asked, trail) {
      for (const each of failed) each.failed?.(asked, trail);
    },
    permitTaken(machine, endpoint, permit, now) {
      for (const each of taken) each.permitTaken?.(machine, endpoint, permit, now);
    },
    permitSettled(settlement) {
      for (const each of settled) each.permitSettled?.(settlement);
    },
    moved(machine, endpoint, from, to, inRange) {
      for (const each of moved) each.moved?.(machine, endpoint, from, to, inRange);
    },
    delivered(asked, by, lease) {
      for (const each of delivered) each.delivered?.(asked, by, lease);
    },
    edited(machine) {
      for (const each of edited) each.edited?.(machine);
    },
    told(asked) {
      for (const each of told) each.told?.(asked);
    },
    passed(machine, now) {
      for (const each of passed) each.passed?.(machine, now);
    },
    rested(machines, asked, when) {
      for (const each of rested) each.rested?.(machines, asked, when);
    },
    converged(convergence) {
      for (const each of converged) each.converged?.(convergence);
    },
  };
}
