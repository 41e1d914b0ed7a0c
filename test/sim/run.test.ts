import { execFile } from "node:child_process";
import { describe, expect, test } from "vitest";

const script = new URL("run.ts", import.meta.url).pathname;

/** Runs the command. @returns its exit code and what it printed */
function run(...given: string[]): Promise<{ code: number; output: string; errors: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [script, ...given], { maxBuffer: 2 ** 26 }, (error, output, errors) =>
      resolve({ code: typeof error?.code === "number" ? error.code : 0, output, errors }),
    );
  });
}

describe("a long run of the swarm", () => {
  test("tells how many seeds held, and how fast it was", async () => {
    const { code, output } = await run("--seeds", "6", "--requests", "30", "--jobs", "2");
    expect(code).toBe(0);
    expect(output).toMatch(/^6 seeds, \d+ requests, \d+ a second and core, \d+\.\d min, 0 failing\n$/);
  });

  test("replays a seed with its log, the same each time", async () => {
    const [once, again] = await Promise.all(
      [1, 2].map(() => run("--from", "7", "--seeds", "1", "--requests", "30", "--log")),
    );
    const log = (text = "") => text.split("\n").filter((line) => /^\d+\.\d{3} /.test(line));
    expect(log(once?.output).length).toBeGreaterThan(30);
    expect(log(again?.output)).toEqual(log(once?.output));
  });

  test("tells how it is called", async () => {
    const { code, output } = await run("--help");
    expect(code).toBe(0);
    expect(output).toMatch(/^Usage: npm run sim/);
  });

  test("refuses flags that it does not know, in words", async () => {
    const { code, errors } = await run("--seed", "7");
    expect(code).toBe(2);
    expect(errors).toMatch(/^there is no --seed\nUsage: npm run sim/);
  });
});
