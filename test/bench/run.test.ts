import { describe, expect, test } from "vitest";
import { root, start } from "../support/program.ts";

const quickly = ["bench/run.ts", "--quick", "--rounds", "1", "--seconds-per-round", "0.1"];

describe("npm run bench", () => {
  test("tells figures beside the floor and direct calls, and what they are held against", async () => {
    const run = start("node", [...quickly, "--only", "REST unary"]);
    expect(await run.exited).toBe(0);
    expect(run.output()).toMatch(/^REST unary +gateway +\d/m);
    expect(run.output()).toMatch(/^REST unary over the floor +\d+\.\d\d× +≤ 1\.60× +(met|missed)\b/m);
  });

  test("tells the same as JSON, with every round and what it was made on", async () => {
    const run = start("node", [...quickly, "--only", "gRPC unary", "--json"]);
    expect(await run.exited).toBe(0);
    const result = JSON.parse(run.output().slice(run.output().indexOf("{")));
    expect(result.circumstances.machine).toMatchObject({ cores: expect.any(Number), kernel: expect.any(String) });
    expect(result.circumstances.versions).toMatchObject({ node: process.version, undici: expect.any(String) });
    expect(result.legs).toEqual([{ case: "gRPC unary", via: "gateway", rounds: [expect.any(Object)] }]);
  });

  test("ends with exit code 1 and says where and why when an answer is wrong", async () => {
    const spoil = `--import ${root}/test/bench/spoil-upstream.ts`;
    const run = start("node", [...quickly, "--only", "REST unary"], { NODE_OPTIONS: spoil });
    expect(await run.exited).toBe(1);
    expect(run.output()).toMatch(/^REST unary, \w+: the answer is not the upstream's/m);
    expect(run.output()).not.toMatch(/CPU µs/);
  });

  test("refuses what it does not know with exit code 2", async () => {
    for (const wrong of [["--only", "tea"], ["--rounds", "0"], ["--hurry"]]) {
      const run = start("node", ["bench/run.ts", ...wrong]);
      expect(await run.exited).toBe(2);
      expect(run.output()).toContain("usage: ");
    }
  });
});
