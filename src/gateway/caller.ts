import { createHmac } from "node:crypto";
import { type Rng, randomHex } from "../runtime/rng.ts";
import type { Secret } from "../runtime/secret.ts";

/** Who asks. */
export interface Caller {
  readonly name: string;
  /** Public names of the models that the caller may see and use; undefined: all. */
  readonly models: ReadonlySet<string> | undefined;
  /** Whether answers and errors tell the way a request took. */
  readonly seesTrail: boolean;
  /** Requests per minute, all of them at once if it likes; undefined: unlimited. */
  readonly rpm?: number | undefined;
  /** Calls under way at once; undefined: unlimited. */
  readonly maxConcurrent?: number | undefined;
  /** How long it will queue for a limit of ours, in ms; undefined: as long as everybody. */
  readonly queueMaxWaitMs?: number | undefined;
}

/** The callers known by key. */
export interface Callers {
  /** The caller behind a credential; undefined when it is wrong, or missing where one is needed. */
  identify(credential: string | undefined): Caller | undefined;
}

/** Whoever comes, when the gateway is open. */
const anyone: Caller = { name: "anyone", models: undefined, seesTrail: true };

/**
 * Looks callers up by a keyed hash of what they present, so that neither the time of a lookup nor a dump of the table says
 * anything of a key.
 * @param open whether a caller without a key, or with any key, is let in
 * @param rng where the hash's own key comes from: it must not be guessed
 */
export function createCallers(callers: readonly { caller: Caller; key: Secret }[], open: boolean, rng: Rng): Callers {
  const pepper = randomHex(rng, 64);
  const digest = (credential: string) => createHmac("sha256", pepper).update(credential).digest("base64");
  const byDigest = new Map(callers.map(({ caller, key }) => [digest(key.reveal()), caller]));
  return {
    identify(credential) {
      const known = credential === undefined || byDigest.size === 0 ? undefined : byDigest.get(digest(credential));
      return known ?? (open ? anyone : undefined);
    },
  };
}
