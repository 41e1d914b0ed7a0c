import { minAttemptMs } from "../../../routing/settings.ts";
import { Failure } from "../../failure.ts";
import type { Asked, Call, Invariant, Machine } from "../facts.ts";

/** A key that a provider has asked to be left alone with does not come back sooner, unless it has served another meanwhile. */
export const retryAfterHonoured: Invariant = {
  name: "what a provider asks for is waited for",
  watch(violated, now) {
    const servedAt = new Map<string, number>();
    const nameOf = (machine: number, endpoint: string, key: string) => `${machine} ${endpoint}#${key}`;
    const served = ({ asked: { machine }, site, key }: Call) =>
      void servedAt.set(nameOf(machine.number, site.id, key), now());
    return {
      committed: served,
      ended(call) {
        if (!call.verdict) served(call);
      },
      started({ asked: { plan, calls, machine }, site, key }) {
        const failed = calls.findLast(
          (call) => call.site.id === site.id && call.key === key && call.endedAt !== undefined,
        );
        if (!failed || !(failed.error instanceof Failure)) return;
        const { retryAfterMs } = failed.error.verdict;
        if (retryAfterMs === undefined) return;
        const endedAt = failed.endedAt ?? 0;
        if ((servedAt.get(nameOf(machine.number, site.id, key)) ?? Number.NEGATIVE_INFINITY) >= endedAt) return;
        const waited = now() - endedAt;
        if (waited < retryAfterMs - 1e-6) {
          violated(
            `${plan.name} goes back to ${site.id} after ${waited.toFixed(1)} ms, asked to wait ${retryAfterMs.toFixed(1)}`,
          );
        }
      },
    };
  },
};

/** Most that is added to a stated time, and the longest that is waited for beside a worse tier. */
const spreadMs = 1000;
const soonMs = 1000;

/**
 * Whether a call was waited for once, and not several times in a row or in a line as well: then the wait is what was drawn. Known of
 * a repeat at an endpoint without limits of ours, which nobody stands in line for.
 */
function waitedOnce({ waited, timerMs = 0, role, site: { use, providerUse } }: Call): boolean {
  const limits = [use?.maxRps, use?.maxConcurrent, providerUse?.maxRps, providerUse?.maxConcurrent];
  if (role !== "repeat" || limits.some((limit) => limit !== undefined)) return false;
  return waited !== undefined && Math.abs(waited.ms - timerMs) < 1e-6;
}

/** Waits because providers ask for it are no longer than the settings' patience and a second. */
export const patienceBounded: Invariant = {
  name: "patience has its bounds",
  watch(violated, _, { settings: { lastPatienceMs, patienceMs } }) {
    // Once a request, before a worse tier.
    const most = lastPatienceMs + soonMs + Math.max(patienceMs, soonMs) + spreadMs;
    return {
      started(call) {
        if (call.waited?.reason !== "retry_after" || !waitedOnce(call)) return;
        const before = call.asked.calls.filter(({ waited }) => waited?.reason === "retry_after");
        const sum = before.filter(waitedOnce).reduce((ms, { waited }) => ms + (waited?.ms ?? 0), call.waited.ms);
        if (sum > most + 1)
          violated(`${call.asked.plan.name} waits ${sum.toFixed(1)} ms for providers, ${most} at most`);
      },
    };
  },
};

/** Draws of a wait before a repeat lie between nothing and what has grown by then. */
export const backoffBounded: Invariant = {
  name: "backoff has its bounds",
  watch(violated, _, { settings: { backoff, patienceMs } }) {
    return {
      started(call) {
        const { asked, waited, previous } = call;
        if (waited?.reason !== "backoff" || !waitedOnce(call)) return;
        const before = asked.calls.filter((other) => other.waited !== undefined && other.waited.reason !== "queue");
        const most = before.every(waitedOnce)
          ? Math.min(backoff.maxMs, backoff.baseMs * 2 ** before.length)
          : backoff.maxMs;
        // The end of a limit that nobody stated is waited for, too.
        const patience = patienceMs > 0 && previous?.verdict?.class === "rate_limited" ? patienceMs + spreadMs : 1;
        if (waited.ms > Math.max(patience, most) + 1e-6) {
          violated(`${asked.plan.name} waits ${waited.ms.toFixed(1)} ms before it repeats, ${most} at most`);
        }
      },
    };
  },
};

