import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Tested } from "./tested.ts";

/** The processes and folders of one run. Whatever happens, none of them stays behind. */
export interface Herd {
  started(starting: Promise<Tested>): Promise<Tested>;
  newFolder(): string;
  stop(): Promise<void>;
}

/** @param name how its folders are called */
export function createHerd(name: string): Herd {
  const running: Tested[] = [];
  const folders: string[] = [];
  process.on("exit", () => {
    for (const each of running) each.kill();
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  });
  process.on("SIGINT", () => process.exit(130));
  process.on("SIGTERM", () => process.exit(143));
  return {
    async started(starting) {
      const tested = await starting;
      running.push(tested);
      return tested;
    },
    newFolder() {
      const folder = mkdtempSync(join(tmpdir(), `everhop-${name}-`));
      folders.push(folder);
      return folder;
    },
    async stop() {
      await Promise.all(running.map((each) => each.stop()));
    },
  };
}
