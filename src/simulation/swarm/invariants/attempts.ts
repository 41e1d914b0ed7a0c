import { hardMaxAttempts, minAttemptMs } from "../../../routing/settings.ts";
import type { Asked, Call, Invariant } from "../facts.ts";
import { recoveryMs } from "../world.ts";

/** No request makes more attempts that count than it may. A recovery is one at most, within the same cap. */
export const attemptsCapped: Invariant = {
  name: "attempts stay within their cap",
  watch(violated) {
    return {
      told({ plan, counted, cap }) {
        if (counted > cap) violated(`${plan.name} makes ${counted} attempts, ${cap} at most`);
      },
    };
  },
};

/** All attempts together stay within the requests' caps, and an endpoint that has accepted nothing lately gets one last resort a second. */
export const outageNotMultiplied: Invariant = {
  name: "an outage is not multiplied",
  watch(violated, now) {
    let requests = 0;
    let counted = 0;
    const acceptedAt = new Map<string, number>();
    const lastResortAt = new Map<string, number>();
    return {
      arrived() {
        requests += 1;
      },
      started({ role }) {
        if (role === "first" || role === "repeat") counted += 1;
        if (counted > requests * hardMaxAttempts) violated(`${counted} attempts for ${requests} requests`);
      },
      permitSettled({ machine, endpoint, permit, result }) {
        if (permit && result === "success") acceptedAt.set(`${machine.number} ${endpoint}`, now());
      },
      permitTaken(machine, endpoint, { kind }) {
        if (kind !== "last_resort") return;
        const name = `${machine.number} ${endpoint}`;
        const since = now() - (lastResortAt.get(name) ?? Number.NEGATIVE_INFINITY);
        const silent = now() - (acceptedAt.get(name) ?? Number.NEGATIVE_INFINITY) > lookBackMs;
        lastResortAt.set(name, now());
        if (silent && since < 1000 - 1e-6) violated(`${endpoint} gets two last resorts within ${since.toFixed(1)} ms`);
      },
    };
  },
};

/** How far back what an endpoint has accepted counts. */
const lookBackMs = 10_000;

/** Further keys are tried only as often as the settings say, and never one that the request has used; each exact repeat happens once. */
export const rotationsBounded: Invariant = {
  name: "further keys and exact repeats stay within their bounds",
  watch(violated, _, { settings }) {
    return {
      started({ asked, site, key, role, previous }) {
        const { name } = asked.plan;
        if (role === "rotation") {
          if (usedBefore(asked, site.id, key)) violated(`${name} goes on with a key that it has used at ${site.id}`);
          const limited = previous?.verdict?.class === "rate_limited";
          const made = rotations(asked).filter((call) => !limited || call.site.id === site.id);
          const before = made.filter((call) => (call.previous?.verdict?.class === "rate_limited") === limited).length;
          const most = limited ? settings.keyRotations.rate : settings.keyRotations.auth * (asked.committed ? 2 : 1);
          if (before + 1 > most) violated(`${name} tries ${before + 1} further keys at ${site.id}, ${most} at most`);
        }
        if (role !== "same_again") return;
        const why = previous?.verdict?.class;
        const again = asked.calls.some(
          (call) => call.role === "same_again" && call.site.id === site.id && call.previous?.verdict?.class === why,
        );
        if (again) violated(`${name} repeats ${site.id} twice because of ${why}`);
      },
    };
  },
};

/** Nobody is asked twice in one request, but for keys, for what had no effect, and after a wait. */
export const nobodyTwice: Invariant = {
  name: "no endpoint is asked twice at once",
  watch(violated) {
    return {
      started({ asked: { plan }, site, role, waited, purpose }) {
        if (role === "repeat" && (waited === undefined || purpose === "hedge")) {
          violated(`${plan.name} asks ${site.id} again without a wait`);
        }
      },
    };
  },
};

/** No attempt begins after the caller has left, after the deadline, or, from the second on, too near to it. */
export const nothingTooLate: Invariant = {
  name: "no attempt begins too late",
  watch(violated, now) {
    return {
      started({ asked, site }) {
        const { plan, leaving, calls, brokeAt } = asked;
        const deadline = brokeAt === undefined ? asked.deadline : brokeAt + recoveryMs;
        const left = deadline - now();
        if (leaving.cancelled) violated(`${plan.name} asks ${site.id} after its caller has left`);
        if (left <= 0) violated(`${plan.name} asks ${site.id} after its deadline`);
        else if (calls.length > 0 && left < minAttemptMs - 1e-6) {
          violated(`${plan.name} asks ${site.id} with ${left.toFixed(3)} ms left`);
        }
      },
    };
  },
};

/** After the first content no attempt begins but the one that goes on with a broken stream whose caller wants that. */
export const oneRecovery: Invariant = {
  name: "after its first content a request goes on once at most",
  watch(violated) {
    return {
      started({ asked, site, role, purpose }) {
        const { plan, committed, brokeAt, calls } = asked;
        if ((purpose === "recovery") !== (committed !== undefined)) {
          violated(
            `${plan.name} asks ${site.id} ${committed ? "after its first content" : "to recover before any content"}`,
          );
        }
        if (purpose !== "recovery") return;
        if (brokeAt === undefined) violated(`${plan.name} recovers although nothing broke`);
        if (!plan.recovers) violated(`${plan.name} recovers although its caller did not ask for it`);
        if (calls.filter(({ committedAt }) => committedAt !== undefined).length > 1) {
          violated(`${plan.name} recovers a second time`);
        }
        const counts = role === "first" || role === "repeat";
        const made = calls.filter(
          (call) => call.purpose === "recovery" && (call.role === "first" || call.role === "repeat"),
        );
        if (counts && made.length > 0) violated(`${plan.name} makes ${made.length + 1} attempts to recover`);
      },
    };
  },
};

function rotations({ calls }: Asked): Call[] {
  return calls.filter(({ role }) => role === "rotation");
}

function usedBefore({ calls }: Asked, endpoint: string, key: string): boolean {
  return calls.some((call) => call.site.id === endpoint && call.key === key);
}
