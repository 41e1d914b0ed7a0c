import { spawn } from "node:child_process";
import { connect, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { watchOver } from "../processes/running.ts";
import type { Door, Tested } from "../processes/tested.ts";
import { readTree } from "../processes/tree.ts";

/** How a program of somebody else's is started. */
export interface Program {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Where it will listen, which it cannot tell. */
  readonly port: number;
  readonly door?: Omit<Door, "origin">;
}

const startMs = 30_000;
const lookEveryMs = 50;

/**
 * Starts it and waits until it takes connections.
 * @throws (rejects) with what it wrote when it ends before, or does not listen in half a minute
 */
export async function startProgram({ command, args, env = {}, port, door }: Program): Promise<Tested> {
  // It has no channel on which it would notice that the benchmark is gone.
  const child = spawn("setpriv", ["--pdeathsig", "TERM", command, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: process.env["PATH"], ...env },
  });
  child.on("error", () => {}); // told below: it has ended
  const running = watchOver(child);
  const giveUpAt = performance.now() + startMs;
  while (!(await takesConnections(port))) {
    const isLate = performance.now() > giveUpAt;
    if (!isLate && !running.hasEnded() && child.pid !== undefined) {
      await sleep(lookEveryMs);
      continue;
    }
    running.kill();
    throw new Error(`${command} ${isLate ? "does not listen" : "ended"}:\n${running.output()}`);
  }
  const tree = () => {
    if (running.hasEnded()) throw new Error(`${command} has ended:\n${running.output()}`);
    return readTree(running.pid);
  };
  return {
    origin: `http://127.0.0.1:${port}`,
    ...door,
    pid: running.pid,
    cpuUs: async () => tree().cpuUs,
    tree,
    stop: running.stop,
    kill: running.kill,
  };
}

/** A port that nobody listens on just now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}

function takesConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => resolve(true));
    socket.on("error", () => resolve(false));
    socket.on("connect", () => socket.destroy());
  });
}
