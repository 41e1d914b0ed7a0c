import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, release, totalmem } from "node:os";
import { join } from "node:path";
import type { Extent } from "./measure.ts";

/** On what the figures came to be. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGib: number;
  readonly kernel: string;
  /** Of the last minute, when the run began: more than a little of it spoils throughput and latency. */
  readonly loadBefore: number;
}

/** Of what they are figures. */
export interface Versions {
  readonly node: string;
  readonly undici: string;
  /** The commit, followed by `+` when the code has been changed since. */
  readonly everhop: string;
  /** Of the programs beside it. */
  readonly peers: Readonly<Record<string, string>>;
}

/** How and on what a run was made. */
export interface Circumstances {
  /** When it began: an ISO date and time. */
  readonly at: string;
  readonly machine: Machine;
  readonly versions: Versions;
  readonly extent: Extent;
}

const root = join(import.meta.dirname, "..");

/** The machine and the code as they are now. */
export function circumstances(extent: Extent, peers: Readonly<Record<string, string>>): Circumstances {
  return {
    at: new Date().toISOString(),
    machine: {
      cpu: cpus()[0]?.model.trim() ?? "unknown",
      cores: availableParallelism(),
      memoryGib: Math.round(totalmem() / 2 ** 30),
      kernel: release(),
      loadBefore: loadavg()[0] ?? 0,
    },
    versions: { node: process.version, undici: undiciVersion(), everhop: commit(), peers },
    extent,
  };
}

function undiciVersion(): string {
  const text = readFileSync(join(root, "node_modules/undici/package.json"), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

function commit(): string {
  const git = (...args: string[]) => spawnSync("git", args, { cwd: root, encoding: "utf8" });
  const { status, stdout } = git("rev-parse", "--short", "HEAD");
  if (status !== 0) return "unknown";
  const changes = git("status", "--porcelain", "--", "bin", "src", "gen/ts", "package-lock.json").stdout;
  return stdout.trim() + (changes.trim() === "" ? "" : "+");
}
