import type { Invariant } from "../facts.ts";

/** No window holds more calls than a burst and what the rate brings, for an endpoint and for its provider. */
export const ratesHold: Invariant = {
  name: "rates hold in every window",
  watch(violated) {
    return {
      started({ asked, site, objection }) {
        if (objection?.of === "rate") violated(`${asked.plan.name} asks ${site.id} although ${objection.why}`);
      },
    };
  },
};

/** No more calls are in flight than there are places: at an endpoint, at a provider, in the process. */
export const placesHold: Invariant = {
  name: "places hold",
  watch(violated) {
    return {
      started({ asked, site, objection }) {
        if (objection?.of === "places") violated(`${asked.plan.name} asks ${site.id} although ${objection.why}`);
      },
    };
  },
};

/** The engine's counts of calls in flight are the truth, never negative, and nothing when all is at rest. */
export const countsAreTrue: Invariant = {
  name: "what is in flight is what is counted",
  watch(violated) {
    return {
      passed({ router: { state }, under, underAt, sites, number, known }) {
        if (state.inFlight !== under)
          violated(`process ${number} counts ${state.inFlight} in flight, and ${under} are`);
        for (const site of sites.values()) {
          const here = state.providerNamed(site.provider)?.usage.inFlight ?? 0;
          const there = known(site.id).usage.inFlight;
          if (there !== (underAt.get(site.id) ?? 0)) {
            violated(`${there} are counted at ${site.id}, and ${underAt.get(site.id) ?? 0} are there`);
          }
          if (here !== (underAt.get(site.provider) ?? 0)) {
            violated(`${here} are counted at ${site.provider}, and ${underAt.get(site.provider) ?? 0} are there`);
          }
        }
      },
      rested(machines, _, when) {
        for (const { number, router, under } of machines) {
          if (under !== 0 || router.state.inFlight !== 0) {
            violated(
              `process ${number} has ${under} calls under way ${when}, by its own count ${router.state.inFlight}`,
            );
          }
        }
      },
    };
  },
};

const windowMs = 10_000;
/** What always goes: three a second. */
const reserve = 30;

/** Repeats of an endpoint within ten seconds are a share of its requests and three a second at most. */
export const repeatsBounded: Invariant = {
  name: "repeats stay within their budget",
  watch(violated, now, { settings }) {
    const seen = new Map<string, { readonly firsts: number[]; readonly repeats: number[] }>();
    return {
      started({ asked: { machine, plan }, site, role }) {
        if (role !== "first" && role !== "repeat") return;
        const name = `${machine.number} ${site.id}`;
        const at = seen.get(name) ?? { firsts: [], repeats: [] };
        seen.set(name, at);
        if (role === "first") {
          at.firsts.push(now());
          return;
        }
        at.repeats.push(now());
        // Counters go by tenths of the window: a repeat may have left the engine's sooner.
        forget(at.repeats, now() - windowMs * 0.9);
        forget(at.firsts, now() - windowMs);
        const most = settings.retryBudget * at.firsts.length + reserve;
        if (at.repeats.length > most) {
          violated(`${plan.name} makes ${at.repeats.length} repeats of ${site.id} within ten seconds, ${most} at most`);
        }
      },
    };
  },
};

/** Drops what lies at or before a time from the front of a list. */
function forget(times: number[], until: number): void {
  let gone = 0;
  while (gone < times.length && (times[gone] ?? 0) <= until) gone += 1;
  if (gone > 0) times.splice(0, gone);
}
