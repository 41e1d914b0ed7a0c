import { existsSync } from "node:fs";
import { join } from "node:path";
import { root } from "../support/program.ts";

const folder = join(root, ".cache/sdks");

/** Python with the newest `openai`, and with the last of the old kind, whose API many programs still use. */
export const pythons = {
  current: join(folder, "current/bin/python"),
  legacy: join(folder, "legacy/bin/python"),
} as const;

/** Whether both are there. Says so when they are not. */
export const hasPythons: boolean = Object.values(pythons).every((path) => existsSync(path));
if (!hasPythons) {
  console.warn("SKIPPED: the Python SDKs of OpenAI are not installed, so nothing was tested with them; run .ci/sdks");
}
