import { createHmac } from "node:crypto";
import type { Key } from "../routing/endpoint.ts";
import { type Rng, randomHex } from "../runtime/rng.ts";
import { Secret } from "../runtime/secret.ts";

/** A key as it is configured. */
export interface ConfiguredKey {
  /** Undefined: it gets one. */
  readonly name: string | undefined;
  readonly value: string;
}

/** Gives keys their identity and their names. */
export interface KeyNames {
  /**
   * A provider's keys. One that has been seen before keeps its name, wherever it stands now: people know it by it. One that stands
   * there twice is one.
   */
  name(provider: string, keys: readonly ConfiguredKey[]): readonly Key[];
}

/** @param rng where the key of the hash comes from by which keys are told apart: an id must not tell the key */
export function createKeyNames(rng: Rng): KeyNames {
  const pepper = randomHex(rng, 64);
  const byProvider = new Map<string, Map<string, string>>();
  return {
    name(provider, keys) {
      let names = byProvider.get(provider);
      if (!names) {
        names = new Map();
        byProvider.set(provider, names);
      }
      const made = new Map<string, Key>();
      for (const { name: given, value } of keys) {
        const id = createHmac("sha256", pepper).update(value).digest("base64");
        if (made.has(id)) continue;
        const name = given ?? names.get(id) ?? freeName(names);
        names.set(id, name);
        made.set(id, { id, name, secret: new Secret(value) });
      }
      return [...made.values()];
    },
  };
}

/** `k1`, `k2`, … by first sight. */
function freeName(names: ReadonlyMap<string, string>): string {
  const taken = new Set(names.values());
  let number = names.size + 1;
  while (taken.has(`k${number}`)) number += 1;
  return `k${number}`;
}
