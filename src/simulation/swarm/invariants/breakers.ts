import type { Permit } from "../../../routing/breaker.ts";
import { AttemptTimeout } from "../../../routing/lease.ts";
import type { Call, Invariant, Settlement } from "../facts.ts";

const legal = new Set(["closed open", "open half_open", "half_open open", "half_open closed"]);

/** A breaker opens, half opens, and then closes or opens again; nothing else. */
export const legalMoves: Invariant = {
  name: "breakers move only where they may",
  watch(violated) {
    return {
      moved(_, endpoint, from, to) {
        if (!legal.has(`${from} ${to}`)) violated(`the breaker of ${endpoint} goes from ${from} to ${to}`);
      },
    };
  },
};

/** A half open breaker has one probe out at most; last resorts aside. */
export const oneProbe: Invariant = {
  name: "one probe at a time",
  watch(violated) {
    return {
      permitTaken({ oracle }, endpoint, { kind }, now) {
        const out = oracle.breaker(endpoint).probesOut(now);
        if (kind === "probe" && out > 0) violated(`${endpoint} has ${out + 1} probes out`);
      },
    };
  },
};

/** Every right to a call is given back once. */
export const permitsReturn: Invariant = {
  name: "every permit is given back once",
  watch(violated) {
    const out = new Map<string, Set<Permit>>();
    return {
      permitTaken({ number }, endpoint, permit) {
        const name = `${endpoint} of process ${number}`;
        const taken = out.get(name) ?? new Set();
        out.set(name, taken);
        taken.add(permit);
      },
      permitSettled({ machine, endpoint, permit, again }) {
        if (again) violated(`a permit of ${endpoint} is given back twice`);
        if (permit) out.get(`${endpoint} of process ${machine.number}`)?.delete(permit);
      },
      rested(_, __, when) {
        for (const [name, taken] of out) {
          if (taken.size > 0) violated(`${taken.size} permits of ${name} are out ${when}`);
          taken.clear();
        }
      },
    };
  },
};

/** A breaker opens with exactly the failure that meets the rule, closes with exactly the success that does, and never otherwise. */
export const exactMoves: Invariant = {
  name: "breakers move exactly when they must",
  watch(violated) {
    return {
      permitSettled({ endpoint, permit, current, result, before, after, expected }) {
        if (permit !== undefined && (!current || result === "neutral")) return;
        if (after.state !== expected) {
          violated(
            `the breaker of ${endpoint} is ${after.state} after a ${result} while ${before.state}, and must be ${expected}`,
          );
        }
      },
      moved({ oracle }, endpoint, from, to) {
        const must = oracle.breaker(endpoint).state;
        // Told of an overdue probe, the oracle has opened by now, too.
        if (to === "open" && from !== "open" && must !== "open")
          violated(`the breaker of ${endpoint} opens for nothing`);
      },
    };
  },
};

/** How long a breaker stays open lies in the range of its draw: between the half and the whole of what has grown by then. */
export const openForAsLong: Invariant = {
  name: "breakers stay open for as long as they should",
  watch(violated) {
    return {
      moved(_, endpoint, __, to, inRange) {
        if (to === "open" && !inRange) violated(`the breaker of ${endpoint} opens for too long or too short a time`);
      },
    };
  },
};

/** What belongs to an earlier state of a breaker changes nothing of it. */
export const lateResultsDropped: Invariant = {
  name: "late results change no breaker",
  watch(violated) {
    return {
      permitSettled(settlement) {
        if (settlement.permit === undefined || settlement.current) return;
        if (changed(settlement)) violated(`a late ${settlement.result} changes the breaker of ${settlement.endpoint}`);
      },
    };
  },
};

/** What says nothing about an endpoint leaves its breaker as it was. */
export const neutralIsNeutral: Invariant = {
  name: "neutral results change no breaker",
  watch(violated) {
    return {
      permitSettled(settlement) {
        if (settlement.permit === undefined || settlement.result !== "neutral" || !settlement.current) return;
        if (changed(settlement)) violated(`a neutral result changes the breaker of ${settlement.endpoint}`);
      },
    };
  },
};

/** Keys, limits, refusals, models, wrong paths, callers and superseded attempts are nothing to a breaker. */
export const notTheEndpointsFault: Invariant = {
  name: "no breaker hears of what is not its endpoint's fault",
  watch(violated) {
    const check = ({ verdict, committedAt, site, asked }: Call, settlement: Settlement | undefined) => {
      if (!verdict || endpointFailed(verdict) || !settlement) return;
      if (committedAt !== undefined && settlement.permit !== undefined) return;
      if (settlement.result !== "neutral") {
        violated(`the breaker of ${site.id} hears a ${settlement.result} of ${asked.plan.name}'s ${verdict.class}`);
      }
    };
    return { ended: check };
  },
};

/** Failures and successes reach the breaker as such, and a timeout only when the endpoint had all the time that it may take. */
export const faultsAreHeard: Invariant = {
  name: "breakers hear what their endpoints did",
  watch(violated, now) {
    const check = (call: Call, settlement: Settlement | undefined) => {
      const { verdict, committedAt, site, asked, error, startedAt } = call;
      // A stream counts at its first content; a break after it is a result of its own.
      if (committedAt !== undefined && !verdict) return;
      if (verdict && !endpointFailed(verdict)) return;
      const must = verdict ? "failure" : "success";
      if (settlement?.result !== must) {
        violated(
          `the breaker of ${site.id} hears ${settlement?.result ?? "nothing"} of a ${must} of ${asked.plan.name}`,
        );
      }
      if (!(error instanceof AttemptTimeout)) return;
      const { limits } = site;
      const limit = asked.plan.mode === "run" ? limits.totalMs : limits.firstContentMs;
      if (now() - startedAt < limit - 1e-6)
        violated(`${site.id} is blamed for a timeout after ${now() - startedAt} ms`);
    };
    return {
      ended: check,
      committed({ site, asked }, settlement) {
        if (settlement?.result !== "success") {
          violated(
            `the breaker of ${site.id} hears ${settlement?.result ?? "nothing"} of the first content of ${asked.plan.name}`,
          );
        }
      },
    };
  },
};

/** A result changes the breaker of its own endpoint only, and the keys of none but its own provider, if the key is still in use. */
export const resultsStayHome: Invariant = {
  name: "a result changes only what it is about",
  watch(violated) {
    return {
      permitSettled({ endpoint, others }) {
        if (others.length > 0) violated(`a result of ${endpoint} changes the breaker of ${others.join(", ")}`);
      },
      ended({ verdict, asked, site, key, committedAt }, settlement) {
        if (committedAt !== undefined || !settlement) return;
        const { machine, plan } = asked;
        const change = machine.keysOut(site.provider) - settlement.keysOut;
        const known = machine.oracle.keysOf(site.provider).includes(key);
        const takesOut = verdict?.class === "key_refused" || verdict?.class === "quota_exhausted";
        const most = takesOut && known ? 1 : 0;
        const least = verdict || !known ? 0 : -1;
        if (change > most || change < least) {
          violated(`${verdict?.class ?? "an answer"} to ${plan.name} changes ${change} keys of ${site.provider}`);
        }
      },
    };
  },
};

function endpointFailed({ blame, class: why }: NonNullable<Call["verdict"]>): boolean {
  return blame === "endpoint" && why !== "misconfigured";
}

function changed({ before, after }: Settlement): boolean {
  return before.state !== after.state || before.failures !== after.failures || before.ended !== after.ended;
}
