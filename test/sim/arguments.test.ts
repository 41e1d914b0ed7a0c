import { describe, expect, test } from "vitest";
import { readArguments } from "./arguments.ts";

describe("the flags of a long run", () => {
  test("have defaults", () => {
    expect(readArguments([])).toEqual({
      ...{ seeds: 1000, minutes: Number.POSITIVE_INFINITY, from: 1, requests: 1000, jobs: 1, log: false },
    });
  });

  test("are read in both ways of writing them", () => {
    expect(
      readArguments(["--seeds", "5", "--minutes=0.5", "--from", "7", "--requests=20", "--jobs", "2", "--log"]),
    ).toEqual({
      ...{ seeds: 5, minutes: 0.5, from: 7, requests: 20, jobs: 2, log: true },
    });
  });

  test.each([
    [["--seed", "3"], "there is no --seed"],
    [["3"], "there is no 3"],
    [["--log=yes"], "there is no --log=yes"],
    [["--seeds"], "--seeds needs a number"],
    [["--seeds", "many"], "--seeds needs a number"],
    [["--minutes="], "--minutes needs a number"],
    [["--seeds", "0"], "--seeds is 0, and must be a whole number, 1 at least"],
    [["--jobs", "1.5"], "--jobs is 1.5, and must be a whole number, 1 at least"],
    [["--minutes", "-1"], "--minutes is -1, and must be 0.01 at least"],
  ])("are refused as %j", (given, why) => {
    expect(readArguments(given)).toBe(why);
  });
});
