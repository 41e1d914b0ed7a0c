import { describe, expect, test } from "vitest";
import { jobsOf, readArguments } from "./arguments.ts";

describe("the flags of a long run", () => {
  test("have defaults", () => {
    expect(readArguments([])).toEqual({
      ...{ seeds: 1000, minutes: Number.POSITIVE_INFINITY, from: 1, requests: 1000, jobs: 1, log: false, help: false },
    });
  });

  test("are read in both ways of writing them", () => {
    expect(
      readArguments(["--seeds", "5", "--minutes=0.5", "--from", "7", "--requests=20", "--jobs", "2", "--log"]),
    ).toEqual({
      ...{ seeds: 5, minutes: 0.5, from: 7, requests: 20, jobs: 2, log: true, help: false },
    });
  });

  test.each([
    [["--seed", "3"], "there is no --seed"],
    [["3"], "there is no 3"],
    [["--log=yes"], "there is no --log=yes"],
    [["--seeds"], "--seeds needs a number"],
    [["--seeds", "many"], '--seeds needs a number, and got "many"'],
    [["--from", "0"], "--from is 0, and must be a whole number, 1 at least"],
    [["--from", "-3"], "--from is -3, and must be a whole number, 1 at least"],
    [["--minutes="], "--minutes needs a number"],
    [["--seeds", "0"], "--seeds is 0, and must be a whole number, 1 at least"],
    [["--jobs", "1.5"], "--jobs is 1.5, and must be a whole number, 1 at least"],
    [["--minutes", "-1"], "--minutes is -1, and must be 0.01 at least"],
  ])("are refused as %j", (given, why) => {
    expect(readArguments(given)).toBe(why);
  });
});

describe("the processes of a long run", () => {
  test("are no more than there are seeds and processors", () => {
    expect(jobsOf({ jobs: 999, seeds: 3 }, 8)).toBe(3);
    expect(jobsOf({ jobs: 999, seeds: 3000 }, 8)).toBe(8);
    expect(jobsOf({ jobs: 2, seeds: 3000 }, 8)).toBe(2);
    expect(jobsOf({ jobs: 2, seeds: 3000 }, 0)).toBe(1);
  });
});
