import type { ChildProcess } from "node:child_process";

/** A child with what it has said, and how it ends. */
export interface Running {
  readonly pid: number;
  /** The last of what it wrote. */
  readonly output: () => string;
  readonly exited: Promise<void>;
  hasEnded(): boolean;
  stop(): Promise<void>;
  kill(): void;
}

const stopMs = 5000;
const keptCharacters = 4096;

/** Watches over a child whose output is piped. */
export function watchOver(child: ChildProcess): Running {
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  let output = "";
  const hear = (bytes: Buffer) => {
    output = (output + bytes.toString()).slice(-keptCharacters);
  };
  child.stdout?.on("data", hear);
  child.stderr?.on("data", hear);
  const hasEnded = () => child.exitCode !== null || child.signalCode !== null;
  return {
    pid: child.pid ?? 0,
    output: () => output,
    exited,
    hasEnded,
    async stop() {
      const timer = setTimeout(() => child.kill("SIGKILL"), stopMs);
      if (!hasEnded()) {
        child.kill("SIGTERM");
        await exited;
      }
      clearTimeout(timer);
    },
    kill: () => void child.kill("SIGKILL"),
  };
}
