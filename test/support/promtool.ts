import { spawnSync } from "node:child_process";

/** Whether Prometheus' own judge is here: Debian's package `prometheus` has it. */
export const hasPromtool = spawnSync("promtool", ["--version"]).status === 0;
// Nobody should believe that it has judged.
if (!hasPromtool) console.warn("promtool is not installed: what it would judge is not judged here");

/** Asks it. @returns its exit code and all that it says */
export function promtool(args: readonly string[], input = ""): { readonly code: number | null; readonly said: string } {
  const { status, stdout, stderr } = spawnSync("promtool", args, { input, encoding: "utf8" });
  return { code: status, said: `${stdout}${stderr}` };
}
