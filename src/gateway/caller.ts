import { hash } from "node:crypto";
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

/** Those known by key. */
export interface Callers {
  /** Whether whoever comes is served, with any key or none. */
  readonly open: boolean;
  /** Whoever shows no caller's key, where that is enough. */
  readonly anyone: Caller;
  /** The caller whose key it is, if it is anybody's. */
  identify(credential: string | undefined): Caller | undefined;
  /** Whether a credential is an operator's. */
  isAdmin(credential: string | undefined): boolean;
}

/** Whoever comes, when the gateway is open. */
export const anyone: Caller = { name: "anyone", models: undefined, seesTrail: true };

/**
 * Looks keys up by a keyed hash of what is presented, so that neither the time of a lookup nor a dump of the table says anything
 * of a key. The hash is SHA-256 of a secret prefix and the credential: nothing longer is ever derived from it, so an HMAC, which costs
 * six times as much, would protect from nothing.
 * @param rng where the prefix comes from: it must not be guessed
 */
export function createCallers(
  {
    callers,
    adminKeys,
    open,
    anyone: unknown = anyone,
  }: {
    readonly callers: readonly { readonly caller: Caller; readonly key: Secret }[];
    readonly adminKeys: readonly Secret[];
    readonly open: boolean;
    readonly anyone?: Caller;
  },
  rng: Rng,
): Callers {
  const prefix = randomHex(rng, 64);
  /** What was looked up last, until the next is: a request asks twice, for a caller and for an operator, and holds its key meanwhile. */
  let last = { credential: "", digest: "" };
  const digestOf = (credential: string) => {
    if (credential !== last.credential) {
      last = { credential, digest: hash("sha256", prefix + credential, "base64") };
    }
    return last.digest;
  };
  const callerOf = new Map(callers.map(({ caller, key }) => [digestOf(key.reveal()), caller]));
  const admins = new Set(adminKeys.map((key) => digestOf(key.reveal())));
  return {
    open,
    anyone: unknown,
    identify: (credential) =>
      credential === undefined || callerOf.size === 0 ? undefined : callerOf.get(digestOf(credential)),
    isAdmin: (credential) => credential !== undefined && admins.size > 0 && admins.has(digestOf(credential)),
  };
}
