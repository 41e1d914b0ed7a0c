import { fork } from "node:child_process";
import { once } from "node:events";
import type { CpuReport } from "./measured.ts";
import { watchOver } from "./running.ts";
import type { Tested } from "./tested.ts";
import { readTree } from "./tree.ts";

const startMs = 60_000;
/** By how much the kernel's ticks may lie apart from what a process says of itself. */
const tickDoubtUs = 60_000;
const tickDoubtShare = 0.02;

/**
 * Starts a program of Node's and waits until it says where it listens.
 * @throws (rejects) with what it wrote when it ends before, or says nothing in a minute
 */
export async function startChild(
  path: string,
  args: readonly string[],
  nodeFlags: readonly string[] = [],
): Promise<Tested> {
  const preload = new URL("measured.ts", import.meta.url).href;
  const child = fork(path, args, {
    execArgv: ["--import", preload, ...nodeFlags],
    // Nothing of the machine's own configuration may reach the gateway.
    env: { PATH: process.env["PATH"], NODE_OPTIONS: process.env["NODE_OPTIONS"] },
    silent: true,
  });
  const running = watchOver(child);
  const { pid, output, exited } = running;

  const origin = await new Promise<string>((resolve, reject) => {
    const fail = (why: string) => reject(new Error(`${path} ${why}:\n${output()}`));
    const timer = setTimeout(() => fail("did not say where it listens"), startMs);
    child.stdout?.on("data", () => {
      const found = /listens on (http:\/\/127\.0\.0\.1:\d+)/.exec(output())?.[1];
      if (!found) return;
      clearTimeout(timer);
      resolve(found);
    });
    child.once("exit", () => {
      clearTimeout(timer);
      fail("ended");
    });
  }).catch((error: unknown) => {
    running.kill();
    throw error;
  });

  /** Its own account is the finer one; it must not hide children. */
  function checkAgainstTree(cpuUs: number): void {
    const tree = readTree(pid);
    if (Math.abs(tree.cpuUs - cpuUs) > tickDoubtUs + cpuUs * tickDoubtShare)
      throw new Error(`${path} tells ${cpuUs} µs, its ${tree.processes} processes took ${tree.cpuUs}`);
  }

  return {
    origin,
    pid,
    async cpuUs() {
      if (!child.connected) throw new Error(`${path} has ended:\n${output()}`);
      const gone = exited.then((): never => {
        throw new Error(`${path} has ended:\n${output()}`);
      });
      const answer = once(child, "message");
      child.send("cpu");
      const [report] = (await Promise.race([answer, gone])) as [CpuReport]; // the preload sends nothing else
      checkAgainstTree(report.cpuUs);
      return report.cpuUs;
    },
    tree: () => readTree(pid),
    stop: running.stop,
    kill: running.kill,
  };
}