/** Waits in line are no longer than the caller's or the settings' patience, and leave time for an attempt. */
export const linesPatient: Invariant = {
  name: "nobody stands in line for too long",
  watch(violated, now) {
    return {
      started({ asked, waited }) {
        if (waited?.reason !== "queue") return;
        if (waited.ms > longestQueue(asked) + 1) {
          violated(`${asked.plan.name} stood in line for ${waited.ms.toFixed(1)} ms, ${longestQueue(asked)} at most`);
        }
        if (waited.ms > 0 && asked.brokeAt === undefined && now() > asked.deadline - minAttemptMs + 1) {
          violated(
            `${asked.plan.name} stood in line until ${(asked.deadline - now()).toFixed(1)} ms before its deadline`,
          );
        }
      },
    };
  },
};

/**
 * Who stands in line is not overtaken: neither by whoever comes later, nor by a later one of the same caller. Lines are bounded.
 * Known to stand there is who came while only limits of ours kept it from its pool, is patient, and has seen nothing else change
 * since: a key that rests, a breaker or an operator's hand may send it elsewhere.
 */
export const linesFair: Invariant = {
  name: "nobody overtakes those in line, and lines are bounded",
  watch(violated, now, { settings }) {
    /** By model and process: those who wait, in the order in which they came. */
    const lines = new Map<string, Set<Asked>>();
    const forget = ({ number }: Machine) => {
      for (const [name, line] of lines) if (name.startsWith(`${number} `)) line.clear();
    };
    const lineOf = ({ machine, pool }: Asked) => `${machine.number} ${pool.model}`;
    /** Whether it is certain that it waits in line, and for that alone. */
    const waits = (asked: Asked) => {
      const { calls, arrivedAt, leaving, deadline, told, skips, pool, machine } = asked;
      if (calls.length > 0 || told || leaving.cancelled || skips.length === 0) return false;
      const until = Math.min(arrivedAt + longestQueue(asked), deadline - minAttemptMs);
      if (now() >= until - 1) return false;
      // A key that may have to be tried out first sends others elsewhere for that long.
      return (
        onlyLimits(asked) &&
        skips.some(({ reason }) => reason !== "disabled") &&
        pool.tiers.every(({ members }) => members.every((site) => machine.oracle.keysAreFine(site)))
      );
    };
    return {
      placed(asked) {
        if (settings.patienceMs > 0 || !waits(asked)) return;
        const line = lines.get(lineOf(asked)) ?? new Set();
        lines.set(lineOf(asked), line);
        // Who came to a full line in this very moment may be about to be turned away.
        let count = 0;
        for (const other of line) if (other.arrivedAt < now() && waits(other)) count += 1;
        if (count > settings.queue.bound) violated(`${count} requests wait for ${asked.pool.model}`);
        line.add(asked);
      },
      started({ asked, waited, index, site }) {
        const line = lines.get(lineOf(asked));
        if (!line) return;
        line.delete(asked);
        if (index > 1) return;
        const newcomer = waited === undefined && asked.arrivedAt === now();
        // Who was kept out by something else may have left the line, and come through as a last resort.
        if ((!newcomer && waited?.reason !== "queue") || !onlyLimits(asked)) return;
        for (const other of line) {
          if (other.arrivedAt >= asked.arrivedAt) return;
          if (!waits(other)) line.delete(other);
          // A new configuration has lines of its own.
          else if (other.pool !== asked.pool) continue;
          else if (newcomer || other.plan.caller === asked.plan.caller) {
            const since = other.arrivedAt.toFixed(1);
            violated(`${asked.plan.name} gets ${site.id} although ${other.plan.name} has stood in line since ${since}`);
            return;
          }
        }
      },
      ended({ asked, verdict, nothingLeftForMs }) {
        const moves = verdict
          ? verdict.blame === "key" || verdict.blame === "model" || verdict.class === "misconfigured"
          : nothingLeftForMs;
        if (moves) forget(asked.machine);
      },
      committed({ asked, nothingLeftForMs }) {
        if (nothingLeftForMs !== undefined) forget(asked.machine);
      },
      moved: forget,
      edited: forget,
      told: (asked) => void lines.get(lineOf(asked))?.delete(asked),
    };
  },
};

/** Whether nothing but limits of ours has kept a request from endpoints. */
function onlyLimits({ skips }: Asked): boolean {
  return skips.every(
    ({ reason, detail }) =>
      reason === "disabled" || reason === "concurrency" || (reason === "rate_limited" && detail === undefined),
  );
}

function longestQueue({ plan, machine }: Asked): number {
  return plan.queueMaxWaitMs ?? machine.world.settings.queue.maxWaitMs;
}
