import { describe, expect, test } from "vitest";
import { LeastLatencyPicker } from "../../../src/routing/strategy/least-latency.ts";
import { seededRng } from "../../../src/runtime/rng.ts";
import { gauges, type Member, offered, pick, tally, tier } from "./tier.ts";

function leastLatency(members: readonly Member[]): LeastLatencyPicker<Member> {
  return new LeastLatencyPicker(members, gauges, seededRng(11));
}

function timed(...latencies: (number | undefined)[]): Member[] {
  const members = tier(...latencies.map(() => 1));
  members.forEach((member, index) => {
    member.latencyMs = latencies[index];
  });
  return members;
}

/** How far a share of 10,000 picks may be off. */
const epsilon = 0.02;

describe("picking the least latency", () => {
  test("takes the faster of two", () => {
    const members = timed(800, 300);
    expect(tally(leastLatency(members), members, 100)).toEqual([0, 100]);
  });

  test("counts what is in flight, so a fast one does not get everything", () => {
    const members = timed(300, 800);
    const picker = leastLatency(members);
    for (let k = 0; k < 220; k++) {
      const member = pick(picker);
      if (member) member.inFlight++;
    }
    expect(Math.abs((members[0]?.inFlight ?? 0) - 160)).toBeLessThanOrEqual(2);
  });

  test("prefers weight among equally fast ones", () => {
    const members = tier(1, 5);
    for (const member of members) member.latencyMs = 200;
    expect(pick(leastLatency(members))).toBe(members[1]);
  });

  test(`gives the fastest of n a share of 2/n, the slowest none (ε = ${epsilon})`, () => {
    const members = timed(100, 200, 300, 400, 500);
    const shares = tally(leastLatency(members), members, 10_000).map((count) => count / 10_000);
    [0.4, 0.3, 0.2, 0.1, 0].forEach((share, index) => {
      expect(Math.abs((shares[index] ?? 0) - share)).toBeLessThan(epsilon);
    });
  });

  test("tries those whose latency it does not know, also beside an idle fast one, but does not flood them", () => {
    const members = timed(50, undefined);
    const [known, fresh] = tally(leastLatency(members), members, 1000);
    expect(known).toBeGreaterThan(400);
    expect(fresh).toBeGreaterThan(400);
    (members[1] as Member).inFlight = 1;
    expect(tally(leastLatency(members), members, 100)).toEqual([100, 0]);
  });

  test("minds what is in flight where nothing is known, or a latency of 0", () => {
    for (const latencyMs of [undefined, 0]) {
      const members = timed(latencyMs, latencyMs);
      (members[0] as Member).inFlight = 3;
      expect(tally(leastLatency(members), members, 50)).toEqual([0, 50]);
    }
  });

  test("offers everybody once, weight 0 apart, and finds the only one that is eligible", () => {
    const members = [...timed(...new Array<number>(30).fill(100)), ...tier(0)];
    const picker = leastLatency(members);
    expect(new Set(offered(picker)).size).toBe(30);
    expect(offered(picker).length).toBe(30);
    for (const member of members) member.answer = "passed";
    (members[17] as Member).answer = "taken";
    for (let k = 0; k < 50; k++) expect(pick(picker)).toBe(members[17]);
  });

  test("asks the gauges of two only when the first is taken", () => {
    const members = timed(...new Array<number>(1000).fill(100));
    let asked = 0;
    const counting = {
      ...gauges,
      latencyMs(member: Member) {
        asked++;
        return member.latencyMs;
      },
    };
    const picker = new LeastLatencyPicker(members, counting, seededRng(1));
    pick(picker);
    expect(asked).toBeLessThanOrEqual(4);
  });

  test("tells the order by what it would prefer, the unknown with the fastest", () => {
    const members = timed(300, undefined, 100, 200);
    const [a, b, c, d] = members as [Member, Member, Member, Member];
    c.inFlight = 4;
    expect(leastLatency(members).order()).toEqual([b, d, a, c]);
  });
});
