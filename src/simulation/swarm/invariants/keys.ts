import type { Invariant } from "../facts.ts";

/** A key that is limited, spent or refused is not used before its time, nor before the one that goes first has found out. */
export const restingKeysRest: Invariant = {
  name: "keys that rest are not used",
  watch(violated) {
    return {
      started({ asked, site, key, restingKey }) {
        if (restingKey) violated(`${asked.plan.name} uses ${key} at ${site.id}, which rests`);
      },
    };
  },
};

/** A key is sent only to its own provider; one that wants none gets none. */
export const keysStayHome: Invariant = {
  name: "a key goes to its own provider only",
  watch(violated) {
    return {
      started({ asked, site, key }) {
        const none = asked.machine.oracle.keysOf(site.provider)[0] === "";
        if (none ? key !== "" : !key.startsWith(site.provider)) {
          violated(`${asked.plan.name} sends ${key || "no key"} to ${site.provider}`);
        }
      },
    };
  },
};
