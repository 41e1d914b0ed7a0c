import { existsSync } from "node:fs";
import { join } from "node:path";

/** Where `bench/install-peers` puts them. */
export const peersFolder = join(import.meta.dirname, "../../.cache/peers");

/** The first of these paths, below the peers' folder, at which there is something. */
export function installed(...paths: readonly string[]): string | undefined {
  return paths.map((path) => join(peersFolder, path)).find((path) => existsSync(path));
}
