import { describe, expect, test } from "vitest";
import type { AttemptRecord, Trail } from "../../src/routing/trail.ts";
import { switchReason, switchTo } from "../../src/telemetry/log/switches.ts";

/** A trail of attempts, each `endpoint#key tier outcome purpose`; what is not said is `-`. */
function trailOf(...attempts: string[]): Trail {
  const records = attempts.map((text, position) => {
    const [place = "", tier, outcome, purpose] = text.split(" ").map((word) => (word === "-" ? undefined : word));
    const [endpoint, keyName] = place.split("#");
    return { index: position + 1, endpoint, keyName, tier: Number(tier), outcome, purpose };
  });
  return { attempts: records } as unknown as Trail; // nothing else of it is asked for
}

function last(trail: Trail) {
  const to = trail.attempts.at(-1) as AttemptRecord; // each has one
  const change = switchTo(trail, to);
  return change && `${change.kind} from ${change.from.index}: ${switchReason(change)}`;
}

describe("what an attempt has come after", () => {
  test.each([
    ["nothing", ["a#1 1 - -"], undefined],
    ["a key that was limited", ["a#1 1 rate_limited", "a#2 1 -"], "key from 1: it limits the key's rate"],
    ["its own failure", ["a#1 1 overloaded", "a#1 1 -"], "same from 1: it is overloaded"],
    ["an equal that failed", ["a#1 1 transient_fault", "b#1 1 -"], "endpoint from 1: it failed"],
    ["a better one that is wrong", ["a#1 1 misconfigured", "b#1 2 -"], "tier from 1: it has no such API"],
    ["one that is slow, and still there", ["a#1 1 -", "b#1 1 - hedge"], "hedge from 1: it is slow"],
    [
      "two that ran side by side",
      ["a#1 1 transient_fault", "b#1 1 key_refused hedge", "c#1 1 -"],
      "endpoint from 2: it refused the key",
    ],
    [
      "a stream that broke, though another one was given up before",
      ["a#1 1 superseded", "b#1 1 transient_fault hedge", "c#1 2 - recovery"],
      "recovery from 2: its answer broke off",
    ],
  ])("%s", (_, attempts, told) => {
    expect(last(trailOf(...attempts))).toBe(told);
  });
});
