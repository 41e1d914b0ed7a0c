import type { Invariant } from "../facts.ts";

/** Nothing wakes up faster than a health check that must come first, and that is waited for as long again. */
const probes = 2;

/** Every breaker of an endpoint that serves and is asked is closed again within its longest open time and two probes. */
export const breakersClose: Invariant = {
  name: "breakers close when their endpoints serve",
  watch(violated, _, { settings: { breaker } }) {
    return {
      converged({ breakersMs, missing, paceMs, endpoints }) {
        const most = 2 * breaker.slowCapMs + (probes * breaker.successesToClose + 2) * paceMs * (endpoints + 1);
        if (breakersMs === undefined) violated(`some breakers never close: ${missing.join(", ")}`);
        else if (breakersMs > most)
          violated(`breakers close after ${breakersMs.toFixed(0)} ms, ${most.toFixed(0)} at most`);
      },
    };
  },
};

/** Traffic is back at the best tier, all of it at the first attempt, half a minute after the breakers let it. */
export const trafficComesHome: Invariant = {
  name: "traffic returns to the best tier",
  watch(violated) {
    return {
      converged({ homeMs, breakersMs, paceMs, missing }) {
        if (breakersMs === undefined) return;
        const most = breakersMs + 30_000 + 24 * paceMs;
        if (homeMs === undefined) violated(`traffic does not return to the best tier: ${missing.join(", ")}`);
        else if (homeMs > most) violated(`traffic returns after ${homeMs.toFixed(0)} ms, ${most.toFixed(0)} at most`);
      },
    };
  },
};

/** Every key serves again when its time is over: none is stuck. */
export const keysReturn: Invariant = {
  name: "keys return when their time is over",
  watch(violated) {
    return {
      converged({ keysMs, missing }) {
        if (keysMs === undefined) violated(`some keys do not return: ${missing.join(", ")}`);
      },
    };
  },
};
