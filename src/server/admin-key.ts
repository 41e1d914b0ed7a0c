import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { type Rng, randomHex } from "../runtime/rng.ts";

/** Where an admin key is kept that the gateway has made for itself. */
export const adminKeyFile = "data/admin-key";

/** An admin key, and what a person is to be told of it. */
export interface AdminKey {
  readonly key: string;
  readonly notice: string;
}

/** The key that was made at an earlier start, or a new one, which is shown this once and kept in a file for its owner's eyes. */
export function ownAdminKey(rng: Rng, path = adminKeyFile): AdminKey {
  const kept = read(path);
  if (kept !== undefined) return { key: kept, notice: `the admin key is the one in ${path}` };
  const key = `ek-admin-${randomHex(rng, 48)}`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    writeFileSync(path, `${key}\n`, { mode: 0o600, flag: "wx" });
    return { key, notice: `an admin key was made and is kept in ${path}; it is shown this once: ${key}` };
  } catch {
    return {
      key,
      notice: `an admin key was made for as long as the process lives (${path} cannot be written): ${key}`,
    };
  }
}

function read(path: string): string | undefined {
  try {
    const text = readFileSync(path, "utf8").trim();
    return text.length >= 32 ? text : undefined;
  } catch {
    return undefined;
  }
}
