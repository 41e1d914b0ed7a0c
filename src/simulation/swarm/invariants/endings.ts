import type { Invariant } from "../facts.ts";

/** Every request ends exactly once, and the engine says that it failed exactly when it did. */
export const oneEnding: Invariant = {
  name: "every request ends exactly once",
  watch(violated) {
    return {
      told({ plan, told, failures, crash }) {
        if (crash !== undefined) violated(`${plan.name} ends with ${crash}`);
        const failed = told?.outcome === "failed";
        if (crash === undefined && failed && failures !== 1) violated(`${plan.name} failed ${failures} times`);
        if (told?.outcome === "served" && failures > 0) violated(`${plan.name} is served and has failed`);
        if (failures > 1) violated(`${plan.name} failed ${failures} times`);
      },
      rested(_, asked, when) {
        const open = asked.filter(({ told, crash }) => told === undefined && crash === undefined);
        if (open.length > 0) violated(`${open.map(({ plan }) => plan.name).join(", ")} have no end ${when}`);
      },
    };
  },
};

/** No attempt lasts longer than its request's deadline until its content, and no request without content does. */
export const endsInTime: Invariant = {
  name: "nothing outlives its deadline",
  watch(violated, now) {
    return {
      committed({ asked: { plan, deadline, brokeAt } }) {
        if (brokeAt === undefined && now() > deadline + 1)
          violated(`${plan.name} has its first content after its deadline`);
      },
      ended({ asked: { plan, deadline, brokeAt }, committedAt, index }) {
        if (brokeAt !== undefined || committedAt !== undefined) return;
        if (now() > deadline + 1) violated(`attempt ${index} of ${plan.name} ends after the deadline`);
      },
      told({ plan, deadline, told, committed }) {
        if (committed === undefined && told && now() > deadline + 1) violated(`${plan.name} ends after its deadline`);
      },
    };
  },
};

/** A request does not end before its attempts. */
export const endsLast: Invariant = {
  name: "no attempt outlives its request",
  watch(violated) {
    return {
      told({ plan, live }) {
        if (live.size > 0) violated(`${plan.name} ends while ${live.size} of its attempts go on`);
      },
    };
  },
};

/** When a request has ended, no timer of it is pending and nobody listens to its cancellation. */
export const nothingPending: Invariant = {
  name: "no timer or listener outlives its request",
  watch(violated) {
    /** A deadline, an attempt with its hedge, and a line that is looked at again. */
    const mostTimers = 5;
    return {
      told({ plan, listeners, machine }) {
        if (listeners > 0) violated(`${listeners} still listen to the cancellation of ${plan.name}`);
        const most = mostTimers * machine.live;
        if (machine.timers() > most) violated(`${machine.timers()} timers are pending for ${machine.live} requests`);
      },
      rested(machines, _, when) {
        for (const { number, timers } of machines) {
          if (timers() > 0) violated(`${timers()} timers of process ${number} are pending ${when}`);
        }
      },
    };
  },
};

/** A request sees one snapshot of the configuration from its start to its end. */
export const oneSnapshot: Invariant = {
  name: "a request sees one snapshot",
  watch(violated) {
    return {
      started({ asked: { plan, pool }, site }) {
        if (pool.tiers.every(({ members }) => !members.includes(site))) {
          violated(`${plan.name} asks ${site.id} as of version ${site.version}, which is not its own`);
        }
      },
    };
  },
};
