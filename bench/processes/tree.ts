import { readdirSync, readFileSync } from "node:fs";

/** A process and its descendants, together. */
export interface TreeReport {
  readonly processes: number;
  /** User and system time since their start, in microseconds; the kernel counts in ticks of ten milliseconds. */
  readonly cpuUs: number;
  /** Memory that is resident; what they share counts for each. */
  readonly rssBytes: number;
}

/** The same on every Linux. */
const usPerTick = 10_000;

interface Status {
  readonly pid: number;
  readonly parent: number;
  readonly cpuUs: number;
}

/**
 * Adds up what the kernel says of a process and its descendants; of those that have ended, what their parents have been told.
 * @throws when the process is gone
 */
export function readTree(pid: number): TreeReport {
  const all = readdirSync("/proc").flatMap((name) => (/^\d+$/.test(name) ? (statusOf(Number(name)) ?? []) : []));
  const tree = all.filter((status) => status.pid === pid);
  if (tree.length === 0) throw new Error(`process ${pid} is gone`);
  for (const { pid: parent } of tree) tree.push(...all.filter((status) => status.parent === parent));
  return {
    processes: tree.length,
    cpuUs: tree.reduce((sum, { cpuUs }) => sum + cpuUs, 0),
    rssBytes: tree.reduce((sum, status) => sum + rssOf(status.pid), 0),
  };
}

/** How many files a process may have open at once. */
export function openFilesLimit(pid: number): number {
  const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, "utf8")) ?? [];
  return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft);
}

function statusOf(pid: number): Status | undefined {
  const text = textOf(pid, "stat");
  if (text === undefined) return undefined;
  // The name may hold anything, spaces and parentheses too; what follows it are numbers, the first of them the third field.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const field = (number: number) => Number(fields[number - 3]);
  const ticks = field(14) + field(15) + field(16) + field(17); // utime, stime, and those of its ended children
  return { pid, parent: field(4), cpuUs: ticks * usPerTick };
}

function rssOf(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB/m.exec(textOf(pid, "status") ?? "")?.[1];
  return Number(kib ?? 0) * 1024;
}

/** Undefined when the process has just ended. */
function textOf(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return undefined;
  }
}
