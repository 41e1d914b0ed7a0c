import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, expect, onTestFinished, test } from "vitest";
import { readTree } from "../../bench/processes/tree.ts";

const burn = `const until = process.cpuUsage().user + 300_000; while (process.cpuUsage().user < until);`;
const stay = `console.log("ready"); setInterval(() => {}, 1000);`;

/** A program of Node's that says when it is ready and then stays. */
async function ready(code: string): Promise<number> {
  // In a process group of its own, so that its children end with it.
  const child = spawn(process.execPath, ["-e", code], { stdio: ["ignore", "pipe", "inherit"], detached: true });
  const { pid = 0 } = child;
  onTestFinished(() => void process.kill(-pid, "SIGKILL"));
  await once(child.stdout, "data");
  return pid;
}

describe("a process tree", () => {
  test("counts what a child burns, and its memory", async () => {
    const child = `require("child_process").spawn(process.execPath, ["-e", ${JSON.stringify(burn + stay)}], { stdio: "inherit" });`;
    const alone = readTree(await ready(stay));
    const pid = await ready(child);
    const tree = readTree(pid);
    expect(alone.processes).toBe(1);
    expect(tree.processes).toBe(2);
    expect(tree.cpuUs).toBeGreaterThan(alone.cpuUs + 250_000);
    expect(tree.rssBytes).toBeGreaterThan(alone.rssBytes * 1.5);
  });

  test("still counts a child that has ended", async () => {
    const pid = await ready(
      `require("child_process").spawnSync(process.execPath, ["-e", ${JSON.stringify(burn)}]); ${stay}`,
    );
    expect(readTree(pid)).toMatchObject({ processes: 1 });
    expect(readTree(pid).cpuUs).toBeGreaterThan(300_000);
  });

  test("cannot be told of a process that is gone", async () => {
    const child = spawn(process.execPath, ["-e", ""]);
    await once(child, "exit");
    expect(() => readTree(child.pid ?? 0)).toThrow("is gone");
  });
});
