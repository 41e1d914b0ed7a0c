import type { Call, Invariant } from "../facts.ts";

/** What reaches a caller comes from one attempt, or from two of which the second began when the first had broken. */
export const oneVoice: Invariant = {
  name: "an answer comes from one attempt, or from two joined",
  watch(violated) {
    const heard = new Map<string, Call[]>();
    return {
      delivered({ plan: { name }, told }, by, lease) {
        const before = heard.get(name) ?? [];
        heard.set(name, before);
        if (told) violated(`${name} hears more after its end`);
        if (!by || by.index !== lease) {
          violated(`${name} hears attempt ${by?.index ?? "nobody"} in the name of attempt ${lease}`);
          return;
        }
        const last = before.at(-1);
        if (before.length > 1) violated(`${name} hears ${before.length + 1} attempts`);
        if (last && (last.endedAt === undefined || last.verdict === undefined || by.startedAt < last.endedAt)) {
          violated(`${name} hears attempt ${by.index} although attempt ${last.index} had not broken`);
        }
        before.push(by);
      },
      told: ({ plan }) => void heard.delete(plan.name),
    };
  },
};

/** Who is served has a last attempt that was whole; an answer that broke off is marked as such, and no other is. */
export const wholeOrMarked: Invariant = {
  name: "an answer is whole, or marked as broken",
  watch(violated) {
    return {
      told({ plan, told, lastEnded, committed }) {
        if (!told) return;
        const { outcome, trail } = told;
        if (outcome === "served" && lastEnded?.verdict && lastEnded.verdict.class !== "superseded") {
          violated(`${plan.name} is served by an attempt that ends with ${lastEnded.verdict.class}`);
        }
        if (outcome === "served" && trail.attempts.every((attempt) => attempt.outcome !== "ok")) {
          violated(`${plan.name} is served, and no attempt is`);
        }
        if (trail.partial !== (outcome === "broken")) {
          violated(`${plan.name} is ${outcome}, and its trail says ${trail.partial ? "" : "not "}partial`);
        }
        if (outcome === "failed" && committed) violated(`${plan.name} fails although content has come`);
      },
    };
  },
};

/** Few tell nothing of what is slow. */
const leastSamples = 20;
const mostSamples = 64;
const pauseMs = { least: 10_000, most: 60_000 };

/**
 * A second attempt is made beside one that is slow: at most once a request, before any content, at another endpoint, not before the
 * slow one's usual time is over, for no more than a share of all streams, and not while providers say that they have too much to do.
 */
export const hedgesBounded: Invariant = {
  name: "hedges are few and late",
  watch(violated, now, { settings: { hedge } }) {
    const counts = new Map<number, { streams: number; hedges: number; pausedUntil: number }>();
    const recent = new Map<string, number[]>();
    const dueAt = new WeakMap<Call, number | undefined>();
    const countsOf = (machine: number) => {
      const known = counts.get(machine) ?? { streams: 0, hedges: 0, pausedUntil: Number.NEGATIVE_INFINITY };
      counts.set(machine, known);
      return known;
    };
    const learn = ({ asked: { machine, plan }, site, startedAt }: Call, atLeast: boolean) => {
      if (plan.mode !== "open") return;
      const name = `${machine.number} ${site.id}`;
      const times = recent.get(name) ?? [];
      recent.set(name, times);
      // What was given up has taken so long at least; less than usual tells nothing.
      if (atLeast && now() - startedAt <= (quantile(times, 0.5) ?? Number.POSITIVE_INFINITY)) return;
      times.push(now() - startedAt);
      if (times.length > mostSamples) times.shift();
    };
    return {
      arrived({ plan, machine }) {
        if (plan.mode === "open") countsOf(machine.number).streams += 1;
      },
      started(call) {
        const { asked, site, purpose, beside } = call;
        const { plan, machine, calls, live } = asked;
        if (hedge.enabled && purpose !== "hedge") {
          const times = recent.get(`${machine.number} ${site.id}`) ?? [];
          const usual = quantile(times, hedge.quantile);
          dueAt.set(call, times.length < leastSamples || usual === undefined ? undefined : now() + usual);
        }
        if (purpose !== "hedge") {
          if (beside > 0) violated(`${plan.name} asks ${site.id} beside another, and not as a hedge`);
          return;
        }
        const known = countsOf(machine.number);
        known.hedges += 1;
        if (!hedge.enabled) violated(`${plan.name} is hedged although nobody wants that`);
        if (known.hedges > hedge.share * known.streams + 1e-6)
          violated(`${known.hedges} hedges for ${known.streams} streams`);
        if (known.pausedUntil > now()) violated(`${plan.name} is hedged although providers are in trouble`);
        if (plan.mode !== "open" || asked.committed) violated(`${plan.name} is hedged although it must not be`);
        if (calls.some((other) => other.purpose === "hedge")) violated(`${plan.name} is hedged twice`);
        if (calls.some((other) => other.site.id === site.id))
          violated(`${plan.name} is hedged at ${site.id}, which it has asked`);
        if (calls.some(({ verdict }) => verdict && isPushback(verdict))) {
          violated(`${plan.name} is hedged although a provider had too much to do`);
        }
        const [slow] = live;
        const due = slow && dueAt.get(slow);
        if (beside !== 1 || due === undefined || now() < due - 1e-6) violated(`${plan.name} is hedged too soon`);
      },
      committed: (call) => learn(call, false),
      ended(call) {
        const { purpose, verdict, asked } = call;
        if (verdict?.class === "superseded") learn(call, true);
        if (purpose !== "hedge" || !verdict || !isPushback(verdict) || call.committedAt !== undefined) return;
        const known = countsOf(asked.machine.number);
        const ms = Math.min(Math.max(verdict.retryAfterMs ?? 0, pauseMs.least), pauseMs.most);
        known.pausedUntil = Math.max(known.pausedUntil, now() + ms);
      },
    };
  },
};

/** When one of two has content, the other is given up in the same moment; and nothing is given up but for content or a refusal. */
export const loserGivenUp: Invariant = {
  name: "the slower of two is given up at once",
  watch(violated) {
    return {
      committed({ asked: { plan, live } }) {
        if (live.size > 1) violated(`${plan.name} has content, and ${live.size - 1} other attempts go on`);
      },
      told({ plan, calls, committed }) {
        const given = calls.some(({ verdict }) => verdict?.class === "superseded");
        const refused = calls.some(({ verdict }) => verdict?.class === "request_refused");
        if (given && !committed && !refused) violated(`${plan.name} gave up an attempt for nothing`);
      },
    };
  },
};

/** Undefined of nothing. */
function quantile(times: readonly number[], share: number): number | undefined {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

function isPushback({ class: why, retryAfterMs }: NonNullable<Call["verdict"]>): boolean {
  return why === "rate_limited" || why === "overloaded" || retryAfterMs !== undefined;
}
