import {
  accessSync,
  closeSync,
  constants,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { ConfigError } from "../config.ts";

/** Where a page is to be written. */
export interface PageFile {
  /** All of it or nothing: a page that was there before stays until the new one is whole. @throws what the system says */
  write(text: string): void;
}

/** Whether a page can be written is known before anything is played. @throws ConfigError when it cannot */
export function pageFile(path: string): PageFile {
  try {
    const known = statSync(path, { throwIfNoEntry: false });
    if (known?.isDirectory()) throw Object.assign(new Error("a folder"), { code: "EISDIR" });
    if (known) accessSync(path, constants.W_OK);
    // Devices and pipes cannot be replaced.
    if (known && !known.isFile()) return { write: (text) => writeFileSync(path, text) };
    const target = known ? realpathSync(path) : path;
    const draft = `${target}.${process.pid}.part`;
    closeSync(openSync(draft, "wx"));
    rmSync(draft);
    return { write: (text) => replace(target, draft, text) };
  } catch (error) {
    const { code = "unknown error" } = error as { code?: string }; // what Node throws has one
    throw new ConfigError("simulate", [
      { path: "--html", value: JSON.stringify(path), expected: `expected a file that can be written (${code})` },
    ]);
  }
}

function replace(target: string, draft: string, text: string): void {
  try {
    writeFileSync(draft, text, { flag: "wx" });
    renameSync(draft, target);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
}
