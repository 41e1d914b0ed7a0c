import { fork } from "node:child_process";
import { once } from "node:events";
import type { CpuReport } from "./measured.ts";

/** A process of the benchmark's own, with a server in it. */
export interface Child {
  /** Such as `http://127.0.0.1:40123`. */
  readonly origin: string;
  /** CPU time since its start, user and system, in microseconds. @throws (rejects) when it has ended */
  cpuUs(): Promise<number>;
  /** Asks it to end, and ends it when it does not. */
  stop(): Promise<void>;
  /** Ends it at once, for when there is no time to wait. */
  kill(): void;
}

const startMs = 15_000;
const stopMs = 5000;

/**
 * Starts a program and waits until it says where it listens.
 * @throws (rejects) with what it wrote when it ends before, or says nothing in 15 seconds
 */
export async function startChild(
  path: string,
  args: readonly string[],
  nodeFlags: readonly string[] = [],
): Promise<Child> {
  const preload = new URL("measured.ts", import.meta.url).href;
  const child = fork(path, args, {
    execArgv: ["--import", preload, ...nodeFlags],
    // Nothing of the machine's own configuration may reach the gateway.
    env: { PATH: process.env["PATH"], NODE_OPTIONS: process.env["NODE_OPTIONS"] },
    silent: true,
  });
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  let output = "";
  const hear = (bytes: Buffer) => {
    output = (output + bytes.toString()).slice(-4096);
  };
  child.stdout?.on("data", hear);
  child.stderr?.on("data", hear);

  const origin = await new Promise<string>((resolve, reject) => {
    const fail = (why: string) => reject(new Error(`${path} ${why}:\n${output}`));
    const timer = setTimeout(() => fail("did not say where it listens"), startMs);
    child.stdout?.on("data", () => {
      const found = /listens on (http:\/\/127\.0\.0\.1:\d+)/.exec(output)?.[1];
      if (!found) return;
      clearTimeout(timer);
      resolve(found);
    });
    child.once("exit", () => {
      clearTimeout(timer);
      fail("ended");
    });
  }).catch((error: unknown) => {
    child.kill("SIGKILL");
    throw error;
  });

  return {
    origin,
    async cpuUs() {
      if (!child.connected) throw new Error(`${path} has ended:\n${output}`);
      const gone = exited.then((): never => {
        throw new Error(`${path} has ended:\n${output}`);
      });
      const answer = once(child, "message");
      child.send("cpu");
      const [report] = (await Promise.race([answer, gone])) as [CpuReport]; // the preload sends nothing else
      return report.cpuUs;
    },
    async stop() {
      const timer = setTimeout(() => child.kill("SIGKILL"), stopMs);
      if (child.exitCode === null && child.signalCode === null) {
        child.kill("SIGTERM");
        await exited;
      }
      clearTimeout(timer);
    },
    kill: () => void child.kill("SIGKILL"),
  };
}
